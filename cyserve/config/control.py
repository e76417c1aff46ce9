"""Settings, section Control: the socket by which a running server is told what to do.

gunicorn opens one unless told otherwise. This version of cyserve has none: the default opens
nothing, and only who names a socket is told so.
"""

from __future__ import annotations

from cyserve.config.kinds import Flag, Number, Text
from cyserve.config.validators import auto_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cyserve.config.core import Config

__all__ = ("ControlSocket", "ControlSocketDisable", "ControlSocketMode")

SECTION = "Control"


class ControlSocket(Text):
    name = "control_socket"
    section = SECTION
    cli = ("--control-socket",)
    meta = "PATH"
    default = None
    desc = """\
        Path of a unix socket that takes commands for the running server.

        This version of cyserve has no control socket: with a path it does not start.
        """

    def missing(self, cfg: Config) -> str | None:
        return "a control socket" if self.get() and not cfg.control_socket_disable else None


class ControlSocketMode(Number):
    name = "control_socket_mode"
    section = SECTION
    cli = ("--control-socket-mode",)
    type = auto_int
    default = 0o600
    desc = """\
        Mode bits of the control socket.

        On the command line 0x, 0o and a leading 0 (octal) are understood.
        """


class ControlSocketDisable(Flag):
    name = "control_socket_disable"
    section = SECTION
    cli = ("--no-control-socket",)
    desc = """\
        Open no control socket.
        """
