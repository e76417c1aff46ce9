"""What one whole request costs above the event loop: bytes in, application, bytes out.

A real worker (never forked), a real connection on one end of a socket pair, the client's calls on
the other; `[compiled]` beside `[pure]`. `test_socket_pair` makes the same four system calls with no
server between them: what is above that is cyserve's. The application answers 13 bytes.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cyserve import _accel
from cyserve.config import Config
from cyserve.glogging import Logger
from cyserve.http.connection import READ, RUN, Connection
from cyserve.http.context import Context
from cyserve.http.cycle import Cycle
from cyserve.http.environ import Endpoint
from cyserve.http.transport import PlainTransport, PollWaiter
from cyserve.log_state import LoggingState
from cyserve.workers.sync import SyncWorker

CURL = b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n"
BROWSER = (
    b"GET /some/path?x=y HTTP/1.1\r\nHost: example.org\r\nConnection: keep-alive\r\n"
    b"Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    b"Chrome/128.0.0.0 Safari/537.36\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
    b"Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\n"
    b"Sec-Fetch-Dest: document\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    b"Cookie: sessionid=f3a9c1d2e4b5a6978899aabbccddeeff; csrftoken=Zk3tq8Wv1xYb\r\n\r\n"
)
UPLOAD = b"POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 10000\r\n\r\n" + b"x" * 10_000
REQUESTS = {"curl": CURL, "browser": BROWSER, "post-10k": UPLOAD}
ANSWER = b"\r\n\r\nHello, world!"


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, world!"]


@pytest.fixture(params=["compiled", "pure"])
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Everything made in the test uses this kind of kernel."""
    try:
        _accel.select({"compiled": "fast", "pure": "python"}[request.param])
    except ImportError as exc:
        pytest.skip(str(exc))
    yield request.param
    _accel.select("auto")


@pytest.fixture
def make_cycle(kernel: str) -> Iterator[Callable[[Config], Callable[[bytes], bytes]]]:
    """Gives a function that takes a request to the answer on a keep-alive connection."""
    state = LoggingState()
    client, ours = socket.socketpair()
    ours.setblocking(False)

    def make(cfg: Config) -> Callable[[bytes], bytes]:
        # pytest's own handlers would send the access line the long way round.
        logging.getLogger("gunicorn.access").handlers.clear()
        listener = SimpleNamespace(getsockname=lambda: ("127.0.0.1", 8000))
        worker = SyncWorker(1, os.getppid(), [], None, 30, cfg, Logger(cfg))
        worker.wsgi = application
        cycle = Cycle(worker, keep_alive=True)
        connection = Connection(
            PlainTransport(ours, PollWaiter(worker.notify)),
            ("127.0.0.1", 4711),
            Endpoint(cfg, listener, multithread=False),
            Context(cfg, worker.log),
        )

        def one(request: bytes) -> bytes:
            client.send(request)
            assert connection.proceed(0.0) == RUN
            assert connection.request is not None
            cycle.run(connection.request)
            assert connection.answered(0.0) == READ
            return client.recv(4096)

        return one

    with client, ours:
        yield make
    state.restore()


@pytest.mark.parametrize("request_name", REQUESTS)
def test_request(
    benchmark: Any, make_cycle: Callable[[Config], Callable[[bytes], bytes]], request_name: str
) -> None:
    answer = benchmark(make_cycle(Config()), REQUESTS[request_name])
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(ANSWER)


def test_request_with_access_log(
    benchmark: Any, make_cycle: Callable[[Config], Callable[[bytes], bytes]], tmp_path: Path
) -> None:
    cfg = Config()
    cfg.set("accesslog", str(tmp_path / "access.log"))
    assert benchmark(make_cycle(cfg), BROWSER).endswith(ANSWER)
    assert '"GET /some/path?x=y HTTP/1.1" 200 13' in (tmp_path / "access.log").read_text()


@pytest.mark.parametrize("request_name", REQUESTS)
def test_socket_pair(benchmark: Any, request_name: str) -> None:
    client, ours = socket.socketpair()
    request, answer = REQUESTS[request_name], bytes(150)

    def one() -> bytes:
        client.send(request)
        os.read(ours.fileno(), 16384)
        os.write(ours.fileno(), answer)
        return client.recv(4096)

    with client, ours:
        assert benchmark(one) == answer
