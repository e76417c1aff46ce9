"""Who is measured: each server is one declared entry. To add a rival, add an entry.

In `command` these words are replaced: {python} the interpreter of the entry's environment, {bin}
where it lies, {module} and {app} the application, {port}, {workers}, {log} the file for the access
log, {tmp} the run's temporary directory, {tls} what a case over TLS adds inside. Nothing here may
import a server: they live in other environments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.load.cases import PLAIN, Case


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
        quiet: arguments added when it does not.
        tls_options: arguments added when a case asks for TLS.
        tls_inside: what {tls} stands for then.
        closing: arguments added when each request is to have a connection of its own.
        keeping: arguments added when not.
        environ: environment variables added.
        fixed_answer: answers hello whatever is asked, so it runs only the bodiless hello cases.
        tls: it speaks TLS whatever the case asks for.
        one_at_a_time: it serves one connection at a time, so that what its clients wait for is the
            others; its latencies are not compared with those of the other servers.
        workers: whether {workers} in `command` has a meaning.
    """

    name: str
    venv: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    access_log: tuple[str, ...] | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    quiet: tuple[str, ...] = ()
    tls_options: tuple[str, ...] = ()
    tls_inside: str = ""
    closing: tuple[str, ...] = ()
    keeping: tuple[str, ...] = ()
    fixed_answer: bool = False
    tls: bool = False
    one_at_a_time: bool = False

    @property
    def workers(self) -> bool:
        return any("{workers}" in word for word in self.command)

    def can_run(self, case: Case) -> bool:
        """Whether the case makes sense for this server."""
        if case.access_log and self.access_log is None:
            return False
        if case.tls and not (self.tls_options or self.tls_inside):
            return False
        if case.workers > 1 and not self.workers:
            return False
        plain = (case.module, case.app, case.body, case.pipeline) == (PLAIN, "hello", 0, 1)
        return plain or not self.fixed_answer

    def with_options(self, *options: str) -> "Server":
        """The same server with options behind its command line (gunicorn's and ours take them)."""
        return replace(self, command=(*self.command, *options))

    def command_line(self, case: Case, values: Mapping[str, str]) -> list[str]:
        """The command for a case, with every {word} of `values` filled in."""
        command = [*self.command, *(self.closing if case.closes else self.keeping)]
        command += self.tls_options if case.tls else ()
        command += (self.access_log or ()) if case.access_log else self.quiet
        words = {**values, "module": case.module, "app": case.app}
        inside = _fill(self.tls_inside, words) if case.tls else ""
        return [_fill(word, {**words, "tls": inside}) for word in command]


