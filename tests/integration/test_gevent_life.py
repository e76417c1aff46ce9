"""The life of a gevent worker: when it patches, signals, stop, reload, and what kills it."""

import json
import os
import threading
from contextlib import ExitStack
from signal import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1

import pytest
from harness import differs, is_running, wait_for
from http_client import BrokenResponse, request_bytes
from test_reload_under_load import load_on

GEVENT = ("-k", "gevent")

SHOW = """
import sys
def show(where):
    monkey = sys.modules.get("gevent.monkey")
    patched = monkey is not None and monkey.is_module_patched("socket")
    print(where, "patched" if patched else "not patched", flush=True)
def when_ready(server): show("when_ready")
def post_fork(server, worker): show("post_fork")
def post_worker_init(worker): show("post_worker_init")
"""


def test_modules_are_patched_in_the_worker_before_the_application(start_server):
    server = start_server("gevent_app:app", *GEVENT, config=SHOW)
    told = json.loads(server.request("/about").body)
    assert told["patched at import"] is True
    log = server.log_text()
    for line in ("when_ready not", "post_fork not", "post_worker_init"):
        assert f"{line} patched\n" in log
    assert "WARNING" not in log


def test_a_preloaded_application_is_imported_before(start_server):
    server = start_server("gevent_app:app", *GEVENT, "--preload")
    told = json.loads(server.request("/about").body)
    assert (told["patched at import"], told["patched"]) == (False, True)
    assert "WARNING" not in server.log_text()  # `import ssl` alone does no harm


@differs("gevent-preload")
def test_a_preloaded_application_that_took_names_out_of_ssl_is_warned_of(start_server):
    files = {"early.py": "from ssl import SSLContext\nfrom gevent_app import app\n"}
    server = start_server("early:app", *GEVENT, "--preload", files=files)
    [line] = server.wait_log(r"\[WARNING\] What was imported before the worker started .*")
    assert "early" in line
    assert server.request("/").body == b"ok"


@pytest.mark.parametrize("by", ["config", "preload"])
def test_the_master_may_be_patched(start_server, by):
    patch = "from gevent import monkey\nmonkey.patch_all()\n"
    server = start_server(
        "early:app",
        *GEVENT,
        *(["--preload"] if by == "preload" else []),
        workers=2,
        config=patch if by == "config" else "",
        files={"early.py": f"{patch}from gevent_app import app\n"},
    )
    old = server.worker_pids()
    server.signal(SIGKILL, old[0])
    between = server.wait_workers(2, but_not=old[:1])
    server.signal(SIGHUP)
    server.wait_workers(2, but_not=between)
    assert server.request("/").body == b"ok"
    assert server.stop() == 0
    assert "Traceback" not in server.log_text()


def test_a_preloaded_application_may_have_used_the_hub(start_server):
    files = {"used.py": "import gevent\ngevent.sleep(0.01)\nfrom gevent_app import app\n"}
    server = start_server("used:app", *GEVENT, "--preload", workers=2, files=files)
    for _ in range(10):
        assert server.request("/meet?1").body == b"met"


@pytest.mark.parametrize(
    ("module", "message"),
    [("raise ImportError('not here')", "not here"), ("__version__ = '1.0'", "gevent.socket")],
)
def test_a_missing_gevent_is_said_in_one_line(start_server, module, message):
    server = start_server("plain:app", *GEVENT, files={"gevent.py": module}, wait=False)
    assert server.wait_exit() == 1
    [line] = server.wait_log("^Error: class uri 'gevent' invalid or not found: .*")
    assert "gevent worker requires gevent 24.10.1 or higher" in line
    assert message in line


# -- signals --


def test_usr1_opens_the_logs_anew(start_server):
    server = start_server("gevent_app:app", *GEVENT, "--access-logfile", "access.log")
    log = server.directory / "access.log"
    server.request("/")
    os.rename(log, server.directory / "rotated.log")
    server.signal(SIGUSR1, server.worker_pids()[0])
    wait_for(log.exists, "the new log")
    server.request("/pieces")
    wait_for(lambda: "/pieces" in log.read_text(), "the line in the new log")


