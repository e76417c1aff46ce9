"""HUP is all or nothing: new workers serve before the old ones leave, or the old ones stay."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from harness import differs, free_port, is_oracle, wait_for
from http_client import request

APP = """
import os, time
{before}
def app(environ, start_response):
    body = b"{answer}"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def write_app(server, answer="new", before=""):
    (server.directory / "changing.py").write_text(APP.format(answer=answer, before=before))
    for cache in server.directory.glob("__pycache__/changing*"):
        cache.unlink(missing_ok=True)


@pytest.fixture
def start_changing(start_server):
    """Starts a server on an application that the test rewrites."""

    def start(*args, **options):
        text = APP.format(answer="old", before="")
        options.setdefault("workers", 2)
        return start_server("changing:app", *args, files={"changing.py": text}, **options)

    return start


def assert_old_generation_serves(server, pids, log="Reload failed, the old workers stay: "):
    server.wait_log(log)
    server.wait_workers(len(pids))
    assert server.worker_pids() == pids
    assert request(server.address).text == "old"


def test_new_code_is_served(start_changing):
    server = start_changing()
    old = server.worker_pids()
    write_app(server)
    server.signal(signal.SIGHUP)
    server.wait_workers(2, but_not=old)
    server.wait_log(r"Reloaded: 2 new workers are ready\.")
    assert request(server.address).text == "new"


@differs("reload-overlap")
def test_old_workers_serve_until_the_new_ones_are_ready(start_changing):
    server = start_changing()
    old = server.worker_pids()
    write_app(server, before="while not os.path.exists('go'): time.sleep(0.01)")
    server.signal(signal.SIGHUP)
    server.wait_log("Booting worker with pid", count=4)
    for _ in range(20):
        assert request(server.address).text == "old"
    assert server.worker_pids() == old
    (server.directory / "go").touch()
    server.wait_workers(2, but_not=old)
    assert request(server.address).text == "new"


@differs("reload-broken")
@pytest.mark.parametrize(
    "before",
    [
        "raise ValueError('no')",
        "import no_such_module",
        "def broken(:",
        "raise SystemExit(0)",
        "raise SystemExit(3)",
        "os._exit(4)",
        "os.kill(os.getpid(), 11)",
    ],
)
def test_an_application_that_does_not_load(start_changing, before):
    server = start_changing()
    old = server.worker_pids()
    write_app(server, before=before)
    server.signal(signal.SIGHUP)
    assert_old_generation_serves(
        server, old, "Reload failed, the old workers stay: a new worker did not boot"
    )
    write_app(server)
    server.signal(signal.SIGHUP)  # the repaired one is taken
    server.wait_workers(2, but_not=old)
    assert request(server.address).text == "new"


@differs("reload-broken")
@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("workers = 'many'", "workers"),
        ("1/0", "Failed to read config file"),
        ("bind = ['nonsense:port']", "port"),
        ("worker_class = 'no.such.Class'", "no.such"),
        ("protocol = 'uwsgi'", "protocol = 'uwsgi': this version of cyserve does not have"),
        ("import sys; sys.exit(3)", "exit"),
        ("def on_reload(server): 1/0", "division by zero"),
        ("def pre_fork(server, worker): 1/0", "division by zero"),
        ("def nworkers_changed(server, new, old): 1/0", "division by zero"),
        ("errorlog = '/no/such/folder/error.log'", "/no/such/folder/error.log"),
    ],
)
def test_settings_that_cannot_be_used(start_server, config, text):
    good = "wsgi_app = 'plain:app'\nbind = '127.0.0.1:0'\n"
    server = start_server(None, bind=None, config=good)
    (old,) = server.worker_pids()
    server.write_config(good + config)
    server.signal(signal.SIGHUP)
    server.wait_log(f"Reload failed, the old workers stay: .*{text}")
    assert request(server.address).text.endswith(f" {old}\n")
    server.signal(signal.SIGKILL, old)  # and a new worker can still be started
    (new,) = server.wait_workers(1, but_not=[old])
    assert request(server.address).text.endswith(f" {new}\n")


@differs("misspelt")
def test_a_misspelt_name_is_pointed_out_in_the_log(start_server):
    good = "wsgi_app = 'plain:app'\nbind = '127.0.0.1:0'\n"
    server = start_server(None, bind=None, config=good)
    server.write_config(good + "wokers = 3\n")
    server.signal(signal.SIGHUP)
    server.wait_log(r"\[WARNING\] config file .*'wokers'; did you mean 'workers'\?")
    server.wait_log(r"Reloaded: 1 new workers are ready\.")


@differs("reload-broken")
def test_a_config_file_that_is_gone(start_server):
    server = start_server()
    (old,) = server.worker_pids()
    server.config_path.unlink()
    server.signal(signal.SIGHUP)
    server.wait_log("Reload failed, the old workers stay: ")
    assert request(server.address).text.endswith(f" {old}\n")


