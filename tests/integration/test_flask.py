"""A Flask application on four sync workers: by itself, and behind nginx."""

import hashlib
import json
import subprocess
import sys

import pytest
from deployment import Browser, hey, nginx
from harness import missing

CONTENT = b"flask " * 200_000

APP = """
import hashlib
from flask import Flask, Response, jsonify, redirect, request, send_file, session, url_for

app = Flask(__name__)
app.secret_key = "not secret here"

@app.get("/")
def hello():
    return "hello"

@app.post("/json")
def json():
    return jsonify(got=request.get_json())

@app.post("/upload")
def upload():
    sent = request.files["file"]
    return jsonify(name=sent.filename, title=request.form["title"],
                   sha256=hashlib.sha256(sent.read()).hexdigest())

@app.get("/stream")
def stream():
    return Response(f"{number}\\n" for number in range(5000))

@app.get("/file")
def file():
    return send_file("download.bin")

@app.get("/remember/<word>")
def remember(word):
    session["word"] = word
    return redirect(url_for("recall"))

@app.get("/recall")
def recall():
    return session["word"] + (" safely" if request.is_secure else "")
"""


@pytest.fixture(scope="module")
def flask_server(start_module_server):
    if subprocess.run([sys.executable, "-c", "import flask"], check=False).returncode:
        missing("Flask is not installed")
    server = start_module_server(
        "flask_site:app",
        bind=["127.0.0.1:0", "unix:http.sock"],
        workers=4,
        files={"flask_site.py": APP},
    )
    (server.directory / "download.bin").write_bytes(CONTENT)
    return server


@pytest.fixture(scope="module", params=["direct", "behind nginx"])
def site(request, flask_server, tmp_path_factory):
    if request.param == "direct":
        yield flask_server.url
    else:
        host, port = flask_server.address
        with nginx(tmp_path_factory.mktemp("nginx") / "n", f"{host}:{port}") as url:
            yield url


def test_pages_forms_and_files(site, flask_server):
    browser = Browser(site)
    assert browser.get("/") == b"hello"
    answer = browser.post("/json", b'{"a": [1, 2]}', "application/json")
    assert json.loads(answer) == {"got": {"a": [1, 2]}}
    answer = browser.post_files("/upload", {"title": "t"}, {"file": ("f.bin", CONTENT)})
    assert json.loads(answer) == {
        "name": "f.bin",
        "title": "t",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    assert browser.get("/stream") == b"".join(b"%d\n" % number for number in range(5000))
    assert browser.get("/file") == CONTENT
    secure = b"" if site == flask_server.url else b" safely"  # by X-Forwarded-Proto of nginx
    assert browser.get("/remember/word") == b"word" + secure


def test_3000_requests_by_100_clients(site, flask_server):
    mark = flask_server.log_mark()
    assert hey(site + "/", 3_000, 100) == {200: 3_000}
    assert flask_server.log_text(mark) == ""
    assert len(flask_server.worker_pids()) == 4
