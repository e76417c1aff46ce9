"""The smallest worker, for tests of the master alone: no HTTP, one answer to whatever is sent.

What it is sent decides what happens: b"sleep" blocks it for ever, b"spin" keeps it busy in Python.
"""

import os
import select
import time

from cyserve.workers.base import Worker


class TinyWorker(Worker):
    """Answers with its pid and closes."""

    def run(self):
        listeners = {listener.fileno(): listener for listener in self.sockets}
        while self.alive and self.is_parent_alive():
            self.notify()
            ready = select.select(self.wait_fds, [], [], self.timeout or 1.0)[0]
            for source in ready:
                if source == self.PIPE[0]:
                    os.read(source, 4096)
                else:
                    self.serve(listeners[source.fileno()])
        self.log.info("TinyWorker is done (alive: %s)", self.alive)

    def serve(self, listener):
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        with connection:
            line = connection.recv(4096)
            self.slot.begin(line)
            if line == b"sleep":
                time.sleep(1000)
            while line == b"spin":
                pass
            connection.sendall(b"%d" % os.getpid())
            self.slot.end()
