"""Good and bad command lines, config files and environments, given to both programs.

Each runs in a directory of its own with the files of command_line_files.py, a few at a time, when
the first test asks. Exit code, stdout and stderr are compared. cyserve's messages are one line that
says more; how they may differ is said by kind (`one_line`, `usage`, `with_own_tracebacks`).
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from command_line_files import FILES
from differences import compare
from harness import TIMEOUT, server_environment, under_test
from normal import Outcome, own_traceback, settled
from programs import Program

pytestmark = pytest.mark.timeout(300)  # the first may wait for a few that wait for something

Both = Callable[["Case"], tuple[Outcome, Outcome]]


@dataclass(frozen=True, eq=False)
class Case:
    """One command line; `words` are what cyserve's message must contain besides its form."""

    line: str
    words: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    check: bool = True

    def __str__(self) -> str:
        return " ".join([*(f"{name}={value}" for name, value in self.env.items()), self.line])

    def run(self, program: Program, directory: Path, busy: int) -> Outcome:
        """Runs it to its end, in a new directory with FILES. busy: the port BUSY in the line."""
        for name, text in FILES.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
        env = {"HOME": str(directory), **self.env}
        if program.is_oracle and not self.check:
            env["GUNICORN_CMD_ARGS"] = "--no-control-socket"
        check = ["--check-config"] if self.check else []
        running = subprocess.Popen(
            [*program.command, *check, *shlex.split(self.line.replace("BUSY", str(busy)))],
            cwd=directory,
            env=server_environment(env, None, program),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = running.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            out, err = running.communicate()
            raise AssertionError(f"{self} runs on:\n{err}") from None
        return Outcome(running.returncode, settled(out, directory), settled(err, directory))


def cases(*given: Case | str) -> pytest.MarkDecorator:
    """Runs a test with each of the cases; the `both` fixture finds them by the argument's name."""
    made = [Case(one) if isinstance(one, str) else one for one in given]
    return pytest.mark.parametrize("case", made, ids=str)


@pytest.fixture(scope="module")
def both(
    oracle: Program, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Both]:
    """What gunicorn and what cyserve make of a case of a test that was selected."""
    mine = (item for item in request.session.items if item.path == request.path)
    selected = [item.callspec.params["case"] for item in mine if hasattr(item, "callspec")]
    pool = ThreadPoolExecutor(3)
    busy = socket.create_server(("127.0.0.1", 0))
    port = busy.getsockname()[1]

    def start(case: Case, program: Program) -> Future[Outcome]:
        return pool.submit(case.run, program, tmp_path_factory.mktemp("line").resolve(), port)

    started = {case: (start(case, oracle), start(case, under_test())) for case in selected}

    def outcomes(case: Case) -> tuple[Outcome, Outcome]:
        gunicorn, cyserve = (future.result() for future in started[case])
        return gunicorn, cyserve

    yield outcomes
    pool.shutdown(cancel_futures=True)
    busy.close()


def one_line(case: Case, cyserve: Outcome, code: int = 1) -> Callable[[Outcome], Outcome]:
    """cyserve says in one line, with the words of the case, what gunicorn said in its own way."""

    def change(gunicorn: Outcome) -> Outcome:
        assert re.fullmatch(r"Error: [^\n]+\n", cyserve.stderr), cyserve.stderr
        assert [word for word in case.words if word not in cyserve.stderr] == []
        return Outcome(code, "", cyserve.stderr)

    return change


def usage(source: str = "") -> Callable[[Outcome], Outcome]:
    """gunicorn's two lines about a bad argument, as cyserve says it in one."""

    def change(gunicorn: Outcome) -> Outcome:
        text = re.fullmatch(
            r"usage: gunicorn \[OPTIONS\] \[APP_MODULE\]\ngunicorn: error: (.*)\n", gunicorn.stderr
        )
        assert text is not None, gunicorn.stderr
        return replace(gunicorn, stderr=f"Error: {source}{text[1]} (see cyserve --help)\n")

    return change


# -- what both say in the same way --


@cases(
    "shop",
    "shop:app",
    "shop:app ignored",
    "'shop:app '",
    "\"shop:factory('red', size=2)\"",
    "lib.shelf",
    "--chdir lib shelf",
    "--chdir=lib shelf",
    "--workers=2 shop",
    "-w2 shop",
    "-w 0 shop",
    "--threads 0 shop",
    "--umask 022 shop",
    "--umask 0o22 shop",
    "--umask 0x12 shop",
    "--proxy-protocol v1 shop",
    "-p no/such/m.pid shop",
    "--pid m.pid shop",
    "--bac 5 shop",
    "--max-requests-j 3 shop",
    "--keep 3 shop",
    "--log-level loud shop",
    "--ssl-version TLSv1_2 shop",
    "--certfile no.pem shop",
    "--log-config no.ini shop",
    "--log-config-json no.json shop",
    "--logger-class no.such.Class shop",
    "-k no.such.Class shop",
    "-k egg:no_such#worker shop",
    "-b unix:/tmp/x -b [::1]:0 -b fd://3 -b tcp://localhost:0 shop",
    "-b '' shop",
    "-u 65534 -g 65534 shop",
    "-u root shop",
    "-c good.conf.py shop",
    "-c file:good.conf.py shop",
    "-c python:settings shop",
    "-c '' shop",
    "-c app.conf.py",
    "-c chdir.conf.py shelf",
    "-c exiting.conf.py shop",
    "shop:leaving()",
    "exiting",
    Case("shop", env={"GUNICORN_CMD_ARGS": "-w 3 --threads=2"}),
    Case("-c good.conf.py shop", env={"GUNICORN_CMD_ARGS": "-c no.py"}),
    Case("shop", env={"GUNICORN_CMD_ARGS": "no_such_module"}),
    Case("shop", env={"WEB_CONCURRENCY": "3", "PORT": "8001", "FORWARDED_ALLOW_IPS": "*"}),
    Case("shop", env={"SENDFILE": "perhaps"}),
)
def test_the_same(case: Case, both: Both) -> None:
    compare(*both(case))


# -- what cannot be parsed: exit code 2 --


@cases(
    "--nope shop",
    "--nope=1 shop",
    "-w x shop",
    "-w",
    "-w '' shop",
    "--backlog 1.5 shop",
    "--keep-alive x shop",
    "--umask x shop",
    "--preload=yes shop",
    "--work 2 shop",
    "--worker-c gthread shop",
    "--log x shop",
    "-b",
    "-x shop",
)
def test_bad_arguments(case: Case, both: Both) -> None:
    compare(*both(case), differs={"error-words": usage()})


@cases(
    Case("shop", env={"GUNICORN_CMD_ARGS": "--nope"}),
    Case("shop", env={"GUNICORN_CMD_ARGS": "-w x"}),
)
def test_bad_arguments_in_the_environment(case: Case, both: Both) -> None:
    compare(*both(case), differs={"error-words": usage("$GUNICORN_CMD_ARGS: ")})


# -- bad values: exit code 1 --


@cases(
    Case("", ("No application module specified.",)),
    Case("", ("No application module specified.",), env={"GUNICORN_CMD_ARGS": "shop"}),
    Case("-c no.py shop", ("'no.py' doesn't exist",)),
    Case("-c lib shop", ("'lib'", "directory")),
    Case("-w -1 shop", ("workers = -1",)),
    Case("--threads -1 shop", ("threads = -1",)),
    Case("--limit-request-line -1 shop", ("limit_request_line = -1",)),
    Case("--chdir no shop", ("chdir = 'no'", "can't chdir to")),
    Case("-u no-such-user shop", ("user = 'no-such-user'",)),
    Case("-g no-such-group shop", ("group = 'no-such-group'",)),
    Case("--forwarded-allow-ips 10.0.0.1/8 shop", ("10.0.0.1/8 has host bits set",)),
    Case("--forwarded-allow-ips host shop", ("forwarded_allow_ips = 'host'",)),
    Case("--proxy-allow-from x shop", ("proxy_allow_ips = 'x'",)),
    Case("--proxy-protocol v3 shop", ("proxy_protocol = 'v3'", "off, v1, v2, auto")),
    Case("--proxy-protocol shop", ("proxy_protocol = 'shop'",)),
    Case("--header-map keep shop", ("header_map = 'keep'", "drop, refuse, dangerous")),
    Case("--http-parser quick shop", ("http_parser = 'quick'", "auto, fast, python")),
    Case("--http-protocols h3 shop", ("http_protocols = 'h3'",)),
    Case("--reload-engine x shop", ("reload_engine = 'x'",)),
    Case("--reload-extra-file no shop", ("reload_extra_files", "'no'")),
    Case("--statsd-host a:b:c shop", ("statsd_host = 'a:b:c'",)),
    Case("-c text.conf.py shop", ("text.conf.py: workers = 'x'", "allowed")),
    Case("-c none.conf.py shop", ("none.conf.py: workers = None", "allowed")),
    Case("-c float.conf.py shop", ("float.conf.py: timeout = 1.5", "allowed")),
    Case("-c bool.conf.py shop", ("bool.conf.py: preload_app = 'yes'", "allowed")),
    Case("-c dict.conf.py shop", ("dict.conf.py: secure_scheme_headers = 'x'", "allowed")),
    Case("-c list.conf.py shop", ("list.conf.py: bind = [1]", "allowed")),
    Case("-c arity.conf.py shop", ("arity.conf.py: on_exit", "1 positional")),
    Case("-c path.conf.py shop", ("path.conf.py: on_exit = 'no.such'", "no module 'no'")),
    Case("shop", ("GUNICORN_CMD_ARGS", "No closing"), env={"GUNICORN_CMD_ARGS": "-w 'x"}),
    Case("shop", ("'no.py' doesn't exist",), env={"GUNICORN_CMD_ARGS": "-c no.py"}),
    Case("shop", ("WEB_CONCURRENCY", "workers = 'abc'"), env={"WEB_CONCURRENCY": "abc"}),
    Case("shop", ("WEB_CONCURRENCY", "-1"), env={"WEB_CONCURRENCY": "-1"}),
    Case("shop", ("FORWARDED_ALLOW_IPS", "'x'"), env={"FORWARDED_ALLOW_IPS": "x"}),
    Case("--paste no.ini", ("no.ini",)),
)
def test_bad_values(case: Case, both: Both) -> None:
    gunicorn, cyserve = both(case)
    compare(gunicorn, cyserve, differs={"error-words": one_line(case, cyserve, gunicorn.code)})


@cases(
    Case("-c raising.conf.py shop", ("raising.conf.py",)),
    Case("-c syntax.conf.py shop", ("syntax.conf.py",)),
    Case("-c importing.conf.py shop", ("importing.conf.py",)),
)
def test_config_files_that_fail(case: Case, both: Both) -> None:
    gunicorn, cyserve = both(case)
    assert "Failed to read config file: " + case.words[0] in gunicorn.stderr
    shorter = {
        "error-words": lambda one: replace(one, stderr="Error: " + one.stderr.rstrip("\n") + "\n"),
        "boot-errors": lambda one: replace(one, stderr=own_traceback(one.stderr)),
    }
    compare(gunicorn, cyserve, differs=shorter)


@cases("-c python:no_such shop")
def test_a_config_module_that_is_not_there(case: Case, both: Both) -> None:
    expected = "Error: Failed to read config module: no_such\nModuleNotFoundError: "
    change = {"error-words": lambda one: replace(one, stderr=expected + one.stderr[8:])}
    compare(*both(case), differs=change)


@cases("-c config.txt shop")
def test_a_config_file_with_another_extension(case: Case, both: Both) -> None:
    expected = "Warning: config file 'config.txt' should have a valid Python extension\n"

    def change(gunicorn: Outcome) -> Outcome:
        assert "configuration file should have a valid Python extension" in gunicorn.stderr
        return replace(gunicorn, stderr=expected)

    compare(*both(case), differs={"error-words": change})


@cases("-c typo.conf.py shop")
def test_a_misspelt_setting(case: Case, both: Both) -> None:
    text = "config file typo.conf.py: there is no setting 'wrokers'; did you mean 'workers'?"
    change = {"misspelt": lambda one: replace(one, stderr=f"Warning: {text}\n")}
    compare(*both(case), differs=change)


# -- applications that cannot be loaded: exit code 1 --


@cases(
    "shop:missing",
    "shop:nothing",
    "shop:number",
    "shop:",
    "shop:1",
    "shop:app:x",
    "'shop: app'",
    "'shop:a.b()'",
    "'shop:app()()'",
    "'shop:factory(x)'",
    "'shop:factory()'",
    "'shop:failing()'",
    "shop.py",
    "no_such_module",
    "raising",
    "halting",
    "syntax",
    "importing",
    "--print-config no_such_module",
)
def test_applications_that_cannot_be_loaded(case: Case, both: Both) -> None:
    def change(gunicorn: Outcome) -> Outcome:
        text = own_traceback(gunicorn.stderr).strip("\n") + "\n"
        text = text.replace("application:\n\n", "application:\n")
        text = text.replace("application:\ngunicorn.errors.AppImportError:", "application:")
        return replace(gunicorn, stderr=text)

    gunicorn, cyserve = both(case)
    compare(
        replace(gunicorn, stdout=""), replace(cyserve, stdout=""), differs={"boot-errors": change}
    )


# -- what gunicorn finds only when it serves, or never --


@cases(
    Case("-b h:x shop", ("bind = 'h:x'", "'x' is not a valid port number.")),
    Case("-b localhost: shop", ("bind = 'localhost:'", "'' is not a valid port number.")),
    Case("-b fd://x shop", ("bind = 'fd://x'", "'x' is not a valid file descriptor.")),
    Case("-b 127.0.0.1:99999 shop", ("bind = ", "not a valid port number")),
    Case("-k no_such_worker shop", ("worker_class = 'no_such_worker'",)),
    Case("-e COLOR shop", ("environment setting 'COLOR' invalid",)),
    Case("--cert-reqs 5 shop", ("cert_reqs = '5'",)),
    Case("shop", ("PORT", "'x' is not a valid port number."), env={"PORT": "x"}),
)
def test_bad_values_are_found_by_a_check(case: Case, both: Both) -> None:
    gunicorn, cyserve = both(case)
    compare(gunicorn, cyserve, differs={"checked-early": one_line(case, cyserve)})


@cases(
    Case("-b /tmp/x shop", ("write unix:/tmp/x",)),
    Case("-b a:1:2 shop", ("'1:2' is not a valid port number.",)),
)
def test_binds_that_mean_something_else_to_gunicorn(case: Case, both: Both) -> None:
    gunicorn, cyserve = both(case)
    compare(gunicorn, cyserve, differs={"bind-forms": one_line(case, cyserve)})


@cases(Case("shop", env={"WEB_CONCURRENCY": ""}))
def test_an_empty_variable_is_as_none(case: Case, both: Both) -> None:
    gunicorn, cyserve = both(case)
    assert gunicorn.code == 1
    compare(gunicorn, cyserve, differs={"empty-variables": lambda one: Outcome(0, "", "")})


@cases("-e COLOR=red needs_color", "--pythonpath lib shelf")
def test_a_check_loads_as_a_worker_does(case: Case, both: Both) -> None:
    compare(*both(case), differs={"check-as-worker": lambda one: Outcome(0, "", "")})


# -- servers that do not get to serve --


def serve(line: str, *words: str) -> Case:
    """A command line that serves, on some port, until something goes wrong.

    The backlog is less than any machine's net.core.somaxconn, of which cyserve would warn.
    """
    line = f"--backlog 100 {line}"
    return Case(line if "-b " in line else f"-b 127.0.0.1:0 {line}", words, check=False)


@cases(
    serve("shop:missing"),
    serve("shop:number"),
    serve("-p garbage.pid shop:missing"),
    serve("--preload exiting"),
    serve("-b unix:no/such.sock shop"),  # both try for five seconds
    serve("-b 127.0.0.1:BUSY shop"),
)
def test_servers_that_end_in_the_same_way(case: Case, both: Both) -> None:
    compare(*both(case))


@cases(serve("-p alive.pid shop"))
def test_a_pidfile_of_a_process_that_lives(case: Case, both: Both) -> None:
    def change(gunicorn: Outcome) -> Outcome:  # it puts complaints between blank lines
        return replace(gunicorn, stderr=re.sub(r"\n+", "\n", gunicorn.stderr))

    compare(*both(case), differs={"error-words": change})


def with_own_tracebacks(gunicorn: Outcome) -> Outcome:
    return replace(gunicorn, stderr=own_traceback(gunicorn.stderr))


@cases(
    serve("no_such_module"),
    serve("raising"),
    serve("halting"),
    serve("syntax"),
    serve("importing"),
    serve("shop.py"),
    serve("'shop:failing()'"),
    serve("-c post_fork.conf.py shop"),
    serve("-c init.conf.py shop"),
    serve("-c on_starting.conf.py shop"),
    serve("-c when_ready.conf.py shop"),
    serve("-c nworkers.conf.py shop"),
    serve("--preload raising"),
    serve("--preload syntax"),
    serve("--preload importing"),
)
def test_servers_whose_user_code_fails(case: Case, both: Both) -> None:
    compare(*both(case), differs={"boot-errors": with_own_tracebacks})


@cases(serve("--preload halting"))
def test_a_runtime_error_of_a_preloaded_application(case: Case, both: Both) -> None:
    def change(gunicorn: Outcome) -> Outcome:
        assert gunicorn.stderr == "\nError: no database\n\n"
        frame = '  File "DIR/halting.py", line 1, in <module>\n'
        source, error = FILES["halting.py"], "RuntimeError: no database\n"
        text = f"Traceback (most recent call last):\n{frame}    {source}{error}"
        return replace(gunicorn, stderr=text)

    compare(*both(case), differs={"boot-errors": change})


@cases(serve("-k classes.nothing shop", "class uri 'classes.nothing' invalid or not found"))
def test_a_worker_class_that_is_none(case: Case, both: Both) -> None:
    gunicorn, cyserve = both(case)
    assert gunicorn.code == 255  # it calls what it did not find
    compare(gunicorn, cyserve, differs={"checked-early": one_line(case, cyserve)})


@cases(serve("-c pre_fork.conf.py shop"))
def test_a_hook_that_fails_in_the_loop(case: Case, both: Both) -> None:
    gunicorn, cyserve = both(case)
    compare(with_own_tracebacks(gunicorn), with_own_tracebacks(cyserve))


@cases(
    serve("--preload shop:missing", "Failed to find attribute 'missing' in 'shop'."),
    serve("--preload no_such_module", "No module named 'no_such_module'"),
    serve("-p no/such/m.pid shop", "no/such doesn't exist. Can't create pidfile."),
    serve("-p lib shop", "lib", "directory"),
    serve("-b unix:plain_file shop", "'plain_file' is not a socket"),
    serve("-b fd://99 shop", "Bad file descriptor"),
    serve("-b h:x shop", "'x' is not a valid port number."),
    serve("-e COLOR shop", "environment setting 'COLOR' invalid"),
    serve("-k no_such_worker shop", "no_such_worker"),
    serve("-k no.such.Class shop", "no.such.Class", "invalid or not found"),
    serve("-k egg:no_such#worker shop", "egg:no_such#worker", "invalid or not found"),
    serve("--logger-class no.such.Class shop", "no.such.Class", "invalid or not found"),
    serve("--log-config no.ini shop", "logconfig = 'no.ini'"),
    serve("--log-config empty.ini shop", "empty.ini"),
    serve("--log-config-json bad.json shop", "bad.json"),
    serve("-c dictconfig.conf.py shop", "handler"),
    serve("--log-syslog --log-syslog-facility x shop", "syslog_facility = 'x'", "auth"),
    serve("--log-syslog --log-syslog-to x://y shop", "syslog_addr = 'x://y'", "udp://"),
    serve("--error-logfile no/such/dir shop", "isn't writable", "no/such/dir"),
    serve("--access-logfile no/such/dir shop", "isn't writable", "no/such/dir"),
    serve("--certfile no.pem shop", "no.pem"),
    serve("--keyfile no.pem shop", "no.pem"),
)
def test_servers_that_cannot_start(case: Case, both: Both) -> None:
    """The log begins in the same way, then one line of cyserve's has the words of the case."""
    gunicorn, cyserve = both(case)
    assert gunicorn.code == cyserve.code == 1
    *log, last = cyserve.stderr.splitlines()
    assert [word for word in case.words if word not in last] == []
    assert last.startswith("Error: ")
    theirs = [line for line in gunicorn.stderr.splitlines() if line.startswith("[T]")]
    assert log in (theirs, [])  # without a log where the settings are to blame
    compare(gunicorn, cyserve, differs=["boot-errors"])
