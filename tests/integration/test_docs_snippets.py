"""The documentation's examples do what the page says: config files, command lines, proxies, units.

Each is read from its page, put where it belongs and run. Only what a test cannot have is replaced:
a port, a path, the place of the program.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGHUP, SIGTERM
from typing import Any

import pytest
from deployment import nginx
from doc_snippets import DOCS, TREE, block, blocks, commands
from harness import TIMEOUT, Server, command_under_test, free_port, server_environment
from http_client import request

from cyserve.config import KNOWN_SETTINGS

APP = block("index.md", "app.py").text
FILES = {
    "app.py": APP,
    "proj/wsgi.py": APP + "\napplication = app\n",
    "shop/__init__.py": APP + "\ndef create_app(name=None):\n    return app\n",
    "production.ini": "[app:main]\npaste.app_factory = paste_factory:make\n",
    "paste_factory.py": "from app import app\n\ndef make(settings):\n    return app\n",
    "shop/hooks.py": "def connect(server, worker):\n    pass\n",
}
CONFIGS = [found for found in blocks() if found.name.endswith((".conf.py", ".toml"))]
PROGRAMS = [found for found in blocks(language="python") if found not in CONFIGS]
PAGES = sorted({page for page, _, _ in commands()})

# The environ as JSON, and WebSocket's handshake without the rest of it.
ECHO = """
import json
def app(environ, start_response):
    if environ.get("HTTP_UPGRADE"):
        environ["gunicorn.socket"].sendall(b"HTTP/1.1 101 Switching Protocols\\r\\n\\r\\n")
        return []
    text = json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with the applications that the pages name, and `cyserve` in bin/."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    program = tmp_path / "bin/cyserve"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command_under_test())} "$@"\n')
    program.chmod(0o755)
    return tmp_path


class Started(Server):
    """A server started by a command as a page shows it; `address` is where it listens."""

    def __init__(self, place: Path, command: list[str], workers: int, **options: object) -> None:
        super().__init__(place, None, **options)  # type: ignore[arg-type]
        self._env["PATH"] = f"{place}/bin:{self._env['PATH']}"
        self.command = command
        self.start()
        listening = self.wait_log(r"Listening at: (\S+) \(\d+\)")[0]
        self.addresses = [self._parse_address(listening)]
        self.wait_log("Booting worker with pid", workers)


