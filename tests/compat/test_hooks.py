"""Every hook, with its arguments, process, order and moment, in lives of both programs.

The config file is every_hook.py; each hook's line says what it was given, where it ran and what had
been logged there before.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, SIGTTIN, SIGTTOU

import pytest
from differences import compare
from harness import free_port
from lives import Life, Story
from test_lives import APP, Live

CONFIG = (Path(__file__).parent / "every_hook.py").read_text()


@pytest.fixture
def hooked(live: Live) -> Callable[..., tuple[Story, Story]]:
    """As `live`, with every hook."""

    def start(life: Callable[[Life], None], *args: str, **options: object) -> tuple[Story, Story]:
        config = CONFIG + str(options.pop("config", ""))
        files = {"life.py": APP}
        app = options.pop("app", "life")
        return live(life, app, *args, config=config, errorlog="err.log", files=files, **options)

    return start


def after(hook: str, old: str, new: str, *, master: bool) -> Callable[[Story], Story]:
    """The moment of calls of a hook, in the master or in workers, by what was logged before."""

    def moved(log: tuple[str, ...]) -> tuple[str, ...]:
        lines = (
            line.replace(f" after {old}", f" after {new}") if f": {hook}(" in line else line
            for line in log
        )
        return tuple(lines)

    def change(story: Story) -> Story:
        if master:
            return replace(story, masters=tuple(map(moved, story.masters)))
        return replace(story, workers=tuple(map(moved, story.workers)))

    return change


def answered(request: str, before: str) -> Callable[[Story], Story]:
    """post_request of a request that failed comes when the failure has been logged and answered."""
    late = after("post_request", before, f"Error handling request {request}", master=False)

    def change(story: Story) -> Story:
        found = [(log, line) for log in story.workers for line in log if "(None, None)" in line]
        [(log, line)] = found
        status = line.replace("(None, None)", "('500 Internal Server Error', 500)")
        moved = late(replace(story, workers=((status,),))).workers[0][0]
        new = tuple(moved if one == line else one for one in log)
        return replace(story, workers=tuple(new if one == log else one for one in story.workers))

    return change


def test_hooks_of_a_life_with_signals(hooked: Live) -> None:
    def life(one: Life) -> None:
        one.server.signal(SIGTTIN)
        one.server.wait_workers(2)
        one.server.signal(SIGTTOU)
        one.wait_hooks("child_exit", 1)
        one.hup()
        one.wait_hooks("child_exit", 2)
        one.end()

    late = after("child_exit", "Hang up: Master", "Reloaded: 1 new workers are ready.", master=True)
    compare(*hooked(life, "-p", "m.pid"), differs={"reload-overlap": late})


@pytest.mark.parametrize(
    "arguments", [[], ["--threads", "2"], ["-k", "gevent"]], ids=["sync", "gthread", "gevent"]
)
def test_hooks_of_requests(hooked: Live, arguments: list[str]) -> None:
    def life(one: Life) -> None:
        one.request("/one?x=1#y", headers=[("X-Field", "a")])
        one.request("/raise", "POST", body=b"abc")
        with socket.create_connection(one.server.address) as client:
            client.sendall(b"BAD\r\n\r\n")
            client.recv(1000)
        with socket.create_connection(one.server.address) as client:
            client.sendall(b"GET /two HTTP/1.1\r\n\r\nGET /three HTTP/1.0\r\n\r\n")
            while client.recv(1000):
                pass
        one.wait_hooks("post_request", 4 if arguments else 3)  # sync closes after the first
        one.end(SIGINT)

    late = answered("POST /raise", "Booting worker with pid: PID")
    compare(*hooked(life, *arguments), differs={"post-request-late": late})


def explained(story: Story) -> Story:
    """cyserve logs what a worker was running, and that it was ended by the master."""
    exit_1 = " after Worker (pid:PID) exited with code 1."
    running = " Running: 'GET /exit?1 HTTP/1.1' for N s."
    log = []
    for line in story.masters[0]:
        line = line.replace(exit_1, exit_1 + running)
        log.append(line.replace(" after WORKER TIMEOUT (pid:PID)", exit_1))
    return replace(story, masters=(tuple(log),))


def test_hooks_of_workers_that_end(hooked: Live) -> None:
    def life(one: Life) -> None:
        one.replaced(lambda pid: one.ask("/hold"))
        one.replaced(lambda pid: one.ask("/exit?1"))
        one.replaced(lambda pid: one.server.signal(SIGKILL, pid))
        one.replaced(lambda pid: one.server.signal(SIGTERM, pid))
        one.end()

    late = answered("GET /hold", "Booting worker with pid: PID")
    compare(
        *hooked(life, "-t", "4"), differs={"post-request-late": late, "death-explained": explained}
    )


def test_hooks_of_a_worker_that_has_served_enough(hooked: Live) -> None:
    def life(one: Life) -> None:
        one.replaced(lambda pid: one.server.request("/"))
        one.end()

    compare(*hooked(life, "--max-requests", "2", "--preload"))


def test_hooks_with_reuse_port(hooked: Live) -> None:
    bind = f"127.0.0.1:{free_port()}"
    compare(*hooked(lambda one: one.end(), "--reuse-port", bind=bind))


def test_hooks_of_a_start_that_fails(hooked: Live) -> None:
    def life(one: Life) -> None:
        one.server.wait_exit()

    compare(*hooked(life, app="no_such_module", wait=False))


def test_hooks_of_an_upgrade(hooked: Live) -> None:
    def life(one: Life) -> None:
        one.upgrade("m.pid")
        one.server.signal(SIGTERM)
        one.server.wait_exit()
        one.succeed("m.pid")
        one.end()

    compare(*hooked(life, config="pidfile = 'm.pid'"))
