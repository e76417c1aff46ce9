"""Bytes in and out of a connection: input buffer, response head, chunk framing, output buffer.

Rules of this file
- It moves bytes between memory and file descriptors; it knows no settings, no logging, no threads.
- Every descriptor it is given is O_NONBLOCK, so os.read and os.writev never wait. (The compiled
  module says MSG_DONTWAIT with every call; here that would take a socket object per call.)
- It is the reference for the compiled `_io.pyx`. Change both or neither.
"""

import os

__all__ = ("InputBuffer",)


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

    def consume(self, size: int) -> None:
        """Drop `size` bytes, which must be there. For the parser of the same kind only."""
        del self.data[:size]
        self.scanned = 0

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

    def peek(self, size: int) -> bytes:
        """The first `size` bytes, or fewer, without consuming them."""
        return bytes(self.data[: max(0, size)])

    def take(self, size: int) -> bytes:
        """Consume and return up to `size` bytes."""
        taken = self.peek(size)
        self.consume(len(taken))
        return taken

    def take_line(self, size: int) -> bytes:
        """Consume and return up to `size` bytes, but not beyond the first LF."""
        size = max(0, size)
        newline = self.data.find(b"\n", 0, size)
        return self.take(size if newline < 0 else newline + 1)

    def skip(self, size: int) -> int:
        """Consume up to `size` bytes unseen and return how many they were."""
        size = max(0, min(size, len(self.data)))
        self.consume(size)
        return size

    def release(self) -> None:
        """Give the memory back if nothing is kept in it, as on an idle connection."""
        if not self.data:
            self.data = bytearray()
            self.scanned = 0
