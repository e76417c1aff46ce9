"""--reload: saved code is served soon, by new workers that the old ones wait for."""

from __future__ import annotations

import signal
import threading

import pytest
from harness import differs, put, wait_for
from http_client import request

ENGINES = ("poll", "inotify")

APP = """
import os, time
{before}
def app(environ, start_response):
    body = b"{answer}"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

UNTIL_GO = "while not os.path.exists('go'): time.sleep(0.01)"

HOOK = "def worker_int(worker): worker.log.info('hook worker_int %s', worker.pid)\n"


def save(server, answer="new", before="", name="changing.py"):
    put(server.directory / name, APP.format(answer=answer, before=before))


def replaced(server, change, *args, **options):
    """Calls `change`, which must lead to new workers; returns the answer of one of them."""
    old = server.worker_pids()
    change(*args, **options)
    server.wait_workers(len(old), but_not=old)
    return request(server.address)


def save_and_ask(server, *args, **options):
    return replaced(server, save, server, *args, **options).text


@pytest.fixture
def start_reloading(start_server):
    """Starts a server on an application that the test saves anew."""

    def start(*args, app="changing:app", answer="old", before="", files=None, **options):
        files = {"changing.py": APP.format(answer=answer, before=before), **(files or {})}
        return start_server(app, "--reload", *args, files=files, **options)

    return start


@pytest.mark.parametrize("engine", ENGINES)
def test_saved_code_is_served_by_new_workers(start_reloading, engine):
    server = start_reloading("--reload-engine", engine, workers=2, config=HOOK)
    server.wait_log(r"\[WARNING\] Reloader is on\. Use in development only!", count=2)
    for answer in ("one", "two"):
        old = server.worker_pids()
        mark = server.log_mark()
        assert save_and_ask(server, answer) == answer
        server.wait_log(rf"Worker reloading: {server.directory}/changing\.py modified", since=mark)
        hooks = server.wait_log(r"hook worker_int (\d+)", count=2, since=mark)
        assert sorted(map(int, hooks)) == sorted(old)
    server.stop()
    assert "Traceback" not in server.log_text()


@pytest.mark.parametrize("kind", ["gthread", "gevent", "tornado"])
def test_every_kind_of_worker(start_reloading, kind):
    server = start_reloading("-k", kind)
    assert save_and_ask(server) == "new"
    assert "ZeroDivisionError: division by zero" in save_and_ask(server, before="1/0")
    assert save_and_ask(server) == "new"


@differs("reloader-overlap")
def test_the_old_worker_serves_until_the_new_one_is_ready(start_reloading):
    server = start_reloading()
    old = server.worker_pids()
    save(server, before=UNTIL_GO)
    server.wait_log("Booting worker with pid", count=2)
    for _ in range(20):
        assert request(server.address).text == "old"
    assert server.worker_pids() == old
    (server.directory / "go").touch()
    server.wait_workers(1, but_not=old)
    assert request(server.address).text == "new"


@differs("reloader-overlap")
def test_no_request_is_lost(start_reloading):
    server = start_reloading(workers=3, answer="0")
    answers, failures, stop = [], [], threading.Event()

    def load():
        while not stop.is_set():
            try:
                answers.append(request(server.address).text)
            except Exception as exc:
                failures.append(exc)

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for answer in ("1", "2", "3"):
            assert save_and_ask(server, answer) == answer
            wait_for(lambda answer=answer: answers[-1] == answer, f"the answer {answer}")
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert failures == []
    assert set(answers) == {"0", "1", "2", "3"}


@differs("reloader-broken")
def test_a_broken_application_shows_why_until_it_is_repaired(start_reloading):
    server = start_reloading(files={"helper.py": "VALUE = 1\n"})
    for text, shown in [
        ("def broken(:\n", "SyntaxError: invalid syntax"),
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def load(): raise ValueError('caf\\xe9')\nload()\n", "ValueError: caf\xe9"),
    ]:
        page = replaced(server, put, server.directory / "changing.py", text)
        assert shown in page.body.decode()
        assert (page.status, page.header("Content-Type")) == (500, "text/plain; charset=utf-8")
        assert f'File "{server.directory}/changing.py", line 1' in page.text
        assert "cyserve" not in page.text.replace(str(server.directory), "")
        assert save_and_ask(server, answer="good") == "good"

    # the broken file may be another one than the one that was saved
    put(server.directory / "helper.py", "def broken(:\n")
    assert "SyntaxError" in save_and_ask(server, before="import helper")
    page = replaced(server, put, server.directory / "helper.py", "VALUE = 2\n")
    assert page.text == "new"


def test_a_server_may_start_broken(start_server):
    server = start_server("changing:app", "--reload", files={"changing.py": "def broken(:\n"})
    assert request(server.address).status == 500
    server.wait_log(r"\[ERROR\] The application does not load: invalid syntax")
    assert save_and_ask(server) == "new"


@pytest.mark.parametrize(("app", "code"), [("no_such:app", 3), ("changing:no_such", 4)])
def test_the_name_of_no_application_ends_the_start(start_reloading, app, code):
    server = start_reloading(app=app, wait=False)
    assert server.wait_exit() == code
    assert "no_such" in server.log_text()


@differs("reloader-broken")
def test_a_name_that_is_gone_keeps_the_old_workers(start_reloading):
    server = start_reloading()
    put(server.directory / "changing.py", "other = 1\n")
    server.wait_log("Reload failed, the old workers stay: a new worker did not boot")
    assert request(server.address).text == "old"
    assert save_and_ask(server) == "new"


@differs("reloader-broken")
def test_a_boot_that_dies_is_tried_again_after_the_next_save(start_reloading):
    server = start_reloading(workers=2)
    save(server, before="os._exit(7)")
    server.wait_log("Reload failed, the old workers stay: a new worker did not boot")
    assert request(server.address).text == "old"
    server.wait_workers(2)
    assert save_and_ask(server) == "new"


def test_a_boot_that_hangs_is_given_up_after_the_next_save(start_reloading):
    server = start_reloading("--graceful-timeout", "1")
    save(server, answer="hung", before="print('hangs', flush=True)\nwhile True: time.sleep(0.01)")
    server.wait_log("^hangs")
    assert request(server.address).text == "old"
    assert save_and_ask(server) == "new"


@differs("reloader-first-edit")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_save_during_the_boot_is_noticed(start_reloading, engine):
    before = f"print('imported', flush=True)\n{UNTIL_GO}"
    server = start_reloading("--reload-engine", engine, before=before, wait=False)
    server.wait_log("^imported")
    save(server)
    (server.directory / "go").touch()
    server.wait_log(r"Reloaded: 1 new workers are ready\.")
    server.wait_ready()
    assert request(server.address).text == "new"


LATE = """
import os
def app(environ, start_response):
    try:
        import late
        body = late.ANSWER
    except SyntaxError:
        body = b"broken"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@differs("reloader-first-edit")
