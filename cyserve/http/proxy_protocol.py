"""The PROXY protocol, versions 1 and 2, as haproxy's proxy-protocol.txt has it: who a proxy names.

A header can only be the first bytes of a connection, in clear text even where TLS follows. So
`take` looks at what has come (MSG_PEEK) and moves the header's bytes, and not one byte more, into
the input buffer; `parse` judges them there. What follows is still in the socket, for HTTP or for
the TLS handshake. Whether the peer may send a header is not asked here, and nothing here waits.
"""

import _socket  # not `socket`, whose sockets TLS and gevent replace by others that wait or refuse
import re
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from cyserve._errors import InvalidProxyHeader, InvalidProxyLine

if TYPE_CHECKING:
    from cyserve import _accel

# What the first bytes of a connection are.
ABSENT = 0  # no header
UNSURE = -1  # too few to tell
V1 = 1
V2 = 2

V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

_SIGNATURES = {V1: b"PROXY ", V2: V2_SIGNATURE}
_VERSIONS = {"v1": (V1,), "v2": (V2,), "auto": (V1, V2)}

_AHEAD = 4096  # bytes to look at; more than any header but those with large TLVs
_LONGEST_LINE = 107  # of version 1, with its CRLF
_FIXED = 16  # bytes of version 2 before its addresses

_LINE_FAMILIES = {"TCP4": socket.AF_INET, "TCP6": socket.AF_INET6}
_port = re.compile("0|[1-9][0-9]{0,4}").fullmatch
_unknown_line = re.compile("PROXY UNKNOWN(?: [^\r\n]*)?\r\n").fullmatch

# Version 2: family and transport, each four bits.
_FAMILIES = {
    0x10: (socket.AF_INET, struct.Struct("!4s4sHH")),
    0x20: (socket.AF_INET6, struct.Struct("!16s16sHH")),
}
_NAMES = {0x11: "TCP4", 0x12: "UDP4", 0x21: "TCP6", 0x22: "UDP6"}


class ProxyHeader(NamedTuple):
    """What a header says: a protocol and, unless it names none, the client and its destination.

    proxy_protocol: TCP4, TCP6, UDP4, UDP6; or, without addresses, UNKNOWN (version 1), LOCAL (the
    proxy speaks for itself) or UNSPEC. The names are those of `Request.proxy_protocol_info`.
    """

    proxy_protocol: str
    client_addr: str | None = None
    client_port: int | None = None
    proxy_addr: str | None = None
    proxy_port: int | None = None

    def environ(self) -> dict[str, str]:
        """What it adds to the WSGI environ; without a client the socket peer's address stays."""
        environ = {"PROXY_PROTOCOL": self.proxy_protocol}
        if self.client_addr is not None and self.proxy_addr is not None:
            environ["REMOTE_ADDR"] = self.client_addr
            environ["REMOTE_PORT"] = str(self.client_port)
            environ["PROXY_ADDR"] = self.proxy_addr
            environ["PROXY_PORT"] = str(self.proxy_port)
        return environ


def recognise(first: bytes, mode: str) -> int:
    """What the first bytes of a connection begin: V1, V2, ABSENT, or UNSURE if they are too few.

    mode: v1, v2 or auto, the headers that are looked for.
    """
    for version in _VERSIONS[mode]:
        signature = _SIGNATURES[version]
        if first.startswith(signature):
            return version
        if signature.startswith(first):
            return UNSURE
    return ABSENT


