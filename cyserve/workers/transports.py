"""Which transport the connections of a worker have.

Decided once, when it begins to serve: loops and greenlets make theirs alike, and only a worker
that serves TLS loads it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from cyserve.certificates import Certificates
from cyserve.http.transport import PlainTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def transport_maker(worker: Any, waiter: Any) -> Callable[[socket.socket], PlainTransport]:
    """A function that makes the transport of a client's socket: TLS if `worker` has certificates.

    waiter: a `Waiter`, or None if each transport is given one of its own. The function raises
    OSError if the client has gone.
    """
    certificates: Certificates | None = worker.certificates
    if certificates is None:
        return partial(PlainTransport, waiter=waiter)
    from cyserve.http.tls import TLSTransport  # noqa: PLC0415 - it loads ssl

    ragged = bool(worker.cfg.suppress_ragged_eofs)
    return lambda sock: TLSTransport(sock, waiter, certificates.context, ragged=ragged)