@pytest.mark.parametrize("engine", ENGINES)
def test_code_that_is_imported_late_is_watched_at_once(start_server, engine):
    files = {"lazy.py": LATE, "late.py": "ANSWER = b'late 1'"}
    server = start_server("lazy:app", "--reload", "--reload-engine", engine, files=files)
    assert request(server.address).text == "late 1"
    late = server.directory / "late.py"
    answers = [
        replaced(server, put, late, "ANSWER = b'late 2'").text,  # the same size and second
        replaced(server, put, late, "def broken(:").text,
        replaced(server, put, late, "ANSWER = b'late 3'").text,  # it was no module any more
    ]
    assert answers == ["late 2", "broken", "late 3"]


@pytest.mark.parametrize("engine", ENGINES)
def test_extra_files_and_patterns(start_reloading, engine):
    server = start_reloading(
        "--reload-engine", engine,
        "--reload-extra-file", "deploy.yml", "--reload-extra-file", "texts/**/*.txt",
        files={"deploy.yml": "1", "texts/a.txt": "1", "texts/deep/b.txt": "1", "texts/c.md": "1"},
    )  # fmt: skip
    for name in ("deploy.yml", "texts/a.txt", "texts/deep/b.txt", "texts/deep/new.txt"):
        mark = server.log_mark()
        put(server.directory / "texts/c.md", name)  # not asked for
        replaced(server, put, server.directory / name, "more")
        reports = server.wait_log(r"Worker reloading: (\S+) modified", since=mark)
        assert reports == [str(server.directory / name)]


@differs("reloader-config")
def test_the_config_file_is_read_again(start_reloading):
    text = APP.format(answer="", before="answer = os.environ['ANSWER'].encode()")
    server = start_reloading(
        app="env:app",
        files={"env.py": text.replace('b""', "answer")},
        config="raw_env = ['ANSWER=one']",
    )
    assert request(server.address).text == "one"
    assert replaced(server, server.write_config, "raw_env = ['ANSWER=two']").text == "two"
    server.write_config("workers = 'many'")
    server.wait_log("Reload failed, the old workers stay: .*workers = 'many'")
    assert request(server.address).text == "two"
    assert replaced(server, server.write_config, "raw_env = ['ANSWER=three']").text == "three"


def test_what_the_config_file_imports_cannot_be_replaced(start_reloading):
    server = start_reloading(files={"common.py": "VALUE = 1\n"}, config="import common")
    put(server.directory / "common.py", "VALUE = 22\n")
    server.wait_log(r"\[WARNING\] \S+/common\.py was imported by the master")
    server.wait_log(r"Reloaded: 1 new workers are ready\.")


@differs("reloader-preload")
def test_preload_is_left_out(start_reloading):
    server = start_reloading("--preload")
    server.wait_log(r"\[WARNING\] preload_app is left out: reload needs workers that load the code")
    assert save_and_ask(server) == "new"


def test_hup_works_as_ever(start_reloading):
    server = start_reloading(config=HOOK)
    replaced(server, server.signal, signal.SIGHUP)
    (new,) = server.worker_pids()
    assert save_and_ask(server) == "new"
    assert server.wait_log(r"hook worker_int (\d+)") == [str(new)]


ENGINE = """
import time
from gunicorn.reloader import ReloaderBase, reloader_engines
class Watchman(ReloaderBase):
    def run(self):
        while True:
            time.sleep(0.01)
            self.report()
reloader_engines["watchman"] = Watchman
reload_engine = "watchman"
def post_worker_init(worker):
    worker.log.info("watched by a %s", type(worker.reloader).__name__)
"""


def test_an_engine_of_ones_own(start_reloading):
    server = start_reloading(config=ENGINE)
    server.wait_log("watched by a Watchman")
    assert save_and_ask(server) == "new"


def test_without_the_package_inotify(start_reloading):
    files = {"inotify/__init__.py": "raise ImportError('not here')"}
    server = start_reloading("--reload-engine", "inotify", files=files, wait=False)
    assert server.wait_exit() == 1
    said = server.log_text()
    assert "reload_engine = 'inotify': the package inotify is not there (not here)" in said
    assert "pip install 'cyserve[inotify]'" in said
    assert "Traceback" not in said
    server = start_reloading(files=files)  # auto
    assert save_and_ask(server) == "new"
