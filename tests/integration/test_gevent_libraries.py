"""What people run on gevent: gevent's own WSGI server, gevent-websocket, Django."""

import base64
import json
import struct
from contextlib import ExitStack

import pytest
from harness import differs
from http_client import request, request_bytes
from tls_helpers import client_context, make_files

from cyserve import SERVER_SOFTWARE

CONFIG = "worker_class = 'geventwebsocket.gunicorn.workers.GeventWebSocketWorker'"

ECHO = """
def app(environ, start_response):
    socket = environ.get("wsgi.websocket")
    if socket is None:
        start_response("200 OK", [("Content-Length", "5")])
        return [b"plain"]
    while (message := socket.receive()) is not None:
        socket.send(message)
    return []
"""

UPGRADE = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", base64.b64encode(b"0123456789abcdef").decode()),
    ("Sec-WebSocket-Version", "13"),
]


class WebSocket:
    """A client that sends short masked text frames and reads short frames."""

    def __init__(self, client):
        self.client = client
        client.send(request_bytes("/", headers=UPGRADE))
        assert client.read_response().status == 101

    def send(self, text, opcode=1):
        mask = b"\x01\x02\x03\x04"
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(text))
        self.client.send(struct.pack("BB", 0x80 | opcode, 0x80 | len(text)) + mask + masked)

    def receive(self):
        opcode, size = self.client._exactly(2)
        return opcode & 15, self.client._exactly(size)


@pytest.fixture
def web_socket_server(start_server):
    return start_server("echo_app:app", config=CONFIG, files={"echo_app.py": ECHO})


def test_gevent_websockets_worker_echoes(web_socket_server):
    with ExitStack() as stack:
        sockets = [WebSocket(stack.enter_context(web_socket_server.connect())) for _ in range(20)]
        for turn in range(3):
            for number, socket in enumerate(sockets):
                socket.send(b"%d of %d" % (turn, number))
            for number, socket in enumerate(sockets):
                assert socket.receive() == (1, b"%d of %d" % (turn, number))
        assert web_socket_server.request("/").body == b"plain"
        sockets[0].send(b"", opcode=8)
        assert sockets[0].receive()[0] == 8
    assert "Traceback" not in web_socket_server.log_text()


def test_web_sockets_end_with_graceful_timeout(start_server):
    server = start_server(
        "echo_app:app", "--graceful-timeout", "1", config=CONFIG, files={"echo_app.py": ECHO}
    )
    with server.connect() as client, server.connect() as idle:
        idle.send(request_bytes("/")).read_response()
        socket = WebSocket(client)
        socket.send(b"x")
        assert socket.receive() == (1, b"x")
        assert server.stop() == 0


# -- gevent's own server --


@pytest.mark.parametrize("name", ["gevent_wsgi", "gevent_pywsgi"])
def test_gevents_own_server_logs_as_ours(start_server, name):
    server = start_server("plain:app", "-k", name, "--access-logfile", "-", bind="127.0.0.1:0")
    response = server.request("/path?q", headers=[("User-Agent", "me")])
    assert response.header("Server") is None
    size = len(response.raw_head) + len(response.body)
    server.wait_log(rf'127\.0\.0\.1 - - \[.*\] "GET /path\?q HTTP/1\.1" 200 {size} "-" "me"')


TELL = """
import json
def app(environ, start_response):
    body = json.dumps({key: repr(value) for key, value in environ.items()}).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def test_environ_of_gevents_own_server(start_server):
    server = start_server("tell:app", "-k", "gevent_pywsgi", workers=2, files={"tell.py": TELL})
    environ = json.loads(server.request("/a%20b?q").body)
    assert environ["RAW_URI"] == "'/a%20b?q'"
    assert environ["PATH_INFO"] == "'/a b'"
    assert environ["SERVER_SOFTWARE"].endswith(f" {SERVER_SOFTWARE}'")
    assert environ["SERVER_SOFTWARE"].startswith("'gevent/")
    assert "gevent." in environ["gunicorn.sock"]
    assert environ["wsgi.multiprocess"] == environ["wsgi.multithread"] == "True"


def test_gevents_own_server_speaks_tls(start_server, tmp_path):
    tls = make_files(tmp_path / "certificates").args()
    server = start_server("tell:app", "-k", "gevent_pywsgi", *tls, files={"tell.py": TELL})
    environ = json.loads(request(server.address, tls=client_context()).body)
    assert environ["wsgi.url_scheme"] == "'https'"


@differs("gevent-idle-stop")
def test_gevents_own_server_stops_when_nothing_runs(start_server):
    server = start_server("gevent_app:app", "-k", "gevent_pywsgi", "--graceful-timeout", "1000")
    with server.connect() as idle, server.connect() as client:
        idle.send(request_bytes("/")).read_response()
        client.send(request_bytes("/wait"))
        assert server.request("/").body == b"ok"
        server.signal(15)
        assert idle.read_to_eof() == b""
        assert server.process.poll() is None
        (server.directory / "go").touch()
        assert client.read_response().body == b"waited"
        assert server.wait_exit() == 0


def test_server_class_and_handler_can_be_overridden(start_server):
    worker = """
from cyserve.workers.ggevent import GeventPyWSGIWorker, PyWSGIHandler, PyWSGIServer
class Handler(PyWSGIHandler):
    def get_environ(self):
        return {**super().get_environ(), "mine": "handler"}
class MyServer(PyWSGIServer):
    base_env = {**PyWSGIServer.base_env, "also mine": "server"}
class Worker(GeventPyWSGIWorker):
    server_class, wsgi_handler = MyServer, Handler
"""
    server = start_server(
        "tell:app", "-k", "mine.Worker", files={"tell.py": TELL, "mine.py": worker}
    )
    environ = json.loads(server.request("/").body)
    assert (environ["mine"], environ["also mine"]) == ("'handler'", "'server'")


# -- Django --

DJANGO = {
    "shop/__init__.py": "",
    "shop/settings.py": (
        "SECRET_KEY = 'x'\nROOT_URLCONF = 'shop.urls'\nALLOWED_HOSTS = ['*']\nDEBUG = True\n"
    ),
    # Other greenlets run while this is being imported: all of them ask for the first time.
    "shop/urls.py": (
        "import time\ntime.sleep(0.3)\n"
        "from django.urls import include, path\nfrom shop import views\n"
        "urlpatterns = [path('', views.home, name='home'), path('in/', include('shop.inner'))]\n"
    ),
    "shop/inner.py": (
        "import time\ntime.sleep(0.3)\n"
        "from django.urls import path\nfrom shop import views\n"
        "urlpatterns = [path('far/', views.far, name='far')]\n"
    ),
    "shop/links.py": (
        "import time\nfrom django.urls import reverse\nHOME = reverse('home')\ntime.sleep(0.3)\n"
        "FAR = reverse('far')\n"
    ),
    "shop/views.py": (
        "from django.http import HttpResponse\n"
        "def home(request):\n    return HttpResponse('home')\n"
        "def far(request):\n"
        "    from shop import links\n"
        "    return HttpResponse(f'{links.HOME} {links.FAR}')\n"
    ),
    "shop/wsgi.py": (
        "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'shop.settings'\n"
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    ),
}


def test_django_reverses_at_import_while_first_requests_come_together(start_server):
    server = start_server("shop.wsgi", "-k", "gevent", files=DJANGO)
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(20)]
        for client in clients:
            client.send(request_bytes("/in/far/"))
        for client in clients:
            response = client.read_response()
            assert (response.status, response.body) == (200, b"/ /in/far/")
    assert "ImproperlyConfigured" not in server.log_text()
