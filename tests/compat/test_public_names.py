"""Every name of gunicorn's modules is in cyserve's, or its absence is a listed difference.

`public_names.txt` is the promise: what must be found in each module, also where gunicorn is not
there to be asked. What gunicorn's modules define beyond that stands here, by the difference that
explains it. Attributes that only instances have come from what users' code reads of them.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from differences import difference
from programs import Program, server_environment

from cyserve import gunicorn_alias
from cyserve.config import Config

HERE = Path(__file__).parent


def read_names(text: str) -> dict[str, list[str]]:
    """A line `module:` and indented lines of names, for each module."""
    found: dict[str, list[str]] = {}
    module = ""
    for line in text.splitlines():
        if line.startswith(" "):
            found[module] += line.split()
        else:
            module = line.removesuffix(":")
            found[module] = []
    return found


PROMISED = read_names((HERE / "public_names.txt").read_text())

ABSENT_DIFFERS = {
    "worker-steps": read_names(
        """\
gunicorn.workers.sync:
    SyncWorker.accept SyncWorker.run_for_multiple SyncWorker.run_for_one SyncWorker.wait
gunicorn.workers.gthread:
    ThreadWorker.accept ThreadWorker.enqueue_req ThreadWorker.finish_request
    ThreadWorker.murder_keepalived ThreadWorker.murder_pending
    ThreadWorker.on_client_socket_readable ThreadWorker.on_pending_socket_readable
    ThreadWorker.wait_for_and_dispatch_events
    PollableMethodQueue PollableMethodQueue.close PollableMethodQueue.defer
    PollableMethodQueue.fileno PollableMethodQueue.init PollableMethodQueue.run_callbacks
    TConn.init TConn.set_timeout TConn.wait_for_data
    DEFAULT_WORKER_DATA_TIMEOUT STOP_KEEPALIVE_LINGER
"""
    ),
    "parser-steps": read_names(
        """\
gunicorn.http.message:
    HeaderPolicy HeaderPolicy.scheme HeaderPolicy.version
    Message.parse Message.parse_headers Message.set_body_reader
    Request.get_data Request.parse Request.parse_request_line Request.proxy_protocol_access_check
    Request.read_bytes Request.read_into Request.read_line Request.set_body_reader
gunicorn.http.body:
    CHUNK_EXT_RE DEFAULT_MAX_CHUNK_SIZE_LINE DEFAULT_MAX_TRAILER_SECTION MAX_READ_STEP
    ChunkedReader.get_data ChunkedReader.parse_chunk_size ChunkedReader.parse_chunked
    ChunkedReader.parse_trailers ChunkedReader.read_into EOFReader EOFReader.read
gunicorn.http.unreader:
    SocketUnreader.max_body_chunk
"""
    ),
    "arbiter-signals": read_names(
        """\
gunicorn.arbiter:
    Arbiter.WAKEUP_REQUEST Arbiter.handle_cld Arbiter.signal_chld
"""
    ),
    "later-features": read_names(
        """\
gunicorn.arbiter:
    Arbiter.handle_dirty_arbiter_exit Arbiter.kill_dirty_arbiter Arbiter.manage_dirty_arbiter
    Arbiter.reap_dirty_arbiter Arbiter.spawn_dirty_arbiter
gunicorn.workers.base_async:
    AsyncWorker.handle_http2 AsyncWorker.handle_http2_request
gunicorn.workers.gthread:
    ThreadWorker.handle_h2c_upgrade ThreadWorker.handle_http2 ThreadWorker.handle_http2_request
"""
    ),
    "worker-tmp-dir": read_names(
        """\
gunicorn.workers.workertmp:
    WorkerTmp.fileno
"""
    ),
    "module-details": read_names(
        """\
gunicorn.config:
    PLATFORM SettingMeta.fmt_desc reloader_engines
gunicorn.reloader:
    COMPILED_EXT_RE InotifyReloader.event_mask InotifyReloader.get_dirs
    InotifyReloader.refresh_dirs has_inotify symlink_target_dir
