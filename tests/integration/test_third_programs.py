"""Programs that embed gunicorn, as they are found: their own application, settings and arbiter.

Each runs unchanged by `python -m cyserve.gunicorn_alias`, and with its imports of gunicorn changed
to cyserve by plain `python`.
"""

import json
import subprocess
import sys
from signal import SIGHUP, SIGTTIN, SIGUSR1

import pytest
from harness import TIMEOUT, Server, differs, server_environment, wait_for
from test_third_loggers import INTERCEPT

pytestmark = differs("own-name")


@pytest.fixture
def run_program(tmp_path):
    """Runs a program in a directory of its own; ended after the test."""
    servers = []

    def run(text, *args, imports="gunicorn", files=None, wait=True):
        if imports == "cyserve":
            text, how = text.replace("from gunicorn", "from cyserve"), []
        else:
            how = ["-m", "cyserve.gunicorn_alias"]
        files = {"program.py": text, **(files or {})}
        server = Server(tmp_path / f"p{len(servers)}", None, bind=None, files=files)
        server.command = [sys.executable, *how, "program.py", *args]
        servers.append(server.start())
        if wait:
            (host, port), *_ = server.wait_log(r"Listening at: http://(\S+):(\d+)")
            server.addresses = [(host, int(port))]
        return server

    yield run
    for server in servers:
        server.destroy()


# As datasette-gunicorn, exporters and the posts on FastAPI with loguru have it.
STANDALONE = (
    INTERCEPT
    + '''
import os
from gunicorn.app.base import BaseApplication
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def home(request):
    return JSONResponse({"pid": os.getpid()})

app = Starlette(routes=[Route("/", home)])

class StandaloneApplication(BaseApplication):
    """Our gunicorn application."""

    def __init__(self, app, options=None):
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self):
        config = {
            key: value
            for key, value in self.options.items()
            if key in self.cfg.settings and value is not None
        }
        for key, value in config.items():
            self.cfg.set(key.lower(), value)

    def load(self):
        return self.application

if __name__ == "__main__":
    options = {
        "bind": "127.0.0.1:0",
        "workers": 2,
        "accesslog": "-",
        "errorlog": "-",
        "worker_class": "uvicorn.workers.UvicornWorker",
        "logger_class": StubbedGunicornLogger,
        "unknown": 1,
        "timeout": None,
    }
    StandaloneApplication(app, options).run()
'''
)


@pytest.mark.parametrize("imports", ["gunicorn", "cyserve"])
def test_standalone_application(run_program, imports):
    server = run_program(STANDALONE, imports=imports)
    pid = server.request("/").json()["pid"]
    server.wait_log(r"<uvicorn\.error\|INFO> Application startup complete", count=2)
    server.wait_log(r'<uvicorn\.access\|INFO> 127\.0\.0\.1:\d+ - "GET / HTTP/1\.1" 200')
    server.signal(SIGHUP)
    server.wait_log(r"<gunicorn\.error\|INFO> Reloaded: 2 new workers are ready")
    server.wait_log(rf"pid:{pid}\) was sent SIGTERM")
    assert server.request("/").json()["pid"] != pid
    assert server.stop() == 0


def test_a_worker_of_the_real_gunicorn_is_refused(run_program):
    """It would not show life where this master looks for it."""
    early = STANDALONE.replace("import os\n", "import os, uvicorn.workers\n")
    server = run_program(early, imports="cyserve", wait=False)
    assert server.wait_exit() == 1
    (line,) = server.log_text().splitlines()
    assert line.startswith("Error: worker_class = 'UvicornWorker': it derives from the Worker of")


# -- settings of one's own --

SETTINGS = '''
import json
from gunicorn.app.base import Application
from gunicorn.config import KNOWN_SETTINGS, Setting, validate_pos_int, validate_string

class ModelPath(Setting):
    name = "model_path"
    section = "Model"
    cli = ["--model-path"]
    meta = "PATH"
    validator = validate_string
    default = "model.bin"
    desc = """\\
        Where the model is.

        More words.
        """

class Batch(Setting):
    name = "batch"
    section = "Model"
    cli = ["--batch"]
    validator = validate_pos_int
    type = int
    default = 8
    desc = "How many at once."

class ModelServer(Application):
    def init(self, parser, opts, args):
        return {"workers": 1, "batch": 9, "proc_name": args[0] if args else None}

    def load(self):
        cfg = self.cfg
        def app(environ, start_response):
            start_response("200 OK", [])
            found = [cfg.model_path, cfg.batch, cfg.proc_name, cfg.settings["batch"].section]
            return [json.dumps(found).encode()]
        return app

if __name__ == "__main__":
    assert Batch in KNOWN_SETTINGS
    ModelServer("%(prog)s [OPTIONS] NAME", prog="models").run()
'''


