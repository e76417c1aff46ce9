"""What each listed difference does to an outcome: a function for each id, as narrow as it can be.

Each takes gunicorn's outcome and the `Talk` it belongs to and gives the outcome that cyserve must
have, but that both call themselves gunicorn. What only the program itself can know (the words of
its own error) is taken from cyserve's outcome, after it has been held against a pattern. No test
lives here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape

from exchange import Case, Outcome

CHANGES: dict[str, Callable[[Outcome, Talk], Outcome]] = {}


@dataclass(frozen=True)
class Talk:
    """One case as both have carried it out."""

    case: Case
    kind: str
    cyserve: Outcome

    @property
    def line(self) -> str:
        """The request line of its last piece."""
        return self.case.pieces[-1].split(b"\r\n")[0].decode("latin-1")

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]


def change(name: str) -> Callable[..., Callable[[Outcome, Talk], Outcome]]:
    """Enters a function under the id of its difference."""

    def enter(function: Callable[[Outcome, Talk], Outcome]) -> Callable[[Outcome, Talk], Outcome]:
        CHANGES[name] = function
        return function

    return enter


# -- pieces of outcomes --

ACCESS = r'\S* - - \[time\] "(.*)" (\w+) (\S+) "-" "-"'
WARNING = "[time] [pid] [WARNING] Invalid request from ip={}: {}"
ERROR = "[time] [pid] [ERROR] Error handling request"


def page(status: str, message: str = "") -> bytes:
    """An error page, as both send it."""
    reason = status[4:]
    body = (
        f"<html>\n  <head>\n    <title>{reason}</title>\n  </head>\n  <body>\n"
        f"    <h1><p>{reason}</p></h1>\n    {escape(message)}\n  </body>\n</html>\n"
    )
    head = (
        f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/html\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def access(talk: Talk, status: int | str, size: int = 0, host: str = "127.0.0.1") -> str:
    """The access line of the last request."""
    return f'{host} - - [time] "{talk.line}" {status} {size} "-" "-"'


def failed(talk: Talk, error: str) -> Outcome:
    """The application has failed before anything was sent."""
    log = (f"{ERROR} GET {talk.target}", error, access(talk, 500))
    return Outcome(page("500 Internal Server Error"), log)


def refused(talk: Talk, message: str) -> Outcome:
    """The request is the client's fault."""
    log = (WARNING.format("127.0.0.1", message), access(talk, 400))
    return Outcome(page("400 Bad Request", message), log)


def served(talk: Talk, body: bytes) -> Outcome:
    """The application has answered, and the connection goes on where it can."""
    kept = talk.kind != "sync"
    head = (
        b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate: <date>\r\nConnection: %s\r\n"
        b"Content-Length: %d\r\n\r\n"
    )
    answer = head % (b"keep-alive" if kept else b"close", len(body)) + body
    end = head % (b"close", 5) + b"<end>"
    return Outcome(answer + (end if kept else b""), (access(talk, 200, len(body)),))


def own(talk: Talk, answer: str, *lines: str) -> Outcome:
    """cyserve's outcome, held against a pattern for the whole answer and one for each line."""
    seen = talk.cyserve
    assert re.fullmatch(answer.encode(), seen.answer, re.DOTALL), seen.answer
    assert len(lines) == len(seen.log), seen.log
    for pattern, line in zip(lines, seen.log, strict=True):
        assert re.fullmatch(pattern, line), line
    return seen


# -- requests --


@change("refused-logged")
def refused_logged(outcome: Outcome, talk: Talk) -> Outcome:
    """One line more at the end: with the status of the answer, and the line that came or none."""
    last = re.fullmatch(ACCESS, talk.cyserve.log[-1])
    assert last, talk.cyserve.log
    status = re.findall(rb"HTTP/1\.\d (\d+) ", outcome.answer)[-1].decode()
    sent = b"".join(talk.case.pieces).decode("latin-1")
    assert last[1] == "-" or all(part in sent for part in last[1].removesuffix(" -").split("..."))
    assert (last[2], last[3]) == (status, "0")
    return replace(outcome, log=(*outcome.log, talk.cyserve.log[-1]))


@change("pywsgi-refused")
def pywsgi_refused(outcome: Outcome, talk: Talk) -> Outcome:
    """An access line in the place of a traceback."""
    words, error, *_ = outcome.log
    assert error == "AttributeError: 'NoneType' object has no attribute 'get'"
    return replace(outcome, log=(words, '127.0.0.1 - - [time] "-" 400 0 "-" "-"'))


@change("line-feed-words")
def line_feed_words(outcome: Outcome, talk: Talk) -> Outcome:
    if b"hello" in talk.case.pieces[0]:
        return refused(talk, r"Invalid chunk size: b'5\n'")
    return refused(talk, "Invalid HTTP Header: 'bare LF as line terminator'")


@change("first-fault")
def first_fault(outcome: Outcome, talk: Talk) -> Outcome:
    assert outcome.answer.startswith(b"HTTP/1.1 417 ")
    return refused(talk, "Invalid HTTP Header: 'nonsense'")


@change("limits-early")
def limits_early(outcome: Outcome, talk: Talk) -> Outcome:
    assert outcome == Outcome(b"", ())
    words = "limit request headers fields size"
    answer = page("431 Request Header Fields Too Large", f"Error parsing headers: '{words}'")
    return Outcome(answer, (WARNING.format("127.0.0.1", words), access(talk, 431)))


@change("proxy-short")
def proxy_short(outcome: Outcome, talk: Talk) -> Outcome:
    assert outcome == Outcome(b"", ())
    words = "Invalid HTTP request line: 'T/ok'"
    log = (WARNING.format("127.0.0.1", words), '127.0.0.1 - - [time] "-" 400 0 "-" "-"')
    return Outcome(page("400 Bad Request", f"Invalid Request Line '{words}'"), log)


@change("content-length-digits")
def content_length_digits(outcome: Outcome, talk: Talk) -> Outcome:
    if b": 000" not in talk.case.pieces[0]:
        return refused(talk, "Invalid HTTP Header: 'CONTENT-LENGTH'")
    return served(talk, b"hello")


@change("field-size-0")
def field_size_0(outcome: Outcome, talk: Talk) -> Outcome:
    assert outcome.answer.startswith(b"HTTP/1.1 431 ")
    return served(talk, b"ok" if b"/ok" in talk.case.pieces[0] else b"hello")


@change("chunk-size-limits")
def chunk_size_limits(outcome: Outcome, talk: Talk) -> Outcome:
    if b"fffff" in talk.case.pieces[0]:
        return refused(talk, f"Invalid chunk size: {b'f' * 17!r}")
    return refused(talk, "Invalid chunk size: b'line over 8190 bytes with no terminator'")


@change("body-cut-short")
def body_cut_short(outcome: Outcome, talk: Talk) -> Outcome:
    return refused(talk, "No more data after: None")


@change("body-gathered")
def body_gathered(outcome: Outcome, talk: Talk) -> Outcome:
    return refused(talk, "Invalid chunk size: b'zz'")


@change("unread-body")
def unread_body(outcome: Outcome, talk: Talk) -> Outcome:
    """The answer as it is, but the connection closes behind it."""
    return replace(outcome, answer=outcome.answer[: outcome.answer.rindex(b"HTTP/1.1 200 OK")])


@change("expect-when-read")
def expect_when_read(outcome: Outcome, talk: Talk) -> Outcome:
    answer = outcome.answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    if talk.case.half_close:  # the body was never asked for: what comes next is unknown
        answer = answer.replace(b"\r\nConnection: keep-alive\r\n", b"\r\nConnection: close\r\n")
    return replace(outcome, answer=answer)


@change("cookie-join")
def cookie_join(outcome: Outcome, talk: Talk) -> Outcome:
    return replace(outcome, answer=outcome.answer.replace(b"a=b,c=d", b"a=b; c=d"))


@change("proxy-field")
def proxy_field(outcome: Outcome, talk: Talk) -> Outcome:
    return replace(outcome, answer=outcome.answer.replace(b'"HTTP_PROXY": "\'evil\'", ', b""))


@change("ipv6-host")
def ipv6_host(outcome: Outcome, talk: Talk) -> Outcome:
    name, port = (b"[::1]", b"81") if b"[::1]:81" in talk.case.pieces[0] else (b"[::1]", b"80")
    old = b'"SERVER_NAME": "\'[\'", "SERVER_PORT": "\'\'"'
    new = b'"SERVER_NAME": "\'%s\'", "SERVER_PORT": "\'%s\'"' % (name, port)
    return replace(outcome, answer=outcome.answer.replace(old, new))


@change("script-name-boundary")
def script_name_boundary(outcome: Outcome, talk: Talk) -> Outcome:
    if b"/application" in talk.case.pieces[0]:
        message = (
            "Configuration problem: Request path '/application' "
            "does not start with SCRIPT_NAME '/app'"
        )
        log = (WARNING.format("127.0.0.1", message), access(talk, 500))
        return Outcome(page("500 Internal Server Error", message), log)
    answer = outcome.answer.replace(b'"\'/x/\'", "SERVER_NAME', b'"\'/x\'", "SERVER_NAME')
    return replace(outcome, answer=answer.replace(b"\"'dump'\"", b"\"'/dump'\""))


# -- PROXY headers --


