"""Where a server listens: several binds, unix sockets, inherited descriptors, IPv6, reuse_port."""

import os
import socket
import stat
import sys
from signal import SIGTERM, SIGUSR2

import pytest
from harness import differs, free_port, missing, wait_for
from http_client import Client, request

# Makes descriptor `fd` of the test descriptor 3 of the server, as systemd does, then runs it.
AS_SYSTEMD = """
import os, sys
fd = int(sys.argv[1])
if fd != 3:
    os.dup2(fd, 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = "1"
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def listener():
    """A listening TCP socket of the test."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_several_binds(start_server):
    server = start_server(
        bind=["127.0.0.1:0", "127.0.0.1:0", "unix:a.sock", "unix:b.sock"], workers=2
    )
    assert len(server.addresses) == 4
    for _ in range(3):
        for address in server.addresses:
            assert request(address, "/x").text.startswith("GET /x ")


def test_binds_of_the_config_file(start_server):
    server = start_server(bind=None, config="bind = ['127.0.0.1:0', 'unix:c.sock']")
    assert [request(address).status for address in server.addresses] == [200, 200]


@pytest.mark.parametrize(("args", "mode"), [((), 0o777), (("-m", "0o117"), 0o660)])
def test_mode_of_a_unix_socket(start_server, args, mode):
    server = start_server("plain:app", *args, bind="unix:x.sock")
    info = os.stat(server.address)
    assert stat.S_ISSOCK(info.st_mode)
    assert stat.S_IMODE(info.st_mode) == mode
    assert request(server.address).status == 200
    server.stop()
    assert not os.path.exists(server.address)


def test_a_left_over_unix_socket_is_replaced(start_server, tmp_path):
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    assert path.exists()
    server = start_server(bind=f"unix:{path}")
    assert request(str(path)).status == 200
    assert server.stop() == 0


def test_a_file_in_the_place_of_a_unix_socket(start_server, tmp_path):
    path = tmp_path / "precious"
    path.write_text("precious")
    server = start_server(bind=f"unix:{path}", wait=False)
    assert server.wait_exit() == 1
    assert f"Error: Cannot listen: '{path}' is not a socket\n" in server.log_text()
    assert "Traceback" not in server.log_text()
    assert path.read_text() == "precious"


def test_an_inherited_descriptor(start_server, listener):
    fd = listener.fileno()
    server = start_server(bind=f"fd://{fd}", pass_fds=[fd], workers=2)
    assert server.address == listener.getsockname()
    assert request(server.address).status == 200


def test_an_inherited_unix_descriptor(start_server, tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "mine.sock"))
        sock.listen()
        server = start_server(bind=f"fd://{sock.fileno()}", pass_fds=[sock.fileno()])
        assert request(str(tmp_path / "mine.sock")).status == 200
        server.stop()


def test_systemd_socket_activation(start_server, listener):
    fd = listener.fileno()
    server = start_server(
        "environ_app:app",
        bind="127.0.0.1:1",
        pass_fds=[fd],
        prefix=[sys.executable, "-c", AS_SYSTEMD, str(fd)],
        files={
            "environ_app.py": (
                "import os\n"
                "def app(environ, start_response):\n"
                "    start_response('200 OK', [])\n"
                "    return [repr([k for k in os.environ if k.startswith('LISTEN_')]).encode()]\n"
            )
        },
    )
    assert server.addresses == [listener.getsockname()]  # -b is not used then
    assert request(server.address).body == b"[]"  # and children do not see the variables
    assert server.stop() == 0


def test_listen_fds_of_another_process_are_not_ours(start_server):
    server = start_server(env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    assert request(server.address).status == 200


def test_ipv6(start_server):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as exc:
        missing(f"no IPv6 loopback: {exc}")
    server = start_server(bind="[::1]:0")
    assert server.address[0] == "::1"
    assert request(server.address).status == 200


@pytest.mark.parametrize("workers", [1, 3])
def test_reuse_port(start_server, workers):
    port = free_port()
    server = start_server(
        "plain:app", "--reuse-port", bind=f"127.0.0.1:{port}", workers=workers, wait=False
    )
    pids = server.wait_workers(workers)
    seen = {int(request(("127.0.0.1", port)).text.split()[2]) for _ in range(60)}
    assert seen <= set(pids)
    assert len(seen) == len(pids)  # the kernel spreads over the workers' own sockets
    assert server.stop() == 0


def test_a_bad_address(start_server):
    server = start_server(bind="127.0.0.1:http", wait=False)
    assert server.wait_exit() == 1
    assert "'http' is not a valid port number." in server.log_text()
    assert "Traceback" not in server.log_text()


@differs("unix-abstract")
def test_an_abstract_socket_goes_through_an_upgrade(start_server):
    name = f"cyserve-test-{os.getpid()}"
    server = start_server(bind=f"unix:@{name}", wait=False)
    server.wait_log(rf"Listening at: unix:@{name} \(\d+\)$")
    server.wait_workers(1)
    with Client(f"\0{name}") as client:
        client.send(b"GET /x HTTP/1.0\r\n\r\n")  # nobody says which host it is
        assert client.read_response().status == 200
    server.signal(SIGUSR2)
    listening = rf"\[(\d+)\] \[INFO\] Listening at: unix:@{name} "
    successor = int(server.wait_log(listening, count=2)[1])
    server.wait_workers(1, master=successor)
    server.signal(SIGTERM)
    server.wait_exit()
    server.pid = successor
    server.wait_log("Master has been promoted")
    assert request(f"\0{name}").status == 200


@differs("unix-reuse-port")
def test_a_unix_socket_is_shared_whatever_reuse_port_says(start_server):
    server = start_server("plain:app", "--reuse-port", bind="unix:x.sock", workers=2)
    server.wait_log(r"\[WARNING\] reuse_port has no effect: workers cannot each bind the same unix")
    workers, seen = set(server.worker_pids()), set()

    def seen_all():
        seen.add(int(request(server.address).text.split()[2]))
        return seen == workers

    wait_for(seen_all, "an answer of each worker")
    assert server.stop() == 0
    assert not os.path.exists(server.address)


@differs("backlog-somaxconn", "bind-forms")
def test_doubts_about_listeners_are_told_once(start_server):
    server = start_server(
        "plain:app", "--backlog=2000000000", bind=["127.0.0.1:0", "unix://x.sock"], workers=2
    )
    text = server.log_text()
    assert text.count("[WARNING]") == 2
    assert "[WARNING] bind = 'unix://x.sock' is the relative path 'x.sock'; write" in text
    assert (
        "[WARNING] backlog = 2000000000 is more than the kernel grants, net.core.somaxconn" in text
    )
    assert "backlog" not in start_server("plain:app").log_text()
