"""Listening sockets: opened from an address or taken over from a file descriptor.

A listener wraps one socket, knows how to print itself and lends every unknown attribute of the
socket. Inherited descriptors keep their number, so that the next upgrade finds them where the
environment says. Sockets are never inheritable by accident: only the upgrade lends them.
Nothing here accepts connections.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterable, Sequence

from cyserve import process
from cyserve.certificates import ssl_context as ssl_context
from cyserve.config.core import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any

#: How often, and after how many seconds each, a busy address is tried again at start.
BIND_TRIES = 5
BIND_PAUSE = 1.0

#: Where Linux shows the limit of all listen queues, those of unix sockets too.
SOMAXCONN = "/proc/sys/net/core/somaxconn"

# Linux tcp_info: eight bytes of flags, four words, then tcpi_unacked: a listener's queue.
_TCP_INFO = struct.Struct("=24xI")

# sock_diag(7), for what TCP_INFO does not tell of unix sockets: a header (length, type, flags,
# sequence, port), the question (family, protocol, padding, states, inode, what to show, cookie);
# the answer has 32 bytes and then attributes (length, type, value).
_DIAG_HEADER = struct.Struct("=IHHII")
_DIAG_QUESTION = struct.Struct("=BBHIIIII")
_DIAG_ATTRIBUTE = struct.Struct("=HH")
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
_UDIAG_SHOW_RQLEN, _UNIX_DIAG_RQLEN, _ANY = 0x10, 4, 0xFFFFFFFF


class BaseSocket:
    """A listening socket.

    address: what the settings asked for, kept as `cfg_addr`.
    conf: settings; read are backlog, reuse_port, umask, uid, gid and is_ssl.
    log: the error logger.
    fd: an inherited descriptor to take over instead of binding `address`.

    Raises OSError when the address cannot be had, ValueError when a file is in the way.
    """

    FAMILY = socket.AF_INET

    def __init__(self, address: Any, conf: Any, log: Any, fd: int | None = None) -> None:
        self.log = log
        self.conf = conf
        self.cfg_addr = address
        inherited = fd is not None
        self.sock: socket.socket | None = (
            socket.socket(fileno=fd) if inherited else socket.socket(self.FAMILY)
        )
        try:
            self.set_options(self.sock, bound=inherited)
        except BaseException:
            if not inherited:
                self.sock.close()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__.get("sock"), name)

    def __str__(self) -> str:
        return f"<socket {self.cfg_addr}>"

    def set_options(self, sock: socket.socket, bound: bool = False) -> socket.socket:
        """Set the options of a listener, bind it unless it is `bound`, and listen."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.conf.reuse_port and hasattr(socket, "SO_REUSEPORT"):
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            except OSError as error:
                if error.errno not in (errno.ENOPROTOOPT, errno.EINVAL):
                    raise
        if not bound:
            self.bind(sock)
        sock.setblocking(False)
        sock.set_inheritable(False)
        if not self._is_listening(sock):
            sock.listen(self.conf.backlog)
        return sock

    def bind(self, sock: socket.socket) -> None:
        """Bind `sock` to the address. Raises OSError."""
        sock.bind(self.cfg_addr)

    def fileno(self) -> int:
        """The file descriptor; -1 once closed."""
        return -1 if self.sock is None else self.sock.fileno()

    def get_backlog(self) -> int:
        """Connections that wait to be accepted; -1 where the system does not tell."""
        return -1

    def close(self) -> None:
        """Close our copy of the socket; it listens on as long as another process has one."""
        if self.sock is None:
            return
        try:
            self.sock.close()
        except OSError as error:
            if error.errno != errno.EBADF:  # an event loop has closed it before us
                self.log.info("Error while closing socket %s", error)
        self.sock = None

    @staticmethod
    def _is_listening(sock: socket.socket) -> bool:
        try:
            return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        except OSError:  # macOS does not tell; listening twice does no harm
            return False


class TCPSocket(BaseSocket):
    """A listener on an IPv4 address."""

    def set_options(self, sock: socket.socket, bound: bool = False) -> socket.socket:
        # Accepted connections inherit this, which saves them a system call.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_DEFER_ACCEPT"):  # Linux
            seconds = self.conf.tcp_defer_accept
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, seconds)
        return super().set_options(sock, bound=bound)

    def get_backlog(self) -> int:
        if self.sock is None or not sys.platform.startswith("linux"):
            return -1
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        return int(_TCP_INFO.unpack(info)[0])

    def __str__(self) -> str:
        host, port = self.getsockname()[:2]
        scheme = "https" if self.conf.is_ssl else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class TCP6Socket(TCPSocket):
    """A listener on an IPv6 address."""

    FAMILY = socket.AF_INET6


