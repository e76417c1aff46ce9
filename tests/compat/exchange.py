"""One conversation with a server, as data (`Case`), and what came of it (`Outcome`).

A case says which bytes are sent and when; the outcome is every byte that came back and the log
lines it caused, with only dates, times, process ids and client ports made equal. How long a
connection lives is seen by a last request, `END`: it is answered or it is not. No test lives here.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness import Server
from http_client import Client

END = b"GET /end HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
ALL = ("sync", "gthread", "gevent")
KEEPING = ("gthread", "gevent")

_numbers = itertools.count()


@dataclass(frozen=True)
class Case:
    """What is sent, and where.

    name: its own in the whole suite; pieces: sent one by one, each after an answer to the one
    before; config: which server (configs.py); listener: 0 is TCP, 1 a unix socket; answers: how
    many are read after the last piece, before END is sent; interim: a 1xx answer counts as one;
    half_close: no END, the sending side is closed instead; bare: END is not sent, since the
    server closes; differs: the ids of docs/differences.md that show, with the kinds of worker
    where they do.
    """

    name: str
    pieces: tuple[bytes, ...]
    config: str = "plain"
    listener: int = 0
    answers: int = 1
    interim: bool = False
    half_close: bool = False
    differs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kinds: tuple[str, ...] = ALL


@dataclass(frozen=True)
class Outcome:
    """What a case has come to: the bytes received, and the lines logged."""

    answer: bytes
    log: tuple[str, ...]


class _Closed(Exception):
    """The server has said its last word."""


def converse(server: Server, case: Case, prefix: str = "", logged: bool = True) -> Outcome:
    """Carries the case out.

    prefix: of the paths that this server serves (SCRIPT_NAME); logged: whether it logs accesses.
    """
    since = server.log_mark()
    with Client(server.addresses[case.listener]) as client:
        received = _Received(client)
        end = END.replace(b" /", b" " + prefix.encode() + b"/", 1)
        with contextlib.suppress(_Closed):
            for number, piece in enumerate(case.pieces):
                if number:
                    received.read_answer(case, number - 1)
                _send(client, piece)
            if case.half_close:
                with contextlib.suppress(OSError):  # it has closed already
                    client.finish_sending()
            for number in range(case.answers):
                received.read_answer(case, len(case.pieces) - 1 + number)
            if not case.half_close:
                _send(client, end)
        received.read_rest()
        names = _names(server, client)
    log = _lines_since(server, since, prefix) if logged else []
    answer = re.sub(rb"(\r\nDate: )[A-Z][a-z]{2}, [^\r]* GMT\r\n", rb"\1<date>\r\n", received.data)
    if b'"RAW_URI"' in answer:  # an environ: its length depends on the names
        answer = re.sub(rb"(\r\nContent-Length: )\d+", rb"\1<length>", answer)
        log = [re.sub(r'(HTTP/..." 200) \d+', r"\1 <length>", line) for line in log]
    for own, name in names.items():
        answer = answer.replace(own.encode(), name.encode())
        log = [line.replace(own, name) for line in log]
    return Outcome(answer, tuple(log))


def _lines_since(server: Server, since: int, prefix: str) -> list[str]:
    """What has been logged; a last access shows that all of it has."""
    mark = f"{prefix}/mark/{next(_numbers)}"
    with Client(server.addresses[0]) as client:
        client.send(END.replace(b"/end", mark.encode()))
        client.read_to_eof()
    server.wait_log(rf"{mark} HTTP", since=since)
    return _log_lines(server.log_text(since), mark)


def _names(server: Server, client: Client) -> dict[str, str]:
    """What is called otherwise on each run -> what to call it."""
    found = {str(server.directory): "<directory>", f"'{server.addresses[0][1]}'": "'<server port>'"}
    if isinstance(client.address, tuple):
        port = client.sock.getsockname()[1]
        found |= {f"'{port}'": "'<client port>'", f", {port})": ", <client port>)"}
    return found


def _send(client: Client, data: bytes) -> None:
    """Sends; that the server has closed is seen by what it has answered."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.send(data)


class _Received:
    """All that has come on a connection, and where the next answer begins."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.data = b""
        self.start = 0

    def fill(self) -> None:
        piece = b""
        with contextlib.suppress(ConnectionResetError):
            piece = self.client.sock.recv(1 << 16)
        if not piece:
            raise _Closed
        self.data += piece

    def read_rest(self) -> None:
        with contextlib.suppress(_Closed):
            while True:
                self.fill()

    def until(self, mark: bytes) -> bytes:
        while (end := self.data.find(mark, self.start)) < 0:
            self.fill()
        found = self.data[self.start : end + len(mark)]
        self.start = end + len(mark)
        return found

    def skip(self, size: int) -> None:
        while len(self.data) < self.start + size:
            self.fill()
        self.start += size

    def read_answer(self, case: Case, number: int) -> None:
        """Reads one answer, framed as its head says; without a frame, to the end."""
        head = self.until(b"\r\n\r\n").lower()
        status = head.split()[1]
        if status.startswith(b"1") and status != b"101":
            if not case.interim:
                self.read_answer(case, number)
            return
        sent = b"".join(case.pieces)
        if sent.startswith(b"HEAD ") or status in {b"101", b"204", b"304"}:
            return
        if b"\r\ntransfer-encoding: chunked" in head:
            while (size := int(self.until(b"\r\n"), 16)) > 0:
                self.skip(size + 2)
            self.until(b"\r\n")
        elif length := re.search(rb"\r\ncontent-length: ?[+]?(\d+)\r\n", head):
            self.skip(int(length[1]))
        else:
            self.read_rest()
            raise _Closed


def _log_lines(text: str, mark: str) -> list[str]:
    """The lines without times and process ids, up to that of the mark; of a traceback, the last."""
    lines = []
    traceback = False
    for line in text.splitlines():
        if mark in line:
            break
        if line.startswith("Traceback (most recent call last):"):
            traceback = True
        if traceback and (not line or line.startswith((" ", "Traceback", "During", "The above"))):
            continue
        traceback = traceback and line.startswith(" ")
        line = re.sub(r"^\[[^\]]* [+-]\d{4}\] \[\d+\]", "[time] [pid]", line)
        line = re.sub(r" \[../.../....:[^\]]*\] ", " [time] ", line)
        line = re.sub(r"^(gunicorn|cyserve)(\.\w+)*\.(?=[A-Z]\w*: )", "", line)  # an exception's
        line = re.sub(r"^\d{4}-\d\d-\d\dT\S+Z ", "<time> ", line)  # gevent's
        line = re.sub(r"<gevent\S*socket [^>]*>", "<socket>", line)
        if "/end HTTP/1.1" not in line:
            lines.append(line)
    return lines
