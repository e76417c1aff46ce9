"""A small blocking HTTP/1.1 client for the scenarios, where wrk cannot ask what is to be asked.

It is slow beside wrk (some 50 µs a request), so nothing that it drives may be reported as a
server's rate or as its latency under full load; it serves where few requests or waiting times of
milliseconds are in question. Only answers with status 200 and a Content-Length are understood.
"""

import socket
import struct
import time

from benchmarks.load.running import HOST, BenchError


class Client:
    """One connection. Its methods raise OSError (TimeoutError after `timeout` seconds)."""

    def __init__(self, port: int, timeout: float = 10.0):
        self.sock = socket.create_connection((HOST, port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, path: str = "/") -> None:
        """Asks for `path`."""
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())

    def get(self, path: str = "/") -> bytes:
        """Asks for `path` and reads the answer; returns its body."""
        self.send(path)
        return read_answer(self.sock)[1]

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Closes with an RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def timed(port: int, path: str = "/", timeout: float = 10.0) -> float:
    """Seconds that one request on a connection of its own takes, `timeout` if it takes longer."""
    begin = time.monotonic()
    try:
        client = Client(port, timeout)
        try:
            client.get(path)
        finally:
            client.close()
    except TimeoutError:
        return timeout
    return time.monotonic() - begin


def read_answer(connection: socket.socket) -> tuple[bool, bytes]:
    """Reads one answer: whether the connection is kept after it, and the body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.lower().split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in lines)
    if status.split()[1] != b"200":
        raise BenchError(f"the server answers {status.decode('latin-1')}")
    length = int(fields[b"content-length"])
    pieces = [body]
    missing = length - len(body)
    while missing > 0:
        pieces.append(_more(connection))
        missing -= len(pieces[-1])
    return fields.get(b"connection") != b"close", b"".join(pieces)


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(262_144)
    if not data:
        raise BenchError("the server closed before the whole answer")
    return data
