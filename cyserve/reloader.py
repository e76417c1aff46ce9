"""The reloader: notices that code or another watched file has changed since it was loaded.

A thread of each worker, for development. It compares time and size of every file with what they
were when the import system read it, so that no save is missed, however soon it comes. An engine
decides only when to look: `poll` every second, `inotify` when the kernel says so. What a change
leads to is the business of the callback; nothing here restarts anything.
"""

from __future__ import annotations

import functools
import glob
import os
import select
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import SourceFileLoader
from types import TracebackType
from typing import Any

from cyserve.errors import ConfigError, user_traceback
from cyserve.paths import file_state

__all__ = (
    "InotifyReloader",
    "Reloader",
    "ReloaderBase",
    "check_engine",
    "code_files",
    "fail_app",
    "faulty_files",
    "make_reloader",
    "preferred_reloader",
    "record_imports",
    "reloader_engines",
)

try:
    # Its low-level half alone: the other one polls by means that gevent takes away.
    from inotify import calls as _inotify
except Exception as exc:  # it looks for the C library as it is imported, which may fail in any way
    _inotify = None
    _missing = "" if isinstance(exc, ModuleNotFoundError) else f" ({exc})"

_QUIET = 0.05  # seconds without a further change before one is reported: editors save in steps
_MOST_WAIT = 1.0  # seconds that a change may wait for quiet
_FRESH = 2.0  # seconds in which a file may be saved again without another look of its time

# What makes a file another one: saved, moved here, its time set; or the directory itself is gone.
_CLOSE_WRITE, _MOVED_TO, _ATTRIB, _MOVE_SELF, _DELETE_SELF = 0x8, 0x80, 0x4, 0x800, 0x400
_EVENTS = _CLOSE_WRITE | _MOVED_TO | _ATTRIB | _MOVE_SELF | _DELETE_SELF
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, bytes of the name that follows

#: Source file -> its state when it was read.
_loaded: dict[str, tuple[float, int]] = {}


def record_imports() -> None:
    """Remember from now on which state of a source file the import system has read.

    It also takes care of cached bytecode, which tells sources apart by size and whole seconds: of
    one that was saved a moment ago that is not enough.
    """
    original: Any = SourceFileLoader.path_stats
    if hasattr(original, "records"):
        return

    @functools.wraps(original)
    def path_stats(self: SourceFileLoader, path: str) -> Any:
        stats = original(self, path)
        mtime = stats["mtime"]
        _loaded[path] = (mtime, stats["size"])
        if time.time() - mtime < _FRESH:
            stats["mtime"] = int(mtime * 1e6)  # the lower 32 bits are looked at
        return stats

    vars(path_stats)["records"] = True
    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign]


