"""What the application sees: every key of the environ, and which headers it may believe.

The trust rules are security: a header that only a proxy may set must never come from elsewhere.
"""

import json
import re

import pytest
from harness import differs
from http_client import Client, chunked, request_bytes

# The complete set for `GET / HTTP/1.1` with a Host; a server's own keys would start with "cyserve."
KEYS = {
    "wsgi.version",
    "wsgi.url_scheme",
    "wsgi.input",
    "wsgi.errors",
    "wsgi.multithread",
    "wsgi.multiprocess",
    "wsgi.run_once",
    "wsgi.file_wrapper",
    "wsgi.input_terminated",
    "wsgi.early_hints",
    "SERVER_SOFTWARE",
    "gunicorn.socket",
    "REQUEST_METHOD",
    "QUERY_STRING",
    "RAW_URI",
    "SERVER_PROTOCOL",
    "SERVER_NAME",
    "SERVER_PORT",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "SCRIPT_NAME",
    "PATH_INFO",
    "HTTP_HOST",
}


def environ_of(address, target="/environ", headers=(), method="GET"):
    with Client(address) as client:
        client.send(request_bytes(target, method, headers))
        response = client.read_response()
    assert response.status == 200, response.raw_head
    return json.loads(response.body)


def test_every_key_over_tcp(http_server):
    with http_server.connect() as client:
        client.send(request_bytes("/environ?q=%20&a=b"))
        environ = json.loads(client.read_response().body)
        host, port = client.sock.getsockname()
    own = {key for key in environ if key.startswith("cyserve.")}
    assert set(environ) - own == KEYS
    assert environ["wsgi.version"] == [1, 0]
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.multithread"] is False
    assert environ["wsgi.multiprocess"] is False
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True
    assert environ["gunicorn.socket"] == "ClientSocket"  # a socket.socket
    assert re.fullmatch(r"\w+/[\w.+]+", environ["SERVER_SOFTWARE"])
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["RAW_URI"] == "/environ?q=%20&a=b"
    assert environ["QUERY_STRING"] == "q=%20&a=b"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/environ")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == tuple(map(str, http_server.address))
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (host, str(port))
    assert environ["HTTP_HOST"] == "test.example"


def test_every_key_over_a_unix_socket(http_server):
    path = http_server.addresses[1]
    environ = environ_of(path)
    own = {key for key in environ if key.startswith("cyserve.")}
    assert set(environ) - own == KEYS - {"REMOTE_PORT"}
    assert environ["REMOTE_ADDR"] == ""
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("test.example", "80")
    with Client(path) as client:
        client.send(b"GET /environ HTTP/1.1\r\nHost: named:8080\r\n\r\n")
        environ = json.loads(client.read_response().body)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("named", "8080")


def test_header_names_and_repeated_headers(http_server):
    environ = environ_of(
        http_server.address,
        headers=[
            ("Content-Type", "text/x"),
            ("Content-Length", "0"),
            ("x-MiXed-case", "kept AS is"),
            ("X-Two", "a"),
            ("X-Two", "b"),
            ("Accept", "*/*"),
            ("Empty", ""),
            ("X-Latin", "\xe9"),
        ],
        method="POST",
    )
    assert environ["CONTENT_TYPE"] == "text/x"
    assert environ["CONTENT_LENGTH"] == "0"
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ
    assert environ["HTTP_X_MIXED_CASE"] == "kept AS is"
    assert environ["HTTP_X_TWO"] == "a,b"
    assert environ["HTTP_EMPTY"] == ""
    assert environ["HTTP_X_LATIN"] == "\xe9"


@differs("cookie-join")
def test_cookies_are_joined_as_rfc_6265_asks(http_server):
    environ = environ_of(http_server.address, headers=[("Cookie", "a=1"), ("Cookie", "b=2")])
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/environ/../x%2fy?%41", "/environ/../x/y", "%41"),
        ("/%C3%A9", "/\xc3\xa9", ""),  # bytes as latin-1, PEP 3333
        ("/%zz%4", "/%zz%4", ""),  # no escapes: kept
        ("//double//slash", "//double//slash", ""),
        ("/a?b?c", "/a", "b?c"),
        ("/a;p=1", "/a;p=1", ""),
        ("/a#fragment", "/a", ""),
        ("http://elsewhere/a?b", "/a", "b"),
    ],
)
def test_path_and_query(start_server_with_fallback, target, path, query):
    environ = environ_of(start_server_with_fallback.address, target)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
    assert environ["RAW_URI"] == target


