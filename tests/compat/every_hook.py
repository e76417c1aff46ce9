"""A config file with every hook, for test_hooks: each writes down a line when it is called.

A line says who was called (process, its parent when the file was read), what hook, with what
arguments, and what this process had logged last: that is the moment. Lines go to `hooks` beside
this file, the log is expected in `err.log`.
"""

import os
import re

_HERE = os.path.dirname(os.path.abspath(__file__))
_MASTER = os.getpid()
_ENTRY = re.compile(r"\[(\d+)\] \[[A-Z]+\] (.*)")


def _last_logged():
    last = ""
    path = os.path.join(_HERE, "err.log")
    if os.path.exists(path):
        with open(path) as file:
            for line in file:
                entry = _ENTRY.search(line)
                if entry and int(entry[1]) == os.getpid() and "sent SIGTERM!" not in entry[2]:
                    last = entry[2]  # (whether a worker dies of a second TERM is chance)
    return last


def _who(pid):
    return {None: None, os.getpid(): "own", os.getppid(): "parent"}.get(pid, "other")


def _server(one):
    return {
        "server": type(one).__name__,
        "pid": _who(getattr(one, "pid", None)),  # none before the start
        "num_workers": one.num_workers,
        "WORKERS": len(one.WORKERS),
        "LISTENERS": len(one.LISTENERS),
        "pidfile": getattr(one, "pidfile", None) is not None,
        "proc_name": getattr(one, "proc_name", None),
        "reexec_pid": getattr(one, "reexec_pid", 0) > 0,
        "log": hasattr(one.log, "info"),
        "bind": len(one.cfg.bind),
        "app": hasattr(one.app, "wsgi"),
    }


def _worker(one):
    return {
        "worker": type(one).__name__,
        "pid": one.pid if isinstance(one.pid, str) else _who(one.pid),
        "ppid": _who(one.ppid),
        "age": one.age,
        "booted": one.booted,
        "alive": one.alive,
        "aborted": one.aborted,
        "nr": one.nr,
        "wsgi": getattr(one, "wsgi", None) is not None,
        "sockets": len(one.sockets),
        "timeout": one.timeout,
    }


def _request(one):
    return {
        "request": type(one).__name__,
        "line": (one.method, one.uri, one.path, one.query, one.fragment, one.version),
        "headers": one.headers,
        "body": type(one.body).__name__,
    }


def _response(one):
    return {
        "response": type(one).__name__,
        "status": (one.status, getattr(one, "status_code", None)),
        "headers": one.headers,
        "headers_sent": one.headers_sent,
        "sent": one.sent,
    }


def _told(one):
    if hasattr(one, "WORKERS"):
        return _server(one)
    if hasattr(one, "booted"):
        return _worker(one)
    if hasattr(one, "start_response"):
        return _response(one)
    if hasattr(one, "method"):
        return _request(one)
    if isinstance(one, dict):
        return {"environ": (one.get("REQUEST_METHOD"), one.get("RAW_URI"))}
    return one


def _note(hook, *arguments):
    if os.getpid() == _MASTER:
        where = "master"
    else:
        where = "child of the master" if os.getppid() == _MASTER else "elsewhere"
    line = f"{os.getpid()}|{where}: {hook}({[*map(_told, arguments)]}) after {_last_logged()}\n"
    with open(os.path.join(_HERE, "hooks"), "a") as file:
        file.write(line)


def on_starting(server):
    _note("on_starting", server)


def on_reload(server):
    _note("on_reload", server)


def when_ready(server):
    _note("when_ready", server)


def pre_fork(server, worker):
    _note("pre_fork", server, worker)


def post_fork(server, worker):
    _note("post_fork", server, worker)


def post_worker_init(worker):
    _note("post_worker_init", worker)


def worker_int(worker):
    _note("worker_int", worker)


def worker_abort(worker):
    _note("worker_abort", worker)


def pre_exec(server):
    _note("pre_exec", server)


def pre_request(worker, req):
    _note("pre_request", worker, req)


def post_request(worker, req, environ, resp):
    _note("post_request", worker, req, environ, resp)


def child_exit(server, worker):
    _note("child_exit", server, worker)


def worker_exit(server, worker):
    _note("worker_exit", server, worker)


def nworkers_changed(server, new_value, old_value):
    _note("nworkers_changed", server, new_value, old_value)


def on_exit(server):
    _note("on_exit", server)
