"""accept: a client's descriptor, by every family, and when there is nobody."""

import os
import socket

import pytest


def listening(family, address):
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen()
    listener.setblocking(False)
    return listener


@pytest.fixture(params=["inet", "inet6", "unix"])
def listener(request, tmp_path):
    if request.param == "unix":
        made = listening(socket.AF_UNIX, str(tmp_path / "s"))
    elif request.param == "inet6":
        try:
            made = listening(socket.AF_INET6, ("::1", 0))
        except OSError as exc:
            pytest.skip(f"no IPv6 here: {exc}")
    else:
        made = listening(socket.AF_INET, ("127.0.0.1", 0))
    with made:
        yield made


def test_a_descriptor_in_non_blocking_mode(io, listener):
    with socket.socket(listener.family) as client:
        client.connect(listener.getsockname())
        with socket.socket(fileno=io.accept(listener.fileno())) as taken:
            assert taken.family == listener.family
            assert not os.get_blocking(taken.fileno())
            assert not taken.get_inheritable()
            client.sendall(b"x")
            taken.settimeout(5)
            assert taken.recv(1) == b"x"


def test_nobody_waits(io, listener):
    assert io.accept(listener.fileno()) == -1


def test_default_timeout_of_the_application_is_not_heeded(io, listener):
    socket.setdefaulttimeout(0.01)
    try:
        assert io.accept(listener.fileno()) == -1
    finally:
        socket.setdefaulttimeout(None)


def test_a_client_that_has_gone(io, listener):
    client = socket.socket(listener.family)
    client.connect(listener.getsockname())
    if listener.family != socket.AF_UNIX:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    taken = io.accept(listener.fileno())
    if taken >= 0:
        os.close(taken)


def test_errors_are_raised(io):
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(OSError, match="Invalid argument"):
        io.accept(ours.fileno())