def take(fd: int, buffer: "_accel.InputBuffer", mode: str) -> int:
    """Move what has come of a header, and nothing behind it, from a socket into the buffer.

    fd: of a non-blocking socket from which nothing else has been read; buffer: empty, or what
    earlier calls took; mode: as in `recognise`.

    Returns what `recognise` does. ABSENT is final: what the buffer then holds was UNSURE before,
    and what follows it is in the socket; where TLS is to follow, nothing may be left in the buffer.
    After any other result it must be called again when the socket is readable, until `parse` has
    a header.
    Raises OSError as recv(2) does, and ConnectionError at the end of the stream.
    """
    try:
        ahead = _look(fd)
    except BlockingIOError:
        return UNSURE
    if not ahead:
        raise ConnectionError("the client left before a request")
    first = buffer.peek(_LONGEST_LINE) + ahead
    version = recognise(first, mode)
    if version != ABSENT:
        # Even an incomplete header must leave the socket, which would be readable for ever.
        end = len(first) if version == UNSURE else _size(first, version)
        buffer.fill(fd, min(end - len(buffer), len(ahead)))
    return version


def _look(fd: int) -> bytes:
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM, 0, fd)  # of whatever family
    try:
        if sock.gettimeout():  # an application has called socket.setdefaulttimeout
            sock.setblocking(False)
        return sock.recv(_AHEAD, _socket.MSG_PEEK)
    finally:
        sock.detach()


def parse(buffer: "_accel.InputBuffer", version: int) -> ProxyHeader | None:
    """Consume a whole header from the buffer; None, with nothing consumed, while bytes are missing.

    version: V1 or V2. Raises InvalidProxyLine or InvalidProxyHeader.
    """
    size = _size(buffer.peek(_LONGEST_LINE), version)
    if len(buffer) < size:
        return None
    header = buffer.take(size)
    return _parse_line(header) if version == V1 else _parse_block(header)


def _size(first: bytes, version: int) -> int:
    """The size of a header in bytes, as far as its first bytes tell: never more than it has."""
    if version == V1:
        return first.find(b"\n", 0, _LONGEST_LINE) + 1 or _LONGEST_LINE
    if len(first) < _FIXED:
        return _FIXED
    return _FIXED + int.from_bytes(first[14:16], "big")


def _parse_line(line: bytes) -> ProxyHeader:
    text = line.decode("latin-1")
    if _unknown_line(text):
        return ProxyHeader("UNKNOWN")
    words = text.removesuffix("\r\n").split(" ")
    text = " ".join(words)
    if not line.endswith(b"\r\n") or len(words) != 6:
        raise InvalidProxyLine(text)
    protocol, source, destination, *ports = words[1:]
    if protocol not in _LINE_FAMILIES:
        raise InvalidProxyLine(f"protocol '{protocol}' not supported")
    try:
        socket.inet_pton(_LINE_FAMILIES[protocol], source)
        socket.inet_pton(_LINE_FAMILIES[protocol], destination)
    except (OSError, ValueError):  # ValueError: a NUL in it
        raise InvalidProxyLine(text) from None
    if not all(_port(port) and int(port) <= 65535 for port in ports):
        raise InvalidProxyLine(f"invalid port {text}")
    return ProxyHeader(protocol, source, int(ports[0]), destination, int(ports[1]))


def _parse_block(block: bytes) -> ProxyHeader:
    version, command = block[12] >> 4, block[12] & 15
    family, transport = block[13] & 0xF0, block[13] & 15
    if version != 2:
        raise InvalidProxyHeader(f"unsupported version {version}")
    if command == 0:
        return ProxyHeader("LOCAL")  # whatever addresses may follow
    if command != 1:
        raise InvalidProxyHeader(f"unsupported command {command}")
    if family > 0x30 or transport > 2:
        raise InvalidProxyHeader(f"unsupported protocol 0x{block[13]:02x}")
    if block[13] not in _NAMES:
        return ProxyHeader("UNSPEC")  # no family or transport, or a unix socket: no address of use
    address_family, layout = _FAMILIES[family]
    if len(block) < _FIXED + layout.size:
        raise InvalidProxyHeader("the addresses are cut short")
    source, destination, source_port, destination_port = layout.unpack_from(block, _FIXED)
    return ProxyHeader(
        _NAMES[block[13]],
        socket.inet_ntop(address_family, source),
        source_port,
        socket.inet_ntop(address_family, destination),
        destination_port,
    )
