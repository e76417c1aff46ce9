"""What the reloader counts as a change, engine by engine; what stands for a broken application."""

import importlib
import os
import sys
import threading

import pytest

from cyserve import reloader
from cyserve.errors import ConfigError
from cyserve.reloader import InotifyReloader, Reloader, ReloaderBase


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def recorded(monkeypatch):
    """Imports are recorded for the time of the test."""
    monkeypatch.setattr(
        reloader.SourceFileLoader, "path_stats", reloader.SourceFileLoader.path_stats
    )
    monkeypatch.setattr(reloader, "_loaded", {})
    reloader.record_imports()


@pytest.fixture
def module(files, monkeypatch, recorded):
    """Imports a module written for the test, and forgets it afterwards."""
    names = []
    monkeypatch.syspath_prepend(files)

    def write_and_import(name, text):
        (files / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        names.append(name)
        return importlib.import_module(name)

    yield write_and_import
    for name in names:
        sys.modules.pop(name, None)


def looked(*entries):
    """A reloader that has had its first look."""
    base = ReloaderBase(entries)
    base.changes()
    return base


def rewrite(path, text):
    path.write_text(text)
    return str(path)


def test_a_file_changes_by_its_time_or_its_size(files):
    path = files / "a.txt"
    path.write_text("one")
    base = looked("a.txt")
    assert base.changes() == []
    assert rewrite(path, "longer") in base.changes()
    os.utime(path, (1, 1))
    assert base.changes() == [str(path)]
    assert base.changes() == []


def test_a_file_that_is_gone_has_not_changed_until_it_is_back(files):
    path = files / "a.txt"
    path.write_text("one")
    base = looked("a.txt")
    path.unlink()
    assert base.changes() == []
    path.write_text("other")
    assert base.changes() == [str(path)]


def test_patterns(files):
    (files / "sub" / "deep").mkdir(parents=True)
    for name in ("sub/a.yml", "sub/deep/b.yml", "sub/c.txt"):
        (files / name).write_text("x")
    base = looked("sub/**/*.yml", "sub/*.pyc", "su?")
    assert set(map(str, [files / "sub/a.yml", files / "sub/deep/b.yml"])) <= set(base.get_files())
    assert str(files / "sub/c.txt") not in base.get_files()
    assert str(files / "sub") not in base.get_files()  # its time changes with every file in it
    new = rewrite(files / "sub/deep/new.yml", "x")
    rewrite(files / "sub/new.pyc", "x")
    rewrite(files / "sub/c.txt", "changed")
    assert base.changes() == [new]
    assert base.changes() == []


def test_a_name_that_looks_like_a_pattern(files):
    path = files / "[a].txt"
    path.write_text("x")
    assert str(path) in looked("[a].txt").get_files()


def test_code_counts_from_its_import_on(module):
    base = looked()
    first = module("shop_one", "VALUE = 1")
    path = first.__file__
    assert path in base.get_files()
    assert base.changes() == []
    second = module("shop_two", "VALUE = 1")
    os.utime(second.__file__, (1, 1))  # before anybody has looked
    assert base.changes() == [second.__file__]
    assert base.changes() == []


def test_code_that_could_not_be_imported_is_watched(module, files):
    base = looked()
    with pytest.raises(SyntaxError):
        module("shop_broken", "def (")
    path = str(files / "shop_broken.py")
    assert path in base.get_files()
    assert base.changes() == []
    rewrite(files / "shop_broken.py", "VALUE = 1")
    assert base.changes() == [path]


def test_code_saved_twice_in_a_second_is_compiled_twice(module, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert module("shop_quick", "VALUE = 1").VALUE == 1
    del sys.modules["shop_quick"]
    assert module("shop_quick", "VALUE = 2").VALUE == 2


def test_old_bytecode_is_used(module, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    shop = module("shop_old", "VALUE = 1")
    os.utime(shop.__file__, (1000, 1000))
    del sys.modules["shop_old"]
    importlib.import_module("shop_old")
    cached = os.stat(shop.__cached__)
    del sys.modules["shop_old"]
    importlib.import_module("shop_old")
    assert os.stat(shop.__cached__).st_ino == cached.st_ino  # not written again


def test_lazy_modules_stay_unloaded(monkeypatch):
    class Lazy:
        def __getattribute__(self, name):
            raise RuntimeError("loaded")

    monkeypatch.setitem(sys.modules, "shop_lazy", Lazy())
    looked()


class Reports:
    """Takes what a reloader calls back."""

    def __init__(self):
        self.files = []
        self.some = threading.Event()

    def __call__(self, filename):
        self.files.append(filename)
        self.some.set()

    def wait(self, path):
        """Waits for a report of that file; others may come before it."""
        while True:
            assert self.some.wait(30), f"{path} is not among {self.files}"
            self.some.clear()
            if str(path) in self.files:
                self.files.clear()
                return


# They run for ever, as daemons; few, therefore, and with long intervals in the end.
@pytest.mark.parametrize(
    ("engine", "interval"), [(Reloader, 0.01), (InotifyReloader, 0.01), (InotifyReloader, 1000)]
)
def test_engines(files, engine, interval):
    (files / "a.txt").write_text("x")
    (files / "folder").mkdir()
    reports = Reports()
    watch = engine(["a.txt", "folder"], interval=interval, callback=reports)
    watch.start()
    assert watch.daemon
    reports.wait(rewrite(files / "a.txt", "changed"))
    (files / "new").write_text("moved here")
    (files / "new").replace(files / "a.txt")
    reports.wait(files / "a.txt")
    os.utime(files / "a.txt", (1, 1))
    reports.wait(files / "a.txt")
    (files / "folder" / "entry").write_text("x")
    reports.wait(files / "folder")
    if interval < 1:  # a directory in the place of another one is found by the turns
        (files / "folder").rename(files / "gone")
        (files / "folder").mkdir()
        os.utime(files / "folder", (1, 1))
        reports.wait(files / "folder")
        (files / "folder" / "entry").write_text("x")
        reports.wait(files / "folder")
    watch.interval = 1000  # it is in nobody's way any more


def test_a_directory_with_two_names(files):
    (files / "real").mkdir()
    (files / "link").symlink_to("real")
    for name in "ab":
        (files / "real" / name).write_text("x")
    reports = Reports()
    InotifyReloader(["real/a", "link/b"], interval=1000, callback=reports).start()
    for name in ("real/a", "link/b"):
        reports.wait(rewrite(files / name, "changed"))


def test_changes_that_come_together_are_one(files):
    for name in "ab":
        (files / name).write_text("x")
    reports = Reports()
    base = ReloaderBase(["a", "b"], callback=reports)
    base.changes()
    for name in "ab":
        rewrite(files / name, "changed")
    base.report()
    base.report()
    assert reports.files == [str(files / "a")]


def test_files_may_be_added(files):
    (files / "a").write_text("x")
    base = looked()
    base.add_extra_file("a")
    assert base.changes() == []
    assert rewrite(files / "a", "changed") in base.changes()


def test_engines_by_name(monkeypatch):
    assert set(reloader.reloader_engines) == {"auto", "poll", "inotify"}
    assert reloader.reloader_engines["auto"] is reloader.preferred_reloader
    for name in reloader.reloader_engines:
        reloader.check_engine(name)
    with pytest.raises(ConfigError, match="reload_engine = 'watchman': allowed are auto, poll, "):
        reloader.check_engine("watchman")
    monkeypatch.setitem(reloader.reloader_engines, "watchman", Reloader)
    reloader.check_engine("watchman")


def test_no_room_for_watches(monkeypatch):
    class Full(InotifyReloader):
        def __init__(self, **kwargs):
            raise OSError(24, "Too many open files")

    class Log:
        lines = []

        def warning(self, text, *args):
            self.lines.append(text % args)

    for name in ("auto", "inotify"):
        monkeypatch.setitem(reloader.reloader_engines, name, Full)
    made = reloader.make_reloader("auto", ["x"], print, Log())
    assert type(made) is Reloader
    assert "looked at every second" in Log.lines[0]
    with pytest.raises(OSError, match="Too many open files"):
        reloader.make_reloader("inotify", [], print, Log())


PAGE = b"ValueError: caf\xc3\xa9 \\udcff\n"


def test_the_page_of_a_broken_application():
    app = reloader.fail_app(ValueError("caf\xe9 \udcff"))
    seen = []
    body = app({}, lambda status, fields: seen.append((status, dict(fields))))
    assert body == [PAGE]
    fields = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(PAGE))}
    assert seen == [("500 Internal Server Error", fields)]


def test_the_same_for_asgi():
    app = reloader.fail_app(ValueError("caf\xe9 \udcff"))
    sent = []

    async def send(message):
        sent.append(message)

    with pytest.raises(StopIteration):
        app({"type": "http"})(None, send).send(None)
    assert (sent[0]["status"], sent[1]["body"]) == (500, PAGE)
    assert (b"content-length", str(len(PAGE)).encode()) in sent[0]["headers"]
    with pytest.raises(ValueError, match="caf"):
        app({"type": "lifespan"})


def test_whose_fault_it_is(module, files):
    with pytest.raises(ZeroDivisionError) as caught:
        module("shop_faulty", "1/0")
    assert str(files / "shop_faulty.py") in reloader.faulty_files(caught.value)
    with pytest.raises(SyntaxError) as broken:
        module("shop_broken", "def (")
    assert reloader.faulty_files(broken.value)[-1] == str(files / "shop_broken.py")
    assert reloader.faulty_files(ModuleNotFoundError("no frames at all")) == []