@differs("own-settings")
def test_boot_timeout_ends_a_reload(start_changing):
    server = start_changing("--boot-timeout", "3")
    old = server.worker_pids()
    write_app(server, before="time.sleep(600)")
    server.signal(signal.SIGHUP)
    assert_old_generation_serves(server, old)
    log = server.log_text()
    assert "It did not get ready within boot_timeout (3 s)." in log
    server.wait_log(r"changing\.py")  # the stack says where it hangs


def test_a_second_hup_replaces_one_that_hangs(start_changing):
    server = start_changing()
    old = server.worker_pids()
    hang = "while not os.path.exists('go'): time.sleep(0.01)"
    write_app(server, "never", f"open(f'{{os.getpid()}}.hangs', 'w').close()\n{hang}")
    server.signal(signal.SIGHUP)
    wait_for(lambda: len(list(server.directory.glob("*.hangs"))) == 2, "two that have read it")
    write_app(server)
    server.signal(signal.SIGHUP)
    server.wait_log("Hang up", count=2)
    (server.directory / "go").touch()
    server.wait_workers(2, but_not=old)
    wait_for(lambda: request(server.address).text == "new", "the newest code")
    if not is_oracle():
        assert "The reload that is under way is given up for another one." in server.log_text()
    assert "[ERROR]" not in server.log_text()


@differs("reload-broken")
@pytest.mark.parametrize("before", ["os._exit(4)", "raise ValueError('no')"])
def test_hup_before_the_first_worker_is_ready(start_server, before):
    begun = "print('importing', flush=True)\n"
    slow = APP.format(
        answer="old", before=f"{begun}while not os.path.exists('go'): time.sleep(0.01)"
    )
    server = start_server("changing:app", workers=2, wait=False, files={"changing.py": slow})
    server.wait_log("^importing", count=2)
    write_app(server, before=before)
    server.signal(signal.SIGHUP)
    server.wait_log("Reload failed, the old workers stay: a new worker did not boot")
    (server.directory / "go").touch()
    server.wait_ready(2)
    assert request(server.address).text == "old"


@differs("reload-overlap")  # gunicorn leaves a.sock behind
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_a_reload(start_changing, number):
    server = start_changing(bind=None, config="bind = ['127.0.0.1:0', 'unix:a.sock']")
    write_app(server, before="while not os.path.exists('go'): time.sleep(0.01)")
    server.write_config("bind = ['127.0.0.1:0', 'unix:b.sock']")
    server.signal(signal.SIGHUP)
    server.wait_log("Booting worker with pid", count=4)
    assert sorted(path.name for path in server.directory.glob("*.sock")) == ["a.sock", "b.sock"]
    server.signal(number)
    server.wait_log("Handling signal: (term|int)")
    (server.directory / "go").touch()
    assert server.wait_exit() == 0
    server.wait_gone()
    assert "[ERROR]" not in server.log_text()
    assert list(server.directory.glob("*.sock")) == []


def test_addresses_may_change(start_server):
    first, second = free_port(), free_port()
    config = "wsgi_app = 'plain:app'\nbind = ['127.0.0.1:{}', 'unix:{}.sock']"
    server = start_server(None, bind=None, config=config.format(first, "a"))
    old = server.worker_pids()
    server.write_config(config.format(second, "b"))
    server.signal(signal.SIGHUP)
    server.wait_workers(1, but_not=old)
    assert request(("127.0.0.1", second)).status == 200
    assert request(str(server.directory / "b.sock")).status == 200
    wait_for(lambda: not (server.directory / "a.sock").exists(), "the end of the old socket")

    def refused():
        try:
            request(("127.0.0.1", first))
        except ConnectionError:
            return True
        return False

    wait_for(refused, "the old address to be closed")


def test_an_address_that_stays_is_never_closed(start_server):
    first, second = free_port(), free_port()
    config = "wsgi_app = 'plain:app'\nbind = ['127.0.0.1:{}'{}]"
    server = start_server(None, bind=None, config=config.format(first, ""))
    old = server.worker_pids()
    inode = listening_inode(first)
    server.write_config(config.format(first, f", '127.0.0.1:{second}'"))
    server.signal(signal.SIGHUP)
    server.wait_workers(1, but_not=old)
    assert listening_inode(first) == inode
    assert request(("127.0.0.1", second)).status == 200