class ReloaderBase(threading.Thread):
    """A thread that calls `callback(filename)` when a file has changed.

    extra_files: paths and glob patterns (`**` too) to watch besides the code; a file that begins
        to match later counts as changed, directories that match and .pyc files are left out.
    interval: seconds between two looks, or what an engine makes of it.
    callback: called in this thread, once for changes that come together, with the first of them.
    """

    def __init__(
        self,
        extra_files: Iterable[str] | None = None,
        interval: float = 1,
        callback: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(name="reloader", daemon=True)
        self.interval = interval
        self._callback = callback
        self._extra_files: frozenset[str] = frozenset()
        self._patterns: list[str] = []
        self._states: dict[str, tuple[float, int]] = {}
        for entry in extra_files or ():
            if glob.has_magic(entry) and not os.path.exists(entry):
                self._patterns.append(os.path.abspath(entry))
            else:
                self.add_extra_file(entry)

    def add_extra_file(self, filename: str) -> None:
        """Watch one file or directory more."""
        self._extra_files |= {os.path.abspath(filename)}  # a new set: the thread may look at it

    def get_files(self) -> list[str]:
        """Absolute paths of all watched files."""
        return list({*_code_files(), *self._extra_files, *self._glob()})

    def start(self) -> None:
        """Begin to watch: changes count from this call on, those of code from its import on."""
        self.changes()
        super().start()

    def run(self) -> None:
        """Watch for ever. Written by subclasses."""
        raise NotImplementedError

    def changes(self) -> list[str]:
        """The files that have changed since the last call, or else since they were loaded.

        One that is gone is not changed: editors remove a file in order to write it.
        """
        first = not self._states
        changed = []
        matches = set(self._glob())
        for path in sorted({*_code_files(), *self._extra_files, *matches}):
            state = file_state(path)
            if state is None:
                continue
            known = self._states.get(path) or _loaded.get(path)
            if known is None and (first or path not in matches):
                known = state
            if known != state:
                changed.append(path)
            self._states[path] = state
        return changed

    def report(self) -> None:
        """Look for changes; when there are some, wait until it is quiet and call back."""
        changed = self.changes()
        if not changed:
            return
        end = time.monotonic() + _MOST_WAIT
        more = changed
        while more and time.monotonic() < end:
            time.sleep(_QUIET)
            more = self.changes()
        if self._callback is not None:
            self._callback(changed[0])

    def _glob(self) -> Iterator[str]:
        for pattern in self._patterns:
            for path in glob.iglob(pattern, recursive=True):
                if not path.endswith(".pyc") and os.path.isfile(path):
                    yield path


class Reloader(ReloaderBase):
    """The engine `poll`: looks at every file every `interval` seconds."""

    def run(self) -> None:
        while True:
            self.report()
            time.sleep(self.interval)


class InotifyReloader(ReloaderBase):
    """The engine `inotify`: looks when something has happened in a directory of watched files.

    New code is searched for every `interval` seconds. Raises ImportError if the package inotify is
    missing, OSError if the system has no more room for watches.
    """

    def __init__(
        self,
        extra_files: Iterable[str] | None = None,
        callback: Callable[[str], object] | None = None,
        interval: float = 1,
    ) -> None:
        if _inotify is None:
            raise ImportError(_without_inotify())
        super().__init__(extra_files, interval, callback)
        try:
            self._fd = int(_inotify.inotify_init())
        except _inotify.InotifyError as exc:
            raise OSError(exc.errno, os.strerror(exc.errno)) from None
        os.set_blocking(self._fd, False)
        os.set_inheritable(self._fd, False)
        self._wanted: set[str] = set()  # directories to watch
        self._directories: dict[str, int] = {}  # those that are watched
        self._names: dict[int, set[str]] = {}  # one may have several, by symbolic links
        self._places: set[str] = set()  # files under the names that events give them

    def run(self) -> None:
        ready = select.poll()
        ready.register(self._fd, select.POLLIN)
        known = -1
        while True:
            reason = False
            number = len(sys.modules) + len(_loaded) + len(self._extra_files)
            if number != known or self._patterns:
                known = number
                reason = self._place()
            if self._watch() or reason:
                self.report()
            if ready.poll(self.interval * 1000) and self._happened():
                self.report()

    def _place(self) -> bool:
        """Find out where all files are; true if there is another one than before."""
        before, files = self._places, self.get_files()
        self._places = {*files, *map(os.path.realpath, files)}
        self._wanted = {os.path.dirname(path) for path in self._places}
        self._wanted.update(path for path in self._extra_files if os.path.isdir(path))
        return not self._places <= before

    def _watch(self) -> bool:
        """Watch the directories that are not watched yet; true if there is reason for a look."""
        reason = False
        for directory in self._wanted - self._directories.keys():
            try:
                watch = _inotify.inotify_add_watch(self._fd, os.fsencode(directory), _EVENTS)
            except _inotify.InotifyError:
                # Not there, as in a zip file, or no room: then every turn has to look by itself.
                reason = reason or os.path.isdir(directory)
                continue
            self._directories[directory] = watch
            self._names.setdefault(watch, set()).add(directory)
            reason = True  # for what has happened before
        return reason

    def _happened(self) -> bool:
        """Read what the kernel has to say; whether it concerns a watched file."""
        concerned = False
        for watch, mask, name in self._read():
            if mask & _OVERFLOW:
                concerned = True
            elif watch in self._names and mask & (_IGNORED | _MOVE_SELF | _DELETE_SELF):
                self._forget(watch)
                concerned = True
            for directory in self._names.get(watch, ()):
                path = os.path.join(directory, name)
                concerned |= path in self._places or directory in self._extra_files
        return concerned

    def _forget(self, watch: int) -> None:
        """The name of a directory may lead to another one now."""
        for directory in self._names.pop(watch):
            self._directories.pop(directory, None)
        try:
            _inotify.inotify_rm_watch(self._fd, watch)
        except _inotify.InotifyError:
            pass  # the kernel has done so already

    def _read(self) -> Iterator[tuple[int, int, str]]:
        while True:
            try:
                data = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size
                yield watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))
                at += length