@pytest.fixture
def started(place: Path) -> Iterator[object]:
    """Starts commands; ends them all."""
    servers: list[Server] = []

    def start(command: list[str], workers: int, **options: object) -> Server:
        servers.append(Started(place, command, workers, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.destroy()


def check(place: Path, arguments: list[str], **env: str) -> subprocess.Popen[str]:
    """`cyserve --check-config` with these arguments, under way."""
    return subprocess.Popen(
        [str(place / "bin/cyserve"), "--check-config", *arguments],
        cwd=place,
        env=server_environment(env, None),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_config_files_serve_without_a_warning(place, started, config):
    text = config.text.replace("/var/log/app", str(place))
    (place / config.name).write_text(text)  # where it is found without being named
    server = started("cyserve -b 127.0.0.1:0 -w 1 app:app".split(), 1)
    assert request(server.address, "/x").text == "Hello from /x\n"
    assert server.stop() == 0
    assert re.findall("WARNING|ERROR|CRITICAL|Traceback", server.log_text()) == []


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_programs_are_python(program):
    compile(program.text, str(program), "exec")


def test_flags_that_pages_speak_of_exist():
    known = {flag for setting in KNOWN_SETTINGS for flag in setting.cli or ()} | {"--version"}
    of_others = {"--help", "--ulimit"}
    spoken_of = {
        flag
        for path in [TREE / "README.md", *DOCS.rglob("*.md")]
        for flag in re.findall(r"`(--[a-z][\w-]*)", path.read_text(encoding="utf-8"))
    }
    assert len(spoken_of) > 20
    assert spoken_of - known - of_others == set()


@pytest.mark.parametrize("page", PAGES)
def test_command_lines_are_understood(place, page):
    (place / "gunicorn.conf.py").write_text("workers = 2\n")
    runs = [
        (words, check(place, words, **variables))
        for where, variables, words in commands()
        if where == page
    ]
    results = [(words, *run.communicate(timeout=TIMEOUT), run.returncode) for words, run in runs]
    assert [found for found in results if found[2:] != ("", 0)] == []


def test_nginx_before_it(place, started):
    page = "deploy/nginx.md"
    (place / "app.py").write_text(ECHO)
    path = place / "app.sock"
    shown = block(page, "gunicorn.conf.py").text
    assert "unix:/run/app/app.sock" in shown
    (place / "gunicorn.conf.py").write_text(shown.replace("/run/app/app.sock", str(path)))
    command = ["cyserve", "-c", "gunicorn.conf.py", "--access-logfile", "-", "app:app"]
    server = started(command, 2)

    site = block(page, "/etc/nginx/conf.d/app.conf").text.rstrip().removesuffix("}")
    inner = [found.text for found in blocks(page, "nginx") if "in the server block" in found.text]
    site += "".join(inner) + "}"
    assert "unix:/run/app/app.sock" in site
    assert "listen 80;" in site
    site = site.replace("{", "{{").replace("}", "}}")
    site = site.replace("unix:/run/app/app.sock", "{upstream}")
    site = site.replace("listen 80;", "listen 127.0.0.1:{port};")
    with nginx(place / "nginx", f"unix:{path}", site) as url:
        host = url.partition("//")[2]
        address = (host.partition(":")[0], int(host.partition(":")[2]))
        answer = json.loads(request(address, "/a?b").body)
        assert answer["HTTP_HOST"] == "test.example"
        assert answer["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
        assert answer["wsgi.url_scheme"] == "http"
        assert "HTTP_CONNECTION" not in answer  # so that connections to the server are kept
        assert (answer["SCRIPT_NAME"], answer["PATH_INFO"]) == ("", "/a")
        below = json.loads(request(address, "/shop/cart").body)
        assert (below["SCRIPT_NAME"], below["PATH_INFO"]) == ("/shop", "/cart")
        upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        assert request(address, "/ws", headers=upgrade).status == 101
    server.wait_log(r'^127\.0\.0\.1 - \[.*\] "GET /a\?b HTTP/1.1" 200 ')


def test_procfile(place, started):
    line = re.search(r"^web: (.*)$", block("deploy/procfile.md", "Procfile").text, re.MULTILINE)
    port = free_port()
    env = {"PORT": str(port), "WEB_CONCURRENCY": "2"}
    server = started(["sh", "-c", f"exec {line[1]}"], 2, env=env)
    assert server.address == ("0.0.0.0", port)
    assert request(("127.0.0.1", port), "/x").text == "Hello from /x\n"
    server.wait_log('"GET /x HTTP/1.1" 200')
    os.killpg(server.pid, SIGTERM)  # as the platform does: everybody gets it
    assert server.wait_exit() == 0


def test_docker_command(place, started):
    text = block("deploy/docker.md", "Dockerfile").text
    command = json.loads(re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)[1])
    port = free_port()
    config = block("deploy/docker.md", "gunicorn.conf.py").text
    (place / "gunicorn.conf.py").write_text(config)
    assert command.count("0.0.0.0:8000") == 1
    command[command.index("0.0.0.0:8000")] = f"127.0.0.1:{port}"
    server = started(command, 3, env={"WEB_CONCURRENCY": "3"})
    assert request(server.address, "/x").status == 200

    health = next(found for found in blocks("deploy/docker.md") if "HEALTHCHECK" in found.text)
    words = json.loads(re.search(r"CMD (\[.*\])$", health.text, re.MULTILINE)[1])
    assert words[0] == "python"
    words = [sys.executable, *(word.replace(":8000/", f":{port}/") for word in words[1:])]
    subprocess.run(words, check=True, timeout=TIMEOUT)
    assert server.stop() == 0
    assert subprocess.run(words, check=False, timeout=TIMEOUT, capture_output=True).returncode


# Hands on the listener the way systemd does, then becomes the program.
AS_SYSTEMD = """
import os, sys
fd = int(sys.argv[1])
if fd != 3:
    os.dup2(fd, 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execvp(sys.argv[2], sys.argv[2:])
"""


def unit(name: str) -> configparser.ConfigParser:
    """A unit of the page, with names as they are written."""
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(block("deploy/systemd.md", f"/etc/systemd/system/{name}").text)
    return parsed


def hear(manager: socket.socket, line: bytes) -> None:
    """Receive what the server tells the service manager, up to this line."""
    while line not in manager.recv(4096).split(b"\n"):
        pass


def test_systemd_unit(place, started):
    service = unit("app.service")["Service"]
    words = shlex.split(service["ExecStart"])
    assert words[0] == "/srv/app/venv/bin/cyserve"
    words[0] = str(place / "bin/cyserve")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.settimeout(TIMEOUT)
        manager.bind(str(place / "notify"))
        server = started(
            [sys.executable, "-c", AS_SYSTEMD, str(listener.fileno()), *words],
            2,
            pass_fds=[listener.fileno()],
            env={"NOTIFY_SOCKET": str(place / "notify")},
        )
        assert service["Type"] == "notify"
        hear(manager, b"READY=1")
        assert request(listener.getsockname(), "/x").status == 200
        assert service["ExecReload"] == "/bin/kill -s HUP $MAINPID"
        server.signal(SIGHUP)
        hear(manager, b"RELOADING=1")
        hear(manager, b"READY=1")
        server.wait_log("Reloaded: 2 new workers are ready")
        assert server.stop() == 0
        hear(manager, b"STOPPING=1")
    assert unit("app.socket")["Socket"]["ListenStream"]


def test_statsd(place, started):
    page = "logging.md"
    config = next(found for found in CONFIGS if "shop.forks" in found.text)
    (place / "gunicorn.conf.py").write_text(config.text)
    words = next(words for _, _, words in commands(page) if "--statsd-host" in words)
    rows = re.findall(r"^\| (`gunicorn\..*?) \| ", (DOCS / page).read_text(), re.MULTILINE)
    first = {re.match("`(.*?)`", row)[1].replace("NNN", "200") for row in rows}
    wanted = {name for name in first if ".log." not in name}
    assert len(wanted) == 5
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(TIMEOUT)
        words[words.index("localhost:8125")] = f"127.0.0.1:{receiver.getsockname()[1]}"
        server = started(["cyserve", "-b", "127.0.0.1:0", *words], 1)
        assert request(server.address, "/x").status == 200
        missing = {"shop.shop.forks", *(f"shop.{name}" for name in wanted)}
        while missing:
            lines = receiver.recv(4096).decode().splitlines()
            missing -= {line.partition(":")[0] for line in lines}
        assert server.stop() == 0


@pytest.mark.parametrize("module", ["cyserve", "gunicorn"])
def test_a_program_that_embeds_the_server(place, started, module):
    page = "migrating-from-gunicorn.md"
    port = free_port()
    text = block(page, "serve.py").text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    (place / "serve.py").write_text(text.replace("from cyserve.", f"from {module}."))
    command = ["python", "serve.py"]
    if module == "gunicorn":
        shown = [found.text.strip() for found in blocks(page, "console")]
        command = next(text for text in shown if "gunicorn_alias" in text).split()[1:]
    server = started([sys.executable, *command[1:]], 2)
    assert request(server.address, "/x").text == "Hello from /x\n"


def test_json_logs(place, started):
    config = next(found for found in CONFIGS if "logconfig_dict" in found.text)
    (place / "gunicorn.conf.py").write_text(config.text)
    (place / "app.py").write_text("def app(environ, start_response):\n    raise KeyError\n")
    server = started("cyserve -c gunicorn.conf.py -b 127.0.0.1:0 app:app".split(), 1)
    assert request(server.address, "/x", headers=[("User-Agent", '"}\xe4')]).status == 500
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.log_text().splitlines()]
    assert [x["user_agent"] for x in lines if "user_agent" in x] == ['"}\xe4']
    assert "KeyError" in next(x["traceback"] for x in lines if "traceback" in x)


@pytest.mark.parametrize(
    ("limit", "processors"),
    [("50000 100000", 1), ("100000 100000", 1), ("6400000 100000", None), ("max 100000", None)],
)
def test_processors_of_a_container(place, limit, processors):
    text = block("deploy/docker.md", "gunicorn.conf.py").text
    assert "/sys/fs/cgroup/cpu.max" in text
    (place / "cpu.max").write_text(limit + "\n")
    names: dict[str, Any] = {}
    exec(text.replace("/sys/fs/cgroup/cpu.max", str(place / "cpu.max")), names)
    every = len(os.sched_getaffinity(0))
    assert names["processors"]() == (processors or every)
    (place / "cpu.max").unlink()  # cgroup v1
    assert names["processors"]() == every
