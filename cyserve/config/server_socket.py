"""Settings, section Server Socket: where connections come in.

Addresses stay text here; `cyserve.address` reads them.
"""

from cyserve.config.kinds import Number, Texts

__all__ = ("Backlog", "Bind")

SECTION = "Server Socket"


class Bind(Texts):
    name = "bind"
    section = SECTION
    cli = ("-b", "--bind")
    meta = "ADDRESS"
    default = ["127.0.0.1:8000"]
    env = "PORT"
    desc = """\
        Address to listen on: HOST, HOST:PORT, [IPV6]:PORT, unix:PATH or fd://N. Repeatable.

        unix:@NAME is an abstract socket of Linux, which has no file.
        If the environment variable PORT is set, the default is 0.0.0.0:$PORT.
        """

    def from_env(self, text: str) -> list[str] | None:
        return [f"0.0.0.0:{text}"] if text else None


class Backlog(Number):
    name = "backlog"
    section = SECTION
    cli = ("--backlog",)
    default = 2048
    desc = """\
        How many new connections the kernel may hold for us before it turns clients away.

        The kernel has its own limit too (net.core.somaxconn on Linux); the smaller one counts.
        """
