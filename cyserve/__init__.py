"""cyserve: a pre-fork WSGI server with a compiled request path, a drop-in for gunicorn.

Only names live here. Importing this package imports nothing else, so that a forked server
starts quickly and so that gevent can patch before anything is loaded.
"""

__version__ = "0.1.0"
version_info = (0, 1, 0)

#: Value of the ``Server`` response header.
SERVER = "cyserve"
#: Value of ``SERVER_SOFTWARE`` in the environ.
SERVER_SOFTWARE = f"{SERVER}/{__version__}"