def listening_inode(port):
    """The kernel's number of the socket that listens on a port."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
            return fields[9]
    raise AssertionError(f"nobody listens on {port}")


@differs("reload-broken")
def test_a_new_address_that_is_taken(start_server):
    config = "wsgi_app = 'plain:app'\nbind = ['127.0.0.1:{}']"
    first = free_port()
    server = start_server(None, bind=None, config=config.format(first))
    old = server.worker_pids()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        server.write_config(config.format(busy.getsockname()[1]))
        server.signal(signal.SIGHUP)
        server.wait_log("Reload failed, the old workers stay: Can't connect to")
    assert "Traceback" not in server.log_text()
    assert server.worker_pids() == old
    assert request(("127.0.0.1", first)).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_name_that_is_taken_is_shown_as_it_is_written(start_server):
    server = start_server(None, bind=None, config="wsgi_app = 'plain:app'\nbind = '127.0.0.1:0'")
    name = f"cyserve-taken-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(f"\0{name}")
        busy.listen()
        server.write_config(f"wsgi_app = 'plain:app'\nbind = 'unix:@{name}'")
        server.signal(signal.SIGHUP)
        server.wait_log(f"Reload failed, the old workers stay: Can't connect to @{name}")


def test_hooks_run_in_order(start_server):
    config = """
def note(name):
    def hook(server, *args):
        server.log.info("hook %s %s", name, args if name == "nworkers_changed" else "")
    return hook
def on_reload(server): note("on_reload")(server)
def nworkers_changed(server, new, old): note("nworkers_changed")(server, new, old)
def pre_fork(server, worker): note("pre_fork")(server)
"""
    server = start_server(config=config)
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    server.wait_log("Reloaded", since=mark)
    hooks = server.wait_log(r"hook (\w+ ?(?:\(.*\))?)", since=mark)
    assert hooks == ["nworkers_changed (1, 1)", "on_reload ", "pre_fork "]


def test_raw_env_is_taken_back(start_server):
    code = """
import os
def app(environ, start_response):
    body = repr((os.environ.get("KEPT"), os.environ.get("GONE"), os.environ.get("NEW"))).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
    server = start_server(
        "env:app",
        files={"env.py": code},
        env={"KEPT": "launch"},
        config="raw_env = ['KEPT=over', 'GONE=x']",
    )
    assert request(server.address).text == "('over', 'x', None)"
    old = server.worker_pids()
    server.write_config("raw_env = ['NEW=y']")
    server.signal(signal.SIGHUP)
    server.wait_workers(1, but_not=old)
    assert request(server.address).text == "('launch', None, 'y')"


def test_a_pid_file_that_cannot_move_stays(start_server):
    server = start_server(config="pidfile = 'a.pid'")
    server.write_config("pidfile = 'no/b.pid'")
    server.signal(signal.SIGHUP)
    server.wait_log("no doesn't exist. Can't create pidfile.")
    server.wait_log("Reloaded: 1 new workers are ready")
    assert (server.directory / "a.pid").read_text() == f"{server.pid}\n"
    server.stop()
    assert not (server.directory / "a.pid").exists()


def test_the_pid_file_moves(start_server):
    server = start_server(config="pidfile = 'a.pid'")
    assert (server.directory / "a.pid").read_text() == f"{server.pid}\n"
    old = server.worker_pids()
    server.write_config("pidfile = 'b.pid'")
    server.signal(signal.SIGHUP)
    server.wait_workers(1, but_not=old)
    assert not (server.directory / "a.pid").exists()
    assert (server.directory / "b.pid").read_text() == f"{server.pid}\n"
    server.stop()
    assert not (server.directory / "b.pid").exists()


COLOR = """
import os
def app(environ, start_response):
    start_response("200 OK", [])
    return [os.environ["COLOR"].encode()]
"""
MARK = """
import pathlib, runpy
conf = runpy.run_path(str(pathlib.Path(__file__).with_name("server.conf.py")))
post_worker_init = conf["post_worker_init"]
"""


def assert_file_is_read_again(start_server, location, name, text, broken):
    """Serve with the settings in `name`, in other colors, and try what cannot be read."""
    files = {name: text.format(color="red"), "shop.py": COLOR, "mark.py": MARK}
    server = start_server(None, "-c", location, files=files)
    assert request(server.address).text == "red"
    old = server.worker_pids()
    (server.directory / name).write_text(text.format(color="blue"))
    server.signal(signal.SIGHUP)
    server.wait_workers(1, but_not=old)
    assert request(server.address).text == "blue"
    (server.directory / name).write_text(text.format(color="green") + broken)
    server.signal(signal.SIGHUP)
    server.wait_log(f"Reload failed, the old workers stay: .*{name.partition('.')[0]}")
    assert request(server.address).text == "blue"


@differs("own-sources")
def test_settings_in_toml(start_server):
    text = (
        '[tool.cyserve]\nwsgi_app = "shop:app"\nraw_env = ["COLOR={color}"]\n'
        'post_worker_init = "mark.post_worker_init"\n'
    )
    assert_file_is_read_again(
        start_server, "pyproject.toml", "pyproject.toml", text, "wokers = 1\n"
    )


@differs("config-module-again")
def test_settings_in_a_module(start_server):
    text = 'wsgi_app = "shop:app"\nraw_env = ["COLOR={color}"]\nfrom mark import post_worker_init\n'
    assert_file_is_read_again(start_server, "python:ownconf", "ownconf.py", text, "1 / 0\n")
