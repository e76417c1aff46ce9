"""systemd: listening sockets handed over at start, and what the service manager is told.

Both are plain environment variables (sd_listen_fds(3), sd_notify(3)); no library is needed. They
name a process (LISTEN_PID, WATCHDOG_PID), so children do not take them for theirs; NOTIFY_SOCKET
does not, and stays for hooks and applications that have something to say themselves, which the
manager hears only with NotifyAccess=all. Nothing here opens or closes the sockets handed over.
"""

from __future__ import annotations

import os
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The first descriptor that systemd hands over.
SD_LISTEN_FDS_START = 3

_PATIENCE = 1.0  # seconds that a manager whose queue is full may hold up the master
_EXTEND_EVERY = 5.0  # seconds
_EXTENSION = 30  # seconds from each request for more time on


def listen_fds(unset_environment: bool = True) -> int:
    """Number of sockets handed to this very process, from descriptor 3 on; 0 if none.

    The variables are removed unless `unset_environment` is false, so that our own children do
    not take them for theirs.
    """
    try:
        count = int(os.environ.get("LISTEN_FDS", "0"))
        owner = int(os.environ.get("LISTEN_PID", "0"))
    except ValueError:
        return 0
    if owner != os.getpid():
        return 0
    if unset_environment:
        for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            os.environ.pop(name, None)
    return max(0, count)


def sd_notify(state: str, logger: Any, unset_environment: bool = False) -> None:
    """Send `state` (lines of NAME=value) to the service manager, if there is one.

    Does nothing without NOTIFY_SOCKET. A manager that cannot be reached is logged at debug
    level and otherwise ignored: the service itself is well.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(_PATIENCE)
            sock.connect(address)
            sock.sendall(state.encode("utf-8"))
    except OSError:
        logger.debug("Exception while invoking sd_notify()", exc_info=True)
    finally:
        if unset_environment:
            os.environ.pop("NOTIFY_SOCKET", None)


class ServiceManager:
    """What the service manager knows of this server; all methods do nothing without one.

    log: the error logger. Made once per master, in the process that the manager started or, after
    an upgrade, in the one that takes its place.

    The service is ready when a worker is, so that a unit whose application does not load fails to
    start. As long as it starts, reloads or stops, more time is asked for: applications may load for
    minutes, and it is `boot_timeout` and `graceful_timeout` that limit these.
    """

    def __init__(self, log: Any) -> None:
        self.log = log
        self.present = bool(os.environ.get("NOTIFY_SOCKET"))
        self.ready = False
        self.reloading = False
        self.note = ""
        self._status = ""
        self._extend_at = 0.0
        self._ping_at = 0.0
        #: Seconds between two signs of life; 0 if none are wanted.
        self.ping_every = _watchdog_interval() if self.present else 0.0

    @property
    def waits(self) -> bool:
        """Whether it waits to hear that the service is ready."""
        return self.present and not self.ready

    def send(self, *lines: str) -> None:
        """Send lines of NAME=value."""
        if self.present:
            sd_notify("\n".join(lines), self.log)

    def update(self, ready: int, wanted: int, *, reloading: bool, failing: bool) -> None:
        """Tell what has changed; called each time that the master's loop goes round.

        ready, wanted: numbers of workers. reloading: whether one generation is being replaced.
        failing: whether workers keep dying at birth; then the manager's patience may end.
        """
        if not self.present:
            return
        lines = []
        if (self.reloading and not reloading) or (not self.ready and (ready or not wanted)):
            self.ready, self.reloading = True, False
            lines.append("READY=1")
        status = f"{ready} of {wanted} workers are ready" if ready < wanted else f"{ready} workers"
        if reloading:
            status = f"Reloading, {status}"
        elif self.note:
            status = f"{status}; {self.note}"
        if lines or status != self._status:
            self._status = status
            lines.append(f"STATUS={status}")
        if lines:
            self.send(*lines)
        self.show_life(busy=(not self.ready and not failing) or reloading)

    def show_life(self, busy: bool) -> None:
        """Satisfy the watchdog; if `busy` with what the manager limits, ask for more time."""
        now = time.monotonic()
        if self.ping_every and now >= self._ping_at:
            self._ping_at = now + self.ping_every
            self.send("WATCHDOG=1")
        if busy and now >= self._extend_at:
            self._extend_at = now + _EXTEND_EVERY
            self.send(f"EXTEND_TIMEOUT_USEC={_EXTENSION * 1_000_000}")

    def reload(self) -> None:
        """The settings are about to be read anew."""
        self.note = ""
        if self.ready:
            self.reloading = True
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self.send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stop(self, successor: int = 0) -> None:
        """This master stops. successor: pid of the one that goes on with the service, if any."""
        if successor:
            self.send(f"MAINPID={successor}")
            self.present = False  # what we do from now on concerns it no more
        else:
            self.send("STOPPING=1", "STATUS=Stopping")

    def take_over(self) -> None:
        """This process is the service's main one from now on."""
        self.send(f"MAINPID={os.getpid()}")


def _watchdog_interval() -> float:
    """Half the time, in seconds, after which the manager misses a sign of life from us; 0: none."""
    try:
        owner = int(os.environ.get("WATCHDOG_PID") or os.getpid())
        microseconds = int(os.environ.get("WATCHDOG_USEC") or 0)
    except ValueError:
        return 0.0
    return max(0, microseconds) / 2e6 if owner == os.getpid() else 0.0
