"""request_timeout on real workers: the request that takes too long is ended, and nothing else is.

What the interruption can do and what it cannot is in each test; the races are in the unit tests.
"""

import re
import ssl
import threading
import time

import pytest
from harness import differs
from http_client import BrokenResponse, request_bytes
from tls_helpers import client_context, make_files

pytestmark = differs("own-settings")

LIMIT = 1.0  # what is timed would take 30 seconds or more: any answer tells that it was applied
OPTIONS = ("--request-timeout", "1", "--access-logfile", "-")
KINDS = {"sync": (), "gthread": ("-k", "gthread", "--threads", "4"), "gevent": ("-k", "gevent")}
INTERRUPTED = {
    "sync": ("naps", "spin", "sleep"),  # a system call, too
    "gthread": ("naps", "spin"),
    "gevent": ("naps", "sleep"),  # whatever lets the other greenlets run
}


@pytest.fixture(params=KINDS)
def kind(request):
    """The kind of worker."""
    return request.param


@pytest.fixture
def start(start_server):
    return lambda kind, *args, **options: start_server(
        "overdue_app:app", *KINDS[kind], *OPTIONS, *args, **options
    )


def timed(server, target, **options):
    """The answer, and the seconds it took."""
    begun = time.monotonic()
    response = server.request(target, **options)
    return response, time.monotonic() - begun


def pid_of(response):
    assert response.status == 200
    return int(response.text.split()[0])


def test_one_slow_and_fifty_fast_requests_in_the_same_worker(start):
    server = start("gthread")
    (pid,) = server.worker_pids()
    slow = []
    thread = threading.Thread(target=lambda: slow.append(timed(server, "/naps/30")))
    thread.start()
    fast, meanwhile = [], 0
    while thread.is_alive() or len(fast) < 50:
        fast.append(server.request("/fast"))
        meanwhile += thread.is_alive()
        time.sleep(LIMIT / 50)
    thread.join()
    ((response, took),) = slow
    assert response.status == 504
    assert took >= LIMIT
    assert {pid_of(response) for response in fast} == {pid}  # and nothing but 200
    assert meanwhile > 0  # they did not wait for it
    assert server.worker_pids() == [pid]


@pytest.mark.parametrize(
    ("kind", "way"), [(kind, way) for kind, ways in INTERRUPTED.items() for way in ways]
)
def test_what_can_be_interrupted_costs_no_worker(start, kind, way):
    server = start(kind)
    pids = server.worker_pids()
    response, took = timed(server, f"/{way}/30")
    assert response.status == 504
    assert response.header("Connection") == "close"
    assert took >= LIMIT
    server.wait_log(
        rf"\[ERROR\] REQUEST TIMEOUT \(pid:{pids[0]}, \S+:\S+\) "
        rf"Running: 'GET /{way}/30 HTTP/1\.1' for \d+\.\d s\. The client got 504\.$"
    )
    server.wait_log(rf'"GET /{way}/30 HTTP/1\.1" 504 ')
    log = server.log_text()
    assert re.search(r'overdue_app\.py", line \d+, in app\n', log)  # its stack
    for _ in range(8):  # in each thread
        assert pid_of(server.request("/fast")) == pids[0]
    time.sleep(LIMIT)  # a late interruption, or the end of a grace, would show
    assert pid_of(server.request("/fast")) == pids[0]
    assert server.log_text().count("[ERROR]") == 1


def test_a_thread_that_stays_in_a_system_call_costs_the_worker_but_no_other_request(start):
    server = start("gthread", "--graceful-timeout", "20")
    (pid,) = server.worker_pids()
    other = server.connect().send(request_bytes("/half/6?20"))
    assert server.request("/sleep/60").status == 504
    assert pid_of(server.request("/fast")) == pid
    server.wait_log(rf"Request 'GET /sleep/60 HTTP/1\.1' goes on after its timeout \(pid:{pid}\)")
    with other:
        answer = other.read_response()
    assert (answer.status, answer.body) == (200, b"halfrest")
    server.wait_workers(1, but_not=[pid])  # long before the sleep is over
    assert pid_of(server.request("/fast")) != pid


def test_requests_that_wait_behind_stuck_threads_are_served(start):
    server = start("gthread")
    stuck = [server.connect().send(request_bytes("/sleep/60")) for _ in range(4)]
    for client in stuck:
        with client:
            assert client.read_response().status == 504
    begun = time.monotonic()  # now all four threads sleep, and nobody knows yet for how long
    pids = [pid_of(server.request("/fast")) for _ in range(2)]
    assert time.monotonic() - begun < 10
    assert len(pids) == 2


