"""Finds what the user named: the WSGI application, a worker or logger class, a hook.

Names come from the command line and from settings. A name that leads nowhere is one clear line;
an exception raised by the user's own module passes through, with its traceback.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import FunctionType

from cyserve.errors import AppImportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("KNOWN_WORKERS", "find_object", "get_arity", "import_app", "load_class", "worker_path")

#: gunicorn's short names of worker classes. Those that `cyserve.workers.SUPPORTED_WORKERS` lacks
#: are refused by name instead of being reported as unknown.
KNOWN_WORKERS = {
    "sync": "cyserve.workers.sync.SyncWorker",
    "gthread": "cyserve.workers.gthread.ThreadWorker",
    "gevent": "cyserve.workers.ggevent.GeventWorker",
    "gevent_wsgi": "cyserve.workers.ggevent.GeventPyWSGIWorker",
    "gevent_pywsgi": "cyserve.workers.ggevent.GeventPyWSGIWorker",
    "tornado": "cyserve.workers.gtornado.TornadoWorker",
    "asgi": "cyserve.workers.gasgi.ASGIWorker",
}


def import_app(name: str) -> Any:
    """The WSGI application called `name`.

    name: `MODULE`, `MODULE:NAME`, or `MODULE:FACTORY(LITERALS)`; without NAME, `application`.

    Raises AppImportError if the module has no such callable; ImportError and whatever the user's
    module or factory raises pass through.
    """
    module_name, colon, expression = name.partition(":")
    expression = expression if colon else "application"
    try:
        module = import_module(module_name)
    except ImportError:
        if module_name.endswith(".py") and os.path.exists(module_name):
            stem = os.path.normpath(module_name[: -len(".py")]).replace(os.sep, ".")
            raise ImportError(
                f"Failed to find application, did you mean '{stem}:{expression}'?"
            ) from None
        raise
    attribute, call = _parse_expression(expression)
    try:
        found = getattr(module, attribute)
    except AttributeError:
        raise AppImportError(
            f"Failed to find attribute {attribute!r} in {module_name!r}."
        ) from None
    if call is not None:
        found = _call_factory(found, *call)
    if found is None:
        raise AppImportError(f"Failed to find application object: {expression!r}")
    if not callable(found):
        raise AppImportError("Application object must be callable.")
    return found


_Call = tuple[list["Any"], dict[str, "Any"]]


def _parse_expression(text: str) -> tuple[str, _Call | None]:
    """Split `name` or `name(literals)` into the name and the arguments."""
    if text.isidentifier():
        return text, None
    import ast  # noqa: PLC0415 - only for factories

    try:
        expression = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        expression = None
    if isinstance(expression, ast.Name):  # with a space behind it
        return expression.id, None
    if not isinstance(expression, ast.Call):
        raise AppImportError(f"Failed to parse {text!r} as an attribute name or function call.")
    if not isinstance(expression.func, ast.Name):
        raise AppImportError(f"Function reference must be a simple name: {text!r}")
    if any(keyword.arg is None for keyword in expression.keywords):
        raise AppImportError(f"Failed to parse arguments as literal values: {text!r}")
    try:
        args = [ast.literal_eval(arg) for arg in expression.args]
        kwargs = {str(kw.arg): ast.literal_eval(kw.value) for kw in expression.keywords}
    except ValueError:
        raise AppImportError(f"Failed to parse arguments as literal values: {text!r}") from None
    return expression.func.id, (args, kwargs)


def _call_factory(factory: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    try:
        return factory(*args, **kwargs)
    except TypeError as exc:
        # No frame below ours: the call itself was refused, no line of the factory ran.
        if exc.__traceback__ is not None and exc.__traceback__.tb_next is None:
            raise AppImportError(f"TypeError: {exc}") from None
        raise


def find_object(path: str) -> Any:
    """The object at the dotted path `path`, `package.module.attribute`.

    A path inside `gunicorn` means the same path inside cyserve. Raises LookupError, one line, if
    the path leads nowhere; what the user's module raises while it is imported passes through.
    """
    path = _ours(path)
    module_name, dot, attribute = path.rpartition(".")
    if not dot or not module_name:
        raise LookupError(f"{path!r} is not a dotted path MODULE.NAME")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name and f"{module_name}.".startswith(f"{exc.name}."):
            raise LookupError(f"there is no module {exc.name!r}") from None
        raise
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise LookupError(f"module {module_name!r} has no {attribute!r}") from None


def _ours(path: str) -> str:
    """The path inside this package for one inside gunicorn; any other stays as it is."""
    return f"cyserve.{path[9:]}" if path.startswith("gunicorn.") else path


def load_class(
    uri: Any, default: str = "cyserve.workers.sync.SyncWorker", section: str = "gunicorn.workers"
) -> Any:
    """The class that a setting names.

    uri: the class itself, a dotted path, a short name, or `egg:DISTRIBUTION#NAME`.
    default: dotted path that the logger name `simple` and an `egg:` without NAME stand for.
    section: entry point group in which `egg:` names are searched.

    Raises RuntimeError, one line, if there is none; its `__cause__` is what the user's own
    module raised, if it was that.
    """
    if isinstance(uri, type):
        return uri
    try:
        if uri.startswith("egg:"):
            found = _load_entry_point(uri, default, section)
        elif section == "gunicorn.workers":
            found = find_object(worker_path(uri))
        else:
            found = find_object(default if uri == "simple" else uri)
        if not callable(found):
            raise LookupError(f"it is {found!r}, not a class")
        return found
    except LookupError as exc:
        raise RuntimeError(f"class uri {uri!r} invalid or not found: {exc}") from None
    except Exception as exc:
        raise RuntimeError(f"class uri {uri!r} invalid or not found: {exc}") from exc


def worker_path(uri: str) -> str:
    """The dotted path of a worker class that may be given by its short name.

    Raises LookupError, one line, for an unknown short name and for a worker class of gunicorn
    that this version does not have.
    """
    supported: dict[str, str] = import_module("cyserve.workers").SUPPORTED_WORKERS
    path = _ours(supported.get(uri, uri))
    has = f"it has {', '.join(supported)}"
    for name, known in KNOWN_WORKERS.items():
        if path in {name, known} and name not in supported:
            raise LookupError(
                f"this version of cyserve does not have the worker class {name} yet; {has}"
            )
    if path.isidentifier():
        raise LookupError(f"cyserve has no worker class of this name; {has}")
    return path


def _load_entry_point(uri: str, default: str, section: str) -> Any:
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415 - rarely needed

    dist_name, separator, name = uri[len("egg:") :].partition("#")
    name = name if separator else default
    try:
        points = distribution(dist_name).entry_points
    except PackageNotFoundError:
        raise LookupError(f"there is no distribution {dist_name!r}") from None
    for point in points.select(group=section, name=name):
        return point.load()
    raise LookupError(f"{dist_name!r} has no entry point {name!r} in the group {section!r}")


def get_arity(function: Any) -> int:
    """How many positional parameters a callable has, those with defaults included.

    `*args` counts as none. Raises ValueError or TypeError if the signature cannot be read.
    """
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
        return function.__code__.co_argcount  # the common case, without importing inspect
    import inspect  # noqa: PLC0415 - rarely needed

    options: dict[str, Any] = {}
    if sys.version_info >= (3, 14):  # annotations are evaluated now; their names may be unknown
        import annotationlib  # noqa: PLC0415 - as inspect

        options["annotation_format"] = annotationlib.Format.FORWARDREF
    parameters = inspect.signature(function, **options).parameters.values()
    return sum(1 for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD})
