"""The datagrams that a StatsD server gets in the course of a life, from gunicorn and cyserve."""

import re
import signal
import socket

from differences import compare
from http_client import Client


class Receiver:
    """A StatsD server; `until` reads what comes."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(30)
        self.host = f"127.0.0.1:{self.sock.getsockname()[1]}"
        self.seen = []

    def until(self, metric, count=1):
        """Reads on until `count` metrics of that name have come since the last call."""
        while count:
            text = self.sock.recv(4000).decode()
            assert re.search(r"request\.duration:\d+\.\d{1,3}\|ms", text) or "duration" not in text
            self.seen.append(re.sub(r"duration:[\d.]+", "duration:TIME", text))
            count -= metric in text


def life(start_server, receiver, **options):
    """What is sent: the metrics in their order, and the length of the listen queues at the end,
    when nobody waits (before, a client may be waiting when it is measured, or not)."""
    server = start_server(
        "requests_app:app",
        f"--statsd-host={receiver.host}",
        "--dogstatsd-tags=env:test,x",
        "--statsd-prefix=my.app..",
        "--enable-backlog-metric",
        errorlog="error.log",
        **options,
    )
    receiver.until("gunicorn.workers:1|")
    server.request("/ok")
    server.request("/none-such")
    server.request("/raise-before")
    receiver.until("request.status", 2)
    with Client(server.address) as client:
        client.send(b"bad\r\n\r\n").read_to_eof()
    receiver.until("log.warning")
    server.signal(signal.SIGTTIN)
    receiver.until("gunicorn.workers:2|")
    receiver.until("gunicorn.backlog")
    assert server.stop() == 0
    seen, receiver.seen = receiver.seen, []
    receiver.sock.setblocking(False)
    try:
        while True:
            seen.append(receiver.sock.recv(4000).decode())
    except BlockingIOError:
        receiver.sock.settimeout(30)
    return (
        [text for text in seen if "backlog" not in text],
        [text for text in seen if "backlog" in text][-1],
    )


def with_refused_ones(metrics):
    """A refused request counts as one, with its status."""
    told, backlog = metrics
    at = next(n for n, text in enumerate(told) if "log.warning" in text) + 1
    tags = "|#env:test,x"
    refused = [
        f"my.app.gunicorn.request.duration:TIME|ms{tags}",
        f"my.app.gunicorn.requests:1|c|@1.0{tags}",
        f"my.app.gunicorn.request.status.400:1|c|@1.0{tags}",
    ]
    return [*told[:at], *refused, *told[at:]], backlog


def in_one_datagram(metrics):
    """What a request counts comes together."""
    told, backlog = metrics
    joined = []
    for text in told:
        if joined and re.search(r"gunicorn\.requests:|request\.status", text):
            joined[-1] += f"\n{text}"
        else:
            joined.append(text)
    return joined, backlog


def test_both_send_the_same(start_server, oracle, kernel):
    receiver = Receiver()
    with receiver.sock:
        gunicorn = life(start_server, receiver, program=oracle)
        cyserve = life(start_server, receiver, kernel=kernel)
    assert len(gunicorn[0]) > 8
    assert "gunicorn.backlog:0|" in gunicorn[1]
    compare(
        gunicorn,
        cyserve,
        differs={"refused-logged": with_refused_ones, "statsd-datagrams": in_one_datagram},
    )