@pytest.fixture(scope="module")
def start_server_with_fallback(start_module_server, kernel):
    """A server whose application answers every path with its environ."""
    return start_module_server(
        "environ_app:app",
        kernel=kernel,
        files={"environ_app.py": ("from requests_app import environ as app\n")},
    )


# -- what a proxy says --


@pytest.fixture(scope="module")
def untrusting_server(start_module_server, kernel):
    """Trusts a proxy that is not us; header_map and forwarder_headers at their defaults."""
    return start_module_server(
        "requests_app:app",
        bind=["127.0.0.1:0", "unix:http.sock"],
        kernel=kernel,
        config="forwarded_allow_ips = '192.0.2.1'",
    )


FORWARDED = [("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "198.51.100.7")]


def test_scheme_from_a_trusted_peer(http_server):
    for headers in (FORWARDED, [("X-Forwarded-Ssl", "on")], [("X-Forwarded-Protocol", "ssl")]):
        assert environ_of(http_server.address, headers=headers)["wsgi.url_scheme"] == "https"
    for headers in ([("X-Forwarded-Proto", "http")], [("X-Forwarded-Ssl", "off")]):
        assert environ_of(http_server.address, headers=headers)["wsgi.url_scheme"] == "http"


def test_the_peer_address_is_not_replaced(http_server):
    environ = environ_of(http_server.address, headers=FORWARDED)
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["HTTP_X_FORWARDED_FOR"] == "198.51.100.7"


def test_contradicting_schemes_are_refused(http_server):
    with http_server.connect() as client:
        client.send(
            request_bytes(
                "/environ", headers=[("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off")]
            )
        )
        assert client.read_response().status == 400


def test_scheme_from_an_untrusted_peer_is_ignored(untrusting_server):
    environ = environ_of(untrusting_server.address, headers=FORWARDED)
    assert environ["wsgi.url_scheme"] == "http"


def test_a_unix_socket_peer_is_trusted(untrusting_server):
    environ = environ_of(untrusting_server.addresses[1], headers=FORWARDED)
    assert environ["wsgi.url_scheme"] == "https"


def test_underscore_headers_are_dropped(http_server, untrusting_server):
    for server in (http_server, untrusting_server):
        environ = environ_of(
            server.address,
            headers=[("X_Forwarded_For", "evil"), ("Remote_User", "root"), *FORWARDED],
        )
        assert environ["HTTP_X_FORWARDED_FOR"] == "198.51.100.7"
        assert "HTTP_REMOTE_USER" not in environ


@differs("proxy-field")
def test_the_proxy_header_never_reaches_the_environ(http_server):
    environ = environ_of(http_server.address, headers=[("Proxy", "http://evil")])
    assert "HTTP_PROXY" not in environ


def test_underscore_headers_from_a_trusted_peer_only(http_server, untrusting_server):
    headers = [("SCRIPT_NAME", "/environ")]
    environ = environ_of(http_server.address, "/environ/environ", headers)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/environ", "/environ")
    environ = environ_of(untrusting_server.address, headers=headers)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/environ")


def test_header_map_refuse_and_dangerous(start_server, kernel):
    refusing = start_server("requests_app:app", "--header-map", "refuse", kernel=kernel)
    with refusing.connect() as client:
        client.send(request_bytes("/environ", headers=[("A_b", "c")]))
        assert client.read_response().status == 400
    dangerous = start_server("requests_app:app", "--header-map", "dangerous", kernel=kernel)
    assert environ_of(dangerous.address, headers=[("A_b", "c")])["HTTP_A_B"] == "c"


@pytest.fixture(scope="module")
def mounted_server(start_module_server, kernel):
    """Mounted at /app by the environment variable SCRIPT_NAME."""
    return start_module_server(
        "environ_app:app",
        kernel=kernel,
        env={"SCRIPT_NAME": "/app"},
        files={"environ_app.py": "from requests_app import environ as app\n"},
    )


@pytest.mark.parametrize(
    ("target", "path"),
    [("/app", ""), ("/app/", "/"), ("/app/x", "/x"), ("/app/app/", "/app/"), ("/app/%2f", "//")],
)
def test_script_name_is_cut_off(mounted_server, target, path):
    environ = environ_of(mounted_server.address, target)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", path)


@pytest.mark.parametrize(
    "target", ["/", "/other", pytest.param("/application", marks=differs("script-name-boundary"))]
)
def test_a_path_outside_script_name_is_an_error(mounted_server, target):
    with mounted_server.connect() as client:
        client.send(request_bytes(target))
        assert client.read_response().status == 500
    assert environ_of(mounted_server.address, "/app/x")["PATH_INFO"] == "/x"


def test_a_path_outside_script_name_is_logged_as_such(start_server, kernel):
    args = ["--access-logfile=-", "--access-logformat=%(h)s|%(r)s|%(s)s"]
    server = start_server("plain:app", *args, kernel=kernel, env={"SCRIPT_NAME": "/app"})
    mark = server.log_mark()
    assert server.request("/other").status == 500
    server.wait_log(r"^127\.0\.0\.1\|GET /other HTTP/1\.1\|500$", since=mark)
    words = "Request path '/other' does not start with SCRIPT_NAME '/app'"
    assert f"Invalid request from ip=127.0.0.1: Configuration problem: {words}" in server.log_text()
    assert "Traceback" not in server.log_text(mark)


def test_script_name_header_wins_over_the_environment(mounted_server):
    environ = environ_of(mounted_server.address, "/other/x", [("SCRIPT_NAME", "/other")])
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/other", "/x")


# -- PEP 3333 --


@pytest.fixture(scope="module")
def validated_server(start_module_server, kernel):
    return start_module_server("validated:app", kernel=kernel)


@pytest.mark.parametrize("target", ["/length", "/chunked", "/write"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
def test_wsgiref_validate_is_content(validated_server, method, target):
    mark = validated_server.log_mark()
    body = b"first line\nsecond line\n" if method in ("POST", "PUT") else b""
    with validated_server.connect() as client:
        client.send(request_bytes(target, method, body=body))
        response = client.read_response(method)
    assert response.status == 200, validated_server.log_text(mark)
    if method != "HEAD":
        assert response.text == f"{method}:{11 if body else 0}:{12 if body else 0}"
    log = validated_server.log_text(mark)
    assert "Error" not in log
    assert "without being closed" not in log  # said when an iterator is dropped


def test_wsgiref_validate_is_content_with_a_chunked_body(validated_server):
    with validated_server.connect() as client:
        client.send(request_bytes("/length", "POST", [("Transfer-Encoding", "chunked")]))
        client.send(chunked([b"fir", b"st\nsec", b"ond\n" * 30000]))
        assert client.read_response().text == "POST:6:120003"
    assert "Traceback" not in validated_server.log_text()


def test_wsgi_errors_goes_to_the_error_log(http_server):
    mark = http_server.log_mark()
    assert http_server.request("/log-error").status == 200
    assert http_server.log_text(mark) == "first words to wsgi.errors\nsecond line, in two pieces\n"


def test_wsgi_errors_goes_to_the_error_log_file(start_server):
    server = start_server("requests_app:app", errorlog="error.log")
    assert server.request("/log-error").status == 200
    assert "first words to wsgi.errors\n" in server.errorlog_path.read_text()


def test_multiprocess_with_two_workers(start_server):
    server = start_server("requests_app:app", workers=2)
    assert environ_of(server.address)["wsgi.multiprocess"] is True


def test_raw_env_is_in_the_process_but_not_in_the_environ(start_server):
    server = start_server(
        "env_app:app",
        "--env",
        "GIVEN=value",
        files={
            "env_app.py": (
                "import os\n"
                "def app(environ, start_response):\n"
                "    assert 'GIVEN' not in environ\n"
                "    start_response('200 OK', [])\n"
                "    return [os.environ['GIVEN'].encode()]\n"
            )
        },
    )
    assert server.request("/").body == b"value"
