"""What may be written in `bind`: TCP addresses, unix sockets, inherited descriptors.

Pure text: nothing is resolved, opened or looked up here.
"""

import socket

__all__ = ("DEFAULT_PORT", "Address", "is_ipv6", "parse_address")

#: (host, port) for TCP, a path for a unix socket, a number for an inherited descriptor.
Address = tuple[str, int] | str | int

DEFAULT_PORT = "8000"


def is_ipv6(host: str) -> bool:
    """Whether `host` is an IPv6 address, without brackets."""
    try:
        socket.inet_pton(socket.AF_INET6, host)
    except (OSError, ValueError):
        return False
    return True


def parse_address(netloc: str, default_port: str = DEFAULT_PORT) -> Address:
    """Read one address of `bind`.

    netloc: `HOST`, `HOST:PORT`, `[IPV6]:PORT`, any of them after `tcp://`, `unix:PATH`,
    `unix:@NAME` (an abstract socket: the path then begins with NUL), `fd://N`.
    default_port: decimal digits, used when no port is given.

    Returns (host, port), a path or a descriptor number. Raises RuntimeError, as gunicorn does,
    with one line that says what is wrong.
    """
    scheme, separator, rest = netloc.partition("://")
    scheme = scheme.lower()
    if scheme.startswith("unix:"):
        return _path(netloc.strip()[len("unix:") :])
    if not separator:
        scheme, rest = "tcp", netloc
    if scheme == "unix":
        return _path(rest)
    if scheme == "fd":
        if not _is_number(rest):
            raise RuntimeError(f"{rest!r} is not a valid file descriptor.")
        return int(rest)
    if scheme != "tcp":
        raise RuntimeError(
            f"{netloc!r}: unknown kind of address; known are tcp://, unix: and fd://."
        )
    if "/" in rest:
        raise RuntimeError(f"{netloc!r} is a path; write unix:{netloc} for a unix socket.")
    host, port = _split_host(rest, default_port)
    return (host or "0.0.0.0" if not rest else host), port_number(port)


def _path(text: str) -> str:
    if text in {"", "@"}:
        raise RuntimeError("a unix socket needs a path or, after @, a name.")
    return f"\0{text[1:]}" if text.startswith("@") else text


def _split_host(text: str, default_port: str) -> tuple[str, str]:
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or not is_ipv6(host) or (port and not port.startswith(":")):
            raise RuntimeError(f"{text!r} is not a valid address; write [IPV6]:PORT.")
        return host.lower(), port[1:] if port else default_port
    if is_ipv6(text):
        return text.lower(), default_port
    host, colon, port = text.partition(":")
    return host.lower(), port if colon else default_port


def port_number(text: str) -> int:
    """The port that decimal digits name; RuntimeError for anything else."""
    if not _is_number(text) or len(text) > 5 or int(text) > 65535:
        raise RuntimeError(f"{text!r} is not a valid port number.")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
