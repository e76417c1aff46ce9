"""uvicorn's worker classes, as they come from PyPI: FastAPI and Starlette under the master.

uvicorn-worker depends on gunicorn, so that the real one is installed beside cyserve; what its
`import gunicorn` finds here is cyserve all the same. `without_gunicorn` takes the real one away.
"""

import json
from signal import SIGHUP, SIGQUIT, SIGTERM, SIGUSR1

import pytest
from harness import differs, wait_for
from http_client import request, request_bytes
from tls_helpers import client_context, make_files

# Each start and stop of an application can be held up, or fail, by a file in the directory.
LIFE = """
import asyncio, contextlib, os

async def exists(name):
    print("waiting for", name, flush=True)
    while not os.path.exists(name):
        await asyncio.sleep(0.01)

@contextlib.asynccontextmanager
async def lifespan(app):
    if os.path.exists("hold"):
        await exists("release")
    if os.path.exists("broken"):
        raise RuntimeError("no database")
    yield
    print("database closed", os.getpid(), flush=True)
"""

FASTAPI = """
import os, time
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from life import exists, lifespan

class Item(BaseModel):
    name: str
    price: float

app = FastAPI(lifespan=lifespan)

@app.get("/")
async def home(request: Request):
    return {"pid": os.getpid(), "client": request.client.host, "scheme": request.url.scheme}

@app.post("/items")
async def create(item: Item):
    return {"name": item.name, "with_tax": item.price * 1.5}

@app.get("/threaded")
def threaded():
    return {"pid": os.getpid()}

@app.get("/stream")
async def stream():
    return StreamingResponse(f"{number}\\n" for number in range(1000))

@app.get("/fail")
async def fail():
    raise RuntimeError("on purpose")

@app.get("/wait")
async def wait():
    await exists("go")
    return {"pid": os.getpid()}

@app.get("/block")
async def block():
    time.sleep(1000)
"""

STARLETTE = """
import os, time
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from life import exists, lifespan

async def home(request):
    return JSONResponse(
        {"pid": os.getpid(), "client": request.client.host, "scheme": request.url.scheme}
    )

async def create(request):
    item = await request.json()
    if "price" not in item:
        return JSONResponse({"detail": "no price"}, status_code=422)
    return JSONResponse({"name": item["name"], "with_tax": item["price"] * 1.5})

def threaded(request):
    return JSONResponse({"pid": os.getpid()})

async def stream(request):
    return StreamingResponse(f"{number}\\n" for number in range(1000))

async def fail(request):
    raise RuntimeError("on purpose")

async def wait(request):
    await exists("go")
    return JSONResponse({"pid": os.getpid()})

async def block(request):
    time.sleep(1000)

views = [home, threaded, stream, fail, wait, block]
routes = [Route("/" if view is home else f"/{view.__name__}", view) for view in views]
app = Starlette(routes=[*routes, Route("/items", create, methods=["POST"])], lifespan=lifespan)
"""

FILES = {"life.py": LIFE, "fast.py": FASTAPI, "star.py": STARLETTE}

#: Worker class and application. uvicorn.workers is what most projects still name.
KINDS = {
    "uvicorn-worker": ("uvicorn_worker.UvicornWorker", "fast:app"),
    "uvicorn-worker, h11": ("uvicorn_worker.UvicornH11Worker", "star:app"),
    "uvicorn.workers": ("uvicorn.workers.UvicornWorker", "star:app"),
}
WORKER, APP = KINDS["uvicorn-worker, h11"]  # where one kind is enough: it boots fastest

#: Lets Python find no gunicorn in site-packages, neither the package nor what it is called there.
WITHOUT_GUNICORN = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "gunicorn" else super().find_spec(name, path)

    @classmethod
    def find_distributions(cls, *args, **kwargs):
        for found in super().find_distributions(*args, **kwargs):
            if found.metadata["Name"] != "gunicorn":
                yield found

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""