gunicorn.sock:
    PLATFORM
gunicorn.workers.base:
    reloader_engines
gunicorn.workers.ggevent:
    GeventResponse.headers GeventResponse.sent GeventResponse.status
gunicorn.workers.gtornado:
    gversion
gunicorn.workers.workertmp:
    IS_CYGWIN PLATFORM
"""
    ),
}


@pytest.fixture
def alias(monkeypatch: pytest.MonkeyPatch) -> Any:
    if "gunicorn" in sys.modules and not gunicorn_alias.install():
        pytest.fail("some other test has imported the real gunicorn")
    gunicorn_alias.install()
    yield
    gunicorn_alias.uninstall()


def has(module: Any, name: str) -> bool:
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


@pytest.mark.usefixtures("alias")
@pytest.mark.parametrize("name", PROMISED)
def test_promised_names_are_there(name: str) -> None:
    if name.endswith("pasterapp"):
        pytest.importorskip("paste.deploy")
    module = importlib.import_module(name)
    assert [wanted for wanted in PROMISED[name] if not has(module, wanted)] == []


@pytest.mark.usefixtures("alias")
@pytest.mark.parametrize("row", ABSENT_DIFFERS)
def test_absent_names_are_absent_for_a_reason(row: str) -> None:
    difference(row)
    for module_name, names in ABSENT_DIFFERS[row].items():
        module = importlib.import_module(module_name)
        assert [name for name in names if has(module, name)] == []


def test_nothing_of_gunicorns_is_missing_in_the_lists(oracle: Program) -> None:
    python = str(Path(oracle.command[0]).with_name("python"))
    modules = [name.removeprefix("gunicorn").removeprefix(".") for name in PROMISED]
    done = subprocess.run(
        [python, str(HERE / "names_probe.py"), "gunicorn", *modules],
        capture_output=True,
        text=True,
        check=False,
        env=server_environment({}, None, oracle),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for name, found in json.loads(done.stdout).items():
        module = f"gunicorn.{name}" if name else "gunicorn"
        listed = [*PROMISED[module]]
        for names in ABSENT_DIFFERS.values():
            listed += names.get(module, [])
        assert sorted(listed) == sorted(found), module


ATTRIBUTES = {
    "http.message.Request": """
        method uri path query fragment version headers trailers body scheme peer_addr remote_addr
        req_number proxy_protocol_info must_close cfg
        """,
    "http.wsgi.Response": """
        status status_code headers headers_sent sent response_length chunked upgrade must_close req
        sock cfg version
        """,
    "workers.base.Worker": """
        age pid ppid sockets app timeout cfg booted aborted reloader nr max_requests alive log tmp
        PIPE wait_fds wsgi
        """,
    "workers.gthread.ThreadWorker": """
        tpool keepalived_conns pending_conns nr_conns worker_connections max_keepalived
        """,
}


@pytest.mark.parametrize("path", ATTRIBUTES)
def test_instances_have_what_users_read(
    path: str, clean_settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cyserve.http import get_parser, wsgi

    cfg = clean_settings
    module_name, _, name = path.rpartition(".")
    made = getattr(importlib.import_module(f"cyserve.{module_name}"), name)
    if module_name.startswith("workers"):
        instance = made(1, 2, [], None, 3.0, cfg, None)
    else:
        req = next(get_parser(cfg, [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], ("127.0.0.1", 1)))
        instance = req if name == "Request" else wsgi.Response(req, None, cfg)
    assert type(instance) is made
    for wanted in ATTRIBUTES[path].split():
        assert hasattr(instance, wanted), wanted
    instance.of_the_users = 1
    monkeypatch.setattr(made, "of_the_class", 2, raising=False)
    assert (instance.of_the_users, instance.of_the_class) == (1, 2)


@pytest.fixture
def clean_settings(monkeypatch: pytest.MonkeyPatch) -> Config:
    for name in ("WEB_CONCURRENCY", "PORT", "SENDFILE", "FORWARDED_ALLOW_IPS"):
        monkeypatch.delenv(name, raising=False)
    return Config()