def _fill(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace("{" + name + "}", value)
    return word


def _gunicorn(kind: str, *options: str, more: tuple[str, ...] = ()) -> list[Server]:
    """gunicorn with a kind of worker: with its parser in C, and with the one in Python."""
    return [
        Server(
            f"gunicorn-{kind}{suffix}",
            "gunicorn",
            ("{python}", "-m", "gunicorn", *_COMMON, *options, "--http-parser", parser, _APP),
            needs=("gunicorn==27.0.1", "gunicorn_h1c", *more),
            access_log=_ACCESS_LOG,
            tls_options=_CERTIFICATE,
        )
        for suffix, parser in (("", "fast"), ("-py", "python"))
    ]


def _cyserve(kind: str, *options: str) -> list[Server]:
    """cyserve with a kind of worker: compiled, and with its pure-Python twin."""
    return [
        Server(
            f"cyserve-{kind}{suffix}",
            "cyserve",
            ("{python}", "-m", "cyserve", *_COMMON, *options, _APP),
            access_log=_ACCESS_LOG,
            environ={switch: "1"},
            tls_options=_CERTIFICATE,
        )
        for suffix, switch in (
            ("", "CYSERVE_REQUIRE_EXTENSIONS"),
            ("-pure", "CYSERVE_NO_EXTENSIONS"),
        )
    ]


def _without_log(server: Server) -> Server:
    """The same server without an access log even where the case asks for one: what the log costs
    is seen within one round."""
    return replace(server, name=f"{server.name}-nolog", access_log=())


def _embedded(name: str, call: str, **more: Any) -> Server:
    """A server without a command line of its own: `call` is the Python that runs it."""
    command = ("{python}", "-c", f"import {name}, {{module}}; {call}")
    return Server(name, "rivals", command, needs=more.pop("needs", (name,)), **more)


def _rival(name: str, command: str, **more: Any) -> Server:
    return Server(
        name, "rivals", tuple(command.split()), needs=(more.pop("package", name),), **more
    )


_APP = "{module}:{app}"
_COMMON = ("--bind", "127.0.0.1:{port}", "--workers", "{workers}", "--log-level", "warning")
_ACCESS_LOG = ("--access-logfile", "{log}")
_CERTIFICATE = ("--certfile", "{tmp}/cert.pem", "--keyfile", "{tmp}/key.pem")
# OpenSSL's own server: one connection at a time, sends the file that is asked for and closes.
_S_SERVER = tuple(
    "openssl s_server -accept 127.0.0.1:{port} -cert {tmp}/cert.pem -key {tmp}/key.pem -tls1_3 "
    "-WWW -quiet".split()
)

_WORKERS = {
    "sync": ("-k", "sync"),
    "gthread": ("-k", "gthread"),
    "gthread-4": ("-k", "gthread", "--threads", "4"),
    "gevent": ("-k", "gevent"),
    "tornado": ("-k", "tornado"),
}
# gunicorn's gevent worker imports packaging, which nothing requires.
_MORE = {"gevent": ("gevent", "packaging"), "tornado": ("tornado",)}

_OURS = [server for kind, options in _WORKERS.items() for server in _cyserve(kind, *options)]
_OURS += [_without_log(server) for server in _OURS if server.name == "cyserve-gthread"]
_THEIRS = [
    server
    for kind, options in _WORKERS.items()
    for server in _gunicorn(kind, *options, more=_MORE.get(kind, ()))
]
_OTHERS = [
    _embedded(
        "bjoern",
        "bjoern.run({module}.{app}, '127.0.0.1', {port})",
        packages=("gcc", "python3-dev", "libev-dev"),
    ),
    # Its module asks pkg_resources for its own version, which newer setuptools do not have.
    _embedded(
        "fastwsgi",
        "fastwsgi.run({module}.{app}, '127.0.0.1', {port}, loglevel=0, workers={workers})",
        needs=("fastwsgi", "setuptools<81"),
        packages=("gcc", "python3-dev"),
    ),
    _embedded(
        "fastpysgi",
        "fastpysgi.run({module}.{app}, host='127.0.0.1', port={port}, workers={workers})",
    ),
    _embedded(
        "freastal",
        "freastal.serve({module}.{app}, host='127.0.0.1', port={port}, workers={workers}{tls})",
        tls_inside=", certfile='{tmp}/cert.pem', keyfile='{tmp}/key.pem'",
    ),
    _rival(
        "granian",
        "{python} -m granian --interface wsgi --host 127.0.0.1 --port {port} "
        "--workers {workers} --blocking-threads 1 {module}:{app}",
        quiet=("--log-level", "warning"),
        access_log=("--access-log",),  # to stdout, which is a file here
        tls_options=("--ssl-certificate", "{tmp}/cert.pem", "--ssl-keyfile", "{tmp}/key.pem"),
    ),
    _rival(
        "uwsgi",
        "{bin}/uwsgi --module {module}:{app} --master --processes {workers} --need-app",
        package="uWSGI",
        packages=("gcc", "python3-dev"),
        quiet=("--disable-logging",),
        access_log=("--logto", "{log}"),
        one_at_a_time=True,
        keeping=("--http11-socket", "127.0.0.1:{port}"),  # even when it is asked to close
        closing=("--http-socket", "127.0.0.1:{port}", "--add-header", "Connection: close"),
    ),
    _rival("waitress", "{python} -m waitress --listen=127.0.0.1:{port} --threads=1 {module}:{app}"),
    _rival("cheroot", "{python} -m cheroot --bind 127.0.0.1:{port} --threads 1 {module}:{app}"),
    Server("limit", "", ("{tmp}/limit", "{port}"), packages=("gcc",), fixed_answer=True),
    Server("openssl", "", _S_SERVER, packages=("openssl",), fixed_answer=True, tls=True),
]

SERVERS = {server.name: server for server in (*_OURS, *_THEIRS, *_OTHERS)}
