"""Pieces of a streamed body that wait a moment for the next ones, to travel with them.

PEP 3333 lets a server do that if what waits gets on its way also while the application is busy with
its next piece. So it is not the application's thread that has to see to it: another one of the
worker looks every `MOMENT` and sends what it finds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from cyserve import _accel
from cyserve.http.transport import PlainTransport

MOMENT = 0.001  # seconds that a piece may wait; one that comes later than that waits for nobody
PATIENCE = 16  # looks in vain before the other thread sleeps until it is called

_PATIENCE = PATIENCE  # C's in a compiled build


class Postponed:
    """The transports of one worker whose applications are busy with the next piece.

    size: bytes per transport that may wait; call: wakes the thread that is to call `send` every
    `MOMENT` from then on, until that returns False.
    """

    def __init__(self, size: int, call: Callable[[], None]) -> None:
        self.size = size
        self.call = call
        self.transports: set[PlainTransport] = set()
        self.lock = _accel.runtime.Mutex()
        self.patience = 0  # looks left; 0: nobody looks

    def lend(self, transport: PlainTransport) -> bool:
        """Let wait what is queued, if it is not too much; False if it had better be sent.

        Nobody may touch the transport before `take_back`.
        """
        queued = len(transport.output)
        if queued == 0 or queued >= self.size or transport.waiting:
            return False
        self.transports.add(transport)
        if not self.patience:
            self.patience = _PATIENCE
            self.call()
        return True

    def take_back(self, transport: PlainTransport) -> None:
        """It is its thread's again. May be called for one that was not lent."""
        if transport in self.transports:
            with self.lock:
                self.transports.discard(transport)

    def send(self) -> bool:
        """Send what waits, as far as it can be sent at once; True: call again in a `MOMENT`."""
        if not self.patience:
            return False
        if self.transports:
            self.patience = _PATIENCE
            with self.lock:
                for transport in list(self.transports):
                    with contextlib.suppress(OSError):  # its thread comes upon it, too
                        transport.flush()
                    self.transports.discard(transport)
            return True
        self.patience -= 1
        if self.transports:  # lent in between, by a thread that saw no need to call
            self.patience = _PATIENCE
        return self.patience > 0
