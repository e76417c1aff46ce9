"""The length of the listen queue, which a worker that stops serves to its end."""

import os
import socket
import struct
import sys
from types import SimpleNamespace

import pytest

from cyserve import sock
from cyserve.sock import TCPSocket, UnixSocket

DIFFERS = "statsd-unix-backlog"  # from gunicorn, as shown here


@pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_INFO of Linux")
def test_backlog_counts_connections_that_wait():
    conf = SimpleNamespace(backlog=16, reuse_port=False, is_ssl=False, tcp_defer_accept=0)
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


@pytest.mark.skipif(sys.platform != "linux", reason="needs sock_diag of Linux")
@pytest.mark.parametrize("address", ["a.sock", "\0cyserve-test-backlog-{}"])
def test_backlog_of_unix_sockets(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ids = {"uid": os.geteuid(), "gid": os.getegid(), "umask": 0, "address": []}
    options = {"reuse_port": False, "is_ssl": False, "tcp_defer_accept": 0}
    conf = SimpleNamespace(backlog=16, **options, **ids)
    listener = UnixSocket(address.format(os.getpid()), conf, None)
    tcp = TCPSocket(("127.0.0.1", 0), conf, None)
    clients = []
    try:
        for waiting in range(3):
            assert listener.get_backlog() == waiting
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].connect(listener.getsockname())
        listener.accept()[0].close()
        assert listener.get_backlog() == 2
        clients.append(socket.create_connection(tcp.getsockname()))
        assert sock.get_backlog([listener, tcp]) == 3
        assert sock.get_backlog([]) == -1
    finally:
        for client in clients:
            client.close()
        listener.close()
        tcp.close()
    assert listener.get_backlog() == -1
    assert sock.get_backlog([listener, tcp]) == -1


def test_a_kernel_that_does_not_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(sock, "_unix_backlog", lambda inode: struct.unpack("=I", b""))
    monkeypatch.chdir(tmp_path)
    ids = {"uid": os.geteuid(), "gid": os.getegid(), "umask": 0, "address": []}
    listener = UnixSocket("a.sock", SimpleNamespace(backlog=1, reuse_port=False, **ids), None)
    assert listener.get_backlog() == -1
    listener.close()