def test_an_application_that_swallows_the_exception_costs_the_worker(start, kind):
    server = start(kind)
    (pid,) = server.worker_pids()
    assert server.request("/swallow/30").status == 504
    server.wait_workers(1, but_not=[pid])
    assert pid_of(server.request("/fast")) != pid
    assert server.log_text().count('/swallow/30 HTTP/1.1" ') == 1  # one access line


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_c_code_that_holds_the_gil_is_noticed_when_it_ends(start, kind):
    server = start(kind)
    pids = server.worker_pids()
    assert server.request("/backtrack/3").status == 504
    server.wait_log(r"REQUEST TIMEOUT .* Running: 'GET /backtrack/3 HTTP/1\.1'")
    assert [pid_of(server.request("/fast"))] == pids


def test_half_an_answer_is_cut(start, kind):
    server = start(kind)
    pids = server.worker_pids()
    begun = time.monotonic()
    with server.connect().send(request_bytes("/half/30")) as client:
        with pytest.raises(BrokenResponse):
            client.read_response()
    assert time.monotonic() - begun >= LIMIT
    server.wait_log(r'"GET /half/30 HTTP/1\.1" 200 4 ')  # what the client saw
    server.wait_log(r"The client's connection was cut\.$")
    assert [pid_of(server.request("/fast"))] == pids


def test_an_upload_that_does_not_come(start, kind):
    server = start(kind)
    pids = server.worker_pids()
    raw = request_bytes("/read", "POST", body=b"x" * 500_000)
    begun = time.monotonic()
    with server.connect().send(raw[:300_000]) as client:
        assert client.read_response().status == 504
        assert time.monotonic() - begun >= LIMIT
        client.send(raw[300_000:])  # it may finish its sentence: no reset
        assert client.read_to_eof() == b""
    assert [pid_of(server.request("/fast"))] == pids


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The arguments that make a server speak TLS."""
    return make_files(tmp_path_factory.mktemp("certificates")).args()


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_over_tls(start, kind, certificate):
    server = start(kind, *certificate)
    pids = server.worker_pids()
    response, took = timed(server, "/naps/30", tls=client_context())
    assert (response.status, response.header("Connection")) == (504, "close")
    assert took >= LIMIT
    with pytest.raises(BrokenResponse):
        server.request("/half/30", tls=client_context())
    assert [pid_of(server.request("/fast", tls=client_context()))] == pids


def test_over_tls_a_thread_that_cannot_answer_is_cut(start, certificate):
    server = start("gthread", *certificate)
    with pytest.raises((BrokenResponse, ConnectionError, ssl.SSLError)):
        server.request("/sleep/60", tls=client_context())
    server.wait_log(r"The client gets 504 when the application lets go\.$")
    server.wait_log(r"Request 'GET /sleep/60 HTTP/1\.1' goes on after its timeout")


def test_the_application_sets_its_own_limit(start, kind):
    server = start(kind)
    assert server.request("/naps/1.5?5").status == 200
    assert server.request("/naps/1.5?0").status == 200
    assert server.request("/fast?-1").status == 500
    server.wait_log("ValueError: allowed is a number of seconds, 0 or more")
    patient = start(kind, "--request-timeout", "20")
    response, took = timed(patient, "/naps/30?0.3")
    assert (response.status, 0.3 <= took < 20) == (504, True)


def test_without_the_setting_there_is_nothing_of_it(start_server, kind):
    server = start_server("overdue_app:app", *KINDS[kind])
    assert server.request("/naps/1.5").text.endswith(" False")
    (pid,) = server.worker_pids()
    if kind != "gevent":  # which loads it anyway
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            assert "_ctypes" not in maps.read()


@pytest.mark.parametrize("kind", ["tornado", "gevent_pywsgi"])
def test_a_worker_that_cannot_says_so(start_server, kind):
    server = start_server("overdue_app:app", "-k", kind, *OPTIONS)
    server.wait_log(r"\[WARNING\] request_timeout has no effect in a \w+")
    assert server.request("/naps/1.5").text.endswith(" False")


def test_a_stuck_thread_does_not_hold_up_the_end(start):
    server = start("gthread", "--graceful-timeout", "20")
    assert server.request("/sleep/60").status == 504
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 10
    assert "SIGKILL" not in server.log_text()
