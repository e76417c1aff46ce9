"""Decisions about requests, written once, for requests whose classification asks for one.

The kernel only says that there is something to decide (the flags of `_grammar`); a request with no
flag never gets here. Settings are read once, when a worker starts.
"""

from __future__ import annotations

from cyserve import _accel
from cyserve._errors import ExpectationFailed, InvalidHeaderName, InvalidSchemeHeaders
from cyserve._grammar import (
    HAS_CODINGS,
    HAS_EXPECT,
    HAS_PROXY,
    HAS_SCHEME,
    HAS_UNDERSCORE,
    HAS_UPGRADE,
)
from cyserve.http.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_RULES = (
    "limit_request_line",
    "limit_request_fields",
    "limit_request_field_size",
    "permit_obsolete_folding",
    "strip_header_spaces",
    "permit_unconventional_http_method",
    "permit_unconventional_http_version",
    "casefold_http_method",
)


class Policy:
    """What this server accepts from whom.

    cfg: the settings. `rules` are the kernel's limits; `decide` judges a flagged request.
    """

    def __init__(self, cfg: Any) -> None:
        self.scheme_headers: dict[str, str] = cfg.secure_scheme_headers
        self.rules = _accel.parser.HeadRules(
            **{name: getattr(cfg, name) for name in _RULES},
            scheme_headers=tuple(self.scheme_headers),
        )
        self.trusted = cfg.forwarded_allow_ips, cfg.forwarded_allow_networks
        self.proxies = cfg.proxy_allow_ips, cfg.proxy_allow_networks
        self.forwarder_headers = frozenset(cfg.forwarder_headers)
        self.header_map: str = cfg.header_map or "refuse"

    def trusts(self, address: Any) -> bool:
        """True when the socket peer may speak for its clients (a unix peer always may)."""
        return _belongs(address, *self.trusted)

    def allows_proxy_header(self, address: Any) -> bool:
        """True when the socket peer may send a PROXY header (a unix peer always may)."""
        return _belongs(address, *self.proxies)

    def decide(self, req: Request) -> None:
        """Judge the flagged fields of a request; raises a ParseException to refuse it."""
        flags = req.head.flags
        if flags & HAS_CODINGS:
            req.must_close = True  # the body is handed over still encoded
        if flags & HAS_EXPECT:
            self._expect(req)
        if flags & HAS_UPGRADE:
            req.connection.lend_socket()
        if not flags & (HAS_SCHEME | HAS_UNDERSCORE | HAS_PROXY):
            return
        trusted = req.connection.trusted()
        if flags & HAS_SCHEME and trusted:
            self._scheme(req)
        if flags & HAS_UNDERSCORE:
            self._underscores(req, trusted)
        if flags & HAS_PROXY:
            # CGI's HTTP_PROXY variable would be taken for a proxy to use ("httpoxy").
            req.headers = [field for field in req.headers if field[0] != "PROXY"]

    def _expect(self, req: Request) -> None:
        """RFC 9110 section 10.1.1: only 100-continue, which HTTP/1.0 clients do not mean."""
        for name, value in req.headers:
            if name == "EXPECT":
                if value.lower() != "100-continue":
                    raise ExpectationFailed(value)
                req.connection.expect_continue = req.version >= (1, 1)

    def _scheme(self, req: Request) -> None:
        schemes = {
            "https" if value == self.scheme_headers[name] else "http"
            for name, value in req.headers
            if name in self.scheme_headers
        }
        if len(schemes) > 1:
            raise InvalidSchemeHeaders()
        req.forwarded_scheme = schemes.pop()

    def _underscores(self, req: Request, trusted: bool) -> None:
        """`A_B` and `A-B` are one environ key, so a client could forge what a proxy sets."""
        kept = []
        for field in req.headers:
            name = field[0]
            if "_" in name:
                allowed = self.forwarder_headers
                if trusted and (name in allowed or "*" in allowed):
                    if name == "SCRIPT_NAME":
                        req.script_name = field[1].rstrip("/")
                elif self.header_map == "refuse":
                    raise InvalidHeaderName(name)
                elif self.header_map == "drop":
                    continue
            kept.append(field)
        req.headers = kept


def _belongs(address: Any, allowed: list[str], networks: Callable[[], list[Any]]) -> bool:
    if "*" in allowed or not isinstance(address, tuple) or address[0] in allowed:
        return True
    from ipaddress import ip_address  # noqa: PLC0415 - most trust the address of one proxy

    try:
        peer = ip_address(address[0].partition("%")[0])
    except ValueError:
        return False
    return any(peer in network for network in networks())
