"""An application takes the connection over: a WebSocket library on threads."""

import socket

import pytest
from tls_helpers import client_context, make_files

simple_websocket = pytest.importorskip("simple_websocket")

APP = """
from flask import Flask
from flask_sock import Sock

app = Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": 25}
sock = Sock(app)

@app.get("/")
def hello():
    return "hello"

@sock.route("/echo")
def echo(ws):
    while True:
        message = ws.receive()
        if message == "enough":
            break
        ws.send(message)
"""
H2C = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


@pytest.fixture
def server(start_server):
    args = ("-k", "gthread", "--threads", "4", "--access-logfile", "-")
    return start_server("site_sock:app", *args, files={"site_sock.py": APP})


def connect(server):
    return simple_websocket.Client(server.url.replace("http", "ws", 1) + "/echo")


def test_messages_of_several_clients(server):
    clients = [connect(server) for _ in range(3)]
    for size in (1, 200, 70_000):
        for number, client in enumerate(clients):
            message = f"{number}" * size
            client.send(message)
            assert client.receive(timeout=30) == message
    assert server.request().body == b"hello"  # the fourth thread
    for client in clients:
        client.send("enough")
        with pytest.raises(simple_websocket.ConnectionClosed):
            client.receive(timeout=30)
    assert "Traceback" not in server.log_text()


def test_messages_over_tls(start_server, tmp_path):
    args = [*make_files(tmp_path / "tls").args(), "--threads", "2"]
    server = start_server("site_sock:app", *args, files={"site_sock.py": APP})
    url = server.url.replace("http", "wss", 1) + "/echo"
    for _ in range(3):  # more than there are threads
        client = simple_websocket.Client(url, ssl_context=client_context())
        for size in (1, 200, 3000):  # the library cannot read more than 4096 bytes of a record
            client.send("x" * size)
            assert client.receive(timeout=30) == "x" * size
        client.send("enough")
        with pytest.raises(simple_websocket.ConnectionClosed):
            client.receive(timeout=30)
        client.thread.join(30)
        client.sock.close()
    assert server.request(tls=client_context()).body == b"hello"
    assert "Traceback" not in server.log_text()


def test_threads_come_back(server):
    for _ in range(6):  # more than there are threads
        client = connect(server)
        client.send("x")
        assert client.receive(timeout=30) == "x"
        client.close()
    assert server.request().body == b"hello"


def test_a_client_that_goes_without_a_word(server):
    for _ in range(5):
        client = connect(server)
        client.send("x")
        client.receive(timeout=30)
        client.sock.shutdown(socket.SHUT_RDWR)
    clients = [connect(server) for _ in range(4)]
    for client in clients:
        client.send("y")
        assert client.receive(timeout=30) == "y"
        client.close()


def test_an_upgrade_that_the_application_does_not_know(server):
    """The answer is an ordinary one, and so is what the connection does afterwards."""
    with socket.create_connection(server.address, timeout=30) as client:
        client.sendall(H2C)
        answer = client.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Connection: keep-alive\r\n" in answer
        assert server.request().body == b"hello"
        client.sendall(H2C[:20])
        assert server.request().body == b"hello"  # half a head holds nobody
        client.sendall(H2C[20:])
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
