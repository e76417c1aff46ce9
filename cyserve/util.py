"""Helpers under the names that gunicorn's users import from its `util`.

Re-exports only: each helper lives in the module whose subject it is.
"""

from cyserve.address import is_ipv6, parse_address
from cyserve.errors import AppImportError
from cyserve.importer import get_arity, import_app, load_class
from cyserve.paths import getcwd
from cyserve.process import chown, close_on_exec, daemonize, set_non_blocking, set_owner_process

__all__ = (
    "AppImportError",
    "chown",
    "close_on_exec",
    "daemonize",
    "get_arity",
    "getcwd",
    "import_app",
    "is_ipv6",
    "load_class",
    "parse_address",
    "set_non_blocking",
    "set_owner_process",
)
