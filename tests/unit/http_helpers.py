"""What the tests of cyserve.http share: settings, and a connection whose far end the test holds."""

import socket
from types import SimpleNamespace
from typing import Any

from cyserve.http.connection import Connection
from cyserve.http.context import Context
from cyserve.http.environ import Endpoint
from cyserve.http.transport import PlainTransport

SETTINGS: dict[str, Any] = {
    "limit_request_line": 4094,
    "limit_request_fields": 100,
    "limit_request_field_size": 8190,
    "permit_obsolete_folding": False,
    "strip_header_spaces": False,
    "permit_unconventional_http_method": False,
    "permit_unconventional_http_version": False,
    "casefold_http_method": False,
    "secure_scheme_headers": {
        "X-FORWARDED-PROTOCOL": "ssl",
        "X-FORWARDED-PROTO": "https",
        "X-FORWARDED-SSL": "on",
    },
    "forwarded_allow_ips": ["127.0.0.1", "::1"],
    "proxy_protocol": "off",
    "proxy_allow_ips": ["127.0.0.1", "::1"],
    "forwarder_headers": ["SCRIPT_NAME", "PATH_INFO"],
    "header_map": "drop",
    "client_body_buffer_size": 65536,
    "client_body_timeout": 5,
    "client_max_body_size": 0,
    "client_header_timeout": 5,
    "send_timeout": 5,
    "ssl_handshake_timeout": 5,
    "keepalive": 5,
    "timeout": 30,
    "is_ssl": False,
    "sendfile": True,
    "errorlog": None,
    "workers": 1,
}


class Log:
    """Keeps what is logged: [(level, text)]."""

    access_log_enabled = False
    access_wanted = None

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __getattr__(self, level: str) -> Any:
        def log(message: str, *args: Any, exc_info: bool = False) -> None:
            self.lines.append((level, message % args if args else message))

        return log


def settings(**changes: Any) -> SimpleNamespace:
    import ipaddress

    cfg = SimpleNamespace(**{**SETTINGS, **changes})

    def networks(texts: list[str]) -> list[Any]:
        return [ipaddress.ip_network(text) for text in texts if text != "*"]

    cfg.forwarded_allow_networks = lambda: networks(cfg.forwarded_allow_ips)
    cfg.proxy_allow_networks = lambda: networks(cfg.proxy_allow_ips)
    return cfg


class NoWaiting:
    """A waiter for tests in which nothing may wait."""

    def readable(self, fd: int, seconds: float) -> bool:
        return False

    def writable(self, fd: int, seconds: float) -> bool:
        return False


class Peer:
    """A connection and its client's end.

    sent: bytes that the client has sent already; changes: settings other than the defaults.
    """

    def __init__(
        self, sent: bytes = b"", address: Any = ("127.0.0.1", 4711), **changes: Any
    ) -> None:
        ours, self.client = socket.socketpair()
        ours.setblocking(False)
        self.client.settimeout(10)
        self.cfg = settings(**changes)
        self.log = Log()
        listener = SimpleNamespace(getsockname=lambda: ("127.0.0.1", 8000))
        self.endpoint = Endpoint(self.cfg, listener, multithread=False)
        self.transport = PlainTransport(ours, NoWaiting())
        self.connection = Connection(
            self.transport, address, self.endpoint, Context(self.cfg, self.log)
        )
        if sent:
            self.client.sendall(sent)

    def close(self) -> None:
        self.transport.close()
        self.client.close()

    def received(self) -> bytes:
        """Everything that the server has sent, after closing its end."""
        self.transport.flush()
        self.transport.close()
        pieces = []
        while piece := self.client.recv(65536):
            pieces.append(piece)
        return b"".join(pieces)
