"""Who may say what: expectations, scheme fields, underscore names, httpoxy; and the environ."""

import pytest
from http_helpers import Peer

from cyserve.http.connection import READ, RUN
from cyserve.http.environ import path_below

STRANGER = ("192.0.2.7", 4711)


@pytest.fixture
def ask(kernel):
    """ask(fields, ...) -> the peer after the server has received a GET with these fields."""
    peers = []

    def make(*fields, path="/", **changes):
        head = f"GET {path} HTTP/1.1\r\nHost: h\r\n" + "".join(f"{f}\r\n" for f in fields)
        peer = Peer(head.encode("latin-1") + b"\r\n", **changes)
        peers.append(peer)
        peer.step = peer.connection.proceed(0.0)
        return peer

    yield make
    for peer in peers:
        peer.close()


def environ_of(peer):
    assert peer.step == RUN
    return peer.endpoint.make_environ(peer.connection.request, None)


def test_environ_of_a_plain_request(ask):
    environ = environ_of(ask("X-One: 1", "X-One: 2", path="/a%20b?q=%20"))
    assert {k: v for k, v in environ.items() if not k.startswith(("wsgi.", "gunicorn."))} == {
        "REQUEST_METHOD": "GET",
        "RAW_URI": "/a%20b?q=%20",
        "PATH_INFO": "/a b",
        "QUERY_STRING": "q=%20",
        "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_SOFTWARE": environ["SERVER_SOFTWARE"],
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "4711",
        "HTTP_HOST": "h",
        "HTTP_X_ONE": "1,2",
    }
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.input"].read() == b""


def test_the_templates_are_not_changed(ask):
    peer = ask("X-One: 1")
    of_listener = dict(peer.endpoint.template)
    first = environ_of(peer)
    first["REQUEST_METHOD"] = "changed"
    peer.connection.requests += 1  # from the second one on, a connection has its own template
    second = environ_of(peer)
    of_connection = dict(peer.connection.template)
    second["REQUEST_METHOD"] = "changed"
    assert list(second.items()) == list(first.items())
    assert (peer.endpoint.template, peer.connection.template) == (of_listener, of_connection)


def test_the_environ_of_a_unix_client(ask):
    peer = ask()
    peer.connection.address = ""
    for _ in range(2):
        environ = environ_of(peer)
        assert environ["REMOTE_ADDR"] == ""
        assert "REMOTE_PORT" not in environ
        assert environ["gunicorn.socket"] is peer.transport.sock
        peer.connection.requests += 1


@pytest.mark.parametrize(
    ("field", "scheme"),
    [
        ("X-Forwarded-Proto: https", "https"),
        ("X-Forwarded-Proto: HTTPS", "http"),
        ("X-Forwarded-Proto: http", "http"),
        ("X-Forwarded-Ssl: on", "https"),
        ("X-Forwarded-Protocol: ssl", "https"),
    ],
)
def test_scheme_from_a_trusted_peer(ask, field, scheme):
    assert environ_of(ask(field))["wsgi.url_scheme"] == scheme


def test_scheme_from_a_stranger_is_ignored(ask):
    peer = ask("X-Forwarded-Proto: https", address=STRANGER)
    assert environ_of(peer)["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize(
    ("address", "allowed", "trusted"),
    [
        (STRANGER, ["192.0.2.0/24"], True),
        (STRANGER, ["*"], True),
        (STRANGER, ["192.0.3.0/24", "::1"], False),
        (("fe80::1%eth0", 1, 0, 2), ["fe80::/10"], True),
        ("", [], True),
    ],
)
def test_trust(ask, address, allowed, trusted):
    assert ask(address=address, forwarded_allow_ips=allowed).connection.trusted() is trusted


def test_contradictory_schemes(ask):
    peer = ask("X-Forwarded-Proto: https", "X-Forwarded-Ssl: off")
    assert peer.step != RUN
    assert peer.received().startswith(b"HTTP/1.1 400 ")
    assert peer.log.lines == [
        ("warning", "Invalid request from ip=127.0.0.1: Contradictory scheme headers")
    ]


def test_underscore_names_are_dropped(ask):
    environ = environ_of(ask("X_Forwarded_For: 1", "Script_Name: /x", address=STRANGER))
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert environ["SCRIPT_NAME"] == ""


def test_underscore_names_refused(ask):
    assert ask("A_B: 1", header_map="refuse").step != RUN


def test_underscore_names_permitted(ask):
    assert environ_of(ask("A_B: 1", header_map="dangerous"))["HTTP_A_B"] == "1"


def test_forwarder_headers(ask):
    environ = environ_of(ask("SCRIPT_NAME: /app", "REMOTE_USER: eve", path="/app/x"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/x")
    assert "HTTP_REMOTE_USER" not in environ


def test_script_name_from_the_environment(monkeypatch, ask):
    monkeypatch.setenv("SCRIPT_NAME", "/app/")
    environ = environ_of(ask(path="/app/x%41"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/xA")


@pytest.mark.parametrize("path", ["/application", "/other", ""])
def test_script_name_ends_at_a_path_boundary(path):
    from cyserve._errors import ConfigurationProblem

    with pytest.raises(ConfigurationProblem):
        path_below("/app", path)


def test_proxy_field_is_dropped(ask):
    assert "HTTP_PROXY" not in environ_of(ask("Proxy: http://evil/"))


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
def test_expect_continue_without_a_body_is_nothing(ask, value):
    peer = ask(f"Expect: {value}")
    assert peer.step == RUN
    assert peer.received() == b""


def test_expect_continue_before_a_small_body(ask):
    peer = ask("Expect: 100-continue", "Content-Length: 5")
    assert peer.step == READ
    assert peer.client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.client.sendall(b"hello")
    assert peer.connection.proceed(0.0) == RUN
    assert peer.connection.request.body.read() == b"hello"


def test_unknown_expectation(ask):
    peer = ask("Expect: the-unexpected")
    assert peer.step != RUN
    assert peer.received().startswith(b"HTTP/1.1 417 ")


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("example.org", "example.org", "80"),
        ("example.org:81", "example.org", "81"),
        ("[::1]", "[::1]", "80"),
        ("[::1]:81", "[::1]", "81"),
    ],
)
def test_server_name_behind_a_unix_socket(ask, host, name, port):
    peer = ask(address="")
    peer.endpoint.is_unix = True
    req = peer.connection.request
    req.headers = [("HOST", host)]
    environ = peer.endpoint.make_environ(req, None)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ
