"""The test that all kinds of worker share: the same answer, and the same lines in the log.

A module test_responses_*.py names its KIND and imports the test; conftest.py gives it the cases.
For each configuration one server of each program runs while the module does, and gunicorn's
outcomes are asked for once, whatever kernels they are compared with.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cases_bodies
import cases_connections
import cases_heads
import cases_responses
import programs
from configs import CONFIGS
from differences import compare
from exchange import Case, Outcome, converse
from harness import Server, StartServer
from response_differences import CHANGES, Talk

from cyserve import SERVER_SOFTWARE

CASES = [*cases_heads.CASES, *cases_bodies.CASES, *cases_responses.CASES, *cases_connections.CASES]

KINDS = {
    "sync": ("-k", "sync"),
    "gthread": ("-k", "gthread", "--threads", "1"),
    "gevent": ("-k", "gevent"),
    "tornado": ("-k", "tornado"),
    "gevent_pywsgi": ("-k", "gevent_pywsgi"),
}

#: What the guests, which bring servers of their own, are tried with.
GUESTS = ("tornado", "gevent_pywsgi")
GUEST_CASES = """
    not-found version-1.0 absolute-form options-star odd-method percent two-slashes
    no-host latin-value refused-nonsense refused-no-colon refused-bare-line-feed
    refused-length-and-coding echo echo-unix get-with-body echo-1.0 readline large unread
    chunked-echo chunked-no-bytes chunked-trailers chunked-size-plus
    expect-then-body expect-without-body
    say-list say-list-with-length say-iterable say-no-items say-1.0 say-write say-head
    say-head-with-length say-204 say-304 say-status-own-phrase answer-large
    say-field-order say-field-server-and-date say-field-connection-close say-field-cookies
    say-field-crlf say-error say-error-1.0 say-late-error-first say-twice say-exc-info
    say-longer no-start-response logged-errors say-memory-chunked say-file-with-length
    keeps keeps-unix asked-to-close asked-to-keep 1.0-keeps pipelined
    environ-get environ-unix environ-query environ-escapes environ-post environ-repeated
    environ-cookies environ-underscores environ-scheme environ-proxy-field environ-latin
""".split()
#: tornado leaves the client without an answer when the application fails before its first byte.
UNANSWERED = """
    say-field-crlf say-error say-error-1.0 say-late-error-first no-start-response
    say-file-with-length say-memory-chunked
""".split()


def in_their_words(outcome: Outcome) -> Outcome:
    """The outcome as if cyserve called itself gunicorn: that differs everywhere."""
    assert b"\r\nServer: gunicorn\r\n" not in outcome.answer
    answer = outcome.answer.replace(b"\r\nServer: cyserve\r\n", b"\r\nServer: gunicorn\r\n")
    answer = answer.replace(SERVER_SOFTWARE.encode(), b"gunicorn/27.0.1")
    return replace(outcome, answer=answer)


def cases_of(kind: str) -> list[Case]:
    """The cases for one kind of worker."""
    if kind in GUESTS:
        names = set(GUEST_CASES).difference(UNANSWERED if kind == "tornado" else ())
        return [case for case in CASES if case.name in names]
    return [case for case in CASES if kind in case.kinds]


class Conversations:
    """The servers of one kind of worker, started when a case first needs them."""

    def __init__(self, kind: str, start: StartServer) -> None:
        self.kind = kind
        self.start = start
        self.servers: dict[tuple[str, str | None], Server] = {}
        self.gunicorns: dict[str, Outcome] = {}

    def server(self, config: str, kernel: str | None, program: programs.Program) -> Server:
        key = config, program.name if program.is_oracle else kernel
        if key not in self.servers:
            given = CONFIGS[config]
            self.servers[key] = self.start(
                "compat_app:app",
                *KINDS[self.kind],
                "--access-logfile=-",
                *given.args,
                bind=["127.0.0.1:0", "unix:s"],
                config=given.text,
                env=given.env,
                kernel=kernel,
                program=program,
            )
        return self.servers[key]

    def gunicorn(self, case: Case, oracle: programs.Program) -> Outcome:
        if case.name not in self.gunicorns:
            server = self.server(case.config, None, oracle)
            self.gunicorns[case.name] = self.converse(server, case)
        return self.gunicorns[case.name]

    def cyserve(self, case: Case, kernel: str | None) -> Outcome:
        server = self.server(case.config, kernel, programs.under_test())
        return self.converse(server, case)

    def converse(self, server: Server, case: Case) -> Outcome:
        logged = self.kind != "tornado"  # which logs accesses in no program
        return converse(server, case, CONFIGS[case.config].prefix, logged)


def test_the_same_answer(case, kernel, conversations, oracle):
    kind = conversations.kind
    theirs = conversations.gunicorn(case, oracle)
    talk = Talk(case, kind, in_their_words(conversations.cyserve(case, kernel)))
    named = [name for name, kinds in case.differs.items() if kind in kinds]
    compare(theirs, talk.cyserve, {name: partial(CHANGES[name], talk=talk) for name in named})
