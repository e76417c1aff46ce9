from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from typing_extensions import Self

__all__ = ("FormatLine", "Tray")

@final
class FormatLine:
    def __new__(
        cls,
        texts: Sequence[str],
        steps: Sequence[tuple[str, Any]],
        escape: Callable[[str], str],
        time_text: Callable[[float], str],
    ) -> Self: ...
    def __call__(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any
    ) -> str: ...
    def make(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any) -> bytes: ...

@final
class Tray:
    line: FormatLine | None
    count: int
    def __new__(cls, memory: Any) -> Self: ...
    @property
    def size(self) -> int: ...
    def note(
        self,
        resp: Any,
        req: Any,
        environ: Mapping[str, Any],
        status: Any,
        sent: int,
        started: float,
    ) -> bool: ...
    def add(self, line: bytes) -> bool: ...
    def empty(self, fd: int) -> None: ...
    def drop(self) -> int: ...
    def left(self) -> bytes: ...