@pytest.fixture(scope="module", params=list(KINDS))
def site(request, start_module_server):
    worker, app = KINDS[request.param]
    return start_module_server(app, "-k", worker, "--access-logfile", "-", workers=2, files=FILES)


def test_requests(site):
    mark = site.log_mark()
    seen = site.request("/").json()
    assert seen["pid"] in site.worker_pids()
    assert (seen["client"], seen["scheme"]) == ("127.0.0.1", "http")
    forwarded = [("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Proto", "https")]
    seen = site.request("/", headers=forwarded).json()  # the list of trusted proxies is passed on
    assert (seen["client"], seen["scheme"]) == ("192.0.2.7", "https")
    body = json.dumps({"name": "pot", "price": 2}).encode()
    kind = [("Content-Type", "application/json")]
    answer = site.request("/items", "POST", body=body, headers=kind)
    assert answer.json() == {"name": "pot", "with_tax": 3.0}
    assert site.request("/items", "POST", body=b'{"name": "pot"}', headers=kind).status == 422
    assert site.request("/threaded").json()["pid"] in site.worker_pids()
    assert site.request("/stream").body == b"".join(b"%d\n" % number for number in range(1000))
    assert site.request("/nowhere").status == 404
    site.wait_log(r'^127\.0\.0\.1:\d+ - "GET /nowhere HTTP/1\.1" 404', since=mark)
    with site.connect() as client:  # kept alive
        pids = {client.send(request_bytes("/")).read_response().json()["pid"] for _ in range(3)}
    assert len(pids) == 1
    assert "Traceback" not in site.log_text(mark)


def test_an_exception_is_answered_and_in_the_error_log(site):
    mark = site.log_mark()
    assert site.request("/fail").status == 500
    site.wait_log(r"\[ERROR\] Exception in ASGI application", since=mark)
    site.wait_log(r"^RuntimeError: on purpose", since=mark)


def test_log_files_are_opened_anew(start_server):
    server = start_server(APP, "-k", WORKER, files=FILES, errorlog="error.log")
    log = server.directory / "error.log"
    log.rename(server.directory / "old.log")
    server.signal(SIGUSR1)
    wait_for(log.exists, "the new log")

    def logged():
        assert server.request("/fail").status == 500
        return "on purpose" in log.read_text()

    wait_for(logged, "the worker's line in the new log")


@differs("reload-overlap")
def test_a_reload_waits_until_the_applications_have_started(site):
    """A start may take long: a model is loaded, a pool of connections is filled."""
    old = site.worker_pids()
    mark = site.log_mark()
    with site.connect() as client:
        client.send(request_bytes("/wait"))
        site.wait_log("waiting for go", since=mark)
        (site.directory / "hold").touch()
        site.signal(SIGHUP)
        site.wait_log("Waiting for application startup", count=2, since=mark)
        assert {site.request("/").json()["pid"] for _ in range(5)} <= set(old)
        (site.directory / "release").touch()
        site.wait_log("Reloaded: 2 new workers are ready", since=mark)
        assert site.log_text(mark).count("Application startup complete") == 2
        (site.directory / "go").touch()
        assert client.read_response().json()["pid"] in old
    site.wait_workers(2, but_not=old)
    assert site.request("/").json()["pid"] not in old
    site.wait_log("database closed", count=2, since=mark)


@differs("reload-broken")
def test_a_reload_to_an_application_that_cannot_start_changes_nothing(start_server):
    server = start_server(APP, "-k", WORKER, files=FILES)
    old = server.worker_pids()
    (server.directory / "broken").touch()
    server.signal(SIGHUP)
    server.wait_log("Reload failed, the old workers stay: a new worker did not boot")
    assert server.request("/").json()["pid"] == old[0]
    assert server.worker_pids() == old


def test_an_application_that_cannot_start_ends_the_start(start_server):
    server = start_server(APP, "-k", WORKER, files={**FILES, "broken": ""}, wait=False)
    assert server.wait_exit() == 3
    assert "no database" in server.log_text()
    assert "Worker failed to boot." in server.log_text()


