"""The tornado worker: native and WSGI applications, its life and its end."""

from signal import SIGQUIT, SIGTERM

import pytest
from harness import differs, wait_for
from http_client import Client, request, request_bytes
from test_reload_under_load import load_on
from tls_helpers import client_context, make_files

from cyserve import SERVER_SOFTWARE

TORNADO = ("-k", "tornado")


@pytest.fixture(scope="module")
def native(start_module_server):
    return start_module_server("tornado_app:make_app()", *TORNADO, bind=["127.0.0.1:0", "unix:s"])


@differs("server-field")
def test_a_native_application_answers_and_its_server_field_is_signed(native):
    response = native.request("/")
    assert response.body == b"tornado %d" % native.worker_pids()[0]
    assert response.header("Server").endswith(f" ({SERVER_SOFTWARE})")
    assert response.header("Server").startswith("TornadoServer/")


@differs("tornado-server-field")
def test_a_server_field_of_the_application_is_left_alone(native):
    assert native.request("/own").header("Server") == "own"


def test_callbacks_scheduled_while_the_application_is_loaded_run(native):
    assert native.request("/own").body == b"[True]"


def test_unix_socket_and_keep_alive(native):
    with Client(native.addresses[1]) as client:
        for _ in range(3):
            assert client.send(request_bytes("/")).read_response().status == 200


def test_a_wsgi_application_runs_in_a_container(start_server):
    server = start_server("tornado_app:wsgi", *TORNADO)
    assert server.request("/path").body == b"/path"
    assert server.request("/", "POST", body=b"x" * 100_000).body == b"x" * 100_000


@pytest.mark.parametrize("app", ["app", "wsgi"])
def test_tls(start_server, tmp_path, app):
    files = make_files(tmp_path / "certificates")
    server = start_server(f"tornado_app:{app}", *TORNADO, *files.args())
    assert request(server.address, tls=client_context()).status == 200


@differs("tornado-keepalive")
def test_keepalive_0_closes_after_each_answer(start_server):
    server = start_server("tornado_app:app", *TORNADO, "--keep-alive", "0")
    with server.connect().send(request_bytes("/")) as client:
        assert client.read_response().header("Connection") == "close"
        assert client.read_to_eof() == b""


def test_max_requests_replaces_the_worker(start_server):
    server = start_server("tornado_app:app", *TORNADO, "--max-requests", "3")
    [old] = server.worker_pids()
    for _ in range(3):
        assert server.request("/").status == 200
    server.wait_workers(1, but_not=[old])
    server.wait_log("Autorestarting worker after current request.")
    assert server.request("/").status == 200


@differs("tornado-stop")
def test_term_lets_a_request_end(start_server):
    server = start_server("tornado_app:app", *TORNADO, "--tcp-defer-accept", "0")
    [worker] = server.worker_pids()
    with server.connect().send(request_bytes("/wait")) as client, server.connect() as idle:
        assert server.request("/").status == 200
        server.signal(SIGTERM)
        assert idle.read_to_eof() == b""  # closed: the stop has come as far as waiting for /wait
        assert server.process.poll() is None
        (server.directory / "go").touch()
        assert client.read_response().body == b"waited"
    assert server.wait_exit() == 0
    server.wait_log(rf"\[{worker}\] \[INFO\] Worker exiting")


def test_quit_ends_it_at_once(start_server):
    server = start_server("tornado_app:app", *TORNADO)
    with server.connect().send(request_bytes("/wait")):
        assert server.request("/").status == 200
        assert server.stop(SIGQUIT) == 0
    assert "Traceback" not in server.log_text()


def test_a_handler_that_blocks_the_loop_is_killed(start_server):
    server = start_server("tornado_app:app", *TORNADO, "--timeout", "1")
    [old] = server.worker_pids()
    with server.connect().send(request_bytes("/spin")):
        server.wait_log(rf"WORKER TIMEOUT \(pid:{old}\)")
        server.wait_workers(1, but_not=[old])
    assert server.request("/").status == 200


@differs("tornado-stop")
def test_max_requests_under_load_loses_no_request(start_server):
    server = start_server("tornado_app:app", *TORNADO, "--max-requests", "40", workers=2)
    with load_on(server, 4) as load:
        wait_for(lambda: len(load.pids) >= 6, "several generations of workers")


def test_a_missing_tornado_is_said_in_one_line(start_server):
    server = start_server(
        "plain:app",
        *TORNADO,
        files={"tornado/__init__.py": "raise ImportError('no tornado here')"},
        wait=False,
    )
    assert server.wait_exit() == 1
    assert "Error: class uri 'tornado' invalid or not found: " in server.log_text()
    assert "no tornado here" in server.log_text()