def _own_address(talk: Talk, name: str) -> Outcome:
    """The application is called, and sees the proxy's own address."""
    seen = own(talk, r"HTTP/1\.1 200 OK\r\n.*", ACCESS)
    assert f'"PROXY_PROTOCOL": "\'{name}\'"'.encode() in seen.answer
    assert b'"REMOTE_ADDR": "\'127.0.0.1\'", "REMOTE_PORT": "\'<client port>\'"' in seen.answer
    assert b"PROXY_ADDR" not in seen.answer
    return seen


@change("proxy-v1-unknown")
def proxy_v1_unknown(outcome: Outcome, talk: Talk) -> Outcome:
    assert outcome.answer.startswith(b"HTTP/1.1 400 ")
    return _own_address(talk, "UNKNOWN")


@change("proxy-v1-ports")
def proxy_v1_ports(outcome: Outcome, talk: Talk) -> Outcome:
    assert b'"PROXY_PORT": "\'80\'"' in outcome.answer
    line = talk.case.pieces[0].split(b"\r\n")[0].decode()
    words = f"Invalid PROXY line: 'invalid port {line}'"
    log = (WARNING.format("127.0.0.1", words), '127.0.0.1 - - [time] "-" 400 0 "-" "-"')
    return Outcome(page("400 Bad Request", f"'{words}'"), log)


@change("proxy-v2-local")
def proxy_v2_local(outcome: Outcome, talk: Talk) -> Outcome:
    return _own_address(talk, "LOCAL" if talk.case.name == "proxy-v2-local" else "UNSPEC")


@change("proxy-v2-datagram")
def proxy_v2_datagram(outcome: Outcome, talk: Talk) -> Outcome:
    seen = own(talk, r"HTTP/1\.1 200 OK\r\n.*", ACCESS)
    for key, value in [("PROXY_PROTOCOL", "UDP4"), ("REMOTE_ADDR", "192.0.2.7")]:
        assert f'"{key}": "\'{value}\'"'.encode() in seen.answer
    return seen


@change("proxy-bad-v2")
def proxy_bad_v2(outcome: Outcome, talk: Talk) -> Outcome:
    assert outcome.answer == page("500 Internal Server Error")
    match = re.fullmatch(
        re.escape(WARNING.format("127.0.0.1", "")) + "(Invalid PROXY header: .+)",
        talk.cyserve.log[0],
    )
    assert match, talk.cyserve.log
    log = (match[0], '127.0.0.1 - - [time] "-" 400 0 "-" "-"')
    return Outcome(page("400 Bad Request", match[1]), log)


@change("proxy-kept")
def proxy_kept(outcome: Outcome, talk: Talk) -> Outcome:
    """The second answer is as the first."""
    first, second, end = re.findall(rb"HTTP/1.1 .*?(?=HTTP/1.1 [0-9]|$)", outcome.answer, re.DOTALL)
    assert b"PROXY_ADDR" in first
    assert b"PROXY_ADDR" not in second
    return Outcome(first + first + end, (outcome.log[0], outcome.log[0]))


# -- responses --


@change("reason-phrases")
def reason_phrases(outcome: Outcome, talk: Talk) -> Outcome:
    """`Bad Request` becomes the status's own reason, three times, and the length follows."""
    reason = {b"501": b"Not Implemented", b"500": b"Internal Server Error"}[
        outcome.answer.split()[1]
    ]
    answer = outcome.answer.replace(b"Bad Request", reason)
    longer = 2 * (len(reason) - len(b"Bad Request"))
    answer = re.sub(
        rb"(?<=Content-Length: )\d+", lambda size: b"%d" % (int(size[0]) + longer), answer
    )
    return replace(outcome, answer=answer)


@change("no-start-response")
def no_start_response(outcome: Outcome, talk: Talk) -> Outcome:
    return failed(talk, "AssertionError: start_response() was not called")


@change("text-body")
def text_body(outcome: Outcome, talk: Talk) -> Outcome:
    assert "TypeError: 'hello' is not a byte" in outcome.log
    return failed(talk, "TypeError: body items must be bytes, not str")


@change("app-error-words")
def app_error_words(outcome: Outcome, talk: Talk) -> Outcome:
    """What the traceback ends with."""
    before, old, after = outcome.log
    new = talk.cyserve.log[1]
    assert re.match("(Value|Type)Error: ", old)
    assert re.match("(Value|Type)Error: .*Content-Length|TypeError: .* is not a pair", new)
    return replace(outcome, log=(before, new, after))


@change("short-answer")
def short_answer(outcome: Outcome, talk: Talk) -> Outcome:
    """Nothing follows the body that is too short."""
    end = outcome.answer.index(b"HTTP/1.1 200 OK", 1)
    return replace(outcome, answer=outcome.answer[:end])


