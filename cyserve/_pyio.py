"""Bytes in and out of a connection: input buffer, response head, chunk framing, output buffer.

Rules of this file
- It moves bytes between memory and file descriptors; it knows no settings, no logging, no threads.
- Every descriptor it is given is O_NONBLOCK, so os.read and os.write never wait. (The compiled
  module says MSG_DONTWAIT with every call; here that would take a socket object per call. PyPy has
  no os.writev, and Python ignores SIGPIPE.)
- It is the reference for the compiled `_io.pyx`. Change both or neither.
"""

import os
import re
from collections import deque
from collections.abc import Iterable

from cyserve._errors import InvalidResponseHeader, InvalidResponseHeaderName
from cyserve._grammar import (
    CONNECTION,
    CONTENT_LENGTH,
    RESPONSE_FIELDS,
    TOKEN,
    UPGRADE,
    VALUE,
    response_options,
)

__all__ = ("InputBuffer", "OutputBuffer", "ResponseHead")


def _class(allowed: bytes) -> str:
    return f"[{re.escape(allowed.decode('latin-1'))}]"


_status = re.compile(f"([0-9]{{3}})(?: {_class(VALUE)}*)?").fullmatch
_token = re.compile(_class(TOKEN) + "+").fullmatch
_value = re.compile(_class(VALUE) + "*").fullmatch
_digits = re.compile("[0-9]{1,18}").fullmatch


_BATCH = 65536  # smaller pieces are joined up to this size for one system call


class InputBuffer:
    """Bytes received on a connection and not yet consumed.

    data: bytes to begin with.
    """

    __slots__ = ("data", "scanned")

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.scanned = 0  # bytes already searched for the end of a line or head

    def __len__(self) -> int:
        return len(self.data)

    def feed(self, data: bytes) -> None:
        """Append bytes that came by another way than a plain socket."""
        self.data += data

    def fill(self, fd: int, size: int = 8192) -> int:
        """Receive once, without blocking, up to `size` bytes from the non-blocking socket `fd`.

        Returns the number of bytes received, 0 at the end of the stream, -1 if there is
        nothing to receive now. Raises OSError as recv(2) does, ValueError if size < 1.
        """
        if size < 1:
            raise ValueError("size must be positive")
        try:
            got = os.read(fd, size)
        except BlockingIOError:
            return -1
        self.data += got
        return len(got)

    def draw(self, fd: int, size: int) -> bytes | None:
        """Consume up to `size` bytes; what is not here yet is received, once, without blocking.

        It goes straight to where it is returned. b"" at the end of the stream, None if there is
        nothing yet. Raises as `fill` does, and consumes nothing then.
        """
        if size < 1:
            raise ValueError("size must be positive")
        if len(self.data) >= size:
            return self.take(size)
        try:
            got = os.read(fd, size - len(self.data))
        except BlockingIOError:
            return self.take(size) if self.data else None
        return self.take(size) + got if self.data else got

    def peek(self, size: int) -> bytes:
        """The first `size` bytes, or fewer, without consuming them."""
        return bytes(self.data[: max(0, size)])

    def take(self, size: int) -> bytes:
        """Consume and return up to `size` bytes."""
        taken = self.peek(size)
        self.skip(size)
        return taken

    def skip(self, size: int) -> int:
        """Consume up to `size` bytes unseen and return how many they were."""
        size = max(0, min(size, len(self.data)))
        del self.data[:size]
        self.scanned = 0
        return size

    def release(self) -> None:
        """Give the memory back if nothing is kept in it, as on an idle connection."""
        if not self.data:
            self.data = bytearray()
            self.scanned = 0