@pytest.mark.parametrize("number", [SIGINT, SIGQUIT])
@pytest.mark.parametrize("target", ["/wait", "/spin"])
def test_a_quick_stop_waits_for_no_request(start_server, number, target):
    config = "def worker_int(worker):\n    import time\n    time.sleep(0.01)\n    print('int!')"
    server = start_server(
        "gevent_app:app", *GEVENT, "--timeout", "0", "--log-level", "debug", config=config
    )
    with server.connect().send(request_bytes(target)) as client:
        wait_for(lambda: requests_of(server) == 1, "the request to run")
        assert server.stop(number) == 0
        client.sock.close()
    assert "int!" in server.log_text()
    assert "graceful timeout" not in server.log_text()


def requests_of(server):
    """Requests that have come in, by the debug log of pre_request."""
    return server.log_text().count("[DEBUG] GET /")


def test_a_request_that_never_yields_is_killed_and_named(start_server):
    server = start_server("gevent_app:app", *GEVENT, "--timeout", "4")
    [old] = server.worker_pids()
    with server.connect().send(request_bytes("/spin")):
        [line] = server.wait_log(rf"WORKER TIMEOUT \(pid:{old}\).*")
        assert "/spin" in line
        server.wait_workers(1, but_not=[old])
    assert server.request("/").body == b"ok"


def test_a_worker_whose_requests_wait_shows_life(start_server):
    """However long they wait, `timeout` is no reason to kill it."""
    config = """
def post_worker_init(worker):
    notify = worker.notify
    def marked():
        notify()
        with open("beats", "a") as beats:
            beats.write(".")
    worker.notify = marked
"""
    server = start_server("gevent_app:app", *GEVENT, "--log-level", "debug", config=config)
    beats = server.directory / "beats"
    with server.connect().send(request_bytes("/wait")) as client:
        wait_for(lambda: requests_of(server) == 1, "the request to run")
        before = beats.stat().st_size
        wait_for(lambda: beats.stat().st_size >= before + 4, "four heartbeats")
        (server.directory / "go").touch()
        assert client.read_response().body == b"waited"


# -- the end --


class Visitor(threading.Thread):
    """Asks again and again on one connection until an answer says that it is the last."""

    def __init__(self, server):
        super().__init__()
        self.client = server.connect()
        self.answers = 0
        self.lost = None

    def run(self):
        try:
            while True:
                response = self.client.send(request_bytes("/")).read_response()
                assert response.body == b"ok"
                self.answers += 1
                if response.header("Connection") == "close":
                    assert self.client.read_to_eof() == b""
                    return
        except (OSError, BrokenResponse, AssertionError) as exc:
            self.lost = exc
        finally:
            self.client.sock.close()


@differs("gevent-idle-stop")
def test_term_under_load_loses_nothing(start_server):
    server = start_server("gevent_app:app", *GEVENT, workers=2)
    with ExitStack() as stack:
        waiting = [stack.enter_context(server.connect()) for _ in range(10)]
        for client in waiting:
            client.send(request_bytes("/wait"))
        visitors = [Visitor(server) for _ in range(10)]
        for visitor in visitors:
            visitor.start()
        wait_for(lambda: min(v.answers for v in visitors) > 20, "every visitor to be served")
        server.signal(SIGTERM)
        for visitor in visitors:
            visitor.join(30)
        assert [visitor.lost for visitor in visitors] == [None] * 10
        assert server.process.poll() is None
        (server.directory / "go").touch()
        for client in waiting:
            assert client.read_response().body == b"waited"
    assert server.wait_exit() == 0
    assert "Traceback" not in server.log_text()


def test_requests_that_outlast_graceful_timeout_are_given_up(start_server):
    server = start_server("gevent_app:app", *GEVENT, "--graceful-timeout", "1")
    with server.connect().send(request_bytes("/wait")):
        assert server.request("/").body == b"ok"
        assert server.stop() == 0


