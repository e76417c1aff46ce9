"""The logger that counts: what it sends, to whom, and what it costs when nobody is there."""

import contextlib
import logging
import os
import socket
from types import SimpleNamespace

import pytest
from log_helpers import own_logging, request, settings

from cyserve.glogging import Logger
from cyserve.instrument import statsd
from cyserve.instrument.statsd import Statsd

# What is shown here and differs from gunicorn.
DIFFERS = ("statsd-prefix", "statsd-quiet", "statsd-status", "statsd-unused")


@pytest.fixture(autouse=True)
def _logging_as_before():
    with own_logging():
        yield


@pytest.fixture
def server():
    with receiver(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        yield sock


@contextlib.contextmanager
def receiver(family, address):
    """A StatsD server that only listens."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.setblocking(False)  # what was sent over loopback is there
        yield sock


def datagrams(sock):
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(sock.recv(9999).decode())
    return found


def received(sock):
    """The metrics, in whatever datagrams they came."""
    return [metric for datagram in datagrams(sock) for metric in datagram.split("\n")]


@pytest.fixture
def made():
    """Makes loggers whose sockets are closed in the end."""
    loggers = []

    def make(host, cls=Statsd, **values):
        if not isinstance(host, str):
            host = f"127.0.0.1:{host.getsockname()[1]}"
        log = cls(settings(**{"errorlog": None, "statsd_host": host, **values}))
        loggers.append(log)
        return log

    yield make
    for log in loggers:
        if log.sock is not None:
            log.sock.close()


# -- what is sent --


def test_each_kind_of_metric(server, made):
    log = made(server)
    log.gauge("g", 1)
    log.increment("i", 2)
    log.increment("i", 2, 0.5)
    log.decrement("d", 3)
    log.timer("t", 1.5)
    log.histogram("h", 0)
    assert received(server) == [
        "g:1|g",
        "i:2|c|@1.0",
        "i:2|c|@0.5",
        "d:-3|c|@1.0",
        "t:1.5|ms",
        "h:0|h",
    ]


@pytest.mark.parametrize(
    ("prefix", "shown"),
    [("", ""), ("a.b", "a.b."), ("ab.", "ab."), ("ab...", "ab."), ("x", "x."), (".", "")],
)
def test_the_prefix_ends_with_one_dot(prefix, shown, server, made):
    made(server, statsd_prefix=prefix).gauge("g", 1)
    assert received(server) == [f"{shown}g:1|g"]


def test_tags(server, made):
    log = made(server, dogstatsd_tags="a:b,c:é", statsd_prefix="p")
    log.increment("i", 1)
    assert received(server) == ["p.i:1|c|@1.0|#a:b,c:é"]


def test_a_request_is_three_metrics(server, made):
    log = made(server)
    log.access(*request())
    assert received(server) == [
        "gunicorn.request.duration:1234.567|ms",
        "gunicorn.requests:1|c|@1.0",
        "gunicorn.request.status.200:1|c|@1.0",
    ]
    assert log.access_wanted
    assert not log.access_log_enabled


def test_the_metrics_of_a_request_share_a_datagram(server, made):
    log = made(server, dogstatsd_tags="a:b")
    log.access(*request())
    log.gauge("g", 1)
    shared, alone = datagrams(server)
    assert [metric.partition(":")[0] for metric in shared.split("\n")] == [
        "gunicorn.request.duration",
        "gunicorn.requests",
        "gunicorn.request.status.200",
    ]
    assert all(metric.endswith("|#a:b") for metric in shared.split("\n"))
    assert alone == "g:1|g|#a:b"


def test_datagrams_of_long_metrics_stay_short(server, made):
    log = made(server, dogstatsd_tags="t:" + "x" * 600)
    log.access(*request())
    sent = datagrams(server)
    assert [datagram.count("\n") + 1 for datagram in sent] == [2, 1]
    assert max(map(len, sent)) <= statsd.DATAGRAM_BYTES


def test_a_subclass_sees_each_metric_of_a_request(server, made):
    class Own(Statsd):
        def _sock_send(self, msg):
            super()._sock_send(msg.upper())

    made(server, Own).access(*request())
    assert len(received(server)) == 3


def test_a_metric_that_fails_takes_no_other_request_along(server, made):
    class Own(Statsd):
        def increment(self, name, value, sampling_rate=1.0):
            if name.startswith("gunicorn.request.status"):
                raise ValueError("no status")
            super().increment(name, value, sampling_rate)

    log = made(server, Own)
    with pytest.raises(ValueError, match="no status"):
        log.access(*request())
    log.gauge("g", 1)
    assert received(server)[-1] == "g:1|g"


@pytest.mark.parametrize(
    ("status", "last"),
    [
        ("404 Not Found", "status.404:1|c|@1.0"),
        (b"404 Not Found", "status.404:1|c|@1.0"),
        (404, "status.404:1|c|@1.0"),
        (None, "requests:1|c|@1.0"),
        ("oops:1|g", "requests:1|c|@1.0"),
    ],
)
def test_the_status_of_any_type(status, last, server, made):
    _, *rest = request()
    made(server).access(SimpleNamespace(status=status, sent=0, headers=[]), *rest)
    assert received(server)[-1] == f"gunicorn.{'request.' if 'status' in last else ''}{last}"


def test_what_goes_wrong_is_counted_and_logged(server, made, tmp_path):
    log = made(server, errorlog=str(tmp_path / "log"))
    for level in ("critical", "error", "warning", "exception"):
        getattr(log, level)("text of %s", level)
    log.info("fine")
    assert received(server) == [
        f"gunicorn.log.{level}:1|c|@1.0" for level in ("critical", "error", "warning", "exception")
    ]
    lines = (tmp_path / "log").read_text().splitlines()
    assert sum("text of" in line or "fine" in line for line in lines) == 5


def test_metrics_by_way_of_the_log(server, made, tmp_path):
    log = made(server, errorlog=str(tmp_path / "log"))

    def send(metric, value, kind, text=""):
        return log.info(text, extra={"metric": metric, "value": value, "mtype": kind})

    send("a", 0, "gauge")
    send("b", 1, "counter", "said too")
    send("c", 1.5, "histogram")
    send("d", 2, "timer")
    for useless in [("", 1, "gauge"), ("x", None, "gauge"), ("x", 1, None), ("x", 1, "bogus")]:
        send(*useless)
    log.info("no metric", extra={"other": 1})
    log.info("none", extra=None)
    log.debug("hidden", extra={"metric": "e", "value": 1, "mtype": "gauge"})  # whatever the level
    log.log("info", "", extra={"metric": "f", "value": 1, "mtype": "gauge"})
    assert received(server) == ["a:0|g", "b:1|c|@1.0", "c:1.5|h", "d:2|ms", "e:1|g", "f:1|g"]
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.rpartition("] ")[2] for line in lines] == ["said too", "no metric", "none"]


# -- who it is --


@pytest.mark.parametrize(
    "name", ["simple", "cyserve.glogging.Logger", "gunicorn.glogging.Logger", None]
)
def test_the_default_logger_counts_if_there_is_a_host(name):
    values = {} if name is None else {"logger_class": name}
    assert settings(statsd_host="localhost", **values).logger_class is Statsd
    assert settings(**values).logger_class is Logger


def test_a_logger_of_ones_own_stays():
    assert settings(statsd_host="localhost", logger_class=Logger).logger_class is Logger


def test_a_logger_that_cannot_send_says_so(tmp_path):
    log = Logger(settings(errorlog=str(tmp_path / "log")))
    assert told(tmp_path) == []
    log.setup(settings(errorlog=str(tmp_path / "log"), statsd_host="localhost"))
    [line] = told(tmp_path)
    assert line.endswith(
        "[WARNING] statsd_host has no effect: the logger, Logger, sends no metrics"
    )


ENTRY_POINTS = "[gunicorn.loggers]\ncounting = cyserve.instrument.statsd:Statsd\n"


def test_a_logger_by_its_entry_point(tmp_path, monkeypatch):
    folder = tmp_path / "some_loggers-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: some-loggers\nVersion: 1\n")
    (folder / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert settings(logger_class="egg:some-loggers#counting").logger_class is Statsd


class OwnSetup(Statsd):
    def setup(self, cfg):
        pass


def test_a_subclass_with_a_setup_of_its_own(made, server):
    log = made(server, OwnSetup)
    log.gauge("g", 1)
    log.error("e")
    assert received(server) == []


def test_a_reload_changes_the_target(server, made):
    log = made("127.0.0.1:9", statsd_prefix="old")
    old = log.sock
    host = f"127.0.0.1:{server.getsockname()[1]}"
    log.setup(settings(errorlog=None, statsd_host=host, statsd_prefix="new"))
    log.gauge("g", 1)
    assert received(server) == ["new.g:1|g"]
    assert old.fileno() == -1
    log.setup(settings(errorlog=None))
    assert log.sock is None


# -- where to --


def test_ipv6(made):
    try:
        server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        server.bind(("::1", 0))
    except OSError as exc:
        pytest.skip(f"no IPv6 loopback: {exc}")
    with server:
        made(f"[::1]:{server.getsockname()[1]}").gauge("g", 1)
        server.settimeout(10)
        assert server.recv(99) == b"g:1|g"


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    """Short relative paths: unix socket addresses are limited to some 100 bytes."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("host", ["unix://s", "unix:./s", "unix://@{}"])
def test_unix(host, made, in_tmp):
    name = f"cyserve-statsd-{os.getpid()}"
    with receiver(socket.AF_UNIX, f"\0{name}" if "@" in host else "s") as server:
        made(host.format(name)).gauge("g", 1)
        assert received(server) == ["g:1|g"]


def told(tmp_path):
    return (tmp_path / "log").read_text().splitlines()


def test_nobody_listens(made, tmp_path, monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    log = made(f"127.0.0.1:{port}", errorlog=str(tmp_path / "log"))
    for _ in range(50):
        log.access(*request())
    [line] = told(tmp_path)  # once, though half of 50 datagrams were lost
    assert "[WARNING] Error sending message to statsd: " in line
    assert "refused (lost so far: 1)" in line
    clock = statsd.time.monotonic() + 61
    monkeypatch.setattr(statsd, "time", SimpleNamespace(monotonic=lambda: clock))
    for _ in range(2):  # the kernel tells of a refusal when the next one is sent
        log.access(*request())
    assert len(told(tmp_path)) == 2


def test_a_host_that_does_not_exist(made, tmp_path, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    log = made("none.invalid:1", errorlog=str(tmp_path / "log"))
    log.access(*request())
    [line] = told(tmp_path)
    assert "[WARNING] Cannot reach statsd: " in line
    assert "Name or service not known" in line


def test_a_slow_server_is_not_waited_for(made, in_tmp, tmp_path):
    with receiver(socket.AF_UNIX, "s") as server:
        log = made("unix://s", errorlog=str(tmp_path / "log"))
        descriptor = os.fstat(log.sock.fileno()).st_ino
        for number in range(2000):  # more than a queue of datagrams holds
            log.gauge("g", number)
        first = received(server)
        assert 0 < len(first) < 2000
        log.gauge("again", 1)
        assert received(server) == ["again:1|g"]
        assert os.fstat(log.sock.fileno()).st_ino == descriptor
    assert len(told(tmp_path)) == 1


def test_a_unix_server_that_comes_later_or_again(made, in_tmp, tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(statsd, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    clock[0] += 10
    log = made("unix://s", errorlog=str(tmp_path / "log"))
    descriptor = log.sock.fileno()
    for name in ("first", "second"):
        with receiver(socket.AF_UNIX, "s") as server:
            log.gauge("lost", 1)  # finds the new server, which costs it this one
            log.gauge(name, 1)
            assert received(server) == [f"{name}:1|g"]
        os.unlink("s")
        clock[0] += 10
    assert log.sock.fileno() == descriptor
    assert "No such file" in told(tmp_path)[0]


def test_the_socket_is_not_inherited_by_programs(server, made):
    log = made(server)
    assert not log.sock.get_inheritable()
    assert logging.getLogger("gunicorn.error") is log.error_log
