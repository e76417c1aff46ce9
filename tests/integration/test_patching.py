"""What gunicorn's users replace and overwrite, in the config file or in the application, counts."""

import pytest
from harness import Server, wait_for
from http_client import request_bytes

APP = """
{patch}

def app(environ, start_response):
    mark = environ.get("shop.mark", environ["SERVER_SOFTWARE"])
    body = mark.encode() + environ["wsgi.input"].read()
    fields = [("Content-Type", "text/plain")]
    if environ["PATH_INFO"] == "/usual":
        fields.append(("Content-Length", str(len(body))))
    start_response("200 OK", fields)
    return [body]
"""

NO_SERVER_FIELD = """
import gunicorn.http.wsgi
_inner = gunicorn.http.wsgi.Response.default_headers
def default_headers(self):
    return [line for line in _inner(self) if not line.startswith("Server:")]
gunicorn.http.wsgi.Response.default_headers = default_headers
"""

SUBCLASS = """
from gunicorn.http import wsgi
class Response(wsgi.Response):
    def default_headers(self, *args, **kwargs):
        lines = super().default_headers(*args, **kwargs)
        return [line for line in lines if not line.startswith("Server:")] + ["X-Own: 1\\r\\n"]
wsgi.Response = Response
"""

STEPS = """
from gunicorn.http import wsgi
class Response(wsgi.Response):
    def __init__(self, req, sock, cfg):
        super().__init__(req, sock, cfg)
        self.steps = []
        self.headers.append(("X-Early", "1"))
    def start_response(self, status, headers, exc_info=None):
        self.steps.append("start_response")
        return super().start_response(status, headers, exc_info)
    def process_headers(self, headers):
        self.steps.append("process_headers")
        super().process_headers([field for field in headers if field[0] != "Content-Type"])
    def is_chunked(self):
        return False
    def send_headers(self):
        self.headers.append(("X-Steps", ",".join(self.steps)))
        super().send_headers()
    def write(self, arg):
        self.steps.append("write")
        self.send_headers()
        super().write(arg.upper())
    def close(self):
        super().write(b"!" if self.response_length is None else b"")
        super().close()
wsgi.Response = Response
"""

ENVIRON = """
from gunicorn.http import wsgi
_inner = wsgi.default_environ
def default_environ(req, sock, cfg):
    return {**_inner(req, sock, cfg), "shop.mark": "environ of " + req.path}
wsgi.default_environ = default_environ
"""

CREATE = """
from gunicorn.http import wsgi
_create = wsgi.create
def create(req, sock, client, server, cfg, *args):
    resp, environ = _create(req, sock, client, server, cfg, *args)
    environ["shop.mark"] = f"from {client[0]} to {server[0]}"
    return resp, environ
wsgi.create = create
"""

REQUEST = """
from gunicorn.http.body import Body
from gunicorn.http.message import Request
_read = Body.read
Body.read = lambda self, size=None: _read(self, size).swapcase()
Request.should_close = lambda self: True
def pre_request(worker, req):
    req.headers.append(("X-ADDED", "1"))
    req.shop = "an attribute of the user's"
def post_request(worker, req, environ, resp):
    worker.log.info("seen: %s %s", req.shop, environ["HTTP_X_ADDED"])
"""

GUNICORNS_OWN = """
from datetime import datetime
from gunicorn.http import wsgi
from gunicorn.workers.{kind} import {base}

class Worker({base}):
    def answer(self, req, sock, client, server):
        begun = datetime.now()
        resp, environ = wsgi.create(req, sock, client, server, self.cfg)
        environ["shop.mark"] = "mine:" + "x" * 300000
        self.nr += 1
        respiter = self.wsgi(environ, resp.start_response)
        for item in respiter:
            resp.write(item)
        resp.close()
        self.log.access(resp, req, environ, datetime.now() - begun)
        return not resp.should_close()

    {method}
"""
METHODS = {
    "sync": "def handle_request(self, listener, req, client, addr):\n"
    "        self.answer(req, client, addr, listener.getsockname())",
    "gthread": "def handle_request(self, req, conn):\n"
    "        return self.answer(req, conn.sock, conn.client, conn.server)",
}


@pytest.fixture
def serve(start_server, kernel):
    """Starts a server with a patch in the application, or in the config file."""

    def start(*args, config="", app="") -> Server:
        files = {"shop.py": APP.format(patch=app)}
        return start_server("shop:app", *args, config=config, files=files, kernel=kernel)

    return start


def fields(response):
    return [name for name, _ in response.headers]


