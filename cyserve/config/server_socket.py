"""Settings, section Server Socket: where connections come in.

Addresses stay text here; `cyserve.address` reads them.
"""

from cyserve.config.kinds import Number, Texts

__all__ = ("Backlog", "Bind", "TCPDeferAccept")

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


class TCPDeferAccept(Number):
    name = "tcp_defer_accept"
    section = SECTION
    cli = ("--tcp-defer-accept",)
    meta = "SECONDS"
    default = 1
    desc = """\
        Seconds for which the kernel keeps a new connection until its client has sent something.

        So a worker wakes once for a connection and its first request, and not for clients that
        only look whether somebody listens. When the time is over, or at once with 0, it gets the
        connection as it is. Linux, TCP; whole seconds, which the kernel counts in packets of the
        handshake that it repeats (after 1, 3, 7 ... seconds). Holds for addresses that are opened
        or inherited, not for those that a reload keeps.
                """