class UnixSocket(BaseSocket):
    """A listener on a path, created under the umask of the settings for their user and group.

    A path that begins with NUL is the name of an abstract socket.
    """

    FAMILY = socket.AF_UNIX

    def __init__(self, address: Any, conf: Any, log: Any, fd: int | None = None) -> None:
        self._file: tuple[int, int] | None = None
        if fd is None:
            _make_room(address)
        super().__init__(address, conf, log, fd=fd)
        # The file of a descriptor in `bind` is whoever's opened it, and may be lent again.
        if fd is None or fd not in conf.address:
            self._file = _identity(self.cfg_addr)

    def __str__(self) -> str:
        return f"unix:{shown(self.cfg_addr)}"

    def get_backlog(self) -> int:
        if self.sock is None or not sys.platform.startswith("linux"):
            return -1
        try:
            return _unix_backlog(os.fstat(self.sock.fileno()).st_ino)
        except (OSError, struct.error):  # not every kernel or sandbox answers
            return -1

    def bind(self, sock: socket.socket) -> None:
        umask = os.umask(self.conf.umask)
        try:
            sock.bind(self.cfg_addr)
        finally:
            os.umask(umask)
        if not _is_abstract(self.cfg_addr):
            process.chown(self.cfg_addr, self.conf.uid, self.conf.gid)

    def unlink(self) -> None:
        """Remove the socket's file, unless another server has put its own in that place."""
        if self._file is not None and _identity(self.cfg_addr) == self._file:
            try:
                os.unlink(self.cfg_addr)
            except OSError as error:
                self.log.info("Error while removing socket %s: %s", self.cfg_addr, error)


def _unix_backlog(inode: int) -> int:
    """Connections that wait at the listening unix socket `inode`; -1 if the kernel is silent."""
    question = _DIAG_QUESTION.pack(
        *(socket.AF_UNIX, 0, 0, _ANY, inode & _ANY, _UDIAG_SHOW_RQLEN, _ANY, _ANY)
    )
    size = _DIAG_HEADER.size + len(question)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.setblocking(False)  # it answers within the call that asks
        kernel.send(_DIAG_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + question)
        answer = kernel.recv(4096)
    length, kind, *_ = _DIAG_HEADER.unpack_from(answer)
    at = _DIAG_HEADER.size + 16
    while kind == _SOCK_DIAG_BY_FAMILY and at < min(length, len(answer)):
        size, kind_of_attribute = _DIAG_ATTRIBUTE.unpack_from(answer, at)
        if kind_of_attribute == _UNIX_DIAG_RQLEN:
            return int.from_bytes(answer[at + 4 : at + 8], sys.byteorder)
        at += max(4, (size + 3) & ~3)
    return -1


def open_listener(address: Any, conf: Any, log: Any) -> BaseSocket:
    """Open one listener: (host, port), a path, or the number of an inherited descriptor.

    Raises OSError when it cannot be had, ValueError when a file that is no socket has the path.
    """
    if isinstance(address, int):
        return adopt(address, conf, log)
    if isinstance(address, (str, bytes)):
        return UnixSocket(address, conf, log)
    if isinstance(address, tuple):
        return (TCP6Socket if ":" in address[0] else TCPSocket)(address, conf, log)
    raise TypeError(f"Unable to create socket from: {address!r}")


def adopt(fd: int, conf: Any, log: Any) -> BaseSocket:
    """Take over the inherited descriptor `fd`, whatever its family. Raises OSError."""
    try:
        probe = socket.socket(fileno=fd)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"fd://{fd}") from None
    family, name = probe.family, probe.getsockname()
    probe.detach()
    if family == socket.AF_UNIX:
        return UnixSocket(name, conf, log, fd=fd)
    return (TCP6Socket if family == socket.AF_INET6 else TCPSocket)(name, conf, log, fd=fd)


def create_sockets(conf: Any, log: Any, fds: Iterable[int] | None = None) -> list[BaseSocket]:
    """Open all listeners of the settings; when descriptors are inherited, only those.

    An address that cannot be had is tried five times, a second apart; then the process exits
    with 1, as it has nothing to serve on. Raises ValueError when a file that is no socket has
    the path of one.
    """
    inherited = list(fds or ())
    inherited += [a for a in conf.address if isinstance(a, int) and a not in inherited]
    if inherited:
        return [adopt(fd, conf, log) for fd in inherited]

    listeners: list[BaseSocket] = []
    try:
        for address in conf.address:
            listeners.append(_open_with_patience(address, conf, log))
    except BaseException:
        close_sockets(listeners)
        raise
    return listeners


