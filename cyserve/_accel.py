"""Picks the compiled kernel or its pure-Python twin: the only module that knows there are two.

`parser`, `io` and `poll` are bound at import and may be bound anew by `select` (when a
configuration has been loaded, before workers are forked). Others write `_accel.io.OutputBuffer`,
or take such names as locals when a worker boots; never `from cyserve import _io`. `runtime` and
`lines` go with the engine, and stay what they are.
CYSERVE_NO_EXTENSIONS=1 forces the twins, CYSERVE_REQUIRE_EXTENSIONS=1 refuses them; PyPy and the
like get the twins unless the latter is set. An extension that is present but broken is an error,
never a silent fallback; so is a build of which a part is missing, the engine's (`_compiled`)
included. The protocols at the end make mypy hold both kinds to one contract.
The classes' names (`_accel.ResponseHead`) are there for annotations only.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

from cyserve._compiled import ENGINE, KERNEL

if TYPE_CHECKING:  # what others see: the stubs, which both kinds obey
    from cyserve import _io as io
    from cyserve import _lines as lines
    from cyserve import _parser as parser
    from cyserve import _poll as poll
    from cyserve import _runtime as runtime
    from cyserve._io import InputBuffer as InputBuffer
    from cyserve._io import OutputBuffer as OutputBuffer
    from cyserve._io import ResponseHead as ResponseHead
    from cyserve._lines import FormatLine as FormatLine
    from cyserve._lines import Tray as Tray
    from cyserve._parser import ChunkedDecoder as ChunkedDecoder
    from cyserve._parser import HeadRules as HeadRules
    from cyserve._parser import RequestHead as RequestHead
    from cyserve._poll import Poller as Poller
    from cyserve._runtime import Clock as Clock
    from cyserve._runtime import Gate as Gate
    from cyserve._runtime import Lane as Lane
    from cyserve._runtime import Mutex as Mutex
    from cyserve._runtime import Number as Number
    from cyserve._runtime import Pool as Pool
    from cyserve._runtime import Row as Row

__all__ = ("implementation", "io", "lines", "parser", "poll", "runtime", "select")

is_compiled = False  # which kind they are now


class _Kernel(NamedTuple):
    kind: Literal["compiled", "pure"]
    parser: ModuleType
    io: ModuleType
    poll: ModuleType


def _switch(name: str) -> bool:
    value = os.environ.get(name, "")
    if value not in {"", "0", "1"}:
        raise ImportError(f"{name}={value!r}: allowed are 0 and 1")
    return value == "1"


def _extension(name: str) -> ModuleType | None:
    """The compiled module, None if it was not built."""
    try:
        return import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name != name:  # it is there, but something that it needs is not
            raise
        return None


def _module(name: str) -> ModuleType:
    return import_module(f"cyserve.{name}")


def _is_extension(name: str) -> bool:
    spec = find_spec(name)
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)


def _compiled() -> _Kernel | None:
    kernel = {name: _extension(f"cyserve.{name}") for name in KERNEL}
    built = {name: module is not None for name, module in kernel.items()}
    built.update((name, _is_extension(f"cyserve.{name}")) for name in ENGINE)
    if not any(built.values()):
        return None
    missing = " ".join(f"cyserve.{name}" for name, there in built.items() if not there)
    if missing:
        raise ImportError(f"incomplete build: not compiled: {missing}; reinstall cyserve")
    poll = "_poll" if "_poll" in KERNEL else "_pypoll"
    return _Kernel("compiled", *(_module(name) for name in ("_parser", "_io", poll)))


def _pure() -> _Kernel:
    return _Kernel("pure", *(_module(name) for name in ("_pyparser", "_pyio", "_pypoll")))


def _pick(word: str) -> _Kernel:
    forbidden = _switch("CYSERVE_NO_EXTENSIONS")
    required = _switch("CYSERVE_REQUIRE_EXTENSIONS")
    if forbidden and required:
        raise ImportError("CYSERVE_NO_EXTENSIONS and CYSERVE_REQUIRE_EXTENSIONS are both set")
    if word not in {"auto", "fast", "python"}:
        raise ValueError(f"{word!r}: allowed are auto, fast and python")
    if word == "python" and required:
        raise ImportError("the pure-Python kernel is refused: CYSERVE_REQUIRE_EXTENSIONS is set")
    if word == "fast" and forbidden:
        raise ImportError("the compiled kernel is refused: CYSERVE_NO_EXTENSIONS is set")
    if word == "python" or forbidden:
        return _pure()
    needed = word == "fast" or required
    if sys.implementation.name != "cpython" and not needed:
        return _pure()
    kernel = _compiled()
    if kernel is None and needed:
        raise ImportError(
            "the compiled kernel is asked for, but cyserve was installed without it: "
            "reinstall where there is a C compiler"
        )
    return kernel or _pure()


def select(word: str) -> None:
    """Bind `parser`, `io` and `poll` anew.

    word: "auto" (compiled if there), "fast" (compiled) or "python" (the twins).
    Raises ImportError, and changes nothing, if that cannot be had or the environment forbids it;
    ValueError for another word.
    """
    kernel = _pick(word)
    globals().update(parser=kernel.parser, io=kernel.io, poll=kernel.poll)
    globals().update(is_compiled=kernel.kind == "compiled")


def implementation() -> Literal["compiled", "pure"]:
    """Which kind they are now."""
    return "compiled" if is_compiled else "pure"


select("auto")
if not TYPE_CHECKING:
    runtime = _module("_runtime" if is_compiled else "_pyruntime")
    lines = _module("_lines" if is_compiled else "_pylines")


# -- the contract: mypy fails below if a stub or a twin strays from it --

if TYPE_CHECKING:
    from cyserve import (
        _io,
        _lines,
        _parser,
        _poll,
        _pyio,
        _pylines,
        _pyparser,
        _pypoll,
        _pyruntime,
        _runtime,
    )

    _Fields = list[tuple[str, str]]
    _Buffer = TypeVar("_Buffer", contravariant=True)
    _Rules = TypeVar("_Rules", contravariant=True)
    _Made = TypeVar("_Made", covariant=True)
    _Line = TypeVar("_Line")

    class _InputBuffer(Protocol):
        @property
        def scanned(self) -> int: ...
        def __len__(self) -> int: ...
        def feed(self, data: bytes) -> None: ...
        def fill(self, fd: int, size: int = 8192) -> int: ...
        def draw(self, fd: int, size: int) -> bytes | None: ...
        def peek(self, size: int) -> bytes: ...
        def take(self, size: int) -> bytes: ...
        def skip(self, size: int) -> int: ...
        def release(self) -> None: ...

    class _ResponseHead(Protocol):
        def restart(self, status: str, headers: Iterable[tuple[str, str]]) -> None: ...
        @property
        def status(self) -> str: ...
        @property
        def status_code(self) -> int: ...
        @property
        def content_length(self) -> int: ...
        @property
        def upgrade(self) -> bool: ...
        @property
        def close(self) -> bool: ...
        @property
        def headers(self) -> _Fields: ...
        @headers.setter
        def headers(self, headers: Iterable[tuple[str, str]]) -> None: ...
        def whole(self, size: int) -> bool: ...
        def serialize(
            self, start: bytes, fields: bytes, body: bytes = b"", length: bool = True
        ) -> bytes: ...

    class _OutputBuffer(Protocol):
        def __len__(self) -> int: ...
        def write(self, data: bytes) -> None: ...
        def write_chunk(self, data: bytes) -> None: ...
        def end_chunks(self) -> None: ...
        def flush(self, fd: int) -> int: ...
        def send_now(self, fd: int, data: bytes) -> int: ...
        def peek(self, size: int) -> bytes: ...
        def skip(self, size: int) -> None: ...
        def clear(self) -> None: ...

    class _RequestHead(Protocol):
        @property
        def method(self) -> str: ...
        @property
        def target(self) -> str: ...
        @property
        def path(self) -> str: ...
        @property
        def query(self) -> str: ...
        @property
        def fragment(self) -> str: ...
        @property
        def version(self) -> tuple[int, int]: ...
        @property
        def content_length(self) -> int: ...
        @property
        def chunked(self) -> bool: ...
        @property
        def keep_alive(self) -> bool: ...
        @property
        def flags(self) -> int: ...
        @property
        def size(self) -> int: ...

        headers: _Fields

        def fill_environ(self, template: dict[str, Any], ready: bool = False) -> dict[str, Any]: ...
        def plain(self) -> bool: ...
        def request_line(self) -> bytes: ...
        def enter(self, lane: Any) -> None: ...

    class _ChunkedDecoder(Protocol[_Buffer]):
        @property
        def done(self) -> bool: ...
        @property
        def trailers(self) -> _Fields: ...
        def decode(self, buffer: _Buffer, size: int) -> bytes: ...

    class _MakeInputBuffer(Protocol):
        def __call__(self, data: bytes = b"") -> _InputBuffer: ...

    class _MakeResponseHead(Protocol):
        def __call__(self, status: str, headers: Iterable[tuple[str, str]]) -> _ResponseHead: ...

    class _MakeOutputBuffer(Protocol):
        def __call__(self) -> _OutputBuffer: ...

    class _MakeHeadRules(Protocol[_Made]):
        def __call__(
            self,
            *,
            limit_request_line: int = 4094,
            limit_request_fields: int = 100,
            limit_request_field_size: int = 8190,
            permit_obsolete_folding: bool = False,
            strip_header_spaces: bool = False,
            permit_unconventional_http_method: bool = False,
            permit_unconventional_http_version: bool = False,
            casefold_http_method: bool = False,
            scheme_headers: tuple[str, ...] = (),
        ) -> _Made: ...

    class _MakeDecoder(Protocol[_Buffer, _Rules]):
        def __call__(self, rules: _Rules) -> _ChunkedDecoder[_Buffer]: ...

    class _Io(Protocol):
        @property
        def InputBuffer(self) -> _MakeInputBuffer: ...
        @property
        def ResponseHead(self) -> _MakeResponseHead: ...
        @property
        def OutputBuffer(self) -> _MakeOutputBuffer: ...

    class _Parser(Protocol[_Buffer, _Rules, _Made]):
        @property
        def HeadRules(self) -> _MakeHeadRules[_Made]: ...
        @property
        def ChunkedDecoder(self) -> _MakeDecoder[_Buffer, _Rules]: ...
        def parse_head(self, buffer: _Buffer, rules: _Rules) -> _RequestHead | None: ...

    class _Poller(Protocol):
        progress: int
        waiting: int
        active: int
        called: bool

        @property
        def edge(self) -> bool: ...
        @property
        def coming(self) -> int: ...
        @property
        def contended(self) -> bool: ...
        def register(self, fd: int, interest: int) -> None: ...
        def modify(self, fd: int, interest: int) -> None: ...
        def unregister(self, fd: int) -> None: ...
        def register_listener(self, fd: int) -> None: ...
        def requeue_listener(self, fd: int) -> None: ...
        def note(self, waiting: int) -> None: ...
        def take(self) -> list[int]: ...
        def wait(self, seconds: float) -> list[int]: ...
        def watch(self, nap: float) -> bool: ...
        def pause(self, seconds: float) -> None: ...
        def close(self) -> None: ...

    class _MakePoller(Protocol):
        def __call__(self) -> _Poller: ...

    class _Poll(Protocol):
        @property
        def Poller(self) -> _MakePoller: ...

    class _Clock(Protocol):
        ahead: float

        def monotonic(self) -> float: ...
        def second(self) -> int: ...

    class _Gate(Protocol):
        @property
        def address(self) -> Any: ...
        def accept(self, fd: int) -> int: ...
        def close(self, fd: int) -> None: ...

    class _Number(Protocol):
        def store(self, number: int) -> None: ...

    class _MakeNumber(Protocol):
        def __call__(self, memory: memoryview, at: int) -> _Number: ...

    class _Lane(Protocol):
        def begin(self, line: bytes) -> None: ...
        def end(self) -> None: ...

    class _MakeLane(Protocol):
        def __call__(self, memory: memoryview, at: int) -> _Lane: ...

    class _Mutex(Protocol):
        def acquire(self, blocking: bool = True, timeout: float = -1.0) -> bool: ...
        def release(self) -> None: ...
        def locked(self) -> bool: ...

    class _Pool(Protocol):
        def take(self) -> Any: ...
        def alone(self, thing: Any, references: int) -> bool: ...
        def give(self, thing: Any) -> bool: ...

    class _Row(Protocol):
        @property
        def count(self) -> int: ...
        def __len__(self) -> int: ...
        def push(self, thing: Any) -> None: ...
        def pop(self) -> Any: ...
        def remove(self, thing: Any) -> None: ...

    class _MakePool(Protocol):
        def __call__(self, most: int = 8) -> _Pool: ...

    class _Runtime(Protocol):
        @property
        def CLOCK(self) -> _Clock: ...
        @property
        def GATE(self) -> _Gate: ...
        @property
        def Clock(self) -> type[_Clock]: ...
        @property
        def Gate(self) -> type[_Gate]: ...
        @property
        def Lane(self) -> _MakeLane: ...
        @property
        def Mutex(self) -> type[_Mutex]: ...
        @property
        def Number(self) -> _MakeNumber: ...
        @property
        def Pool(self) -> _MakePool: ...
        @property
        def Row(self) -> type[_Row]: ...

    class _FormatLine(Protocol):
        def __call__(self, resp: Any, req: Any, environ: Any, request_time: Any) -> str: ...
        def make(self, resp: Any, req: Any, environ: Any, request_time: Any) -> bytes: ...

    class _MakeFormatLine(Protocol[_Made]):
        def __call__(
            self,
            texts: Sequence[str],
            steps: Sequence[tuple[str, Any]],
            escape: Callable[[str], str],
            time_text: Callable[[float], str],
        ) -> _Made: ...

    class _Tray(Protocol[_Line]):
        line: _Line | None
        count: int

        @property
        def size(self) -> int: ...
        def note(
            self, resp: Any, req: Any, environ: Any, status: Any, sent: int, started: float
        ) -> bool: ...
        def add(self, line: bytes) -> bool: ...
        def empty(self, fd: int) -> None: ...
        def drop(self) -> int: ...
        def left(self) -> bytes: ...

    class _MakeTray(Protocol[_Line]):
        def __call__(self, memory: Any) -> _Tray[_Line]: ...

    class _Lines(Protocol[_Line]):
        @property
        def FormatLine(self) -> _MakeFormatLine[_Line]: ...
        @property
        def Tray(self) -> _MakeTray[_Line]: ...

    _lines_compiled: _Lines[_lines.FormatLine] = _lines
    _lines_pure: _Lines[_pylines.FormatLine] = _pylines
    _runtime_compiled: _Runtime = _runtime
    _runtime_pure: _Runtime = _pyruntime
    _poll_compiled: _Poll = _poll
    _poll_pure: _Poll = _pypoll
    _io_compiled: _Io = _io
    _io_pure: _Io = _pyio
    _parser_compiled: _Parser[_io.InputBuffer, _parser.HeadRules, _parser.HeadRules] = _parser
    _parser_pure: _Parser[_pyio.InputBuffer, _pyparser.HeadRules, _pyparser.HeadRules] = _pyparser
