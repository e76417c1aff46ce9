"""wsgi.file_wrapper: files leave by sendfile where they can, and always with the right bytes."""

import re

import pytest
from harness import differs, strace_words, wait_for
from http_client import Client, request, request_bytes

CONTENT = bytes(range(256)) * 20000  # 5 MB


@pytest.fixture(scope="module")
def big_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "big.bin"
    path.write_bytes(CONTENT)
    return path


CASES = {
    "whole file, chunked": ("", CONTENT),
    "from an offset, chunked": ("&offset=1000001", CONTENT[1000001:]),
    "with its length": (f"&length={len(CONTENT)}", CONTENT),
    "length shorter than the file": ("&length=70000", CONTENT[:70000]),
    "length and offset": ("&offset=256&length=3000000", CONTENT[256:3000256]),
    "nothing left": (f"&offset={len(CONTENT)}&length=0", b""),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file(http_server, big_file, name):
    options, expected = CASES[name]
    for address in http_server.addresses:
        response = request(address, f"/send-file?path={big_file}{options}")
        assert response.status == 200
        assert response.body == expected
        assert (response.header("Content-Length") is None) == ("length" not in options)


def test_a_file_to_a_1_0_client(http_server, big_file):
    with http_server.connect() as client:
        client.send(f"GET /send-file?path={big_file} HTTP/1.0\r\n\r\n".encode())
        assert client.read_to_eof().partition(b"\r\n\r\n")[2] == CONTENT


def test_head_sends_no_file(http_server, big_file):
    with http_server.connect() as client:
        client.send(request_bytes(f"/send-file?path={big_file}&length=100", "HEAD"))
        assert client.read_response("HEAD").header("Content-Length") == "100"
        assert client.read_to_eof() == b""


def test_a_slow_reader_of_a_file(http_server, big_file):
    with Client(http_server.address, receive_buffer=4096) as client:
        client.send(request_bytes(f"/send-file?path={big_file}"))
        client.buffer = b"".join(client.sock.recv(1000) for _ in range(500))
        assert client.read_response().body == CONTENT


def test_a_reader_that_leaves(http_server, big_file):
    mark = http_server.log_mark()
    with http_server.connect() as client:
        client.send(request_bytes(f"/send-file?path={big_file}"))
        client.sock.recv(10)
        client.reset()
    assert http_server.request("/ok").status == 200
    assert "Traceback" not in http_server.log_text(mark)


def test_no_descriptor(http_server):
    assert http_server.request("/send-bytesio").body == b"0123456789" * 10000


def test_without_sendfile(start_server, big_file):
    server = start_server("requests_app:app", "--no-sendfile")
    response = server.request(f"/send-file?path={big_file}&offset=5")
    assert response.body == CONTENT[5:]


@differs("sendfile-size")
def test_the_access_log_counts_the_bytes(start_server, big_file):
    server = start_server(
        "requests_app:app", "--access-logfile", "-", "--access-logformat", "%(B)s."
    )
    server.request(f"/send-file?path={big_file}")
    server.wait_log(rf"^{len(CONTENT)}\.$")


def test_the_kernel_call_is_sendfile(start_server, big_file, tmp_path):
    trace = tmp_path / "trace"
    server = start_server("requests_app:app", prefix=strace_words(trace, "sendfile"))
    response = server.request(f"/send-file?path={big_file}&length={len(CONTENT)}")
    assert response.body == CONTENT

    def sent():
        calls = re.findall(r"sendfile(?:64)?(?:\(| resumed).*= (\d+)$", trace.read_text(), re.M)
        return sum(map(int, calls)) == len(CONTENT)

    wait_for(sent, "sendfile calls in the trace for every byte")
