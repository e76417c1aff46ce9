"""How an application is found and loaded, and loaded anew: the same by both programs."""

from __future__ import annotations

import re

import pytest
from differences import compare
from harness import put
from http_client import request

PROBE = """
import os, sys
def describe(where):
    def app(environ, start_response):
        base = os.environ["BASE"]
        path = [os.path.relpath(p, base) for p in sys.path if p.startswith(base)]
        names = {name: os.environ.get(name) for name in ("COLOR", "SIZE")}
        body = repr((os.path.relpath(os.getcwd(), base), path, names, where)).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    return app
def factory(*args, **kwargs):
    return describe((args, kwargs))
application = describe(__file__.removeprefix(os.environ["BASE"]))
def make(global_conf, **local_conf):
    kept = {name: value for name, value in global_conf.items() if name == "color"}
    return describe((kept, local_conf))
"""

INI = """
[DEFAULT]
color = none
[app:main]
paste.app_factory = probe:make
size = 1
[app:other]
paste.app_factory = probe:make
size = 2
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = own
[logger_root]
handlers = console
level = INFO
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = own
[formatter_own]
format = from the ini: %(message)s
"""

FILES = {"probe.py": PROBE, "site/probe.py": PROBE, "lib/shelf.py": PROBE, "shop.ini": INI}


@pytest.mark.parametrize(
    ("app", "args", "config"),
    [
        ("probe", (), ""),
        ("probe:factory('a', [1, {'b': None}], size=-2)", (), ""),
        (None, (), "wsgi_app = 'probe'\nchdir = 'site'\nraw_env = ['COLOR=red', 'SIZE=x=y']"),
        ("shelf", ("--pythonpath", "../lib,nowhere", "--chdir", "site", "-e", "SIZE="), ""),
        (None, ("--paste", "shop.ini"), ""),
        (None, ("--paste", "shop.ini#other", "--paste-global", r"color=a\=b"), ""),
        (None, ("--paster", "shop.ini", "--chdir", "site"), "pythonpath = '../lib'"),
        ("no:such", ("--paste", "shop.ini"), "wsgi_app = 'no.such.either'"),
    ],
)
def test_what_is_loaded_and_where(start_both, tmp_path, app, args, config):
    pair = start_both(
        app, *args, config=f"import os\nos.environ['BASE'] = os.getcwd()\n{config}", files=FILES
    )
    answers = [request(server.address) for server in (pair.gunicorn, pair.cyserve)]
    assert [answer.status for answer in answers] == [200, 200]
    compare(gunicorn=answers[0].text, cyserve=answers[1].text)
    from_ini = "^from the ini: Booting worker"
    compare(
        *(bool(re.findall(from_ini, server.log_text(), re.M)) for server in vars(pair).values())
    )


CHANGING = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ANSWER"]
"""

HOOKS = """
def note(name):
    return lambda *args: args[-1].log.info("hook %s", name)
pre_fork = lambda server, worker: note("pre_fork")(worker)
post_fork = lambda server, worker: note("post_fork")(worker)
post_worker_init = lambda worker: note("post_worker_init")(worker)
worker_int = lambda worker: note("worker_int")(worker)
worker_exit = lambda server, worker: note("worker_exit")(worker)
child_exit = lambda server, worker: note("child_exit")(worker)
"""


def old_and_new(server, since):
    """The lines after a save: those of the old worker, of the new one, and of the master."""
    server.wait_log("hook child_exit", since=since)
    lines = re.findall(r"\[(\d+)\] \[(\w+)\] (.+)", server.log_text(since))
    old = lines[0][0]
    by_whom = {"old": [], "new": [], "master": []}
    for pid, level, text in lines:
        if int(pid) == server.pid:
            who = "master"
        else:
            who = "old" if pid == old else "new"
        text = re.sub(r"\b\d+\b", "N", text)
        text = re.sub(r"\S+(?=/changing\.py)", "DIR", text)
        by_whom[who].append((level, text))
    return by_whom


def test_a_saved_file(start_both):
    def overlap(gunicorn):
        """The same lines, and one of the master's that says when the old workers may leave.

        gunicorn's thread that watches calls worker_int while the main thread ends the process,
        which at times is quicker.
        """
        reloaded = ("INFO", "Reloaded: N new workers are ready.")
        master = sorted([*gunicorn["master"], reloaded])
        noted = ("INFO", "hook worker_int")
        reloading, *leaving = [line for line in gunicorn["old"] if line != noted]
        return {**gunicorn, "master": master, "old": [reloading, noted, *leaving]}

    pair = start_both(
        "changing:app", "--reload", "--reload-engine", "poll", "-w", "1",
        files={"changing.py": CHANGING.replace("ANSWER", "old")}, config=HOOKS,
    )  # fmt: skip
    found = []
    for server in (pair.gunicorn, pair.cyserve):
        old = server.worker_pids()
        assert request(server.address).text == "old"
        mark = server.log_mark()
        put(server.directory / "changing.py", CHANGING.replace("ANSWER", "brand new"))
        server.wait_workers(1, but_not=old)
        lines = old_and_new(server, mark)
        found.append({**lines, "master": sorted(lines["master"])})
    compare(gunicorn=found[0], cyserve=found[1], differs={"reloader-overlap": overlap})


def test_a_syntax_error(start_both):
    pair = start_both("broken:app", "--reload", files={"broken.py": "def broken(:\n"})
    pages = [request(server.address) for server in (pair.gunicorn, pair.cyserve)]
    for page in pages:
        assert page.status == 500
        assert page.header("Content-Type").startswith("text/plain")
        assert page.text.endswith("SyntaxError: invalid syntax\n")


def test_another_error(start_server, oracle):
    files = {"broken.py": "import no_such_module"}
    server = start_server("broken:app", "--reload", program=oracle, files=files, wait=False)
    compare(
        gunicorn=server.wait_exit(),
        cyserve=request(start_server("broken:app", "--reload", files=files).address).status,
        differs={"reloader-broken": lambda code: 500},
    )