@pytest.mark.parametrize("imports", ["gunicorn", "cyserve"])
def test_settings_of_ones_own(run_program, imports):
    files = {
        "gunicorn.conf.py": "batch = '16'\ndef post_worker_init(worker):\n"
        "    worker.log.info('model %s', worker.cfg.model_path)\n"
    }
    args = ("--model-path", "/big", "-b", "127.0.0.1:0", "pets")
    server = run_program(SETTINGS, *args, imports=imports, files=files)
    assert server.request("/").json() == ["/big", 16, "pets", "Model"]
    server.wait_log("model /big")
    assert "Warning" not in server.log_text()


def test_settings_of_ones_own_are_checked_and_in_the_help(tmp_path):
    (tmp_path / "program.py").write_text(SETTINGS)

    def run(*args):
        return subprocess.run(
            [sys.executable, "-m", "cyserve.gunicorn_alias", "program.py", *args],
            env=server_environment({}, None),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )

    text = run("--help").stdout
    assert text.startswith("usage: models [OPTIONS] NAME")
    assert "Model:\n  --model-path PATH     Where the model is. [model.bin]" in text
    printed = run("--print-config", "--batch", "3").stdout
    assert "model.bin" in printed
    wrong = run("--batch", "-3")
    assert wrong.returncode == 1
    assert "batch = -3" in wrong.stderr
    assert run("--batch", "many").returncode == 2


# -- an arbiter of one's own, as gunicorn-prometheus-exporter brings it --

EXPORTER = """
import json
import gunicorn.app.base
import gunicorn.arbiter
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

class CountingArbiter(Arbiter):
    def __init__(self, app):
        super().__init__(app)
        self.counts = {}

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1
        with open("counts.json.new", "w") as file:
            json.dump(self.counts, file)
        import os
        os.replace("counts.json.new", "counts.json")

    def init_signals(self):
        super().init_signals()
        self.count("signals ready")

    def handle_hup(self):
        self.count("hup")
        super().handle_hup()

    def handle_ttin(self):
        self.count("ttin")
        super().handle_ttin()

    def handle_usr1(self):
        self.count("usr1")
        super().handle_usr1()

    def handle_chld(self):
        self.count("chld")
        super().handle_chld()

    def spawn_worker(self):
        pid = super().spawn_worker()
        self.count("spawned")
        self.last = (pid, str(self.WORKERS[pid]))
        return pid

    def reap_workers(self):
        before = len(self.WORKERS)
        super().reap_workers()
        for _ in range(before - len(self.WORKERS)):
            self.count("reaped")

    def stop(self, graceful=True):
        self.count("stopped")
        super().stop(graceful)

gunicorn.arbiter.Arbiter = gunicorn.app.base.Arbiter = CountingArbiter
inner_run = BaseApplication.run

def run(self):
    print("exporter for", self.cfg.workers, "workers", flush=True)
    inner_run(self)

BaseApplication.run = run
"""


def test_an_arbiter_of_ones_own(start_server):
    config = "import exporter\nworkers = 2\n"
    server = start_server("plain:app", workers=2, config=config, files={"exporter.py": EXPORTER})

    def counted(**wanted):
        counts = json.loads((server.directory / "counts.json").read_text())
        return all(counts.get(key, 0) >= number for key, number in wanted.items())

    assert "exporter for 2 workers" in server.log_text()
    wait_for(lambda: counted(spawned=2), "the second to be counted")
    old = server.worker_pids()
    server.signal(9, old[0])
    new = server.wait_workers(2, but_not=old[:1])
    wait_for(lambda: counted(spawned=3, reaped=1, chld=1), "the counts of a death")
    server.signal(SIGTTIN)
    server.wait_workers(3)
    server.signal(SIGUSR1)
    server.signal(SIGHUP)
    server.wait_workers(2, but_not=new)
    wait_for(lambda: counted(spawned=6, ttin=1, usr1=1, hup=1, reaped=4), "the counts of signals")
    assert server.stop() == 0
    assert counted(stopped=1)
