"""What was written for gunicorn runs on cyserve: config files, loggers, applications, programs."""

import subprocess
import sys
from signal import SIGHUP, SIGTERM, SIGUSR2

import pytest
from harness import TIMEOUT, Server, differs, server_environment

pytestmark = differs("own-name")

#: A package that must not be found while the alias is there.
REAL = {"gunicorn/__init__.py": "WHO = 'another gunicorn'\n", "gunicorn/http.py": ""}

CONFIG = """
import gunicorn
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

class CustomLogger(Logger):
    def setup(self, cfg):
        super().setup(cfg)
        self.info("logger of %s", type(self).__mro__[1].__module__)

logger_class = CustomLogger
worker_class = "gunicorn.workers.gthread.ThreadWorker"

def post_worker_init(worker):
    worker.log.info("a worker: %s", isinstance(worker, Worker))
"""

APP = """
import gunicorn.http

def app(environ, start_response):
    start_response("200 OK", [])
    return [gunicorn.WHO.encode() if hasattr(gunicorn, "WHO") else gunicorn.http.__name__.encode()]
"""

PROGRAM = """
from gunicorn.app.base import BaseApplication

def app(environ, start_response):
    import shop
    return [*shop.app(environ, start_response), f" {environ['SERVER_SOFTWARE']}".encode()]

class StandaloneApplication(BaseApplication):
    def __init__(self, app, options=None):
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self):
        for key, value in self.options.items():
            if key in self.cfg.settings and value is not None:
                self.cfg.set(key.lower(), value)

    def load(self):
        return self.application

if __name__ == "__main__":
    import sys
    StandaloneApplication(app, {"bind": sys.argv[1], "workers": 1}).run()
"""


def test_config_logger_worker_class_and_application_of_gunicorns_user(start_server):
    server = start_server("shop:app", config=CONFIG, files={"shop.py": APP, **REAL})
    assert server.request().body == b"cyserve.http"
    server.wait_log(r"logger of cyserve\.glogging")
    server.wait_log("a worker: True")
    server.signal(SIGHUP)
    server.wait_log("a worker: True", count=2)
    assert server.request().body == b"cyserve.http"
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("args", "env", "config"),
    [
        (["--no-gunicorn-alias"], {}, "import gunicorn; assert gunicorn.WHO"),
        ([], {"CYSERVE_CMD_ARGS": "--no-gunicorn-alias"}, "import gunicorn; assert gunicorn.WHO"),
        # In the file itself it is too late for the file, but not for the application.
        ([], {}, "gunicorn_alias = False; import gunicorn.http"),
    ],
    ids=["flag", "environment", "config file"],
)
def test_opting_out(start_server, args, env, config):
    files = {"shop.py": APP, **REAL}
    server = start_server("shop:app", *args, env=env, config=config, files=files)
    assert server.request().body == b"another gunicorn"


@pytest.fixture
def run_program(tmp_path):
    """Serves PROGRAM by one of the ways to run it; ended after the test."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/serve.py").write_text(PROGRAM)
    (tmp_path / "lib/shop.py").write_text(APP)  # imported from where the script is
    files = {"serve.py": PROGRAM, "shop.py": APP}
    server = Server(tmp_path / "run", None, bind=None, files=files)

    def run(*how):
        server.command = [sys.executable, *how, "127.0.0.1:0"]
        server.start()
        (host, port), *_ = server.wait_log(r"Listening at: http://(\S+):(\d+)")
        server.addresses = [(host, int(port))]
        return server

    yield run
    server.destroy()


def test_a_program_is_served_unchanged(run_program):
    """`python -m cyserve.gunicorn_alias SCRIPT ARGS`, through a reload and an upgrade."""
    server = run_program("-m", "cyserve.gunicorn_alias", "../lib/serve.py")
    assert server.request().body.startswith(b"cyserve.http cyserve/")
    server.signal(SIGHUP)
    server.wait_log("Worker exiting")
    assert server.request().body.startswith(b"cyserve.http cyserve/")
    server.signal(SIGUSR2)
    server.wait_log("Listening at", count=2)
    server.signal(SIGTERM)
    assert server.wait_exit() == 0
    assert server.request().body.startswith(b"cyserve.http cyserve/")


def test_a_module_is_run_as_a_program(run_program):
    server = run_program("-m", "cyserve.gunicorn_alias", "-m", "serve")
    assert server.request().body.startswith(b"cyserve.http cyserve/")
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("args", "code", "stream"),
    [([], 2, "stderr"), (["--help"], 0, "stdout"), (["-x"], 2, "stderr")],
)
def test_usage(args, code, stream):
    done = subprocess.run(
        [sys.executable, "-m", "cyserve.gunicorn_alias", *args],
        env=server_environment({}, None),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == code
    assert getattr(done, stream).startswith("usage: python -m cyserve.gunicorn_alias SCRIPT")
    assert done.stdout + done.stderr == getattr(done, stream)


def test_a_gunicorn_that_was_there_first_is_pointed_out(start_server, tmp_path, monkeypatch):
    """As `opentelemetry-instrument` brings it."""
    (tmp_path / "gunicorn").mkdir()
    (tmp_path / "gunicorn/__init__.py").write_text("WHO = 'the real one'\n")
    (tmp_path / "sitecustomize.py").write_text(  # another one may be installed
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import gunicorn\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = start_server(
        "shop:app", files={"shop.py": APP.replace("import gunicorn.http\n", "import gunicorn\n")}
    )
    assert server.request().body == b"the real one"
    assert "Warning: gunicorn was imported before cyserve" in server.log_text()