@pytest.mark.parametrize("target", ["/usual", "/chunked"])
@pytest.mark.parametrize("where", ["config", "app"])
@pytest.mark.parametrize(
    ("patch", "own"), [(NO_SERVER_FIELD, []), (SUBCLASS, ["X-Own"])], ids=["method", "subclass"]
)
def test_default_headers(serve, patch, own, where, target):
    response = serve("-k", "gthread", **{where: patch}).request(target)
    framing = ["Transfer-Encoding"] if target == "/chunked" else []
    announced = ["Content-Length"] if target == "/usual" else []
    assert fields(response) == ["Date", "Connection", *framing, *own, "Content-Type", *announced]
    assert response.body.startswith(b"cyserve/")


def test_each_step_of_a_response_may_be_overridden(serve):
    response = serve(app=STEPS).request("/chunked")
    assert fields(response) == ["Server", "Date", "Connection", "X-Early", "X-Steps"]
    assert response.header("X-Steps") == "start_response,process_headers,write"
    assert response.header("Connection") == "close"  # neither a length nor chunks
    assert response.body.startswith(b"CYSERVE/")
    assert response.body.endswith(b"!")


@pytest.mark.parametrize("patch", [ENVIRON, CREATE], ids=["default_environ", "create"])
def test_how_the_environ_is_made(serve, patch):
    expected = b"environ of /a" if patch is ENVIRON else b"from 127.0.0.1 to 127.0.0.1"
    assert serve(config=patch).request("/a").body == expected


def test_names_of_the_server_in_the_config_file(serve):
    server = serve(config="import gunicorn\ngunicorn.SERVER, gunicorn.SERVER_SOFTWARE = 'a', 'b'")
    for target in ("/usual", "/chunked"):
        response = server.request(target)
        assert (response.header("Server"), response.body) == ("a", b"b")


def test_names_of_the_server_in_the_application(serve):
    late = (
        "from gunicorn.http import wsgi\nwsgi.SERVER, wsgi.SERVER_SOFTWARE = 'a', 'b'\n"
        "def post_request(worker, req, environ, resp): wsgi.SERVER = 'later'"
    )
    hook = (
        "def post_request(worker, req, environ, resp):\n    import shop\n"
        "    shop.post_request(worker, req, environ, resp)"
    )
    server = serve(config=hook, app=late)
    response = server.request("/usual")
    assert (response.header("Server"), response.body) == ("a", b"b")
    wait_for(lambda: server.request("/usual").header("Server") == "later", "the later name")


def test_the_field_of_one_response(serve):
    patch = (
        "from gunicorn.http import wsgi\n"
        "class Response(wsgi.Response):\n"
        "    def __init__(self, *args):\n"
        "        super().__init__(*args)\n"
        "        self.version = f'for {self.req.path}'\n"
        "wsgi.Response = Response"
    )
    server = serve(config=patch)
    assert server.request("/usual").header("Server") == "for /usual"
    assert server.request("/chunked").header("Server") == "for /chunked"


def test_requests_and_bodies_are_patched_on_their_classes(serve):
    server = serve("-k", "gthread", config=REQUEST)
    response = server.request("/usual", "POST", body=b"aBc")
    assert response.body.endswith(b"AbC")
    assert response.header("Connection") == "close"
    server.wait_log("seen: an attribute of the user's 1")


@pytest.mark.parametrize(("kind", "base"), [("sync", "SyncWorker"), ("gthread", "ThreadWorker")])
def test_a_worker_that_answers_as_gunicorns_does(serve, kind, base):
    """Own code around `wsgi.create`: what is written arrives whole, also to a slow client."""
    config = GUNICORNS_OWN.format(kind=kind, base=base, method=METHODS[kind])
    server = serve("--access-logfile", "-", config=f"{config}\nworker_class = Worker")
    with server.connect() as client:
        for target in ("/usual", "/chunked") if kind == "gthread" else ("/usual",):
            response = client.send(request_bytes(target)).read_response()
            assert response.body == b"mine:" + b"x" * 300000
        server.wait_log(f'"GET {target} HTTP/1.1" 200 300005')


def test_a_sync_workers_handle_is_wrapped(serve):
    config = """
from gunicorn.workers.sync import SyncWorker
class worker_class(SyncWorker):
    def handle(self, listener, client, addr):
        self.log.info("before %s", addr[0])
        super().handle(listener, client, addr)
        self.log.info("after %s", listener.getsockname()[0])
"""
    server = serve(config=config)
    assert server.request("/usual").body.startswith(b"cyserve/")
    server.wait_log("before 127.0.0.1")
    server.wait_log("after 127.0.0.1")


def test_another_arbiter(serve):
    config = """
import gunicorn.app.base
class Arbiter(gunicorn.app.base.Arbiter):
    SIG_QUEUE = []
    def handle_ttin(self):
        assert self.WORKERS is Arbiter.WORKERS
        self.log.info("more than %d", len(Arbiter.WORKERS))
        super().handle_ttin()
gunicorn.app.base.Arbiter = Arbiter
"""
    import signal

    server = serve(config=config)
    server.signal(signal.SIGTTIN)
    server.wait_log("more than 1")
    server.wait_workers(2)
    assert server.stop() == 0
