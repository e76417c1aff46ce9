"""Finding the application and classes by name: what is found, and what is said when it is not."""

import sys

import pytest

from cyserve.errors import AppImportError
from cyserve.util import get_arity, import_app, load_class
from cyserve.workers import SUPPORTED_WORKERS
from cyserve.workers.base import Worker

MODULE = """
def application(environ, start_response): ...
def other(environ, start_response): ...
def factory(color, size=1, *, name="x"):
    def made(environ, start_response): ...
    made.given = (color, size, name)
    return made
def failing(): raise TypeError("from inside")
def returns_none(): return None
nothing = None
number = 3
"""


@pytest.fixture(autouse=True)
def shop(launched_in):
    """A module `shop` to import."""
    (launched_in / "shop.py").write_text(MODULE)
    (launched_in / "broken.py").write_text("import no_such_module\n")
    sys.path.insert(0, str(launched_in))
    return launched_in


@pytest.mark.parametrize(
    ("name", "found"),
    [("shop", "application"), ("shop:application", "application"), ("shop:other ", "other")],
)
def test_application_by_name(name, found):
    assert import_app(name).__name__ == found


@pytest.mark.parametrize(
    ("call", "given"),
    [
        ("factory('red')", ("red", 1, "x")),
        ('factory("red", 2, name="n")', ("red", 2, "n")),
        ("factory(['a', {'b': 1}], size=-1.5)", (["a", {"b": 1}], -1.5, "x")),
    ],
)
def test_application_by_factory(call, given):
    assert import_app(f"shop:{call}").given == given


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shop:", "Failed to parse '' as an attribute name or function call."),
        ("shop:a.b", "Failed to parse 'a.b' as an attribute name or function call."),
        ("shop:a b", "Failed to parse 'a b' as an attribute name or function call."),
        ("shop:x\0", "Failed to parse 'x\\x00' as an attribute name or function call."),
        ("shop:a.b()", "Function reference must be a simple name: 'a.b()'"),
        ("shop:factory(x)", "Failed to parse arguments as literal values: 'factory(x)'"),
        ("shop:factory(*[1])", "Failed to parse arguments as literal values: 'factory(*[1])'"),
        ("shop:factory(**{})", "Failed to parse arguments as literal values: 'factory(**{})'"),
        ("shop:missing", "Failed to find attribute 'missing' in 'shop'."),
        ("shop:missing()", "Failed to find attribute 'missing' in 'shop'."),
        ("shop:nothing", "Failed to find application object: 'nothing'"),
        ("shop:returns_none()", "Failed to find application object: 'returns_none()'"),
        ("shop:number", "Application object must be callable."),
        ("shop:factory()", "TypeError: factory() missing 1 required positional argument: 'color'"),
    ],
)
def test_no_application(name, message):
    with pytest.raises(AppImportError) as caught:
        import_app(name)
    assert str(caught.value) == message


def test_what_the_users_code_raises_passes_through():
    with pytest.raises(TypeError, match="from inside"):
        import_app("shop:failing()")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        import_app("broken:app")


@pytest.mark.parametrize(
    ("name", "meant"), [("shop.py", "shop:application"), ("shop.py:other", "shop:other")]
)
def test_a_file_name_instead_of_a_module(name, meant):
    with pytest.raises(ImportError, match=f"did you mean '{meant}'"):
        import_app(name)


def test_class_given_as_such_or_by_its_path():
    assert load_class(dict) is dict
    assert load_class("collections.OrderedDict").__name__ == "OrderedDict"


@pytest.mark.parametrize("uri", ["sync", "gunicorn.workers.base.Worker"])
def test_worker_class_by_gunicorns_names(uri, monkeypatch):
    monkeypatch.setitem(SUPPORTED_WORKERS, "sync", "cyserve.workers.base.Worker")
    assert load_class(uri) is Worker


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("nosuch", "cyserve has no worker class of this name; it has sync"),
        ("asgi", "does not have the worker class asgi yet"),
        ("gunicorn.workers.gasgi.ASGIWorker", "does not have the worker class asgi yet"),
        ("no_such_package.Worker", "there is no module 'no_such_package'"),
        ("collections.no_such.Worker", "there is no module 'collections.no_such'"),
        ("collections.NoSuch", "module 'collections' has no 'NoSuch'"),
        ("string.digits", "it is '0123456789', not a class"),
        ("collections.gunicorn.Worker", "there is no module 'collections.gunicorn'"),
        ("egg:no-such-dist#x", "there is no distribution 'no-such-dist'"),
        ("egg:pytest#x", "'pytest' has no entry point 'x' in the group 'gunicorn.workers'"),
    ],
)
def test_no_such_class(uri, message):
    with pytest.raises(RuntimeError) as caught:
        load_class(uri)
    assert str(caught.value).startswith(f"class uri {uri!r} invalid or not found: ")
    assert message in str(caught.value)
    assert caught.value.__cause__ is None


def test_class_whose_module_fails_keeps_the_cause():
    with pytest.raises(RuntimeError) as caught:
        load_class("broken.Worker")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("function", "arity"),
    [(lambda: None, 0), (lambda a, b=1, *c, d=2, **e: None, 2), (str.join, 2), ("x".join, 1)],
)
def test_arity(function, arity):
    assert get_arity(function) == arity
