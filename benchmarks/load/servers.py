"""Who is measured: each server is one declared entry. To add a rival, add an entry.

In `command` these words are replaced: {python} the interpreter of the entry's environment, {bin}
where it lies, {app} the application's name in `load_apps`, {port}, {workers}, {log} the file for
the access log, {tmp} the run's temporary directory. Nothing here may import a server: they live in
other environments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from benchmarks.load.cases import Case


@dataclass(frozen=True)
class Server:
    """One way to start one server.

    Args (all but the first three optional):
        name: as given to `--servers`.
        venv: which environment runs it; entries that share the name share the environment.
        command: the command line, see above. It must stay in the foreground.
        needs: what pip has to install into that environment, as requirements.
        packages: Debian packages that building `needs` takes.
        access_log: arguments added when a case asks for an access log; None: it has none.
        environ: environment variables added.
        fixed_answer: answers hello whatever is asked, so it runs only the bodiless hello cases.
        tls: it speaks TLS.
        workers: whether {workers} in `command` has a meaning.
    """

    name: str
    venv: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    access_log: tuple[str, ...] | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    fixed_answer: bool = False
    tls: bool = False

    @property
    def workers(self) -> bool:
        return "{workers}" in self.command

    def can_run(self, case: Case) -> bool:
        """Whether the case makes sense for this server."""
        if case.access_log and self.access_log is None:
            return False
        return not self.fixed_answer or (case.app == "hello" and not case.body)

    def with_options(self, *options: str) -> "Server":
        """The same server with options behind its command line (gunicorn's and ours take them)."""
        return replace(self, command=(*self.command, *options))

    def command_line(self, case: Case, values: Mapping[str, str]) -> list[str]:
        """The command for a case, with every {word} of `values` filled in."""
        command = [*self.command, *(self.access_log or () if case.access_log else ())]
        return [_fill(word, {**values, "app": case.app}) for word in command]


def _fill(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace("{" + name + "}", value)
    return word


def _gunicorn(name: str, *options: str, more: tuple[str, ...] = ()) -> Server:
    return Server(
        name,
        "gunicorn",
        ("{python}", "-m", "gunicorn", *_COMMON, *options, "load_apps:{app}"),
        needs=("gunicorn==27.0.1", "gunicorn_h1c", *more),
        access_log=_ACCESS_LOG,
    )


def _cyserve(name: str, *options: str, **environ: str) -> Server:
    return Server(
        name,
        "cyserve",
        ("{python}", "-m", "cyserve", *_COMMON, *options, "load_apps:{app}"),
        access_log=_ACCESS_LOG,
        environ=environ,
    )


def _embedded(name: str, call: str, packages: tuple[str, ...] = ()) -> Server:
    """A server without a command line of its own: `call` is the Python that runs it."""
    command = ("{python}", "-c", f"import {name}, load_apps; {call}")
    return Server(name, "rivals", command, needs=(name,), packages=packages)


def _rival(name: str, command: str, *, package: str = "", packages: tuple[str, ...] = ()) -> Server:
    return Server(
        name, "rivals", tuple(command.split()), needs=(package or name,), packages=packages
    )


_COMMON = ("--bind", "127.0.0.1:{port}", "--workers", "{workers}", "--log-level", "warning")
_ACCESS_LOG = ("--access-logfile", "{log}")
# OpenSSL's own server: one connection at a time, sends the file that is asked for and closes.
_S_SERVER = tuple(
    "openssl s_server -accept 127.0.0.1:{port} -cert {tmp}/cert.pem -key {tmp}/key.pem -tls1_3 "
    "-WWW -quiet".split()
)

SERVERS = {
    server.name: server
    for server in (
        _cyserve("cyserve-sync", "-k", "sync", CYSERVE_REQUIRE_EXTENSIONS="1"),
        _cyserve("cyserve-sync-pure", "-k", "sync", CYSERVE_NO_EXTENSIONS="1"),
        _cyserve("cyserve-gthread", "-k", "gthread", CYSERVE_REQUIRE_EXTENSIONS="1"),
        _cyserve(
            "cyserve-gthread-4", "-k", "gthread", "--threads", "4", CYSERVE_REQUIRE_EXTENSIONS="1"
        ),
        _cyserve("cyserve-gevent", "-k", "gevent", CYSERVE_REQUIRE_EXTENSIONS="1"),
        _gunicorn("gunicorn-sync", "-k", "sync", "--http-parser", "fast"),
        _gunicorn("gunicorn-sync-py", "-k", "sync", "--http-parser", "python"),
        _gunicorn("gunicorn-gthread", "-k", "gthread", "--http-parser", "fast"),
        _gunicorn("gunicorn-gthread-py", "-k", "gthread", "--http-parser", "python"),
        _gunicorn("gunicorn-gthread-4", "-k", "gthread", "--threads", "4", "--http-parser", "fast"),
        # gunicorn's gevent worker imports packaging, which nothing requires.
        _gunicorn(
            "gunicorn-gevent", "-k", "gevent", "--http-parser", "fast", more=("gevent", "packaging")
        ),
        _embedded(
            "bjoern",
            "bjoern.run(load_apps.{app}, '127.0.0.1', {port})",
            packages=("gcc", "libev-dev"),
        ),
        _embedded("fastwsgi", "fastwsgi.run(load_apps.{app}, '127.0.0.1', {port}, loglevel=0)"),
        _embedded("fastpysgi", "fastpysgi.run(load_apps.{app}, host='127.0.0.1', port={port})"),
        _embedded(
            "freastal", "freastal.serve(load_apps.{app}, host='127.0.0.1', port={port}, workers=1)"
        ),
        _rival(
            "granian",
            "{python} -m granian --interface wsgi --host 127.0.0.1 --port {port} "
            "--workers {workers} --blocking-threads 1 --log-level warning load_apps:{app}",
        ),
        _rival(
            "uwsgi",
            "{bin}/uwsgi --http11-socket 127.0.0.1:{port} --module load_apps:{app} --master "
            "--processes {workers} --disable-logging --need-app",
            packages=("gcc",),
        ),
        _rival(
            "waitress", "{python} -m waitress --listen=127.0.0.1:{port} --threads=1 load_apps:{app}"
        ),
        _rival(
            "cheroot", "{python} -m cheroot --bind 127.0.0.1:{port} --threads 1 load_apps:{app}"
        ),
        Server("limit", "", ("{tmp}/limit", "{port}"), packages=("gcc",), fixed_answer=True),
        Server("openssl", "", _S_SERVER, packages=("openssl",), fixed_answer=True, tls=True),
    )
}
