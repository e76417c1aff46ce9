"""Five projects as they are found in the wild (tests/deployments), run by both programs.

Each must start without a word of complaint, do what its project is for, and behave alike.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from email.utils import parsedate
from pathlib import Path
from signal import SIGHUP, SIGTERM
from typing import Any
from urllib.error import HTTPError

import pytest
from deployment import Browser, nginx
from differences import compare
from harness import Server, open_sockets, wait_for
from http_client import Response, request_bytes
from lives import without_second_term

pytestmark = pytest.mark.timeout(180)  # whole projects, started twice, on a slow machine

DEPLOYMENTS = Path(__file__).parents[1] / "deployments"

LINE = re.compile(r"\[\d{4}-[^\]]+\] \[(\d+)\] \[([A-Z]+)\] (.*)")
#: What only one of them says, and needs not be the other's.
OWN_LINES = ("Starting ", "Control socket ", "Reloaded: ", "Listening at: ")

Pair = Any  # conftest.Pair
Deploy = Callable[..., Pair]


@pytest.fixture
def deploy(start_both: Callable[..., Pair]) -> Deploy:
    """Starts a project with both programs; they are ready, and have not complained."""

    def start(
        name: str, app: str | None, env: dict[str, str], workers: int = 2, quiet: bool = True
    ) -> Pair:
        root = DEPLOYMENTS / name
        files = {
            str(path.relative_to(root)): path.read_text()
            for path in root.rglob("*.py")
            if path.name != "gunicorn.conf.py"
        }
        config = (root / "gunicorn.conf.py").read_text()
        options: dict[str, Any] = {"config": config, "files": files, "env": env, "bind": None}
        pair = start_both(app, workers=None, wait=False, **options)
        for server in (pair.gunicorn, pair.cyserve):
            server.wait_ready(workers)
            if quiet:
                told = [line for line in server.log_text().splitlines() if not line.startswith("{")]
                assert [line for line in told if " [INFO] " not in line] == []
        return pair

    return start


def both(pair: Pair, look: Callable[[Server], Any], differs: Any = ()) -> Any:
    """What `look` finds at both, which must be the same but for the differences named."""
    found = look(pair.gunicorn), look(pair.cyserve)
    compare(*found, differs=differs)
    return found[1]


def plain(server: Server, text: str) -> str:
    """Text without what is different at every start."""
    text = text.replace(str(server.directory), "DIRECTORY")
    text = re.sub(r"\[\d\d/\w{3}/\d{4}:[^\]]+\]", "[TIME]", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", text)
    return re.sub(r"pid: ?\d+", "pid: N", text)


def stories(server: Server, text: str) -> tuple[list[str], list[list[str]]]:
    """What the master logged, and what each worker did, without what has to differ."""
    text = without_second_term(server, text)
    lines: dict[int, list[str]] = defaultdict(list)
    for found in map(LINE.match, text.splitlines()):
        if found and not found[3].startswith(OWN_LINES):
            lines[int(found[1])].append(f"{found[2]} {plain(server, found[3])}")
    master = lines.pop(server.process.pid)
    return master, sorted(lines.values())


def lines_of_access(server: Server, count: int) -> list[str]:
    """The lines of the access log, once there are so many."""
    found = server.wait_log(r'^.*"(?:GET|POST) \S+ HTTP/1\.[01]".*$', count=count)
    return sorted(plain(server, line) for line in found)


def fields(response: Response) -> list[tuple[str, str]]:
    """The fields of a response, but that the date need only be one."""
    for name, value in response.headers:
        assert name.lower() != "date" or parsedate(value)
    return [(name, "" if name.lower() == "date" else value) for name, value in response.headers]


# -- Django behind nginx --


def test_django_behind_nginx(deploy: Deploy, tmp_path: Path) -> None:
    env = {"GUNICORN_BIND": "unix:gunicorn.sock", "WEB_CONCURRENCY": "2"}
    pair = deploy("django_nginx", None, env)

    def visit(server: Server) -> list[Any]:
        directory = tmp_path / f"nginx-{server.directory.name}"
        site = (DEPLOYMENTS / "django_nginx/nginx.conf").read_text()
        site = site.replace("{", "{{").replace("}", "}}").replace("80;", "127.0.0.1:{port};")
        site = site.replace("unix:/run/shop/gunicorn.sock", "{upstream}")
        site = site.replace("/srv/shop", str(server.directory))
        (server.directory / "static").mkdir()
        (server.directory / "static/shop.css").write_text("pot { color: blue }")
        with nginx(directory, f"unix:{server.address}", site) as url:
            browser = Browser(url, "https")
            here = json.loads(browser.get("/shop/here/"))
            token = browser.get("/shop/order/").decode()
            form = {"csrfmiddlewaretoken": token}
            after = json.loads(browser.post_form("/shop/order/", form))  # redirected
            css = browser.get(here["static"])
            with pytest.raises(HTTPError, match="403"):
                browser.post_form("/shop/order/", {})
            old = server.worker_pids()
            server.signal(SIGHUP)
            server.wait_workers(2, but_not=old)
            assert json.loads(browser.get("/shop/here/")) == here
            assert here == after
        here["uri"] = plain(server, here["uri"])
        mode = (server.directory / "gunicorn.sock").stat().st_mode & 0o777
        unsafe = server.request("/shop/here/", headers=[("Script-Name", "/else")])
        return [here, css, oct(mode), unsafe.status, lines_of_access(server, 7)]

    here, css, mode, _, log = both(pair, visit)
    assert here == {
        "uri": "https://HOST:PORT/shop/here/",
        "secure": True,
        "script_name": "/shop",
        "path_info": "/here/",
        "peer": "",
        "client": "127.0.0.1",
        "order": "/shop/order/",
        "static": "/static/shop.css",
    }
    assert css == b"pot { color: blue }"
    assert mode == "0o770"
    assert '127.0.0.1 - - [TIME] "GET /shop/order/ HTTP/1.0" 200 64 "-" "Python-urllib/3' in str(
        log
    )
    for server in (pair.gunicorn, pair.cyserve):
        assert "Starting shop with 2 workers" in server.log_text()
        assert "Reloading shop" in server.log_text()
        assert server.stop() == 0
        assert not (server.directory / "gunicorn.sock").exists()


# -- Flask on greenlets --


def test_flask_on_gevent(deploy: Deploy) -> None:
    env = {
        "HOST": "127.0.0.1",
        "PORT": "0",
        "WEB_CONCURRENCY": "1",
        "MAX_REQUESTS": "34",
        "MAX_REQUESTS_JITTER": "0",
    }
    pair = deploy("flask_gevent", "wsgi:app", env, workers=1)

    def visit(server: Server) -> list[Any]:
        old = server.worker_pids()
        first = server.request("/")
        with ExitStack() as stack:
            clients = [stack.enter_context(server.connect()) for _ in range(30)]
            for client in clients:
                client.send(request_bytes("/wait"))
            # All of them wait at once, in one process; asking costs no request of the 34.
            wait_for(lambda: open_sockets(old[0]) >= 30, "thirty connections")
            events = server.request("/events")
            (server.directory / "go").touch()
            waited = [client.read_response().body for client in clients]
        failed = server.request("/fail")
        last = server.request("/")
        assert [first.json()["pid"], last.json()["pid"]] == old * 2
        server.wait_log("Autorestarting worker after current request")
        server.wait_log(rf"Worker gone \(pid: {old[0]}\)")
        new = server.wait_workers(1, but_not=old)
        assert server.request("/").json()["pid"] in new
        assert "about to fail" in server.log_text()
        heads = [fields(response) for response in (first, events, failed, last)]
        bodies = [response.body for response in (events, failed)]
        return [waited, heads, bodies, lines_of_access(server, 35)]

    waited, heads, bodies, log = both(pair, visit)
    assert waited == [b"waited"] * 30
    assert [dict(head)["Server"] for head in heads] == ["undisclosed"] * 4
    assert bodies[0] == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert '127.0.0.1 - - [TIME] "GET /fail HTTP/1.1" 500 265 "-" "-"' in log
    for server in (pair.gunicorn, pair.cyserve):
        assert server.stop() == 0


# -- a preloaded application with a pool of connections --


def test_preloaded_pool(deploy: Deploy) -> None:
    env = {"BIND": "127.0.0.1:0", "WORKERS": "2", "PROMETHEUS_MULTIPROC_DIR": "metrics"}
    pair = deploy("preload_pools", "shop:app", env)

    def visit(server: Server) -> tuple[list[str], list[list[str]]]:
        old = server.worker_pids()
        seen: set[int] = set()
        orders = 0
        while seen != set(old):  # each works with connections of its own
            order = server.request("/order").json()
            assert (order["pots"], order["loaded_by"]) == (1, server.process.pid)
            seen.add(order["pid"])
            orders += 1
        metrics = server.request("/metrics").text
        assert f"\norders_total {orders}.0\n" in metrics
        assert "\nalive 2.0\n" in metrics
        server.signal(SIGTERM, old[0])
        server.wait_workers(2, but_not=old[:1])
        metrics = server.request("/metrics").text
        assert f"\norders_total {orders}.0\n" in metrics
        assert "\nalive 1.0\n" in metrics  # by child_exit
        assert server.stop() == 0
        return stories(server, re.sub(r"(child_exit of) \d", r"\1 N", server.log_text()))

    master, workers = both(pair, visit)
    assert master[:2] == ["INFO workers: None -> 2", "INFO on_starting in the master"]
    assert master[-1] == "INFO on_exit in the master"
    assert [line for line in master if "pre_fork" in line or "child_exit" in line] == [
        "INFO pre_fork in the master",
        "INFO pre_fork in the master",
        "INFO child_exit of N",
        "INFO pre_fork in the master",
        "INFO child_exit of N",
        "INFO child_exit of N",
    ]
    life = [
        "INFO Booting worker with pid: N",
        "INFO post_fork in a worker",
        "INFO pool of the worker is open: 1",
        "INFO Worker exiting (pid: N)",
        "INFO worker_exit in a worker",
    ]
    assert workers == [life] * 3


# -- everything in JSON --


def test_json_logging(deploy: Deploy) -> None:
    pair = deploy("json_logging", "api:app", {"BIND": "127.0.0.1:0"}, workers=1)

    def entries(server: Server) -> list[dict[str, Any]]:
        text = without_second_term(server, server.log_text())
        return [json.loads(line) for line in text.splitlines()]

    def visit(server: Server) -> list[Any]:
        agent = [("User-Agent", 'a "b" \\'), ("X-Request-Id", "42")]
        server.request("/order?pot=blue", headers=agent)
        server.request("/health")
        server.request("/fail", "POST", body=b"x")
        old = server.worker_pids()
        server.signal(SIGHUP)
        server.wait_workers(1, but_not=old)
        server.request("/again")
        server.wait_log('"path": "/again"')
        assert server.stop() == 0
        found = []
        for entry in entries(server):
            if entry["message"].startswith(OWN_LINES):
                continue
            assert datetime.fromisoformat(entry.pop("time"))
            pid = entry.pop("pid")
            if "request" in entry:
                assert 0 <= entry["request"].pop("seconds") < 60
            if "exception" in entry:
                entry["exception"] = entry["exception"].splitlines()[-1]
            entry["message"] = plain(server, entry["message"])
            found.append(("master" if pid == server.process.pid else "worker", entry))
        # Two processes write at the same time.
        return sorted(found, key=str)

    def with_path(found: list[Any]) -> list[Any]:
        text = json.dumps(found)
        text = text.replace("POST None 500", "POST /fail 500").replace("null", '"/fail"')
        return [tuple(entry) for entry in json.loads(text)]

    found = both(pair, visit, differs={"failed-path": with_path})
    requests = [entry["request"] for _, entry in found if "request" in entry]
    assert {
        "remote": "127.0.0.1",
        "method": "GET",
        "path": "/order",
        "query": "pot=blue",
        "status": 200,
        "size": 2,
        "referrer": "-",
        "agent": 'a \\"b\\" \\',
        "id": "42",
    } in requests
    assert sorted(request["path"] for request in requests) == ["/again", "/fail", "/order"]
    assert [entry for _, entry in found if entry["logger"] == "api"] == [
        {"level": "INFO", "logger": "api", "message": "an order of pot=blue"}
    ]
    assert [entry["exception"] for _, entry in found if "exception" in entry] == [
        "RuntimeError: on purpose"
    ]


# -- uvicorn's workers --


def test_uvicorn_workers(deploy: Deploy) -> None:
    env = {"BIND": "127.0.0.1:0", "WEB_CONCURRENCY": "2", "GRACEFUL_TIMEOUT": "20"}
    pair = deploy("uvicorn_workers", "main:app", env)

    def visit(server: Server) -> list[Any]:
        printed = json.loads(server.log_text().splitlines()[0])
        proxied = [("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Proto", "https")]
        answer = server.request("/predict?question=why", headers=proxied)
        old = server.worker_pids()
        assert answer.json()["pid"] in old
        refused = server.request("/predict")
        assert server.log_text().count('"graceful_timeout": 20') == 1
        server.signal(SIGHUP)
        server.wait_workers(2, but_not=old)
        server.wait_log('"graceful_timeout": 20', count=2)  # the file was read again
        assert server.request("/predict?question=").json()["pid"] not in old
        assert server.stop() == 0
        log = [plain(server, line) for line in server.log_text().splitlines() if "GET" in line]
        heads = [fields(response) for response in (answer, refused)]
        return [printed, {**answer.json(), "pid": 0}, refused.json(), heads, log]

    printed, answer, _, _, log = both(pair, visit)
    assert (printed["workers"], printed["bind"]) == (2, "127.0.0.1:0")
    assert answer == {"answer": 3, "pid": 0, "client": "192.0.2.7", "scheme": "https"}
    assert log[0].endswith('192.0.2.7:0 - "GET /predict?question=why HTTP/1.1" 200')