@change("bad-content-length")
def bad_content_length(outcome: Outcome, talk: Talk) -> Outcome:
    length = re.search(rb"Content-Length: (\S+)", outcome.answer)
    assert length
    return failed(talk, f"ValueError: Invalid Content-Length '{length[1].decode()}'")


@change("two-content-lengths")
def two_content_lengths(outcome: Outcome, talk: Talk) -> Outcome:
    twice = b"Content-Length: 5\r\nContent-Length: 5\r\n"
    if twice in outcome.answer:
        return replace(outcome, answer=outcome.answer.replace(twice, twice[: len(twice) // 2]))
    assert b"Content-Length: 5\r\nContent-Length: 4\r\n" in outcome.answer
    return failed(talk, "ValueError: Contradictory Content-Length '4'")


@change("exc-info-replaces")
def exc_info_replaces(outcome: Outcome, talk: Talk) -> Outcome:
    """The first of two fields is gone."""
    for old in (b"X-A: b\r\n", b"Content-Length: 5\r\n"):
        if old in outcome.answer:
            return replace(outcome, answer=outcome.answer.replace(old, b"", 1))
    return outcome


@change("early-hints-fields")
def early_hints_fields(outcome: Outcome, talk: Talk) -> Outcome:
    old = b"103 Early Hints\r\nConnection: close\r\nServer: mine\r\nContent-Length: 5\r\n"
    return replace(outcome, answer=outcome.answer.replace(old, b"103 Early Hints\r\n"))


@change("os-errors")
def os_errors(outcome: Outcome, talk: Talk) -> Outcome:
    old = "[time] [pid] [ERROR] Socket error processing request."
    at = outcome.log.index(old)
    if not outcome.answer:
        return failed(talk, outcome.log[at + 1])
    return replace(outcome, log=(*outcome.log[:at], ERROR, *outcome.log[at + 1 :]))


@change("system-exit")
def system_exit(outcome: Outcome, talk: Talk) -> Outcome:
    assert outcome.answer == b""
    return failed(talk, "SystemExit: raised before start_response")


@change("sendfile-after-write")
def sendfile_after_write(outcome: Outcome, talk: Talk) -> Outcome:
    """What was written before the file counts for the length."""
    head, _, body = outcome.answer.partition(b"\r\n\r\n")
    assert body == b"writhello"
    return replace(outcome, answer=head + b"\r\n\r\n" + body[:7])


@change("connection-lists")
def connection_lists(outcome: Outcome, talk: Talk) -> Outcome:
    end = outcome.answer.find(b"HTTP/1.1 200 OK", 1)
    head, rest = outcome.answer[:end], outcome.answer[end:]
    if end < 0:  # closed: what should have been kept
        end_answer = (
            b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate: <date>\r\nConnection: close\r\n"
            b"Content-Length: 5\r\n\r\n<end>"
        )
        answer = outcome.answer.replace(b"Connection: close", b"Connection: keep-alive")
        return replace(outcome, answer=answer + end_answer)
    assert rest.endswith(b"<end>")
    return replace(outcome, answer=head.replace(b"Connection: keep-alive", b"Connection: close"))


@change("sendfile-empty")
def sendfile_empty(outcome: Outcome, talk: Talk) -> Outcome:
    answer = outcome.answer.replace(b"\r\n\r\n0\r\n\r\n0\r\n\r\n", b"\r\n\r\n0\r\n\r\n")
    return replace(outcome, answer=answer)


# -- logs --


@change("sendfile-size")
def sendfile_size(outcome: Outcome, talk: Talk) -> Outcome:
    """The bytes of the body, decoded, stand where those written otherwise did."""
    head, _, body = outcome.answer.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        size = sum(int(chunk, 16) for chunk in re.findall(rb"(?:^|\r\n)([0-9A-F]+)\r\n", body))
    elif length := re.search(rb"Content-Length: (\d+)", head):
        size = min(int(length[1]), len(body))
    else:
        size = len(body)
    *before, last = outcome.log
    last = re.sub(r'" (\d+) \d+ "-" "-"$', rf'" \1 {size} "-" "-"', last)
    return replace(outcome, log=(*before, last))


@change("access-after-close")
def access_after_close(outcome: Outcome, talk: Talk) -> Outcome:
    """The access line moves to the end, or gives way to one that is there already."""
    lines = list(outcome.log)
    first = next(number for number, line in enumerate(lines) if re.fullmatch(ACCESS, line))
    line = lines.pop(first)
    if not re.fullmatch(ACCESS, lines[-1]):
        lines.append(line)
    return replace(outcome, log=tuple(lines))


@change("failed-logged")
def failed_logged(outcome: Outcome, talk: Talk) -> Outcome:
    return replace(outcome, log=(*outcome.log, access(talk, 200, len("written"))))
