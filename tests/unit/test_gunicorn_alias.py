"""`gunicorn` as a second name of `cyserve`, as importing code sees it."""

import importlib
import importlib.util
import inspect
import pickle
import subprocess
import sys
import threading
from types import ModuleType
from unittest import mock

import pytest

import cyserve.errors
from cyserve import gunicorn_alias

REAL = {
    "gunicorn/__init__.py": "WHO = 'the real one'\n",
    "gunicorn/ctl.py": "",
    "gunicorn/errors.py": "WHO = 'the real one'\n",
}


@pytest.fixture
def alias():
    assert gunicorn_alias.install() is True
    yield
    gunicorn_alias.uninstall()


@pytest.fixture
def real_gunicorn(tmp_path, monkeypatch):
    """Another package `gunicorn` is installed."""
    (tmp_path / "gunicorn").mkdir()
    for name, text in REAL.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "gunicorn"]:
        del sys.modules[name]


def same(name):
    """The module under both names; the imports that can be spelt out stand in the tests."""
    ours = importlib.import_module(f"cyserve.{name}")
    assert importlib.import_module(f"gunicorn.{name}") is ours
    assert sys.modules[f"gunicorn.{name}"] is sys.modules[f"cyserve.{name}"] is ours
    return ours


@pytest.mark.parametrize("name", ["arbiter", "http", "http.request", "app.base", "workers.sync"])
def test_one_object_with_two_names(alias, name):
    module = same(name)
    assert module.__name__ == module.__spec__.name == f"cyserve.{name}"
    assert module.__spec__.loader is module.__loader__
    assert module.__spec__ is importlib.util.find_spec(f"gunicorn.{name}")
    assert not module.__spec__._initializing


def test_every_way_to_import(alias):
    import gunicorn.http.request
    import gunicorn.workers.base as base
    from gunicorn import errors
    from gunicorn.app.base import Application
    from gunicorn.http import body

    import cyserve.app.base
    import cyserve.http.body
    import cyserve.workers.base

    assert gunicorn.http.request is cyserve.http.request
    assert base is cyserve.workers.base
    assert errors is cyserve.errors
    assert Application is cyserve.app.base.Application
    assert body is cyserve.http.body
    assert importlib.import_module("..errors", "gunicorn.http") is cyserve.errors


def test_a_program_that_imports_only_gunicorn():
    """Modules that nobody has loaded yet are loaded once, those that nobody asks for are not."""
    program = """
import sys
import cyserve.gunicorn_alias
cyserve.gunicorn_alias.install()
assert sorted(n for n in sys.modules if n.startswith("gunicorn")) == [
    "gunicorn", "gunicorn.gunicorn_alias"]
import gunicorn.pidfile
assert sys.modules["gunicorn.pidfile"] is sys.modules["cyserve.pidfile"]
assert "cyserve.sock" not in sys.modules
from gunicorn.sock import *
import cyserve.sock
assert create_sockets is cyserve.sock.create_sockets
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


@pytest.mark.parametrize("name", ["nope", "http.nope", "nope.deeper"])
def test_a_module_that_is_not_there(alias, real_gunicorn, name):
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module(f"gunicorn.{name}")
    missing = name.removesuffix(".deeper")
    assert str(caught.value) == f"No module named 'gunicorn.{missing}'"
    assert caught.value.name == f"gunicorn.{missing}"
    with pytest.raises(ImportError, match="cannot import name 'nope' from 'gunicorn'"):
        from gunicorn import nope  # noqa: F401


def test_it_wins_over_an_installed_gunicorn(alias, real_gunicorn):
    import gunicorn.errors

    assert gunicorn.errors is cyserve.errors
    assert not hasattr(gunicorn, "WHO")
    assert importlib.util.find_spec("gunicorn.ctl") is importlib.util.find_spec("cyserve.ctl")


def test_a_real_gunicorn_that_is_imported_already_is_left_alone(real_gunicorn):
    import gunicorn

    assert gunicorn.WHO == "the real one"
    assert gunicorn_alias.install() is False
    assert gunicorn_alias._Finder not in sys.meta_path
    gunicorn_alias.uninstall()
    from gunicorn import errors

    assert sys.modules["gunicorn"] is gunicorn
    assert errors.WHO == "the real one"


def test_a_real_gunicorn_imported_after_it_was_uninstalled(alias, real_gunicorn):
    assert importlib.import_module("gunicorn.errors") is cyserve.errors
    gunicorn_alias.uninstall()
    assert [name for name in sys.modules if name.partition(".")[0] == "gunicorn"] == []
    import gunicorn.errors

    assert gunicorn.errors.WHO == "the real one"
    assert cyserve.errors.__spec__.name == "cyserve.errors"


def test_installing_twice_is_installing_once(alias):
    before = sys.modules["gunicorn"]
    assert gunicorn_alias.install() is True
    assert sys.meta_path.count(gunicorn_alias._Finder) == 1
    assert sys.modules["gunicorn"] is before


def test_specs_can_be_asked_for_without_importing(alias, monkeypatch):
    monkeypatch.delitem(sys.modules, "gunicorn.errors", raising=False)
    spec = importlib.util.find_spec("gunicorn.errors")
    assert spec.name == "gunicorn.errors"
    assert spec.origin == cyserve.errors.__file__
    assert spec.loader.get_source("gunicorn.errors") == inspect.getsource(cyserve.errors)
    assert spec.loader.is_package("gunicorn.errors") is False
    assert "gunicorn.errors" not in sys.modules
    assert importlib.util.find_spec("gunicorn.nope") is None


def test_the_package_answers_for_gunicorns_version_and_is_cyserve_else(alias):
    import gunicorn

    assert (gunicorn.version_info, gunicorn.__version__) == ((27, 0, 1), "27.0.1")
    assert cyserve.version_info < (27,)
    assert gunicorn.SERVER == cyserve.SERVER
    assert gunicorn.__path__ is cyserve.__path__
    assert gunicorn.__file__ == cyserve.__file__
    assert {"SERVER", "__version__", "gunicorn_alias"} <= set(dir(gunicorn))
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(gunicorn, "SERVER", "web")
        assert cyserve.SERVER == "web"
    assert cyserve.SERVER == "cyserve"
    with mock.patch("gunicorn.SERVER_SOFTWARE", "web/1"):
        assert cyserve.SERVER_SOFTWARE == "web/1"
    assert cyserve.SERVER_SOFTWARE == f"cyserve/{cyserve.__version__}"
    with pytest.raises(AttributeError, match="module 'gunicorn' has no attribute 'nope'"):
        gunicorn.nope  # noqa: B018


def test_reload(alias):
    import gunicorn
    from gunicorn import pidfile

    assert importlib.reload(gunicorn) is gunicorn
    assert importlib.reload(pidfile) is pidfile is sys.modules["cyserve.pidfile"]
    assert pidfile.__spec__.name == "cyserve.pidfile"
    assert gunicorn.version_info == (27, 0, 1)


def test_pickles_of_either_name_can_be_read(alias):
    from gunicorn.errors import HaltServer

    data = pickle.dumps(HaltServer, protocol=0)
    assert pickle.loads(data) is HaltServer
    assert pickle.loads(data.replace(b"cyserve.errors", b"gunicorn.errors")) is HaltServer


def test_threads_that_import_at_once_get_the_same_finished_module():
    """In a process of its own: the modules must be new to it."""
    program = """
