"""What an application finds around it in a worker: environment, signals, loggers, children."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from differences import compare
from harness import Server

import cyserve

APP = """
import json, logging, os, resource, signal, subprocess, sys, threading

CHILD = '''
import signal
print({s.name: str(signal.getsignal(s)) for s in signal.Signals}, signal.pthread_sigmask(0, []))
'''

def logger(name):
    found = logging.getLogger(name)
    shown = [
        (type(h).__name__, h.level, h.formatter and (h.formatter._fmt, h.formatter.datefmt))
        for h in found.handlers
    ]
    return [found.level, found.propagate, shown]

def look():
    umask = os.umask(0)
    os.umask(umask)
    return {
        "env": dict(os.environ),
        "argv": sys.argv[1:],
        "cwd": os.getcwd(),
        "first path": sys.path[0] == os.getcwd() or os.getcwd() in sys.path[:2],
        "umask": umask,
        "signals": {s.name: signal.getsignal(s) is not signal.SIG_DFL for s in signal.Signals},
        "mask": list(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "group of the master": os.getpgrp() == os.getppid(),
        "session of the master": os.getsid(0) == os.getppid(),
        "config module": "__config__" in sys.modules,
        "loggers": {name: logger(name) for name in ("gunicorn.error", "gunicorn.access", None)},
        "inherited by children": [
            fd for fd in map(int, os.listdir("/proc/self/fd"))
            if fd > 2 and os.path.exists(f"/proc/self/fd/{fd}") and os.get_inheritable(fd)
        ],
        "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
        "child": subprocess.run(
            [sys.executable, "-c", CHILD], capture_output=True, text=True, check=True
        ).stdout,
    }

AT_IMPORT = look()

def application(environ, start_response):
    body = json.dumps([AT_IMPORT, look()]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def surroundings(server: Server) -> list[Any]:
    """At import and in a request, without what the tests set for one program alone."""
    text = server.request("/").text.replace(str(server.directory), "DIR")
    found: list[Any] = json.loads(text)
    port = str(server.addresses[0][1])
    for one in found:
        one["argv"] = [word.replace(port, "PORT") for word in one["argv"]]
        for name in [n for n in one["env"] if n.startswith(("CYSERVE_", "PYTHON", "PYTEST"))]:
            del one["env"][name]
    return found


def changed(part: str, **values: object) -> Callable[[list[Any]], list[Any]]:
    """Other values in one part, at both times."""
    return lambda found: [one | {part: one[part] | values} for one in found]


@pytest.mark.parametrize(
    "arguments",
    [["-e", "COLOR=red", "--access-logfile", "-"], ["--threads", "2"], ["-k", "gevent"]],
    ids=["sync", "gthread", "gevent"],
)
def test_surroundings(start_both: Callable[..., Any], arguments: list[str]) -> None:
    both = start_both("around", *arguments, files={"around.py": APP})
    compare(
        surroundings(both.gunicorn),
        surroundings(both.cyserve),
        differs={
            "own-name": changed("env", SERVER_SOFTWARE=cyserve.SERVER_SOFTWARE),
            "worker-signals": changed("signals", SIGHUP=True, SIGUSR2=True),
        },
    )
