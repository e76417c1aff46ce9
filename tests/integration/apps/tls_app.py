"""Says what an application sees of TLS, and moves bodies to and fro."""

import hashlib
import json
import sys

MEGABYTE = 1 << 20
BLOCK = bytes(range(256)) * (MEGABYTE // 256)


def app(environ, start_response):
    function = {"/big": big, "/file": file, "/digest": digest}.get(environ["PATH_INFO"], tell)
    return function(environ, start_response)


def answer(start_response, value):
    body = json.dumps(value).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def tell(environ, start_response):
    """What there is to know of the connection."""
    import ssl  # here, so that `loaded` can tell

    sock = environ["gunicorn.socket"]
    assert isinstance(sock, ssl.SSLSocket)
    peer = sock.getpeercert() or {}
    seen = {
        "scheme": environ["wsgi.url_scheme"],
        "version": sock.version(),
        "alpn": sock.selected_alpn_protocol(),
        "resumed": sock.session_reused,
        "peer": [value for kind, value in peer.get("subjectAltName", ())],
        "context": id(sock.context),
        "keys": [key for key in environ if key == "HTTPS" or key.startswith("SSL_")],
    }
    return answer(start_response, seen)


def big(environ, start_response):
    """As many MiB as the query says, in one piece."""
    megabytes = int(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Length", str(megabytes * MEGABYTE))])
    return [BLOCK * megabytes]


def file(environ, start_response):
    """This interpreter's own program, by wsgi.file_wrapper."""
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](open(sys.executable, "rb"))


def digest(environ, start_response):
    """The digest of what was sent."""
    summary, size = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(100_000):
        summary.update(piece)
        size += len(piece)
    return answer(start_response, [size, summary.hexdigest()])


def loaded(environ, start_response):
    """Another application: whether this process has ssl in memory."""
    return answer(start_response, "ssl" in sys.modules)
