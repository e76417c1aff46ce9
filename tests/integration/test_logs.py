"""Error log and access log: targets, formats, and reopening after a rotation."""

import json
import os
import re
import time
from signal import SIGHUP, SIGKILL, SIGUSR1

from harness import differs, free_port, wait_for
from http_client import Client, request_bytes

DEFAULT_LINE = re.compile(
    r"127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r'"GET /ok\?a=b HTTP/1\.1" 200 2 "-" "-"'
)


def lines_of(path, count, *, once=False):
    """The lines of a log file, once there are at least `count`; once: without repetitions."""

    def complete():
        lines = path.read_text().splitlines() if path.exists() else []
        if once:
            lines = list(dict.fromkeys(lines))
        return lines if len(lines) >= count else None

    return wait_for(complete, f"{count} lines in {path.name}")


def test_no_access_log_by_default(start_server):
    server = start_server("requests_app:app")
    server.request("/ok")
    assert server.stop() == 0
    assert "/ok" not in server.log_text()


def test_lifecycle_lines(start_server):
    server = start_server("plain:app", workers=2)
    workers = server.worker_pids()
    server.stop()
    stamp = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\]"
    lines = server.log_text().splitlines()
    assert all(re.match(rf"{stamp} \[\d+\] \[INFO\] ", line) for line in lines)
    messages = [re.sub(rf"^{stamp} ", "", line) for line in lines]
    host, port = server.address
    pid = server.pid
    assert re.fullmatch(rf"\[{pid}\] \[INFO\] Starting \w+ [\w.+]+", messages[0])
    assert messages[1] == f"[{pid}] [INFO] Listening at: http://{host}:{port} ({pid})"
    assert messages[2] == f"[{pid}] [INFO] Using worker: sync"
    for worker in workers:
        assert f"[{worker}] [INFO] Booting worker with pid: {worker}" in messages
        assert f"[{worker}] [INFO] Worker exiting (pid: {worker})" in messages
    assert f"[{pid}] [INFO] Handling signal: term" in messages
    assert f"[{pid}] [INFO] Shutting down: Master" in messages


def test_access_log_on_stdout_errors_on_stderr(start_server):
    server = start_server("requests_app:app", "--access-logfile", "-")
    mark = server.log_mark()
    server.request("/ok?a=b")
    server.wait_log(rf"^{DEFAULT_LINE.pattern}$", since=mark)


def test_log_files(start_server, tmp_path):
    access = tmp_path / "access.log"
    server = start_server("requests_app:app", "--access-logfile", str(access), errorlog="error.log")
    for _ in range(3):
        server.request("/ok?a=b")
    lines = lines_of(access, 3)
    assert all(DEFAULT_LINE.fullmatch(line) for line in lines)
    assert len(lines) == 3
    assert "Listening at" in server.errorlog_path.read_text()
    assert server.log_path.read_text() == ""  # nothing on the console


def test_each_status_has_its_line(start_server):
    server = start_server(
        "requests_app:app", "--access-logfile", "-", "--access-logformat", "line %(s)s %(B)s %(m)s"
    )
    server.request("/ok")
    server.request("/ok", "HEAD")
    server.request("/status?line=204+No+Content")
    server.request("/status?line=304+Not+Modified")
    server.request("/unread", "POST", body=b"x")
    server.request("/none-such")
    server.request("/big-generator")
    server.wait_log(r"^line 200 10485760 GET$")
    lines = re.findall(r"^line (.*)$", server.log_text(), re.M)
    assert lines == [
        "200 2 GET",
        "200 0 HEAD",
        "204 0 GET",
        "304 0 GET",
        "401 8 POST",
        "404 0 GET",
        "200 10485760 GET",
    ]


def test_a_failed_application_is_in_both_logs(start_server):
    server = start_server(
        "requests_app:app", "--access-logfile", "-", "--access-logformat", "line %(r)s %(s)s"
    )
    server.request("/raise-before")
    server.request("/ok")
    server.wait_log(r"^line GET /ok HTTP/1\.1 200$")
    assert "Error handling request GET /raise-before" in server.log_text()


ATOMS = {
    "%(h)s": r"127\.0\.0\.1",
    "%(l)s": "-",
    "%(u)s": "ann",
    "%(t)s": r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]",
    "%(r)s": r"GET /status\?line=201\+Made&a=%20 HTTP/1\.1",
    "%(s)s": "201",
    "%(m)s": "GET",
    "%(U)s": "/status",
    "%(q)s": r"line=201\+Made&a=%20",
    "%(H)s": r"HTTP/1\.1",
    "%(b)s": "12",
    "%(B)d": "12",
    "%(f)s": "http://from",
    "%(a)s": r'agent \\"quoted\\"',
    "%(T)s": r"\d+",
    "%(M)s": r"\d+",
    "%(D)s": r"\d+",
    "%(L)s": r"\d+\.\d{6}",
    "%(p)s": r"<\d+>",
    "%({x-given}i)s": "value",
    "%({X-GIVEN}i)s": "value",
    "%({absent}i)s": "-",
    "%({x-wanted}o)s": "201 Made",
    "%({server}o)s": "-",
    "%({REQUEST_METHOD}e)s": "GET",
    "%({request_method}e)s": "GET",
    "%(unknown)s": "-",
    "%%": "%",
}