class ResponseHead:
    """Status line and fields of an answer, checked and serialised in one pass.

    status: three digits, then perhaps a space and a phrase without control bytes (RFC 9112 4).
    headers: (name, value) pairs of str, in the order in which they are to be sent.

    Kept as they are: order, and case of names. Not kept: SP and TAB around values, hop-by-hop
    fields, Server, Date, Upgrade (unless to websocket), a second Content-Length that agrees.
    Raises TypeError for anything that is not a str or a pair, ValueError for a bad status or
    Content-Length, InvalidResponseHeaderName and InvalidResponseHeader for what RFC 9110 5.1 and
    5.5 do not allow: no CR, LF or NUL ever gets through.
    """

    __slots__ = ("_close", "_code", "_fields", "_length", "_shown", "_status", "_upgrade")

    def __init__(self, status: str, headers: Iterable[tuple[str, str]]) -> None:
        self.restart(status, headers)

    def restart(self, status: str, headers: Iterable[tuple[str, str]]) -> None:
        """Be the head of another answer, as if made anew."""
        if not isinstance(status, str):
            raise TypeError(f"{status!r} is not a string")
        match = _status(status)
        if match is None:
            raise ValueError(f"Invalid status {status!r}")
        self._status = str.__str__(status)
        self._code = int(match[1])
        self._shown: list[tuple[str, str]] | None = None  # what `headers` has handed out
        self._upgrade = self._close = False  # once asked for, for good: `headers` tells no more
        self._take(headers)

    @property
    def status(self) -> str:
        """The status line's code and phrase, e.g. "200 OK"."""
        return self._status

    @property
    def status_code(self) -> int:
        """The three digits as a number."""
        return self._code

    @property
    def content_length(self) -> int:
        """What the application announced, in bytes; -1: nothing."""
        self._settle()
        return self._length

    @property
    def upgrade(self) -> bool:
        """The application asked for Connection: upgrade."""
        self._settle()
        return self._upgrade

    @property
    def close(self) -> bool:
        """The application sent Connection: close."""
        self._settle()
        return self._close

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The fields kept, as (name, value).

        The list may be changed or replaced. Once it has been asked for it is what counts, and it
        is checked again whenever something depends on it.
        """
        if self._shown is None:
            self._shown = list(self._fields)
        return self._shown

    @headers.setter
    def headers(self, headers: Iterable[tuple[str, str]]) -> None:
        self._shown = self.headers  # still valid if the new ones are refused
        self._take(headers)
        self._shown = list(self._fields)

    def _settle(self) -> None:
        if self._shown is not None:
            self._take(self._shown)

    def _take(self, headers: Iterable[tuple[str, str]]) -> None:
        """Check the fields, and keep those that are to be sent."""
        self._length = -1
        self._fields: list[tuple[str, str]] = []
        for field in headers if isinstance(headers, (list, tuple)) else list(headers):
            if not isinstance(field, (tuple, list)) or len(field) != 2:
                raise TypeError(f"{field!r} is not a pair of name and value")
            name, value = field
            if not isinstance(name, str):
                raise TypeError(f"{name!r} is not a string")
            if _token(name) is None:
                raise InvalidResponseHeaderName(repr(name))
            if not isinstance(value, str):
                raise TypeError(f"{value!r} is not a string")
            if _value(value) is None:
                raise InvalidResponseHeader(repr(name))
            name, value = str.__str__(name), str.strip(value, " \t")
            kind = RESPONSE_FIELDS.get(name.lower())
            if kind is None or self._keep(kind, value):
                self._fields.append((name, value))

    def _keep(self, kind: int, value: str) -> bool:
        """Heed a field that means something to the server; tell whether it is sent too."""
        if kind == CONTENT_LENGTH:
            if _digits(value) is None:
                raise ValueError(f"Invalid Content-Length {value!r}")
            if self._length not in {-1, int(value)}:
                raise ValueError(f"Contradictory Content-Length {value!r}")
            first = self._length < 0
            self._length = int(value)
            return first
        if kind == UPGRADE:
            return value.lower() == "websocket"
        if kind == CONNECTION:
            upgrade, close = response_options(value)
            self._upgrade |= upgrade
            self._close |= close
        return False

    def whole(self, size: int) -> bool:
        """Whether a body of just that many bytes is all there is to the answer.

        That is: they are announced, the status goes with a body (not 1xx, 204, 304), and neither
        upgrade nor close was asked for.
        """
        self._settle()
        return (
            self._length == size
            and self._code >= 200
            and self._code not in (204, 304)
            and not (self._upgrade or self._close)
        )

    def serialize(
        self, start: bytes, fields: bytes, body: bytes = b"", length: bool = True
    ) -> bytes:
        """The whole head, and a small body behind it, as it goes to the wire.

        start: what precedes the status, as b"HTTP/1.1 ". fields: the server's own lines, each with
        its CRLF. length: False leaves Content-Length out (RFC 9110 8.6: 1xx, 204).
        Raises what the constructor raises if the list `headers` has been changed for the worse,
        TypeError if start, fields or body is not bytes.
        """
        self._settle()
        for given in (start, fields, body):
            if not isinstance(given, bytes):
                raise TypeError(f"bytes expected, not {type(given).__name__}")
        lines = [
            f"{name}: {value}\r\n"
            for name, value in self._fields
            if length or name.lower() != "content-length"
        ]
        head = f"{self._status}\r\n".encode("latin-1")
        own = "".join(lines).encode("latin-1")
        return b"".join((start, head, fields, own, b"\r\n", body))


class OutputBuffer:
    """Bytes to be sent on a connection and not yet taken by the socket.

    What is written is held by reference, not copied, unless it can change (bytearray, memoryview).
    """

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: deque[bytes | memoryview] = deque()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def write(self, data: bytes) -> None:
        """Queue bytes, a bytearray or a memoryview. No system call."""
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if data:
            self._pieces.append(data)
            self._size += len(data)

    def write_chunk(self, data: bytes) -> None:
        """Queue data as one chunk (RFC 9112 7.1); nothing if empty, which would end the body."""
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if data:
            self.write(b"%X\r\n" % len(data))
            self.write(data)
            self.write(b"\r\n")

    def end_chunks(self) -> None:
        """Queue the last chunk and an empty trailer section (RFC 9112 7.1)."""
        self.write(b"0\r\n\r\n")

    def flush(self, fd: int) -> int:
        """Send on the non-blocking socket `fd`, again while it takes all that it is given.

        Returns the number of bytes still to be sent. Raises OSError as send(2) does; then nothing
        more has been sent, and what was not is still there.
        """
        while self._size:
            first = self._pieces[0]
            alone = len(first) >= _BATCH or len(self._pieces) == 1
            batch = first if alone else self.peek(_BATCH)
            try:
                sent = os.write(fd, batch)
            except BlockingIOError:
                break
            self.skip(sent)
            if sent < len(batch):
                break
        return self._size

    def send_now(self, fd: int, data: bytes) -> int:
        """As write(data), then flush(fd)."""
        self.write(data)
        return self.flush(fd)

    def peek(self, size: int) -> bytes:
        """The first `size` bytes, or fewer, for a transport that is not a plain socket (TLS)."""
        found = []
        for piece in self._pieces:
            if size <= 0:
                break
            found.append(piece[:size])
            size -= len(piece)
        return b"".join(found)

    def skip(self, size: int) -> None:
        """Drop up to `size` bytes from the front: such a transport has taken them."""
        size = max(0, min(size, self._size))
        self._size -= size
        while size:
            first = self._pieces.popleft()
            if size < len(first):
                self._pieces.appendleft(memoryview(first)[size:])
                break
            size -= len(first)

    def clear(self) -> None:
        """Drop everything."""
        self._pieces.clear()
        self._size = 0