def test_term_lets_requests_end(start_server):
    server = start_server(APP, "-k", WORKER, bind="unix:app.sock", files=FILES)
    with server.connect() as idle, server.connect() as client:
        idle.send(request_bytes("/threaded")).read_response()
        client.send(request_bytes("/wait"))
        server.wait_log("waiting for go")
        server.signal(SIGTERM)
        server.wait_log("Waiting for connections to close")
        assert idle.read_to_eof() == b""
        (server.directory / "go").touch()
        assert client.read_response().status == 200
    assert server.wait_exit() == 0
    assert "database closed" in server.log_text()
    assert "Error while closing socket" not in server.log_text()


@differs("uvicorn-quit")
def test_quit_ends_workers_at_once(start_server):
    server = start_server(APP, "-k", WORKER, files=FILES)
    with server.connect() as idle:
        idle.send(request_bytes("/")).read_response()
        assert server.stop(SIGQUIT) == 0
    server.wait_log("Application shutdown complete")
    assert "SIGKILL" not in server.log_text()


def test_graceful_timeout_ends_a_request_that_does_not(start_server):
    server = start_server(APP, "-k", WORKER, "--graceful-timeout", "1", files=FILES)
    with server.connect() as client:
        client.send(request_bytes("/wait"))
        server.wait_log("waiting for go")
        assert server.stop() == 0


def test_a_worker_is_replaced_after_max_requests(start_server):
    server = start_server(APP, "-k", WORKER, "--max-requests", "3", files=FILES)
    old = server.worker_pids()
    for _ in range(3):
        assert server.request("/").json()["pid"] in old
    server.wait_log("Maximum request limit of 3 exceeded")
    new = server.wait_workers(1, but_not=old)
    assert server.request("/").json()["pid"] in new
    assert "[ERROR]" not in server.log_text()


def test_a_worker_whose_loop_is_blocked_is_replaced(start_server):
    server = start_server(APP, "-k", WORKER, "--timeout", "3", files=FILES)  # life is shown at half
    old = server.worker_pids()
    with server.connect() as client:
        client.send(request_bytes("/block"))
        server.wait_log(rf"WORKER TIMEOUT \(pid:{old[0]}\)")
        new = server.wait_workers(1, but_not=old)
    assert server.request("/").json()["pid"] in new


@differs("own-settings")
def test_request_timeout_says_that_it_has_no_effect(start_server, tmp_path):
    """And TLS: this one server shows both."""
    tls = make_files(tmp_path / "certificates").args()
    args = ("-k", WORKER, *tls, "--request-timeout", "10", "--ciphers", "ECDHE+AESGCM")
    server = start_server(APP, *args, files=FILES)
    server.wait_log(r"\[WARNING\] request_timeout has no effect in a UvicornH11Worker")
    answer = request(server.address, "/", tls=client_context())
    assert answer.json()["scheme"] == "https"


WHOSE = """
import importlib.metadata, gunicorn.arbiter
print("installed:", len([*importlib.metadata.distributions(name="gunicorn")]))
print("arbiter:", gunicorn.arbiter.Arbiter.__module__, flush=True)
"""


@differs("own-name")
@pytest.mark.parametrize("gunicorn", ["installed", "not installed"])
def test_whether_gunicorn_is_installed_does_not_matter(
    start_server, tmp_path, monkeypatch, gunicorn
):
    if gunicorn == "not installed":
        (tmp_path / "sitecustomize.py").write_text(WITHOUT_GUNICORN)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    files = {**FILES, "star.py": STARLETTE + WHOSE}
    server = start_server(APP, "-k", WORKER, files=files)
    server.wait_log("installed: 1" if gunicorn == "installed" else "installed: 0")
    server.wait_log(r"arbiter: cyserve\.arbiter")
    assert server.request("/").json()["pid"] in server.worker_pids()
