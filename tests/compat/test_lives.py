"""Whole lives, from start to end, lived by both programs: log lines, exit codes, titles, files.

The log of each process is compared line by line; which process was quicker does not matter.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from signal import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2

import pytest
from differences import compare
from harness import free_port, processes, wait_for
from lives import Life, Story

Live = Callable[..., tuple[Story, Story]]

APP = """
import os, signal, time
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hold":
        with open("asked", "w") as file:
            file.write(path)
        time.sleep(60)
    elif path == "/raise":
        raise ValueError("from the application")
    elif path == "/exit":
        os._exit(int(environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

SLOW = """
import os, time
with open("asked", "w") as file:
    file.write("x")
while not os.path.exists("go"):
    time.sleep(0.01)
from life import application
"""

FILES = {"life.py": APP}
RUNNING = " Running: 'GET {} HTTP/1.1' for N s."


def reloaded(workers: int, master: int = 0) -> Callable[[Story], Story]:
    """cyserve says when the new workers of a HUP are ready."""

    def change(story: Story) -> Story:
        lines: list[str] = []
        for line, after in zip(
            story.masters[master], [*story.masters[master][1:], ""], strict=True
        ):
            lines.append(line)
            if line.startswith(("INFO Hang up", "INFO Listening")) and "Listening" not in after:
                if any(before.startswith("INFO Hang up") for before in lines[-2:]):
                    lines.append(f"INFO Reloaded: {workers} new workers are ready.")
        return with_master(story, master, lines)

    return change


def with_master(story: Story, number: int, lines: list[str]) -> Story:
    """The story with another log of one master."""
    masters = list(story.masters)
    masters[number] = tuple(lines)
    return replace(story, masters=tuple(masters))


def replaced(old: str, *new: str) -> Callable[[Story], Story]:
    """The first master's log with other lines in the place of one."""

    def change(story: Story) -> Story:
        at = story.masters[0].index(old)
        return with_master(story, 0, [*story.masters[0][:at], *new, *story.masters[0][at + 1 :]])

    return change


def renamed(story: Story) -> Story:
    """The titles of cyserve's processes."""
    notes = (n.replace("gunicorn", "cyserve") if isinstance(n, str) else n for n in story.notes)
    return replace(story, notes=tuple(notes))


def explained(*lines: tuple[str, str], stacks: tuple[str, ...] = ()) -> Callable[[Story], Story]:
    """cyserve says more of a worker's death: pairs of a line and what it adds to it or after it."""

    def change(story: Story) -> Story:
        log = list(story.masters[0])
        for line, more in lines:
            log[log.index(line)] = line + more
        log = "\n".join(log).splitlines()
        return replace(with_master(story, 0, log), stacks=stacks)

    return change


def test_signals_that_change_the_number_of_workers(live: Live) -> None:
    def life(one: Life) -> None:
        one.note_titles()
        one.note_files()
        one.server.signal(SIGTTIN)
        one.server.wait_workers(2)
        one.server.signal(SIGUSR1)
        one.server.wait_log("Handling signal: usr1")
        one.server.signal(SIGTTOU)
        one.server.wait_workers(1)
        one.server.signal(SIGTTOU)
        one.server.wait_log("Handling signal: ttou", count=2)
        one.server.signal(signal.SIGWINCH)
        one.server.wait_log("Handling signal: winch")
        one.server.signal(SIGTTIN)
        one.server.wait_workers(2)
        one.hup()
        one.server.request("/")
        one.end()
        one.note_files()

    both = live(life, "life", bind=["127.0.0.1:0", "unix:life.sock"], files=FILES)
    compare(*both, differs={"process-title": renamed, "reload-overlap": reloaded(1)})


@pytest.mark.parametrize("number", [SIGINT, SIGQUIT])
def test_quick_stop(live: Live, number: int) -> None:
    binds = ["tcp://127.0.0.1:0", "LOCALHOST:0", "unix:life.sock"]
    gunicorn, cyserve = live(
        lambda one: one.end(number), "life", workers=2, bind=binds, files=FILES
    )
    assert ":PORT,http://127.0.0.1:PORT,unix:life.sock (PID)" in cyserve.masters[0][1]
    compare(gunicorn, cyserve)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_stop_while_the_application_loads(live: Live, number: int) -> None:
    def life(one: Life) -> None:
        wait_for(lambda: one.text("asked"), "the application to load")
        one.server.signal(number)
        one.server.wait_log("Handling signal")
        (one.server.directory / "go").touch()
        one.server.wait_exit()

    compare(*live(life, "slow", files={"slow.py": SLOW, **FILES}, wait=False))


def test_int_while_term_waits(live: Live) -> None:
    def life(one: Life) -> None:
        asking = one.asking("/hold")
        one.server.signal(SIGTERM)
        one.server.wait_log("Handling signal: term")
        one.end(SIGINT)
        asking.join()

    compare(*live(life, "life", files=FILES))


def test_stop_with_a_request_that_does_not_end(live: Live) -> None:
    def life(one: Life) -> None:
        asking = one.asking("/hold")
        one.end()
        asking.join()

    term = "INFO Handling signal: term"
    running = RUNNING.format("/hold")
    late = (
        f"\nWARNING Worker graceful timeout (pid:PID){running}"
        "\nWARNING Worker (pid:PID) was sent SIGKILL! "
        f"By the master: graceful_timeout was over.{running}"
    )
    gunicorn, cyserve = live(life, "life", "--graceful-timeout", "1", files=FILES)
    guess = "ERROR Worker (pid:PID) was sent SIGKILL! Perhaps out of memory?"  # or it says nothing
    gunicorn = with_master(gunicorn, 0, [line for line in gunicorn.masters[0] if line != guess])
    compare(gunicorn, cyserve, differs={"death-explained": explained((term, late))})


def test_hup_with_other_settings(live: Live) -> None:
    def life(one: Life) -> None:
        one.note_titles()
        one.note_files()
        one.server.write_config(
            "bind = ['127.0.0.1:0', 'unix:new.sock']\nworkers = 2\nproc_name = 'renamed'\n"
            "pidfile = 'new.pid'\ntimeout = 20\nwsgi_app = 'life:application'\n"
        )
        one.hup(2)
        one.note_titles()
        one.note_files()
        one.note(one.text("new.pid") == f"{one.server.pid}\n")
        one.end()
        one.note_files()

    config = "bind = ['127.0.0.1:0']\npidfile = 'old.pid'\nwsgi_app = 'life'\n"

    both = live(life, None, workers=None, bind=None, config=config, files=FILES)
    compare(*both, differs={"process-title": renamed, "reload-overlap": reloaded(2)})


def test_relative_paths_with_chdir(live: Live) -> None:
    def life(one: Life) -> None:
        def note_files() -> None:
            files = one.server.directory.rglob("*.*")
            names = (str(path.relative_to(one.server.directory)) for path in files)
            one.note(sorted(name for name in names if "__pycache__" not in name))

        one.server.request("/")
        note_files()
        one.hup()
        one.end()
        note_files()

    config = "chdir = 'lib'\npidfile = 'm.pid'\naccesslog = 'access.log'\n"
    binds = ["127.0.0.1:0", "unix:u.sock"]
    both = live(life, "life", bind=binds, config=config, files={"lib/life.py": APP})
    assert "lib/access.log" in both[1].notes[0]
    compare(*both, differs={"reload-overlap": reloaded(1)})


def test_hup_with_a_bad_config_file(live: Live) -> None:
    def life(one: Life) -> None:
        one.server.write_config("workers = 'x'\n")
        one.server.signal(SIGHUP)
        if one.is_gunicorn:
            one.server.wait_exit()
        else:
            one.server.wait_log("Reload failed")
            one.server.request("/")
            one.end()

    def change(gunicorn: Story) -> Story:
        log = gunicorn.masters[0]
        assert log[-1] == "Error: invalid literal for int() with base 0: 'x'"
        failed = (
            "ERROR Reload failed, the old workers stay: config file DIR/server.conf.py: "
            "workers = 'x': allowed is a whole number, 0 or more"
        )
        end = ["INFO Handling signal: term", "INFO Shutting down: Master"]
        log = [*log[: log.index("INFO Hang up: Master") + 1], failed, *end]
        workers = (("INFO Booting worker with pid: PID", "INFO Worker exiting (pid: PID)"),)
        return replace(with_master(gunicorn, 0, log), workers=workers, code=0)

    compare(*live(life, "life", files=FILES), differs={"reload-broken": change})


def test_hup_with_a_broken_application(live: Live) -> None:
    def life(one: Life) -> None:
        (one.server.directory / "life.py").write_text("1 / 0\n")
        one.server.signal(SIGHUP)
        if one.is_gunicorn:
            one.server.wait_exit()
        else:
            one.server.wait_log("Reload failed")
            one.server.request("/")
            one.end()

    def change(gunicorn: Story) -> Story:
        log = gunicorn.masters[0]
        assert log[-1] == "ERROR Reason: Worker failed to boot."
        death = "Worker (pid:PID) exited with code 3."
        failed = (
            "ERROR Reload failed, the old workers stay: a new worker did not boot. "
            "Worker (pid:PID) exited with code 3."
        )
        end = ["INFO Handling signal: term", "INFO Shutting down: Master"]
        log = [*log[: log.index(f"ERROR {death}") + 1], failed, *end]
        return replace(with_master(gunicorn, 0, log), code=0)

    compare(*live(life, "life", files=FILES), differs={"reload-broken": change})


# -- deaths of workers --


def test_workers_that_are_killed(live: Live) -> None:
    def life(one: Life) -> None:
        for number in (SIGKILL, signal.SIGSEGV, signal.SIGXCPU):
            one.replaced(lambda pid, number=number: os.kill(pid, number))
        for number in (SIGTERM, SIGINT):
            [worker] = one.server.worker_pids()
            os.kill(worker, number)
            one.server.wait_workers(1, but_not=[worker])
        one.end()

    compare(*live(life, "life", files=FILES))


def test_workers_that_exit(live: Live) -> None:
    def life(one: Life) -> None:
        for code in (0, 1, 7):
            one.replaced(lambda pid, code=code: one.ask(f"/exit?{code}"))
        one.end()

    line = "ERROR Worker (pid:PID) exited with code {}."
    more = explained(*((line.format(code), RUNNING.format(f"/exit?{code}")) for code in (1, 7)))
    compare(*live(life, "life", files=FILES), differs={"death-explained": more})


@pytest.mark.parametrize("code", [3, 4])
def test_an_exit_with_3_or_4(live: Live, code: int) -> None:
    def life(one: Life) -> None:
        if one.is_gunicorn:
            one.ask(f"/exit?{code}")
            one.server.wait_exit()
        else:
            one.replaced(lambda pid: one.ask(f"/exit?{code}"))
            one.end()

    def change(gunicorn: Story) -> Story:
        log = list(gunicorn.masters[0])
        assert log[-2:-1] == ["ERROR Shutting down: Master"]
        log[-2:] = ["INFO Handling signal: term", "INFO Shutting down: Master"]
        second = ("INFO Booting worker with pid: PID", "INFO Worker exiting (pid: PID)")
        return replace(with_master(gunicorn, 0, log), code=0, workers=(*gunicorn.workers, second))

    more = (f"ERROR Worker (pid:PID) exited with code {code}.", RUNNING.format(f"/exit?{code}"))
    gunicorn, cyserve = live(life, "life", files=FILES)
    assert gunicorn.code == code
    compare(
        gunicorn, cyserve, differs={"late-exit-3-4": change, "death-explained": explained(more)}
    )


def test_signals_of_the_master_that_reach_a_worker(live: Live) -> None:
    def life(one: Life) -> None:
        for number in (SIGHUP, SIGUSR2):
            if one.is_gunicorn:
                one.replaced(lambda pid, number=number: os.kill(pid, number))
            else:
                one.server.signal(number, one.server.worker_pids()[0])
        one.server.request("/")
        one.end()

    def change(gunicorn: Story) -> Story:
        names = [f"WARNING Worker (pid:PID) was sent {name}!" for name in ("SIGHUP", "SIGUSR2")]
        log = [line for line in gunicorn.masters[0] if line not in names]
        assert len(log) == len(gunicorn.masters[0]) - 2
        return replace(with_master(gunicorn, 0, log), workers=gunicorn.workers[2:])

    compare(*live(life, "life", files=FILES), differs={"worker-signals": change})


def test_a_worker_that_is_silent(live: Live) -> None:
    def life(one: Life) -> None:
        one.replaced(lambda pid: one.ask("/hold"))
        one.end()

    line = "CRITICAL WORKER TIMEOUT (pid:PID)"
    frame = 'File "DIR/life.py", line 8 in application'
    more = RUNNING.format("/hold") + "\nERROR Worker (pid:PID) exited with code 1."
    change = explained((line, more), stacks=(frame,))
    compare(*live(life, "life", "-t", "4", files=FILES), differs={"death-explained": change})


def test_workers_that_have_served_enough(live: Live) -> None:
    def life(one: Life) -> None:
        one.replaced(lambda pid: one.server.request("/"))
        one.end()

    compare(*live(life, "life", "--max-requests", "2", files=FILES))


def test_a_master_that_is_killed(live: Live) -> None:
    def life(one: Life) -> None:
        one.end(SIGKILL)

    gunicorn, cyserve = live(life, "life", "-t", "5", files=FILES)
    assert "INFO Parent changed, shutting down: <Worker PID>" in cyserve.workers[0]
    compare(gunicorn, cyserve)


# -- other ways to run --


@pytest.mark.parametrize(
    "arguments",
    [["--threads", "2"], ["-k", "gevent"], ["-k", "tornado"]],
    ids=["gthread", "gevent", "tornado"],
)
def test_other_workers(live: Live, arguments: list[str]) -> None:
    def life(one: Life) -> None:
        one.server.request("/")
        if "tornado" not in arguments:  # it answers nothing
            one.server.request("/raise")
        one.hup(2)
        one.server.request("/")
        one.end()

    both = live(life, "life", *arguments, workers=2, files=FILES)
    compare(*both, differs={"reload-overlap": reloaded(2)})


def test_a_preloaded_application(live: Live) -> None:
    def life(one: Life) -> None:
        one.hup()
        one.server.request("/")
        one.end()

    hang_up = "INFO Hang up: Master"
    text = "INFO preload_app: the application stays as it was loaded; USR2 loads it anew"
    compare(
        *live(life, "life", "--preload", files=FILES),
        differs={"reload-overlap": reloaded(1), "preload-kept": replaced(hang_up, hang_up, text)},
    )


def test_reuse_port_and_a_debug_log(live: Live) -> None:
    def life(one: Life) -> None:
        one.server.signal(signal.SIGWINCH, one.server.worker_pids()[0])
        one.server.wait_log("worker: SIGWINCH ignored.")
        one.hup()
        one.server.signal(signal.SIGWINCH)
        one.server.wait_log("Not daemonized")
        one.end()

    def without_settings(story: Story) -> Story:  # test_print_config compares them
        lines = [line for line in story.masters[0] if not line.startswith("  ")]
        title = "DEBUG Current configuration:"
        assert lines.count(title) == 2
        return with_master(story, 0, [line for line in lines if line != title])

    bind = f"127.0.0.1:{free_port()}"
    both = live(life, "life", "--reuse-port", "--log-level=debug", bind=bind, files=FILES)
    compare(
        *map(without_settings, both),
        differs={
            "later-features": replaced("DEBUG Control socket disabled"),
            "signal-names": replaced("DEBUG Handling signal: cld", "DEBUG Handling signal: chld"),
            "reload-overlap": reloaded(1),
        },
    )


# -- upgrades --


def test_an_upgrade_there_and_back_and_there(live: Live) -> None:
    def life(one: Life) -> None:
        first = one.server.pid
        new = one.upgrade("m.pid")
        one.server.signal(SIGTERM, new)
        wait_for(lambda: new not in processes(), "the new master to be reaped by the old one")
        one.server.request("/")
        one.note_files()

        new = one.upgrade("m.pid")
        one.note(one.text("m.pid") == f"{first}\n")
        one.note_titles()
        one.note_titles(new)
        one.note_files()
        one.server.signal(SIGUSR2)
        one.server.wait_log("Child exists")
        one.server.signal(SIGUSR2, new)
        one.server.wait_log("Parent exists")
        one.server.signal(SIGTERM)
        one.server.wait_exit()
        one.succeed("m.pid")
        one.server.request("/")
        one.note_titles()
        one.note_files()
        one.end()
        one.note_files()

    both = live(
        life, "life", bind=["127.0.0.1:0", "unix:m.sock"], config="pidfile = 'm.pid'", files=FILES
    )
    compare(*both, differs={"process-title": renamed})


def test_a_daemon_that_is_upgraded(live: Live) -> None:
    def life(one: Life) -> None:
        one.note(one.server.wait_exit())
        pid = int(wait_for(lambda: one.text("m.pid"), "the pid file"))
        one.masters[0] = one.server.pid = pid
        one.server.wait_ready(1)
        one.upgrade("m.pid")
        one.server.signal(signal.SIGWINCH)
        one.server.wait_workers(0)
        one.hup()
        one.server.signal(signal.SIGWINCH)
        one.server.wait_workers(0)
        one.server.signal(SIGTERM)
        one.succeed("m.pid")
        one.server.request("/")
        one.note_titles()
        one.end(SIGQUIT)
        one.note_files()

    both = live(
        life, "life", "-D", config="pidfile = 'm.pid'", errorlog="err.log", wait=False, files=FILES
    )
    compare(*both, differs={"process-title": renamed, "reload-overlap": reloaded(1)})
