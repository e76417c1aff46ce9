"""Where log lines go: files that can be written and reopened, and syslog addresses.

May not be done here: deciding which log goes where (glogging.py), formats, global state.
"""

import contextlib
import logging
import os
import socket
import stat

from cyserve.address import port_number

__all__ = ("SYSLOG_FACILITIES", "give_to", "not_writable", "open_file", "parse_syslog_address")

SYSLOG_FACILITIES = {
    "auth": 4,
    "authpriv": 10,
    "cron": 9,
    "daemon": 3,
    "ftp": 11,
    "kern": 0,
    "lpr": 6,
    "mail": 2,
    "news": 7,
    "security": 4,
    "syslog": 5,
    "user": 1,
    "uucp": 8,
    **{f"local{n}": 16 + n for n in range(8)},
}

_ADDRESSES = "allowed are udp://HOST:PORT, tcp://HOST:PORT and unix://PATH#dgram or #stream"


def parse_syslog_address(addr: str) -> tuple[socket.SocketKind | None, str | tuple[str, int]]:
    """Split a syslog target into socket type and address.

    addr: `udp://HOST:PORT`, `tcp://HOST:PORT` (port 514 when left out) or `unix://PATH#TYPE` with
    TYPE `dgram` or `stream`; without it the type is None: whichever the socket is.
    Raises RuntimeError for anything else.
    """
    scheme, found, rest = addr.partition("://")
    if found and scheme == "unix":
        path, _, kind = rest.partition("#")
        types = {"dgram": socket.SOCK_DGRAM, "stream": socket.SOCK_STREAM}
        return types.get(kind), path
    if not found or scheme not in {"udp", "tcp"}:
        raise RuntimeError(f"invalid syslog address, {_ADDRESSES}")
    if rest.startswith("[") and "]" in rest:
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = rest.partition(":")
    socktype = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
    return socktype, (host or "localhost", port_number(port or "514"))


def open_file(path: str, setting: str) -> logging.FileHandler:
    """Return a handler that appends to the file that `setting` names.

    Raises RuntimeError when it cannot be written.
    """
    try:
        # Text that the locale's encoding lacks is escaped rather than lost.
        return logging.FileHandler(path, errors="backslashreplace")
    except OSError as exc:
        raise not_writable(f"{setting} = {path!r}", exc) from None


def not_writable(what: str, exc: OSError) -> RuntimeError:
    """Return the error that tells the user which log file cannot be written, and why."""
    return RuntimeError(f"{what} isn't writable: {exc.strerror or exc}")


def give_to(path: str, uid: int, gid: int) -> None:
    """Make the user of the workers own a log file, so that they can reopen it.

    Devices (/dev/null, a terminal) stay whose they are; so does a file that we may write to but
    not give away.
    """
    info = os.stat(path)
    if not stat.S_ISCHR(info.st_mode) and (info.st_uid, info.st_gid) != (uid, gid):
        with contextlib.suppress(PermissionError):
            os.chown(path, uid, gid)
