"""Bytes in and out of a connection: input buffer, response head, chunk framing, output buffer.

Rules of this file
- It moves bytes between memory and file descriptors; it knows no settings, no logging, no threads.
- It is the reference for the compiled `_io.pyx`. Change both or neither.
"""

import socket

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
        del self.data[:size]
        self.scanned = 0

    def feed(self, data: bytes) -> None:
        """Append bytes that came by another way than a plain socket."""
        self.data += data
