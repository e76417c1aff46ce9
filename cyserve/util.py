"""Helpers under the names that gunicorn's users import: re-exports only, no code."""

from cyserve.address import is_ipv6, parse_address
from cyserve.errors import AppImportError
from cyserve.importer import get_arity, import_app, load_class
from cyserve.paths import check_is_writable, getcwd

__all__ = (
    "AppImportError",
    "check_is_writable",
    "get_arity",
    "getcwd",
    "import_app",
    "is_ipv6",
    "load_class",
    "parse_address",
)
