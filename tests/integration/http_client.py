"""A tiny HTTP/1 client on a raw socket, for tests that must see exact bytes.

It sends what it is told, in the pieces it is told, and keeps every byte it receives. It judges
framing strictly (a chunked answer without its terminator or a body shorter than its
Content-Length raises), because a lenient client would hide a broken server. It never retries,
never follows a redirect and adds no header by itself.
"""

from __future__ import annotations

import fcntl
import json
import socket
import ssl
import struct
import termios
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Address = tuple[str, int] | str  # host and port, or the path of a unix socket
TIMEOUT = 30.0  # generous: a slow machine must not fail a test


class BrokenResponse(AssertionError):
    """The server closed the connection, or broke its framing, inside a response."""


@dataclass
class Response:
    """One response, parsed and raw."""

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    raw_head: bytes = b""
    chunks: list[bytes] = field(default_factory=list)  # as framed by the server

    def header(self, name: str) -> str | None:
        """The value of a header (several joined by ", "), None if absent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Client:
    """One connection. Use as a context manager."""

    def __init__(
        self,
        address: Address,
        timeout: float = TIMEOUT,
        receive_buffer: int = 0,
        tls: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        """receive_buffer: SO_RCVBUF in bytes; small makes the server wait for this client.

        tls: the context to speak TLS with, to a server called localhost; session: one to resume.
        """
        self.address = address
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
        else:
            self.sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:  # effective only before connect
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(address)
            if tls is not None:
                self.sock = tls.wrap_socket(self.sock, server_hostname="localhost", session=session)
        except OSError:
            self.sock.close()
            raise
        self.buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, *pieces: bytes) -> Client:
        """Sends the pieces, one send call each."""
        for piece in pieces:
            self.sock.sendall(piece)
        return self

    def send_apart(self, *pieces: bytes) -> Client:
        """Sends each piece only after the server has taken the one before (unix sockets on Linux,
        where the output queue of one end is the input queue of the other)."""
        for piece in pieces:
            self.sock.sendall(piece)
            deadline = time.monotonic() + TIMEOUT
            while fcntl.ioctl(self.sock, termios.TIOCOUTQ, b"\0" * 4) != b"\0" * 4:
                if time.monotonic() > deadline:
                    raise AssertionError(f"the server did not read {piece!r}")
                time.sleep(0.0005)
        return self

    def finish_sending(self) -> Client:
        """Closes the sending half, as a client does that has said all."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self) -> None:
        """Closes with a RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def read_to_eof(self) -> bytes:
        """Everything until the server closes; a reset raises."""
        pieces = [self.buffer]
        self.buffer = b""
        while piece := self.sock.recv(1 << 16):
            pieces.append(piece)
        return b"".join(pieces)

    def read_response(self, method: str = "GET") -> Response:
        """Reads exactly one response; the bytes after it stay for the next call.

        method: of the request, since an answer to HEAD has no body. 1xx answers count as one each.
        """
        response = parse_head(self._until(b"\r\n\r\n"))
        coding = response.header("Transfer-Encoding")
        length = response.header("Content-Length")
        if method == "HEAD" or response.status < 200 or response.status in (204, 304):
            return response
        if coding is not None:
            if coding != "chunked" or length is not None:
                raise BrokenResponse(f"unusable framing in {response.raw_head!r}")
            self._read_chunks(response)
        elif length is not None:
            response.body = self._exactly(int(length))
        else:
            response.body = self.read_to_eof()
        return response

    def _read_chunks(self, response: Response) -> None:
        while True:
            size = int(self._until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                break
            response.chunks.append(self._exactly(size))
            if self._exactly(2) != b"\r\n":
                raise BrokenResponse("chunk without CRLF at its end")
        while self._until(b"\r\n") != b"\r\n":  # trailers
            pass
        response.body = b"".join(response.chunks)

    def fill(self) -> None:
        piece = self.sock.recv(1 << 16)
        if not piece:
            raise BrokenResponse(f"closed inside a response, after {self.buffer[-200:]!r}")
        self.buffer += piece

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self.fill()
        end = self.buffer.index(mark) + len(mark)
        found, self.buffer = self.buffer[:end], self.buffer[end:]
        return found

    def _exactly(self, size: int) -> bytes:
        pieces, missing = [self.buffer[:size]], size - len(self.buffer)
        self.buffer = self.buffer[size:]
        while missing > 0:
            piece = self.sock.recv(min(missing, 1 << 20))
            if not piece:
                raise BrokenResponse(f"connection closed {missing} bytes before the end of a body")
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)


def parse_head(raw: bytes) -> Response:
    """The head of a response: strict about CRLF, the status line and the colon."""
    lines = raw[:-4].split(b"\r\n")
    version, _, rest = lines[0].decode("latin-1").partition(" ")
    code, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or len(code) != 3 or not code.isdigit():
        raise BrokenResponse(f"not a status line: {lines[0]!r}")
    headers = []
    for line in lines[1:]:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip() or "\n" in line.decode("latin-1"):
            raise BrokenResponse(f"not a header line: {line!r}")
        headers.append((name, value.strip(" \t")))
    return Response(version, int(code), reason, headers, raw_head=raw)


def request_bytes(
    target: str = "/",
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    version: str = "HTTP/1.1",
) -> bytes:
    """A request with Host, and with Content-Length when there is a body."""
    lines = [f"{method} {target} {version}", "Host: test.example"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(pieces: Iterable[bytes], trailers: bytes = b"") -> bytes:
    """The pieces in chunked coding, with the last chunk."""
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n" + trailers + b"\r\n"


def request(
    address: Address,
    target: str = "/",
    method: str = "GET",
    *,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    timeout: float = TIMEOUT,
    tls: ssl.SSLContext | None = None,
) -> Response:
    """One request on a connection of its own."""
    with Client(address, timeout, tls=tls) as client:
        client.send(request_bytes(target, method, headers, body))
        return client.read_response(method)
