"""cyserve: a pre-fork WSGI server with a compiled request path, a drop-in for gunicorn.

Only names live here. Importing this package imports nothing else, so that a forked server
starts quickly and so that gevent can patch before anything is loaded. CYSERVE_NO_EXTENSIONS=1
is obeyed here, before any module can be imported as an extension.
"""

import os
import sys

if os.environ.get("CYSERVE_NO_EXTENSIONS") == "1":
    from importlib import machinery as _machinery

    def _source_first(path: str) -> _machinery.FileFinder:
        """A path hook: in this package the source of a module comes before its extension."""
        if not (path + os.sep).startswith(__path__[0] + os.sep):
            raise ImportError
        return _machinery.FileFinder(
            path,
            (_machinery.SourceFileLoader, _machinery.SOURCE_SUFFIXES),
            (_machinery.SourcelessFileLoader, _machinery.BYTECODE_SUFFIXES),
            (_machinery.ExtensionFileLoader, _machinery.EXTENSION_SUFFIXES),
        )

    sys.path_hooks.insert(0, _source_first)
    sys.path_importer_cache.pop(__path__[0], None)

__version__ = "0.1.0"
version_info = (0, 1, 0)

#: Value of the ``Server`` response header.
SERVER = "cyserve"
#: Value of ``SERVER_SOFTWARE`` in the environ.
SERVER_SOFTWARE = f"{SERVER}/{__version__}"