import importlib, sys, threading
sys.setswitchinterval(1e-5)
from cyserve import gunicorn_alias
gunicorn_alias.install()
# Not a package beside what it imports itself: Python's own locks stumble over that.
names = ["gunicorn.pidfile", "cyserve.pidfile", "gunicorn.workers.base", "cyserve.workers.base"] * 4
last = {"cyserve.pidfile": "Pidfile", "cyserve.workers.base": "Worker"}
start, found = threading.Barrier(len(names)), []
def load(name):
    start.wait()
    module = importlib.import_module(name)
    found.append((name.partition(".")[2], module, hasattr(module, last[module.__name__])))
threads = [threading.Thread(target=load, args=(name,)) for name in names]
[t.start() for t in threads]
[t.join() for t in threads]
assert len(found) == len(names) and len({id(module) for _, module, _ in found}) == 2, found
for name, module, complete in found:
    assert complete
    assert sys.modules["gunicorn." + name] is sys.modules["cyserve." + name] is module
    assert module.__spec__.name == "cyserve." + name
"""
    for _ in range(3):
        subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_tools_that_watch_imports_see_gunicorns_names(alias):
    """Their finders stand in front; what is loaded already gets its second name by an import."""
    seen = []

    class Watcher:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.partition(".")[0] == "gunicorn":
                seen.append(name)

    gunicorn_alias.uninstall()
    sys.meta_path.insert(0, Watcher)
    try:
        gunicorn_alias.install()
    finally:
        sys.meta_path.remove(Watcher)
    assert {"gunicorn", "gunicorn.errors", "gunicorn.gunicorn_alias"} <= set(seen)


def test_a_thread_never_meets_a_half_made_module(alias, monkeypatch):
    """What stands in sys.modules while an alias is made is the finished module."""
    monkeypatch.delitem(sys.modules, "gunicorn.errors", raising=False)
    met = []
    loading = gunicorn_alias._Loader.exec_module

    def look_meanwhile(self, module):
        thread = threading.Thread(target=lambda: met.append(sys.modules["gunicorn.errors"]))
        thread.start()
        thread.join()
        loading(self, module)

    monkeypatch.setattr(gunicorn_alias._Loader, "exec_module", look_meanwhile)
    assert importlib.import_module("gunicorn.errors") is cyserve.errors
    assert met == [cyserve.errors]
    assert isinstance(met[0], ModuleType)


def test_tools_that_wait_for_a_module_of_gunicorn_get_ours():
    """By wrapt's post-import hooks, as OpenTelemetry and others do; New Relic has the like."""
    program = """
import sys, wrapt
seen = []
wrapt.register_post_import_hook(lambda module: seen.append(module), "gunicorn.errors")
@wrapt.when_imported("gunicorn.workers.sync")
def patch(module):
    wrapt.wrap_function_wrapper(module, "SyncWorker.handle_request", lambda *args: "wrapped")
    module.MARK = "of the tool"
    module.Extra = type("Extra", (module.SyncWorker,), {})
import cyserve.errors
from cyserve import gunicorn_alias
gunicorn_alias.install()
assert [module.__name__ for module in seen] == ["gunicorn.errors"]
assert seen[0].ConfigError is cyserve.errors.ConfigError
assert vars(seen[0]) is vars(cyserve.errors)
import gunicorn.errors, gunicorn.workers.sync, cyserve.workers.sync
from gunicorn.workers import sync
assert gunicorn.errors is cyserve.errors is sys.modules["gunicorn.errors"]
assert gunicorn.workers.sync is cyserve.workers.sync is sync is sys.modules["gunicorn.workers.sync"]
assert sync.__name__ == sync.__spec__.name == "cyserve.workers.sync"
assert sync.SyncWorker.handle_request(None) == "wrapped"
assert (sync.MARK, sync.Extra.__bases__) == ("of the tool", (sync.SyncWorker,))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
