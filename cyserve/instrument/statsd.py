"""The logger that also sends metrics to StatsD or DogStatsD, chosen by `statsd_host`.

Under gunicorn's names; the metrics of a request share a datagram, a line each. Anybody may send
metrics through the log:
`log.info("", extra={"metric": "name", "value": 1, "mtype": "counter"})`.

A service that is absent or slow costs nothing but the metrics: the socket never blocks, and what
is lost is told at most once a minute.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cyserve.glogging import Logger

__all__ = ("Statsd",)

# Keys of `extra` in a call of the log, and the kinds of metric.
METRIC_VAR = "metric"
VALUE_VAR = "value"
MTYPE_VAR = "mtype"
GAUGE_TYPE = "gauge"
COUNTER_TYPE = "counter"
HISTOGRAM_TYPE = "histogram"
TIMER_TYPE = "timer"

DATAGRAM_BYTES = 1400  # at most, so that no network has to cut one in pieces
_REPORT_EVERY = 60.0  # seconds
_RECONNECT_EVERY = 1.0  # seconds


class _Collected(threading.local):
    """The metrics of the request that this thread is about to count; None while it is not."""

    metrics: list[bytes] | None = None


class Statsd(Logger):
    """A Logger that counts requests, their time and status, and what goes wrong.

    cfg: the settings (Config). Raises RuntimeError when the logs cannot be set up; a StatsD
    server that cannot be reached is only told of.
    """

    # Stand in for what setup() sets, when a subclass replaces setup().
    sock: socket.socket | None = None
    prefix = ""
    dogstatsd_tags: str | None = None
    _collected = _Collected()
    _address: Any = None  # of a unix socket, whose server may come back under the same name
    _retry_after = 0.0
    _report_after = 0.0
    _lost = 0

    def setup(self, cfg: Any) -> None:
        """Open the logs and connect to the StatsD server that `cfg` names."""
        super().setup(cfg)
        prefix = (cfg.statsd_prefix or "").rstrip(".")
        self.prefix = f"{prefix}." if prefix else ""
        self.dogstatsd_tags = cfg.dogstatsd_tags or None
        old, self.sock, self._address = self.sock, None, None
        if cfg.statsd_host is not None:
            try:
                self.sock = self._open(cfg.statsd_host)
            except (OSError, ValueError) as exc:
                self._tell("Cannot reach statsd", exc)
        if old is not None:
            old.close()

    def _open(self, address: Any) -> socket.socket:
        """A socket for (host, port), or for the path of a unix socket.

        The latter need not exist yet. Raises OSError.
        """
        if isinstance(address, str):
            self._address = f"\0{address[1:]}" if address.startswith("@") else address
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sock.setblocking(False)
            try:
                sock.connect(self._address)
            except OSError as exc:
                self._tell("Cannot reach statsd", exc)
            return sock
        host, port = address
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, _, _, _, where = min(found, key=lambda entry: entry[0])  # IPv4 first
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.connect(where)
        except BaseException:
            sock.close()
            raise
        return sock

    # -- the error log --

    def critical(self, msg: object, *args: object, **kwargs: Any) -> None:
        super().critical(msg, *args, **kwargs)
        self.increment("gunicorn.log.critical", 1)

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        super().error(msg, *args, **kwargs)
        self.increment("gunicorn.log.error", 1)

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        super().warning(msg, *args, **kwargs)
        self.increment("gunicorn.log.warning", 1)

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        super().exception(msg, *args, **kwargs)
        self.increment("gunicorn.log.exception", 1)

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.log(logging.INFO, msg, *args, **kwargs)

    def debug(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.log(logging.DEBUG, msg, *args, **kwargs)

    def log(self, lvl: int | str, msg: object, *args: object, **kwargs: Any) -> None:
        """Log, and send the metric that `extra` holds, whatever the level of the log.

        extra: a mapping with `metric` (the name), `value` (a number) and `mtype` (gauge, counter,
        histogram or timer). With an empty `msg` nothing is logged.
        """
        extra = kwargs.get("extra")
        if isinstance(extra, Mapping):
            self._send_extra(extra)
        if msg:
            super().log(lvl, msg, *args, **kwargs)

    def _send_extra(self, extra: Mapping[str, Any]) -> None:
        metric, value, kind = (extra.get(key) for key in (METRIC_VAR, VALUE_VAR, MTYPE_VAR))
        if not metric or value is None or not kind:
            return
        if kind == GAUGE_TYPE:
            self.gauge(metric, value)
        elif kind == COUNTER_TYPE:
            self.increment(metric, value)
        elif kind == HISTOGRAM_TYPE:
            self.histogram(metric, value)
        elif kind == TIMER_TYPE:
            self.timer(metric, value)

    # -- the access log --

    def access(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta
    ) -> None:
        """Write the access line of one request, if there is such a log, and count it."""
        super().access(resp, req, environ, request_time)
        # Of the two parts so that the float has no more digits than the time has microseconds.
        whole = request_time.days * 86_400_000 + request_time.seconds * 1000
        collected = self._collected
        collected.metrics = []
        try:
            self._count(resp, whole + request_time.microseconds / 1000)
        finally:
            metrics, collected.metrics = collected.metrics, None
            self._send(b"\n".join(metrics))

    def _count(self, resp: Any, milliseconds: float) -> None:
        """Send the metrics of one request; a subclass's own methods are asked for each."""
        self.timer("gunicorn.request.duration", milliseconds)
        self.increment("gunicorn.requests", 1)
        status = resp.status
        if isinstance(status, bytes):
            status = status.decode("latin-1")
        word = str(status).partition(" ")[0]
        if word.isascii() and word.isdigit():
            self.increment(f"gunicorn.request.status.{word}", 1)

    # -- metrics --

    def gauge(self, name: str, value: float) -> None:
        """Send the present value of something."""
        self._sock_send(f"{self.prefix}{name}:{value}|g")

    def increment(self, name: str, value: float, sampling_rate: float = 1.0) -> None:
        """Add to a counter. sampling_rate: the share of events that is sent, 1.0 is all."""
        self._sock_send(f"{self.prefix}{name}:{value}|c|@{sampling_rate}")

    def decrement(self, name: str, value: float, sampling_rate: float = 1.0) -> None:
        """Subtract from a counter."""
        self._sock_send(f"{self.prefix}{name}:-{value}|c|@{sampling_rate}")

    def timer(self, name: str, value: float) -> None:
        """Send a time in milliseconds."""
        self._sock_send(f"{self.prefix}{name}:{value}|ms")

    def histogram(self, name: str, value: float) -> None:
        """Send one value of a distribution."""
        self._sock_send(f"{self.prefix}{name}:{value}|h")

    def _sock_send(self, msg: str | bytes) -> None:
        """Send one metric with the tags; never waits, never raises."""
        if self.sock is None:
            return
        try:
            data = msg.encode() if isinstance(msg, str) else msg
            if self.dogstatsd_tags:
                data += b"|#" + self.dogstatsd_tags.encode()
        except ValueError as exc:
            self._tell("Error sending message to statsd", exc)
            return
        metrics = self._collected.metrics
        if metrics is None:
            self._send(data)
        elif sum(map(len, metrics)) + len(metrics) + len(data) > DATAGRAM_BYTES:
            self._send(b"\n".join(metrics))
            metrics[:] = [data]
        else:
            metrics.append(data)

    def _send(self, data: bytes) -> None:
        sock = self.sock
        if sock is None or not data:
            return
        try:
            sock.send(data)
        except (OSError, ValueError) as exc:
            if self._address is not None and not isinstance(exc, BlockingIOError):
                self._reconnect(sock)
            self._tell("Error sending message to statsd", exc)

    def _reconnect(self, sock: socket.socket) -> None:
        """Look for the unix socket that a new server may have put in the place of the old one."""
        now = time.monotonic()
        if now < self._retry_after:
            return
        self._retry_after = now + _RECONNECT_EVERY
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as new:
            new.setblocking(False)
            new.connect(self._address)
            # In one step: a thread in the middle of a send must not hit a descriptor that
            # meanwhile belongs to a client.
            os.dup2(new.fileno(), sock.fileno(), inheritable=False)

    def _tell(self, what: str, exc: Exception) -> None:
        """Say in the error log that metrics are lost, at most once a minute."""
        self._lost += 1
        now = time.monotonic()
        if now >= self._report_after:
            self._report_after = now + _REPORT_EVERY
            Logger.warning(self, f"{what}: {exc} (lost so far: {self._lost})")
