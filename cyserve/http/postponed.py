"""Pieces of a streamed body that wait a moment for the next ones, to travel with them.

PEP 3333 lets a server do that if what waits gets on its way also while the application is busy with
its next piece. So it is not the application's thread that has to see to it: another one of the
worker looks every `MOMENT` and sends what it finds. (It needs the GIL for that, so it can be late.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from cyserve.http.transport import PlainTransport, UnusedSocket

MOMENT = 0.001  # seconds that a piece may wait; one that comes later than that waits for nobody
PATIENCE = 16  # looks in vain before the other thread sleeps until it is called

_PATIENCE = PATIENCE  # C's in a compiled build


class Postponed:
    """The transports of one worker whose applications are busy with the next piece.

    size: bytes per transport that may wait; call: wakes the thread that sends, if it sleeps. That
    one then says `called`, and calls `send` every `MOMENT` until it returns False.
    """

    def __init__(self, size: int, call: Callable[[], None]) -> None:
        self.size = size
        self.call = call
        self.transports: set[PlainTransport] = set()
        self.lock = threading.Lock()  # held by whoever sends or takes back
        self.patience = 0  # looks left; 0: nobody looks

    def lend(self, transport: PlainTransport) -> bool:
        """Let wait what is queued; False if it had better be sent.

        Nobody may touch the transport before `take_back` or `settle`.
        """
        queued = len(transport.output)
        if queued == 0 or queued >= self.size or transport.waiting:
            return False
        if type(transport.sock) is not UnusedSocket:  # the application may use it itself
            return False
        self.transports.add(transport)
        if not self.patience:
            self.call()
        return True

    def take_back(self, transport: PlainTransport) -> None:
        """It is its thread's again. May be called for one that was not lent."""
        if transport in self.transports:
            with self.lock:
                self.transports.discard(transport)

    def settle(self, transport: PlainTransport) -> None:
        """Take it back, and send what waits before anything else is done."""
        if transport in self.transports:
            with self.lock:
                self._send(transport)
                self.transports.discard(transport)

    def send(self) -> bool:
        """Send what waits, as far as it can be sent at once; True: call again in a `MOMENT`."""
        if self.transports:
            self.patience = _PATIENCE
            with self.lock:
                for transport in list(self.transports):
                    if self._send(transport):
                        self.transports.discard(transport)
        elif self.patience:
            self.patience -= 1
            if not self.patience and self.transports:  # lent in between, and nobody was called
                self.patience = _PATIENCE
        return self.patience > 0

    def called(self) -> None:
        """The call has come: a thread has lent something, and may have taken it back already."""
        self.patience = _PATIENCE

    def _send(self, transport: PlainTransport) -> bool:
        """Whether nothing is left to be sent."""
        try:
            return transport.flush() == 0
        except OSError:
            # Its own thread comes upon it, too. Till then an error is the application's own.
            transport.broken = False
            return True

    def close(self) -> None:
        """From now on each piece is sent by its own thread; what waits is sent."""
        self.size = 0
        self.send()