@differs("gevent-idle-stop")
def test_idle_connections_do_not_hold_up_the_end(start_server):
    taken_at_once = ["--tcp-defer-accept", "0"]
    server = start_server("gevent_app:app", *GEVENT, "--graceful-timeout", "1000", *taken_at_once)
    with server.connect() as silent, server.connect() as idle:
        idle.send(request_bytes("/")).read_response()
        assert server.stop() == 0
        assert silent.read_to_eof() == idle.read_to_eof() == b""


def test_hup_under_load_loses_no_request(start_server):
    server = start_server("plain:app", *GEVENT, workers=2)
    with load_on(server) as load:
        for _ in range(3):
            old = server.worker_pids()
            server.signal(SIGHUP)
            server.wait_workers(2, but_not=old)
            load.wait_for_more(200)
    assert "Traceback" not in server.log_text()


def test_max_requests_under_load_loses_no_request(start_server):
    server = start_server("plain:app", *GEVENT, "--max-requests", "40", workers=2)
    with load_on(server) as load:
        wait_for(lambda: len(load.pids) >= 8, "several generations of workers")
    assert "exited with code" not in server.log_text()


def test_new_connections_are_shared_by_idle_workers(start_server):
    server = start_server("plain:app", *GEVENT, workers=3)
    workers = set(server.worker_pids())
    with load_on(server, 4) as load:
        wait_for(lambda: load.pids >= workers, "answers of every worker")
    assert load.pids == workers


def test_a_worker_that_has_lost_its_listener_is_replaced(start_server):
    config = (
        "def post_worker_init(worker):\n"
        "    import os\n"
        "    if worker.age == 1:\n"
        "        os.dup2(os.open('/dev/null', os.O_RDONLY), worker.sockets[0].fileno())\n"
    )
    server = start_server("gevent_app:app", *GEVENT, config=config, wait=False)
    old = server.wait_log(r"Booting worker with pid: (\d+)")[0]
    server.wait_log("Socket operation on non-socket")
    server.wait_log("Booting worker with pid: ", count=2)
    server.wait_ready(1)
    server.wait_workers(1, but_not=[int(old)])
    assert server.request("/").body == b"ok"


def test_workers_leave_when_the_master_is_gone(start_server):
    server = start_server("gevent_app:app", *GEVENT)
    [worker] = server.worker_pids()
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not is_running(worker), "the worker to leave")
    assert "Parent changed, shutting down" in server.log_text()


# -- request_timeout --


@pytest.fixture
def impatient(start_server):
    return start_server("gevent_app:app", *GEVENT, "--request-timeout", "1")


@differs("own-settings")
@pytest.mark.parametrize("target", ["/wait", "/meet?2", "/meet-time?2"])
def test_a_request_that_takes_too_long_is_ended_and_nothing_else_is(impatient, target):
    [worker] = impatient.worker_pids()
    with impatient.connect().send(request_bytes(target)) as client:
        assert impatient.request("/").body == b"ok"
        assert client.read_response().status == 504
        assert client.read_to_eof() == b""
    path = target.partition("?")[0]
    [seconds] = impatient.wait_log(
        rf"REQUEST TIMEOUT \(pid:{worker}, greenlet:\S+\) Running: 'GET {path}.*' for (\S+) s\. "
        r"The client got 504\.$"
    )
    assert float(seconds) >= 1
    impatient.wait_log(r"gevent_app\.py\", line \d+, in (wait_go|meet)")
    assert impatient.request("/").body == b"ok"
    assert impatient.worker_pids() == [worker]


@differs("own-settings")
def test_a_body_that_does_not_come_is_waited_for_no_longer(impatient):
    raw = request_bytes("/echo", "POST", body=b"x" * 300_000)
    with impatient.connect().send(raw[:200_000]) as client:
        assert client.read_response().status == 504
    assert impatient.request("/").body == b"ok"


@differs("own-settings")
def test_a_request_that_ends_in_time_is_left_alone(start_server):
    server = start_server("gevent_app:app", *GEVENT, "--request-timeout", "10")
    with server.connect() as client:
        for _ in range(20):
            assert client.send(request_bytes("/pieces")).read_response().body == b"01234"
    assert "REQUEST TIMEOUT" not in server.log_text()
