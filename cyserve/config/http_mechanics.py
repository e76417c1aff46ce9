"""Settings, section Server Mechanics, about HTTP: whom to trust and what to tolerate.

What is tolerated here has let requests be smuggled past proxies before; everything is off unless
asked for.
"""

from __future__ import annotations

from cyserve.config.core import Setting
from cyserve.config.kinds import Flag, Text
from cyserve.config.validators import (
    validate_choice,
    validate_dict,
    validate_string_to_addr_list,
    validate_string_to_list,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyserve.config.core import Config

__all__ = (
    "CasefoldHTTPMethod",
    "ForwardedAllowIPS",
    "ForwarderHeaders",
    "HeaderMap",
    "PermitObsoleteFolding",
    "PermitUnconventionalHTTPMethod",
    "PermitUnconventionalHTTPVersion",
    "Protocol",
    "ProxyAllowFrom",
    "ProxyProtocol",
    "RootPath",
    "SecureSchemeHeader",
    "StripHeaderSpaces",
    "UWSGIAllowFrom",
    "validate_header_map_behaviour",
    "validate_proxy_protocol",
)

SECTION = "Server Mechanics"

_HEADER_MAPS = validate_choice("drop", "refuse", "dangerous")


class SecureSchemeHeader(Setting):
    name = "secure_scheme_headers"
    section = SECTION
    validator = validate_dict
    default = {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}
    desc = """\
        Header fields by which a trusted proxy says that its client used https.

        A dict of upper-case names and exact values. Another value means http; two fields that
        contradict each other are answered with 400.
        """


class ForwardedAllowIPS(Setting):
    name = "forwarded_allow_ips"
    section = SECTION
    cli = ("--forwarded-allow-ips",)
    meta = "STRING"
    validator = validate_string_to_addr_list
    default = "127.0.0.1,::1"
    env = "FORWARDED_ALLOW_IPS"
    desc = """\
        Proxies that are believed what they say about the client, separated by commas.

        IP addresses, networks (10.0.0.0/8) or * for all. Clients on unix sockets are always
        trusted. The environment variable FORWARDED_ALLOW_IPS changes the default.
        """

    def from_env(self, text: str) -> str:
        return text  # empty has a meaning: nobody is trusted


def validate_proxy_protocol(val: Any) -> str:
    """off, v1, v2 or auto, in any case; a bool, None or the text of one: auto or off."""
    allowed = "allowed are off, v1, v2, auto, True and False"
    if val is None or isinstance(val, bool):
        return "auto" if val else "off"
    if not isinstance(val, str):
        raise TypeError(allowed)
    word = val.strip().lower()
    word = {"false": "off", "0": "off", "none": "off", "true": "auto", "1": "auto"}.get(word, word)
    if word not in {"off", "v1", "v2", "auto"}:
        raise ValueError(allowed)
    return word


class ProxyProtocol(Setting):
    name = "proxy_protocol"
    section = SECTION
    cli = ("--proxy-protocol",)
    meta = "MODE"
    nargs = "?"
    const = "auto"
    validator = validate_proxy_protocol
    default = "off"
    desc = """\
        Read the PROXY protocol's header by which a proxy names its client: off, v1, v2 or auto.

        For proxies that pass connections on without looking into HTTP. Only the first bytes of a
        connection are read as a header, before TLS, and only if they come from a peer of
        proxy_allow_ips; another peer's header is answered with 403. A connection may come without
        a header. auto, or the flag without a value, is both versions.

        The address holds for all requests of the connection: REMOTE_ADDR and REMOTE_PORT are the
        client's, PROXY_ADDR and PROXY_PORT the address it connected to, PROXY_PROTOCOL is TCP4 or
        TCP6 (UDP4, UDP6). If the header names no client (UNKNOWN, LOCAL, UNSPEC, unix sockets),
        REMOTE_ADDR stays the proxy's and there is no PROXY_ADDR. What the proxy may say about the
        scheme remains a matter of its own address and forwarded_allow_ips.
        """


class ProxyAllowFrom(Setting):
    name = "proxy_allow_ips"
    section = SECTION
    cli = ("--proxy-allow-from",)
    meta = "STRING"
    validator = validate_string_to_addr_list
    default = "127.0.0.1,::1"
    desc = """\
        Proxies that may send a PROXY protocol header, separated by commas.

        IP addresses, networks (10.0.0.0/8) or * for all, which lets every client choose its
        address. Peers on unix sockets always may.
        """


class Protocol(Text):
    name = "protocol"
    section = SECTION
    cli = ("--protocol",)
    default = "http"
    desc = """\
        What the listeners speak: http, or uwsgi for nginx's uwsgi_pass.

        This version of cyserve has no uwsgi: with it, it does not start.
        """

    def missing(self, cfg: Config) -> str | None:
        return "the uwsgi protocol" if self.get() == "uwsgi" else None


class UWSGIAllowFrom(Setting):
    name = "uwsgi_allow_ips"
    section = SECTION
    cli = ("--uwsgi-allow-from",)
    meta = "STRING"
    validator = validate_string_to_addr_list
    default = "127.0.0.1,::1"
    desc = """\
        Peers that may speak the uwsgi protocol, separated by commas.

        IP addresses, networks (10.0.0.0/8) or * for all.
        """


class RootPath(Text):
    name = "root_path"
    section = SECTION
    cli = ("--root-path",)
    default = ""
    desc = """\
        The path under which a proxy mounts an ASGI application.

        For ASGI only, as in gunicorn; a WSGI application learns it from the environment variable
        or the trusted field SCRIPT_NAME.
        """


class PermitObsoleteFolding(Flag):
    name = "permit_obsolete_folding"
    section = SECTION
    cli = ("--permit-obsolete-folding",)
    desc = """\
        Accept header fields continued on the next line (RFC 9112 5.2 calls this obsolete).

        Dangerous if a proxy in front reads them differently.
        """


class StripHeaderSpaces(Flag):
    name = "strip_header_spaces"
    section = SECTION
    cli = ("--strip-header-spaces",)
    desc = """\
        Accept spaces between the name of a header field and its colon.

        RFC 9112 5.1 forbids it, as it lets requests be smuggled past proxies.
        """


class PermitUnconventionalHTTPMethod(Flag):
    name = "permit_unconventional_http_method"
    section = SECTION
    cli = ("--permit-unconventional-http-method",)
    desc = """\
        Accept methods with lower-case letters or "#", or shorter than 3 or longer than 20.
        """


class PermitUnconventionalHTTPVersion(Flag):
    name = "permit_unconventional_http_version"
    section = SECTION
    cli = ("--permit-unconventional-http-version",)
    desc = """\
        Accept request lines with an HTTP version other than 1.x.
        """


class CasefoldHTTPMethod(Flag):
    name = "casefold_http_method"
    section = SECTION
    cli = ("--casefold-http-method",)
    desc = """\
        Turn methods into upper case.

        RFC 9110 9.1 says that methods are case-sensitive; this is for clients that do not know.
        """


class ForwarderHeaders(Setting):
    name = "forwarder_headers"
    section = SECTION
    cli = ("--forwarder-headers",)
    meta = "STRING"
    validator = validate_string_to_list
    default = "SCRIPT_NAME,PATH_INFO"
    desc = """\
        Field names with an underscore that a trusted proxy may send, separated by commas.

        In upper case, or * for all. The proxy must remove them from what its clients send.
        """


def validate_header_map_behaviour(val: Any) -> str | None:
    """drop, refuse or dangerous, in any case; None, which is refuse."""
    return None if val is None else _HEADER_MAPS(val)


class HeaderMap(Setting):
    name = "header_map"
    section = SECTION
    cli = ("--header-map",)
    meta = "STRING"
    validator = validate_header_map_behaviour
    default = "drop"
    desc = """\
        What happens to other field names with an underscore: drop, refuse or dangerous.

        In the environ they cannot be told from names with a hyphen, so that a client could forge
        what the application believes to come from the proxy. refuse answers with 400, dangerous
        hands them to the application.
        """
