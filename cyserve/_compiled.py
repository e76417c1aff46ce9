"""Which modules a compiled build has as extensions: the one list, for setup.py and for `_accel`.

The kernel is written for Cython. The engine is plain Python, compiled from the very source that is
interpreted where there is no extension; C types stand beside it in a .pxd of the same name.
Names only: setup.py runs this file by its path, so it may import nothing of ours.
"""

import sys

#: Each has a .pyx here and a twin of its own, `_py...`. Without epoll `_pypoll` is all there is.
KERNEL: tuple[str, ...] = ("_parser", "_io", "_runtime", "_lines")
if sys.platform.startswith("linux"):
    KERNEL += ("_poll",)

#: Each has a .py and a .pxd: everything that runs for every request. The extension shadows the .py.
ENGINE = (
    "scoreboard",
    "access_writer",
    "http.transport",
    "http.body",
    "http.postponed",
    "http.request",
    "http.server_fields",
    "http.response",
    "http.environ",
    "http.context",
    "http.connection",
    "http.cycle",
    "workers.connection_loop",
    "workers.turns",
    "workers.crew",
)
