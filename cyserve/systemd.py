"""systemd: listening sockets handed over at start, and a word back when we are ready.

Both are plain environment variables (sd_listen_fds(3), sd_notify(3)); no library is needed.
Nothing here opens or closes the sockets that were handed over.
"""

from __future__ import annotations

import os
import socket
from typing import Any

#: The first descriptor that systemd hands over.
SD_LISTEN_FDS_START = 3


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
            sock.connect(address)
            sock.sendall(state.encode("utf-8"))
    except OSError:
        logger.debug("Exception while invoking sd_notify()", exc_info=True)
    finally:
        if unset_environment:
            os.environ.pop("NOTIFY_SOCKET", None)
