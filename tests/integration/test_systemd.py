"""As a service of systemd: what the manager is told, sockets that it hands over, the watchdog.

The test is the manager: it reads the datagrams from a socket of its own and starts the server as
systemd would (LAUNCH).
"""

import os
import select
import signal
import socket
import sys
import time

import pytest
from harness import differs, is_running, wait_for
from http_client import request

# The environment and descriptors as systemd makes them, from its fourth argument on the command.
LAUNCH = """
import os, sys
fds, names = eval(sys.argv[1]), sys.argv[2]
high = [os.dup2(fd, 100 + n) for n, fd in enumerate(fds)]
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n)
    os.close(fd)
me = str(os.getpid())
if fds:
    os.environ.update(LISTEN_PID=me, LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
if "WATCHDOG_USEC" in os.environ:
    os.environ["WATCHDOG_PID"] = me
os.execv(sys.argv[3], sys.argv[3:])
"""

# Loads only once the file `go` is there, and not at all if it says so.
PATIENT = """
import os, time
while not os.path.exists("go"):
    time.sleep(0.01)
exec(open("go").read())
def app(environ, start_response):
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "GUNICORN_FD")
    text = repr([name for name in names if name in os.environ])
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text.encode()]
"""


class Manager:
    """systemd's end of NOTIFY_SOCKET, which is an abstract one: no path that may be too long."""

    def __init__(self, name):
        self.address = f"@{name}"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(f"\0{name}")
        self.sock.settimeout(30)
        self.said = []

    def wait(self, *lines):
        """Waits for a message of exactly these lines; returns all that were not waited for yet."""
        start = len(self.said)
        while lines != tuple(self.said[-1] if len(self.said) > start else ()):
            self.said.append(self.sock.recv(4000).decode().split("\n"))
        return self.said[start:]

    def wait_for(self, beginning):
        """Waits for a message that begins so and returns its lines."""
        while True:
            self.said.append(self.sock.recv(4000).decode().split("\n"))
            if self.said[-1][0].startswith(beginning):
                return self.said[-1]

    def heard(self, name):
        """The lines of that name so far."""
        return [line for lines in self.said for line in lines if line.startswith(f"{name}=")]


@pytest.fixture
def manager():
    manager = Manager(f"cyserve-notify-{os.getpid()}")
    yield manager
    manager.sock.close()


@pytest.fixture
def start_service(start_server, manager):
    def start(*args, fds=(), names="", app="patient:app", go="", env=None, **options):
        files = {"patient.py": PATIENT}
        if go is not None:
            files["go"] = go
        return start_server(
            app,
            *args,
            files=files,
            env={"NOTIFY_SOCKET": manager.address, **(env or {})},
            prefix=[sys.executable, "-c", LAUNCH, repr(list(fds)), names],
            pass_fds=fds,
            **options,
        )

    return start


# -- what the manager is told --


@differs("systemd-ready", "systemd-states")
def test_a_life_as_a_service(start_service, manager):
    server = start_service(go=None, wait=False, workers=2)
    server.wait_log("Booting worker with pid", count=2)
    manager.wait_for("EXTEND_TIMEOUT_USEC=")  # it takes as long as it takes
    assert not manager.heard("READY")
    (server.directory / "go").touch()
    server.wait_ready(2)
    assert manager.wait_for("READY=1")[1] in {"STATUS=1 of 2 workers are ready", "STATUS=2 workers"}
    if "STATUS=2 workers" not in manager.said[-1]:
        manager.wait("STATUS=2 workers")

    server.signal(signal.SIGTTIN)
    manager.wait("STATUS=3 workers")

    server.signal(signal.SIGHUP)
    reloading, clock = manager.wait_for("RELOADING=1")
    assert clock.startswith("MONOTONIC_USEC=")
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert 0 < int(clock.partition("=")[2]) * 1000 <= now
    manager.wait("READY=1", "STATUS=2 workers")

    (server.directory / "go").write_text("raise RuntimeError('not today')")
    server.signal(signal.SIGHUP)
    manager.wait_for("RELOADING=1")
    ready, status = manager.wait_for("READY=1")
    assert status.startswith("STATUS=2 workers; the last reload failed: a new worker did not boot")

    (server.directory / "go").write_text("")
    server.signal(signal.SIGHUP)
    manager.wait("READY=1", "STATUS=2 workers")

    assert server.stop() == 0
    manager.wait("STOPPING=1", "STATUS=Stopping")
    assert not manager.heard("WATCHDOG")
    assert not manager.heard("MAINPID")


