"""The length of the listen queue, which a worker that stops serves to its end."""

import socket
import sys
from types import SimpleNamespace

import pytest

from cyserve.sock import TCPSocket


@pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_INFO of Linux")
def test_backlog_counts_connections_that_wait():
    conf = SimpleNamespace(backlog=16, reuse_port=False, is_ssl=False)
    listener = TCPSocket(("127.0.0.1", 0), conf, None)
    clients = []
    try:
        for waiting in range(3):
            assert listener.get_backlog() == waiting
            clients.append(socket.create_connection(listener.getsockname()))
        listener.accept()[0].close()
        assert listener.get_backlog() == 2
    finally:
        for client in clients:
            client.close()
        listener.close()
    assert listener.get_backlog() == -1