#: The engine that `auto` stands for.
preferred_reloader: type[ReloaderBase] = Reloader if _inotify is None else InotifyReloader

#: Name of an engine -> its class; further ones may be added, which get the keyword arguments
#: `extra_files` and `callback`.
reloader_engines: dict[str, Any] = {
    "auto": preferred_reloader,
    "poll": Reloader,
    "inotify": InotifyReloader,
}


def check_engine(name: str) -> None:
    """Raise ConfigError, one line, if the engine of that name cannot be used here."""
    if name not in reloader_engines:
        known = ", ".join(reloader_engines)
        raise ConfigError(f"reload_engine = {name!r}: allowed are {known}")
    if reloader_engines[name] is InotifyReloader and _inotify is None:
        raise ConfigError(f"reload_engine = {name!r}: {_without_inotify()}")


def _without_inotify() -> str:
    if not sys.platform.startswith("linux"):
        return "only Linux has inotify"
    return f"the package inotify is not there{_missing}: pip install 'cyserve[inotify]'"


def make_reloader(
    engine: str, extra_files: Iterable[str], callback: Callable[[str], object], log: Any
) -> Any:
    """A reloader of that engine, not started yet; `auto` does without inotify if need be."""
    arguments: dict[str, Any] = {"extra_files": extra_files, "callback": callback}
    try:
        return reloader_engines[engine](**arguments)
    except OSError as exc:
        if engine != "auto":
            raise
        log.warning("inotify cannot be used, files are looked at every second: %s", exc)
        return Reloader(**arguments)


# -- an application that does not load --


def fail_app(error: Exception) -> Callable[..., Any]:
    """An application that answers every request with 500 and the traceback of `error`.

    The traceback begins with the user's own code. WSGI, and ASGI in its form with two calls, which
    the worker classes of others find out by themselves.
    """
    lines = traceback.format_exception(type(error), error, user_traceback(error))
    body = "".join(lines).encode("utf-8", "backslashreplace")
    fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]

    async def answer(receive: Any, send: Any) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in fields]
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def app(environ: dict[str, Any], start_response: Any = None) -> Any:
        if start_response is not None:
            start_response("500 Internal Server Error", list(fields))
            return [body]
        if environ["type"] != "http":
            raise error
        return answer

    return app


def faulty_files(error: Exception) -> list[str]:
    """The user's files in which an application failed to load; none if it was not found at all."""
    files = list(_frames_files(user_traceback(error)))
    if isinstance(error, SyntaxError) and error.filename:
        files.append(error.filename)
    return [path for path in files if os.path.exists(path)]


def _frames_files(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename
        trace = trace.tb_next


def code_files() -> frozenset[str]:
    """The files of all modules that this process has loaded so far."""
    return frozenset(_code_files())


def _code_files() -> Iterator[str]:
    """The files of all modules, also of those that could not be imported in the end."""
    yield from list(_loaded)
    for module in list(sys.modules.values()):
        try:
            names = object.__getattribute__(module, "__dict__")  # a lazy one stays unloaded
        except AttributeError:
            continue
        path = names.get("__file__")
        if isinstance(path, str):
            source = path[:-1] if path.endswith(".pyc") else path
            yield source if os.path.isabs(source) else os.path.abspath(source)