@differs("systemd-ready")
def test_an_application_that_does_not_load_never_gets_ready(start_service, manager):
    server = start_service(go="raise RuntimeError('never')", wait=False)
    assert server.wait_exit() == 3
    manager.wait("STOPPING=1", "STATUS=Stopping")
    assert not manager.heard("READY")


@differs("systemd-states", "upgrade-listeners")
def test_an_upgrade_names_the_new_main_process(start_service, manager):
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as second,
    ):
        server = start_service(fds=[first.fileno(), second.fileno()], names="web:other", workers=2)
        addresses = [first.getsockname(), second.getsockname()]
    manager.wait_for("READY=1")
    assert server.addresses == addresses
    assert [request(address).text for address in addresses] == ["[]", "[]"]
    old, mark = server.pid, server.log_mark()
    server.signal(signal.SIGUSR2)
    listening = rf"\[(\d+)\] \[INFO\] Listening at: .*:{addresses[0][1]},.*:{addresses[1][1]} "
    successor = int(server.wait_log(listening, since=mark)[0])
    server.wait_workers(2, master=successor)
    server.signal(signal.SIGTERM)
    said = manager.wait(f"MAINPID={successor}")  # while the old one is still the main process
    assert not any("READY=1" in lines for lines in said)  # the new one keeps silent so far
    assert server.wait_exit() == 0
    server.pid = successor
    manager.wait(f"MAINPID={successor}")
    manager.wait("READY=1", "STATUS=2 workers")
    assert [request(address).text for address in addresses] == ["[]", "[]"]
    assert "STOPPING=1" not in [lines[0] for lines in manager.said]
    assert old != successor
    server.signal(signal.SIGHUP)
    manager.wait_for("RELOADING=1")
    manager.wait("READY=1", "STATUS=2 workers")
    server.signal(signal.SIGTERM)
    manager.wait("STOPPING=1", "STATUS=Stopping")
    wait_for(lambda: not is_running(successor), "the end of the new master")


@differs("systemd-states")
def test_the_watchdog_is_fed_by_whoever_is_the_main_process(start_service, manager):
    server = start_service(env={"WATCHDOG_USEC": "200000"})
    for _ in range(3):
        manager.wait("WATCHDOG=1")
    server.signal(signal.SIGUSR2)
    successor = int(server.wait_log(r"\[(\d+)\] \[INFO\] Listening at: ", count=2)[1])
    server.wait_workers(1, master=successor)
    server.signal(signal.SIGTERM)
    server.wait_exit()
    server.pid = successor
    server.wait_log("Master has been promoted")
    while select.select([manager.sock], [], [], 0)[0]:
        manager.sock.recv(4000)  # what the old one said
    for _ in range(3):
        manager.wait("WATCHDOG=1")


def test_a_watchdog_of_another_process_is_not_fed(start_server, manager):
    env = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    server = start_server(env=env)
    manager.wait_for("READY=1")
    server.stop()
    manager.wait("STOPPING=1", "STATUS=Stopping")
    assert not manager.heard("WATCHDOG")


# -- sockets that it hands over --


def test_sockets_of_any_family_come_in_their_order(start_service, manager, tmp_path):
    here = os.getcwd()
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket() as silent,
    ):
        os.chdir(tmp_path)
        try:
            unix.bind("u.sock")
        finally:
            os.chdir(here)
        unix.listen()
        abstract.bind(f"\0cyserve-test-{os.getpid()}")
        abstract.listen()
        silent.bind(("127.0.0.1", 0))  # bound only: we have to listen
        port = silent.getsockname()[1]
        fds = [sock.fileno() for sock in (tcp, unix, abstract, silent)]
        server = start_service(fds=fds, names="a:b:c:d", bind="127.0.0.1:1", wait=False)
        [listening] = server.wait_log(r"Listening at: (\S+) ")
        server.wait_workers(1)
        assert listening.split(",") == [
            f"http://127.0.0.1:{tcp.getsockname()[1]}",
            "unix:u.sock",
            f"unix:@cyserve-test-{os.getpid()}",
            f"http://127.0.0.1:{port}",
        ]
        for where in (tcp.getsockname(), str(tmp_path / "u.sock"), ("127.0.0.1", port)):
            assert request(where).text == "[]"
        assert request(f"\0cyserve-test-{os.getpid()}").text == "[]"
        assert server.stop() == 0
        assert (tmp_path / "u.sock").exists()  # systemd's, which keeps listening
        assert unix.fileno() != -1


def test_a_socket_that_cannot_listen(start_service):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        server = start_service(fds=[udp.fileno()], wait=False)
    assert server.wait_exit() == 1
    assert "Error: Cannot listen: " in server.log_text()
    assert "Traceback" not in server.log_text()