def get_backlog(listeners: Iterable[BaseSocket]) -> int:
    """Connections that wait to be accepted at all `listeners` together; -1 if none can tell."""
    known = [waiting for listener in listeners if (waiting := listener.get_backlog()) >= 0]
    return sum(known) if known else -1


def close_sockets(listeners: Sequence[BaseSocket], unlink: bool = True) -> None:
    """Close all `listeners`; with `unlink` also remove the files of unix sockets.

    The files go first: nobody can connect any more to a queue that is about to be drained.
    """
    for listener in listeners:
        if unlink and isinstance(listener, UnixSocket):
            listener.unlink()
        listener.close()


def _open_with_patience(address: Any, conf: Any, log: Any) -> BaseSocket:
    for attempt in range(BIND_TRIES):
        if attempt:
            log.debug("Retrying in 1 second.")
            time.sleep(BIND_PAUSE)
        try:
            return open_listener(address, conf, log)
        except OSError as error:
            report(error, address, log)
    log.error("Can't connect to %s", shown(address))
    sys.exit(1)


def ssl_wrap_socket(sock: socket.socket, conf: Any) -> ssl.SSLSocket:
    """A client's socket with TLS over it, in a context of its own, as gunicorn's workers do it.

    For worker classes of others: ours make one context for all connections. Raises ConfigError
    for a bad certificate, OSError if a handshake is done here (do_handshake_on_connect) and fails.
    """
    return ssl_context(conf).wrap_socket(
        sock,
        server_side=True,
        suppress_ragged_eofs=conf.suppress_ragged_eofs,
        do_handshake_on_connect=conf.do_handshake_on_connect,
    )


def get_negotiated_protocol(ssl_socket: Any) -> str | None:
    """What client and server have agreed upon by ALPN, as "http/1.1"; None: nothing, or no TLS."""
    selected = getattr(ssl_socket, "selected_alpn_protocol", None)
    name: str | None = selected() if selected is not None else None
    return name


def is_http2_negotiated(ssl_socket: Any) -> bool:
    """Whether they have agreed upon HTTP/2; our own listeners never offer it."""
    return get_negotiated_protocol(ssl_socket) == "h2"


def report(error: OSError, address: Any, log: Any) -> None:
    """Log why `address` could not be had."""
    if error.errno == errno.EADDRINUSE:
        log.error("Connection in use: %s", shown(address))
    if error.errno == errno.EADDRNOTAVAIL:
        log.error("Invalid address: %s", shown(address))
    log.error("connection to %s failed: %s", shown(address), error)


def shown(address: Any) -> Any:
    """An address as logs show it: `@NAME` for an abstract socket."""
    if isinstance(address, (str, bytes)):
        return os.fsdecode(address).replace("\0", "@")
    return address


def warn(conf: Any, log: Any, *, inherited: bool) -> None:
    """Log what the settings say of listeners and will not come true, one line each.

    inherited: the listeners were opened by somebody else.
    """
    if inherited:
        return
    for text in conf.bind:
        path = text.removeprefix("unix://")
        if path != text and path[:1] not in {"/", "@"}:
            hint = f"is the relative path {path!r}; write unix:{path} or unix:/{path}"
            log.warning("bind = %r %s", text, hint)
    if conf.settings["reuse_port"].get() and not conf.reuse_port:
        log.warning("reuse_port has no effect: workers cannot each bind the same unix socket")
    limit = somaxconn()
    if limit is not None and conf.backlog > limit:
        asked_for = conf.settings["backlog"].source != DEFAULT
        log.log(
            logging.WARNING if asked_for else logging.DEBUG,
            "backlog = %d is more than the kernel grants, net.core.somaxconn = %d. To raise that:"
            " sysctl -w net.core.somaxconn=%d",
            *(conf.backlog, limit, conf.backlog),
        )


def somaxconn() -> int | None:
    """The kernel's own limit for `backlog`; None where it cannot be read."""
    try:
        with open(SOMAXCONN, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _is_abstract(path: str | bytes) -> bool:
    return path[:1] in ("", b"", "\0", b"\0")


def _identity(path: str | bytes) -> tuple[int, int] | None:
    if _is_abstract(path):
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _make_room(path: str | bytes) -> None:
    """Remove the file that a server has left behind.

    Raises OSError when one is running, ValueError when the file is no socket.
    """
    if _is_abstract(path):
        return
    try:
        status = os.stat(path)
    except OSError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ValueError(f"{path!r} is not a socket")
    if _is_listened_to(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    os.unlink(path)


def _is_listened_to(path: str | bytes) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except OSError as error:
            return error.errno in (errno.EAGAIN, errno.EPROTOTYPE)  # its queue is full; datagrams
    return True


def somebody_waits(listener: int) -> bool:
    """Whether there is a connection to accept."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))