def test_every_atom(start_server):
    wanted = "|".join(ATOMS)
    server = start_server(
        "requests_app:app", "--access-logfile", "-", config=f"access_log_format = {wanted!r}"
    )
    server.request(
        "/status?line=201+Made&a=%20",
        headers=[
            ("Authorization", "Basic YW5uOnNlY3JldA=="),
            ("Referer", "http://from"),
            ("User-Agent", 'agent "quoted"'),
            ("X-Given", "value"),
        ],
    )
    [line] = server.wait_log(r"^127\.0\.0\.1\|.*$")
    values = line.split("|")
    assert len(values) == len(ATOMS)
    for (atom, expected), value in zip(ATOMS.items(), values, strict=True):
        assert re.fullmatch(expected, value), f"{atom} gave {value!r}"


def test_a_client_cannot_forge_a_line(start_server):
    server = start_server("requests_app:app", "--access-logfile", "-")
    server.request("/ok", headers=[("User-Agent", 'x" 200 0 "-" "y'), ("Referer", "\x85\xa0")])
    server.request("/ok?last")
    server.wait_log(r'"GET /ok\?last ')
    assert r'"x\" 200 0 \"-\" \"y"' in server.log_text()
    assert len(re.findall(r'^127\.0\.0\.1 .*"GET /ok', server.log_text(), re.M)) == 2


def test_usr1_reopens_the_files_after_a_rotation(start_server, tmp_path):
    access, error = tmp_path / "access.log", tmp_path / "s0" / "error.log"
    server = start_server(
        "requests_app:app",
        "--access-logfile",
        str(access),
        "--access-logformat",
        "%(p)s %(U)s",
        workers=2,
        errorlog="error.log",
    )
    for _ in range(10):
        server.request("/ok?old")
    lines_of(access, 10)
    workers = server.worker_pids()
    old_access, old_error = access.with_suffix(".1"), error.with_suffix(".1")
    access.rename(old_access)
    error.rename(old_error)
    server.signal(SIGUSR1)

    def all_write_to_the_new_file():
        clients = [server.connect().send(request_bytes("/nap")) for _ in workers]
        for client in clients:
            with client:
                client.read_response()
        text = access.read_text() if access.exists() else ""
        return all(f"<{pid}>" in text for pid in workers)

    wait_for(all_write_to_the_new_file, "every worker to write to the new access log")
    wait_for(error.exists, "the new error log")
    size = old_access.stat().st_size
    for _ in range(20):
        server.request("/new")
    assert old_access.stat().st_size == size
    assert server.worker_pids() == workers  # the same processes
    server.stop()
    assert "Shutting down: Master" in error.read_text()
    assert "Shutting down" not in old_error.read_text()
    assert access.read_text().count(" /new\n") == 20


def test_the_log_level(start_server):
    bind = f"127.0.0.1:{free_port()}"
    server = start_server("requests_app:app", "--log-level", "warning", bind=bind, wait=False)
    server.wait_workers(1)
    host, port = bind.split(":")
    with Client((host, int(port))) as client:
        client.send(b"BAD\r\n\r\n")
        assert client.read_response().status == 400
    server.wait_log(r"\[WARNING\] Invalid request")
    assert "[INFO]" not in server.log_text()


def test_debug_level_shows_the_configuration(start_server):
    server = start_server("plain:app", "--log-level", "debug")
    server.wait_log(r"\[DEBUG\] Current configuration:")
    server.wait_log(r"^\s+workers: 1$")


TALKING = """
import logging, os, sys
logging.getLogger("own").addHandler(logging.FileHandler("own.log"))
def app(environ, start_response):
    word = environ["QUERY_STRING"]
    print("to stdout", word, flush=True)
    print("to stderr", word, file=sys.stderr, flush=True)
    os.system(f"echo from a child process {word}")
    logging.getLogger("own").warning("own %s", word)
    start_response("200 OK", [])
    return [b""]
"""


