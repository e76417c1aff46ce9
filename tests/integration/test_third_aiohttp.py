"""aiohttp's worker classes: an application, and a coroutine that makes one, under the master."""

import json
from signal import SIGHUP, SIGTERM

import pytest
from harness import differs
from http_client import request, request_bytes
from tls_helpers import client_context, make_files

SHOP = """
import asyncio, os
from aiohttp import web

async def exists(name):
    print("waiting for", name, flush=True)
    while not os.path.exists(name):
        await asyncio.sleep(0.01)

async def home(request):
    return web.json_response(
        {"pid": os.getpid(), "scheme": request.scheme,
         "loop": type(asyncio.get_running_loop()).__module__}
    )

async def echo(request):
    return web.json_response({"got": await request.json()})

async def fail(request):
    raise RuntimeError("on purpose")

async def wait(request):
    await exists("go")
    return web.json_response({"pid": os.getpid()})

async def database(app):
    if os.path.exists("hold"):
        await exists("release")
    if os.path.exists("broken"):
        raise RuntimeError("no database")
    yield
    print("database closed", os.getpid(), flush=True)

def make():
    app = web.Application()
    app.cleanup_ctx.append(database)
    app.add_routes(
        [
            web.get("/", home), web.post("/echo", echo),
            web.get("/fail", fail), web.get("/wait", wait),
        ]
    )
    return app

app = make()

async def factory():
    return make()
"""

FILES = {"shop.py": SHOP}
WORKER = "aiohttp.GunicornWebWorker"

KINDS = {
    "application": (WORKER, "shop:app", "asyncio"),
    "coroutine": (WORKER, "shop:factory", "asyncio"),
    "uvloop": ("aiohttp.GunicornUVLoopWebWorker", "shop:app", "uvloop"),
}


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module")
def site(kind, start_module_server):
    worker, app, _ = kind
    return start_module_server(app, "-k", worker, "--access-logfile", "-", workers=2, files=FILES)


def test_requests(site, kind):
    mark = site.log_mark()
    seen = site.request("/").json()
    assert seen["pid"] in site.worker_pids()
    assert seen["loop"].startswith(kind[2])
    answer = site.request("/echo", "POST", body=json.dumps([1, 2]).encode())
    assert answer.json() == {"got": [1, 2]}
    assert site.request("/nowhere").status == 404
    # The default format of gunicorn stands for aiohttp's own.
    site.wait_log(r'^127\.0\.0\.1 \[.*\] "GET /nowhere HTTP/1\.1" 404 \d+ "-" "-"', since=mark)
    with site.connect() as client:
        pids = {client.send(request_bytes("/")).read_response().json()["pid"] for _ in range(3)}
    assert len(pids) == 1
    assert "Traceback" not in site.log_text(mark)


def test_an_exception_is_answered_and_in_the_error_log(site):
    mark = site.log_mark()
    assert site.request("/fail").status == 500
    site.wait_log(r"\[ERROR\] Error handling request", since=mark)
    site.wait_log(r"^RuntimeError: on purpose", since=mark)


@differs("reload-overlap")
def test_a_reload_waits_until_the_applications_have_started(site):
    old = site.worker_pids()
    mark = site.log_mark()
    with site.connect() as client:
        client.send(request_bytes("/wait"))
        site.wait_log("waiting for go", since=mark)
        (site.directory / "hold").touch()
        site.signal(SIGHUP)
        site.wait_log("Booting worker", count=2, since=mark)
        assert {site.request("/").json()["pid"] for _ in range(5)} <= set(old)
        assert "Reloaded" not in site.log_text(mark)
        (site.directory / "release").touch()
        site.wait_log("Reloaded: 2 new workers are ready", since=mark)
        (site.directory / "go").touch()
        assert client.read_response().json()["pid"] in old
    site.wait_workers(2, but_not=old)
    site.wait_log("database closed", count=2, since=mark)
    site.wait_log(r"Worker exiting \(pid: \d+\)", count=2, since=mark)


def test_term_lets_requests_end(start_server):
    server = start_server("shop:app", "-k", WORKER, bind="unix:app.sock", files=FILES)
    with server.connect() as client:
        client.send(request_bytes("/wait"))
        server.wait_log("waiting for go")
        server.signal(SIGTERM)
        (server.directory / "go").touch()
        assert client.read_response().status == 200
    assert server.wait_exit() == 0
    assert "database closed" in server.log_text()


def test_an_application_that_cannot_start_ends_the_start(start_server):
    server = start_server("shop:app", "-k", WORKER, files={**FILES, "broken": ""}, wait=False)
    assert server.wait_exit() == 3
    assert "no database" in server.log_text()
    assert "Worker failed to boot." in server.log_text()


def test_a_worker_is_replaced_after_max_requests(start_server):
    server = start_server("shop:app", "-k", WORKER, "--max-requests", "3", files=FILES)
    old = server.worker_pids()
    for _ in range(4):
        assert server.request("/").json()["pid"] in old
    server.wait_log("Max requests, shutting down")  # it looks at the count once a second
    new = server.wait_workers(1, but_not=old)
    assert server.request("/").json()["pid"] in new
    assert "[ERROR]" not in server.log_text()


def test_tls(start_server, tmp_path):
    tls = make_files(tmp_path / "certificates").args()
    server = start_server("shop:app", "-k", WORKER, *tls, files=FILES)
    assert request(server.address, "/", tls=client_context()).json()["scheme"] == "https"
