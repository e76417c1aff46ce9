"""What a start does not load: each such module is paid for by every start and every worker.

Whether that makes a start quick is measured in benchmarks/load; here it is only seen to that no
module creeps in by an import at the top of a file.
"""

import json
import os
import subprocess
import sys

import pytest

from cyserve import _accel

#: What these bring along is either large or of no use before it is asked for.
NOT_LOADED = {
    "asyncio",
    "bz2",
    "concurrent.futures",
    "ctypes",
    "email",
    "hashlib",
    "html",
    "http.client",
    "inspect",
    "json",
    "lzma",
    "multiprocessing",
    "random",
    "shutil",
    "ssl",
    "subprocess",
    "tempfile",
    "urllib.request",
    "uuid",
}
WORKERS = ["sync", "gthread"]
LOADED = """
import sys
from cyserve.app.wsgiapp import WSGIApplication
sys.argv = ["cyserve", "-k", {worker!r}, "-c", "/dev/null", "--access-logfile", "/dev/null", "a:b"]
app = WSGIApplication()
app.cfg.logger_class(app.cfg)
app.cfg.worker_class
seen = set(sys.modules)
import json
print(json.dumps(sorted(seen)))
"""


@pytest.mark.parametrize("worker", WORKERS)
def test_nothing_is_loaded_that_is_not_used(worker):
    kind = "CYSERVE_NO_EXTENSIONS" if _accel.implementation() == "pure" else "CYSERVE_NOTHING"
    environ = {**os.environ, kind: "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    code = LOADED.format(worker=worker)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    alone = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout))
    assert f"cyserve.workers.{worker}" in loaded
    assert not (loaded & NOT_LOADED) - set(alone.stdout.split())