def test_captured_output_and_all_logs_survive_rotations(start_server):
    """By USR1, by HUP, and by a HUP whose configuration does not work."""
    server = start_server(
        "talking:app",
        "--capture-output",
        "--access-logfile=access.log",
        errorlog="error.log",
        files={"talking.py": TALKING},
    )
    logs = [server.directory / name for name in ("access.log", "error.log", "own.log")]

    def rotate(word):
        for path in logs:
            path.rename(path.with_suffix(f".{word}"))

    def all_there(word):
        """Asked again, for the worker that answers may not have heard of the signal yet."""
        server.request(f"/?{word}")
        access, error, own = (path.read_text() if path.exists() else "" for path in logs)
        told = [f"{what} {word}\n" in error for what in ("stdout", "stderr", "child process")]
        return f"?{word} " in access and f"own {word}\n" in own and all(told)

    wait_for(lambda: all_there("first"), "everything in the first files")
    rotate("usr1")
    server.signal(SIGUSR1)
    wait_for(lambda: all_there("second"), "everything in the files after USR1")
    rotate("hup")
    server.signal(SIGHUP)
    wait_for(lambda: "Reloaded: 1 new" in server.log_text(), "the end of the reload")
    wait_for(lambda: all_there("third"), "everything in the files after HUP")
    server.write_config("logconfig_dict = {'handlers': {'x': {'class': 'no.such'}}}")
    server.signal(SIGHUP)
    wait_for(lambda: "Reload failed" in server.log_text(), "the failure of the next reload")
    wait_for(lambda: all_there("fourth"), "everything after a HUP that failed")
    rotate("again")
    server.signal(SIGUSR1)
    wait_for(lambda: all_there("fifth"), "everything in the files after one more rotation")
    # The access line comes after the answer.
    wait_for(lambda: all_there("sixth"), "everything of one request more")
    assert "sixth" not in logs[1].with_suffix(".again").read_text()
    assert server.log_path.read_text() == ""
    assert server.stop() == 0
    assert "Shutting down: Master" in logs[1].read_text()


def test_a_log_file_in_no_directory(start_server):
    server = start_server("plain:app", "--access-logfile", "/no/such/dir/a.log", wait=False)
    assert server.wait_exit() == 1
    assert "isn't writable" in server.log_text()


def test_a_bad_request_is_a_line_in_each_log(start_server):
    server = start_server("requests_app:app", "--access-logfile", "-")
    mark = server.log_mark()
    with server.connect() as client:
        client.send(b"NO\r\n\r\n")
        client.read_to_eof()
    server.request("/ok?a=b")
    server.wait_log('"GET /ok')
    first, second, third = server.log_text(mark).splitlines()
    assert "Invalid request from ip=127.0.0.1" in first
    assert second.endswith('"-" 400 0 "-" "-"')
    assert DEFAULT_LINE.fullmatch(third)
    with server.connect() as client:  # no line for a client that says nothing
        client.finish_sending()
        assert client.read_to_eof() == b""


@differs("access-json")
def test_json_whatever_the_client_sends(start_server, tmp_path):
    access = tmp_path / "access.json"
    server = start_server(
        "requests_app:app",
        f"--access-logfile={access}",
        "--access-log-format=json",
        errorlog="error.log",
    )
    agent = '"}\\\t\xc3\xa9\x85\xa0'
    server.request("/ok?a=b", headers=[("User-Agent", agent), ("Referer", '{"status": 500}')])
    with Client(server.address) as client:
        client.send(b"\xff\x00\r\n\r\n")  # no request at all
        client.read_response()
    sent, refused = [json.loads(line) for line in lines_of(access, 2)]
    assert sent["user_agent"].encode("latin-1") == agent.encode("latin-1")
    assert sent["referer"] == '{"status": 500}'
    assert (sent["method"], sent["target"], sent["protocol"]) == ("GET", "/ok?a=b", "HTTP/1.1")
    assert (sent["status"], sent["bytes_sent"], sent["remote_user"]) == (200, 2, None)
    assert 0 <= sent["duration"] < 60
    assert [sent["pid"]] == server.worker_pids()
    assert refused["status"] == 400
    assert refused["method"] is refused["target"] is refused["user_agent"] is None


def test_a_json_field_that_does_not_exist(start_server):
    server = start_server("plain:app", "--access-log-format=json:stauts", wait=False)
    assert server.wait_exit() == 1
    assert re.search(
        r"^Error: .*access_log_format = 'json:stauts': 'stauts' is no field; allowed are time, ",
        server.log_text(),
        re.M,
    )
    assert "Traceback" not in server.log_text()


def test_no_line_is_lost_when_a_busy_worker_is_killed(start_server, tmp_path):
    """Lines of a worker that has many may wait, but not die with it."""
    access = tmp_path / "access.log"
    options = ("-k", "gthread", "--threads", "1", "--access-logformat", "%(q)s")
    server = start_server("requests_app:app", *options, "--access-logfile", str(access))
    (worker,) = server.worker_pids()
    number = 0
    end = time.monotonic() + 1.5
    with Client(server.address) as client:
        while number < 1000 or time.monotonic() < end:
            client.send(b"".join(request_bytes(f"/ok?{number + n}") for n in range(20)))
            for _ in range(20):
                assert client.read_response().status == 200
            number += 20
        os.kill(worker, SIGKILL)
    number -= 1  # the last answer may have been sent and not yet been logged
    # Those of a `write` that has just returned may be written twice.
    assert lines_of(access, number, once=True)[:number] == [str(n) for n in range(number)]
