"""accept and close: a client's descriptor and address, by every family; when there is nobody."""

import os
import socket
import sys
from importlib import import_module

import pytest

from cyserve import _accel

COMPILED = _accel.implementation() == "compiled"


@pytest.fixture(params=["pure", "compiled"] if COMPILED else ["pure"])
def gate(request):
    name = "cyserve._runtime" if request.param == "compiled" else "cyserve._pyruntime"
    return import_module(name).Gate()


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


def test_a_descriptor_in_non_blocking_mode(gate, listener):
    with socket.socket(listener.family) as client:
        client.connect(listener.getsockname())
        fd, address = gate.accept(listener.fileno()), gate.address
        with socket.socket(fileno=fd) as taken:
            assert address == taken.getpeername()
            assert taken.family == listener.family
            assert not os.get_blocking(taken.fileno())
            assert not taken.get_inheritable()
            client.sendall(b"x")
            taken.settimeout(5)
            assert taken.recv(1) == b"x"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.10.99", "127.100.255.109"])
def test_each_digit_of_an_address(gate, host):
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as listener, socket.socket() as client:
        try:
            client.bind((host, 0))
        except OSError as exc:
            pytest.skip(f"only one address of its own here: {exc}")
        client.connect(listener.getsockname())
        fd, address = gate.accept(listener.fileno()), gate.address
        gate.close(fd)
        assert address == client.getsockname()
        assert [type(part) for part in address] == [str, int]


@pytest.mark.parametrize("name", ["named", "é" * 10, "x" * 40])
def test_a_unix_client_with_a_name(gate, tmp_path, name):
    path = f"/tmp/{os.getpid()}-{name}"
    with listening(socket.AF_UNIX, str(tmp_path / "s")) as listener:
        with socket.socket(socket.AF_UNIX) as client:
            client.bind(path)
            try:
                client.connect(listener.getsockname())
                fd, address = gate.accept(listener.fileno()), gate.address
            finally:
                os.unlink(path)
            gate.close(fd)
            assert address == path


def test_a_unix_path_that_fills_the_address(gate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with listening(socket.AF_UNIX, "s") as listener, socket.socket(socket.AF_UNIX) as client:
        client.bind("x" * 107)
        client.connect("s")
        fd, address = gate.accept(listener.fileno()), gate.address
        gate.close(fd)
        assert address == "x" * 107


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_a_unix_client_with_an_abstract_name(gate, tmp_path):
    name = f"\0cyserve {os.getpid()} \xff\0z".encode("latin-1")
    with listening(socket.AF_UNIX, str(tmp_path / "s")) as listener:
        with socket.socket(socket.AF_UNIX) as client:
            client.bind(name)
            client.connect(listener.getsockname())
            fd, address = gate.accept(listener.fileno()), gate.address
            gate.close(fd)
            assert address == name


def test_close(gate):
    ours, theirs = socket.socketpair()
    with theirs:
        fd = ours.detach()
        gate.close(fd)
        assert theirs.recv(1) == b""
        with pytest.raises(OSError, match="Bad file descriptor"):
            gate.close(fd)


def test_nobody_waits(gate, listener):
    assert gate.accept(listener.fileno()) == -1


def test_default_timeout_of_the_application_is_not_heeded(gate, listener):
    socket.setdefaulttimeout(0.01)
    try:
        assert gate.accept(listener.fileno()) == -1
    finally:
        socket.setdefaulttimeout(None)


def test_clients_of_several_addresses(gate):
    with listening(socket.AF_INET, ("0.0.0.0", 0)) as listener:
        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.1"):
            with socket.socket() as client:
                try:
                    client.bind((host, 0))
                except OSError as exc:
                    pytest.skip(f"only one address of its own here: {exc}")
                client.connect(("127.0.0.1", listener.getsockname()[1]))
                gate.close(gate.accept(listener.fileno()))
                assert gate.address == client.getsockname()
        assert gate.accept(listener.fileno()) == -1
        assert gate.address is None


def test_a_client_that_has_gone(gate, listener):
    client = socket.socket(listener.family)
    client.connect(listener.getsockname())
    if listener.family != socket.AF_UNIX:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    taken = gate.accept(listener.fileno())
    if taken != -1:
        os.close(taken)


def test_errors_are_raised(gate):
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(OSError, match="Invalid argument"):
        gate.accept(ours.fileno())
