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
}


def in_their_words(outcome: Outcome) -> Outcome:
    """The outcome as if cyserve called itself gunicorn: that differs everywhere."""
    assert b"\r\nServer: gunicorn\r\n" not in outcome.answer
    answer = outcome.answer.replace(b"\r\nServer: cyserve\r\n", b"\r\nServer: gunicorn\r\n")
    answer = answer.replace(SERVER_SOFTWARE.encode(), b"gunicorn/27.0.1")
    return replace(outcome, answer=answer)


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
            self.gunicorns[case.name] = converse(server, case, CONFIGS[case.config].prefix)
        return self.gunicorns[case.name]

    def cyserve(self, case: Case, kernel: str | None) -> Outcome:
        server = self.server(case.config, kernel, programs.under_test())
        return converse(server, case, CONFIGS[case.config].prefix)


def test_the_same_answer(case, kernel, conversations, oracle):
    kind = conversations.kind
    theirs = conversations.gunicorn(case, oracle)
    talk = Talk(case, kind, in_their_words(conversations.cyserve(case, kernel)))
    named = [name for name, kinds in case.differs.items() if kind in kinds]
    compare(theirs, talk.cyserve, {name: partial(CHANGES[name], talk=talk) for name in named})
