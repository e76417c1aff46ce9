"""PasteDeploy: `--paste` serves its applications; its files may ask for cyserve as the server."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from harness import TIMEOUT, differs, free_port, put, server_environment
from http_client import request

APP = """
def make(global_conf, **local_conf):
    answer = f"{global_conf.get('color')} {sorted(local_conf.items())}".encode()
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]
    return app
"""

INI = """
[app:main]
paste.app_factory = pasted:make
size = 1
[app:other]
paste.app_factory = pasted:make
size = 2
[server:main]
use = egg:cyserve#main
{server}
"""

LOGGERS = """
[loggers]
keys = root, error
[handlers]
keys = console
[formatters]
keys = own
[logger_root]
handlers = console
[logger_error]
level = INFO
handlers = console
qualname = gunicorn.error
propagate = 0
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = own
[formatter_own]
format = from the ini: %(message)s
"""

FILES = {"pasted.py": APP, "site.ini": INI.format(server="")}


@pytest.fixture
def start_pasted(start_server):
    def start(*args, **options):
        options.setdefault("files", FILES)
        return start_server(None, *args, **options)

    return start


def test_an_application_of_the_file(start_pasted):
    server = start_pasted("--paste", "site.ini")
    assert request(server.address).text == "None [('size', '1')]"


def test_another_one_with_variables_from_another_directory(start_pasted):
    server = start_pasted(
        "--paste", "site.ini#other", "--paste-global", r"color=a\=b", "--chdir", "sub",
        "--pythonpath", ".,..", files={**FILES, "sub/empty": ""},
    )  # fmt: skip
    assert request(server.address).text == "a=b [('size', '2')]"


@differs("paste-anywhere")
@pytest.mark.parametrize("place", ["config", "environment"])
def test_the_setting_in_other_places(start_pasted, place):
    if place == "config":
        options = {"config": "paste = 'site.ini#other'\nraw_paste_global_conf = ['color=red']"}
    else:
        options = {"env": {"GUNICORN_CMD_ARGS": "--paste site.ini#other --paste-global color=red"}}
    server = start_pasted(**options)
    assert request(server.address).text == "red [('size', '2')]"


def test_the_file_sets_up_logging(start_pasted):
    server = start_pasted(
        "--paste", "site.ini", files={**FILES, "site.ini": INI.format(server="") + LOGGERS}
    )
    server.wait_log("^from the ini: Booting worker with pid")


def test_the_file_is_watched_by_the_reloader(start_pasted):
    server = start_pasted("--paste", "site.ini", "--reload")
    for text, status in [("[app:main]\nuse = egg:no-such", 500), (INI.format(server=""), 200)]:
        old = server.worker_pids()
        put(server.directory / "site.ini", text)
        server.wait_workers(1, but_not=old)
        assert request(server.address).status == status


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--paste", "no.ini"], r"Error: paste = 'no.ini': there is no file '/.*/no.ini'"),
        (["--paste", "site.ini", "--paste-global", "x"], "raw_paste_global_conf: 'x' invalid"),
    ],
)
def test_bad_input_is_one_line_and_exit_1(start_pasted, args, said):
    server = start_pasted(*args, wait=False)
    assert server.wait_exit() == 1
    server.wait_log(said)
    assert server.log_text().count("\n") == 1


def test_without_the_package(start_pasted):
    config = "import sys\nsys.modules['paste'] = None\npaste = 'site.ini'"
    server = start_pasted(config=config, wait=False)
    assert server.wait_exit() == 1
    assert server.log_text() == (
        "Error: the package PasteDeploy is not installed: pip install 'cyserve[paste]'\n"
    )


# -- cyserve as PasteDeploy's server --

RUNNER = """
import sys
from paste.deploy import loadapp, loadserver
uri = "config:" + sys.argv[1]
loadserver(uri, relative_to=".")(loadapp(uri, relative_to="."))
"""


@pytest.fixture
def run_section(tmp_path):
    """Runs the [server:main] section of a file as `pserve` does; ends it afterwards."""
    started = []

    def run(section, more="", config=None):
        (tmp_path / "pasted.py").write_text(APP)
        (tmp_path / "run.py").write_text(RUNNER)
        (tmp_path / "site.ini").write_text(INI.format(server=section) + more)
        if config is not None:
            (tmp_path / "gunicorn.conf.py").write_text(config)
        env = server_environment({}, None)
        if not runners():
            # The tree is under test: what an installation would say is said here.
            info = tmp_path / "cyserve-0.dist-info"
            info.mkdir(exist_ok=True)
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cyserve\nVersion: 0\n")
            points = "[paste.server_runner]\nmain = cyserve.app.pasterapp:serve\n"
            (info / "entry_points.txt").write_text(points)
        process = subprocess.Popen(
            [sys.executable, "run.py", "site.ini"],
            cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=TIMEOUT)


def runners():
    """The entry point of an installed cyserve."""
    points = entry_points(group="paste.server_runner", name="main")
    return [point for point in points if point.value.startswith("cyserve.")]


def read_until(process, text):
    """What it prints up to the line with the text."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"ended without {text!r}:\n{''.join(lines)}")


def test_a_section_with_host_port_and_settings(run_section):
    port = free_port()
    process = run_section(
        f"host = 127.0.0.1\nport = {port}\nworkers = 2\nproc_name = shop",
        LOGGERS,
        config="bind = 'unix:never.sock'\nworkers = 7\ndef when_ready(server):\n"
        "    server.log.info('ready %s %s', server.num_workers, server.proc_name)\n",
    )
    said = read_until(process, "ready")
    assert "from the ini: ready 2 shop" in said
    assert f"Listening at: http://127.0.0.1:{port} " in said
    assert request(("127.0.0.1", port)).text == "None [('size', '1')]"


def test_a_section_with_several_hosts_and_a_config_file(run_section, tmp_path):
    (tmp_path / "own.py").write_text("proc_name = 'own'\nthreads = 3")
    ports = [free_port(), free_port()]
    process = run_section(
        f"host = 127.0.0.1:{ports[0]}, 127.0.0.1:{ports[1]}\nconfig = own.py",
        config="1/0  # not this one",
    )
    assert "Using worker: gthread" in read_until(process, "Using worker")
    for port in ports:
        assert request(("127.0.0.1", port)).status == 200


@differs("paste-port")
def test_a_section_with_a_port_alone(run_section):
    port = free_port()
    process = run_section(f"port = {port}")
    assert f"http://127.0.0.1:{port} " in read_until(process, "Listening at")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("nonsense = 1", "No configuration setting for: nonsense"),
        ("workers = many", "workers = 'many': allowed is"),
        ("config = no.py", "config file 'no.py' doesn't exist"),
    ],
)
def test_a_bad_section_is_one_line_and_exit_1(run_section, section, said):
    process = run_section(section)
    text, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert said in text
    assert text.startswith("Error: ")
    assert text.count("\n") == 1


def test_the_distribution_names_the_runner():
    from cyserve.app import pasterapp

    if runners():
        assert [point.load() for point in runners()] == [pasterapp.serve]
    else:  # the tree
        text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
        assert '"paste.server_runner"]\nmain = "cyserve.app.pasterapp:serve"' in text
