"""Listeners: opened, taken over, printed, closed; files of unix sockets come and go rightly."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from types import SimpleNamespace

import pytest

from cyserve import sock
from cyserve.config import Config

DIFFERS = ("unix-in-use", "unix-inherited", "defer-accept")  # from gunicorn, as shown here

LOG = logging.getLogger("test.sock")


def settings(*address, **others):
    values = {
        "address": list(address),
        "backlog": 64,
        "reuse_port": False,
        "umask": 0,
        "uid": os.geteuid(),
        "gid": os.getegid(),
        "is_ssl": False,
        "tcp_defer_accept": 1,
    }
    return SimpleNamespace(**{**values, **others})


@pytest.fixture
def listen(request):
    """Opens listeners that are closed at the end."""
    opened = []

    def create(*address, fds=None, **others):
        listeners = sock.create_sockets(settings(*address, **others), LOG, fds)
        opened.extend(listeners)
        return listeners

    yield create
    sock.close_sockets(opened)


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    """Short relative paths: unix socket addresses are limited to some 100 bytes."""
    monkeypatch.chdir(tmp_path)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def test_tcp(listen):
    (listener,) = listen(("127.0.0.1", 0))
    host, port = listener.getsockname()
    assert str(listener) == f"http://{host}:{port}"
    assert (listener.family, listener.type) == (socket.AF_INET, socket.SOCK_STREAM)
    assert listener.fileno() == listener.sock.fileno()
    assert listener.cfg_addr == ("127.0.0.1", 0)
    assert not listener.sock.getblocking()
    assert not os.get_inheritable(listener.fileno())
    assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    socket.create_connection((host, port)).close()


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_tcp6(listen):
    (listener,) = listen(("::1", 0))
    assert str(listener) == f"http://[::1]:{listener.getsockname()[1]}"
    assert listener.family == socket.AF_INET6


def test_tls_is_printed_as_https(listen):
    (listener,) = listen(("127.0.0.1", 0), is_ssl=True)
    assert str(listener).startswith("https://127.0.0.1:")


def test_several_in_order(listen, in_tmp):
    listeners = listen(("127.0.0.1", 0), "a.sock", ("127.0.0.1", 0))
    assert [type(listener).__name__ for listener in listeners] == [
        "TCPSocket",
        "UnixSocket",
        "TCPSocket",
    ]


def test_unix(listen, in_tmp):
    (listener,) = listen("a.sock")
    assert str(listener) == "unix:a.sock"
    assert stat.S_IMODE(os.stat("a.sock").st_mode) == 0o777
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("a.sock")


def test_the_umask_is_for_the_socket_only(listen, in_tmp):
    before = os.umask(0o22)
    try:
        listen("a.sock", umask=0o117)
        assert stat.S_IMODE(os.stat("a.sock").st_mode) == 0o660
        assert os.umask(0o22) == 0o22
    finally:
        os.umask(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_file_belongs_to_the_user_of_the_workers(listen, in_tmp):
    listen("a.sock", uid=65534, gid=65534)
    status = os.stat("a.sock")
    assert (status.st_uid, status.st_gid) == (65534, 65534)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_left_over_socket_is_replaced(kind, listen, in_tmp):
    with socket.socket(socket.AF_UNIX, kind) as old:
        old.bind("a.sock")
        if kind == socket.SOCK_STREAM:
            old.listen()
    listen("a.sock")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("a.sock")


@pytest.mark.parametrize("queue", ["empty", "full", "of datagrams"])
def test_a_socket_that_is_listened_to_is_in_use(queue, in_tmp, monkeypatch, caplog):
    monkeypatch.setattr(sock, "BIND_PAUSE", 0.001)
    clients = []
    kind = socket.SOCK_DGRAM if queue == "of datagrams" else socket.SOCK_STREAM
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind("a.sock")
        before = os.stat("a.sock").st_ino
        if kind == socket.SOCK_STREAM:
            other.listen(0)
        while queue == "full":
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].setblocking(False)
            if clients[-1].connect_ex("a.sock") == errno.EAGAIN:
                break
        with pytest.raises(SystemExit):
            sock.create_sockets(settings("a.sock"), LOG)
        assert caplog.text.count("Connection in use: a.sock") == 5
        assert os.stat("a.sock").st_ino == before
    for client in clients:
        client.close()


def test_another_file_in_the_way_is_kept(in_tmp):
    with open("a.sock", "w") as file:
        file.write("precious")
    with pytest.raises(ValueError, match="'a.sock' is not a socket"):
        sock.create_sockets(settings("a.sock"), LOG)
    with open("a.sock") as file:
        assert file.read() == "precious"


@pytest.mark.skipif(not os.path.exists("/proc"), reason="abstract sockets are Linux's")
def test_abstract(listen):
    name = f"\0cyserve-test-{os.getpid()}"
    (listener,) = listen(name)
    assert str(listener) == f"unix:@cyserve-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(name)
    sock.close_sockets([listener])


def test_close_removes_the_file_or_not(in_tmp):
    kept, gone = sock.create_sockets(settings("kept.sock", "gone.sock"), LOG)
    sock.close_sockets([kept], unlink=False)
    sock.close_sockets([gone])
    assert os.listdir() == ["kept.sock"]
    assert (kept.sock, kept.fileno()) == (None, -1)
    kept.close()  # twice does no harm


def test_close_leaves_the_file_of_a_successor(in_tmp):
    (first,) = sock.create_sockets(settings("a.sock"), LOG)
    os.rename("a.sock", "moved")  # an inode number of its own for the second
    (second,) = sock.create_sockets(settings("a.sock"), LOG)
    os.unlink("moved")
    sock.close_sockets([first])
    assert os.listdir() == ["a.sock"]
    sock.close_sockets([second])
    assert os.listdir() == []


def test_inherited_descriptors_keep_their_number_and_win(listen, in_tmp):
    tcp, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    unix.bind("lent.sock")  # bound, but not listening yet
    fds = [tcp.detach(), unix.detach()]
    first, second = listen("ignored.sock", fds=fds)
    assert [first.fileno(), second.fileno()] == fds
    assert str(first) == f"http://127.0.0.1:{first.getsockname()[1]}"
    assert str(second) == "unix:lent.sock"
    assert not os.path.exists("ignored.sock")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("lent.sock")


def test_a_descriptor_in_the_settings(listen):
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    fd = server.detach()
    (listener,) = listen(("127.0.0.1", 0), fd)
    assert (listener.fileno(), listener.getsockname()[1]) == (fd, port)


def test_the_file_of_a_descriptor_in_the_settings_stays(in_tmp):
    """Whoever opened it may lend it again, also by way of an upgrade. One of our own goes."""
    for lent, left in (((), ["a.sock"]), (("fd",), ["a.sock"]), (("own",), [])):
        unix = socket.socket(socket.AF_UNIX)
        unix.bind("a.sock")
        fd = unix.detach()
        address = () if lent == ("own",) else (fd,)
        sock.close_sockets(sock.create_sockets(settings(*address), LOG, [fd] if lent else None))
        assert os.listdir() == left
        if left:
            os.unlink("a.sock")


def test_a_descriptor_lent_and_in_the_settings_is_one(listen):
    fd = socket.create_server(("127.0.0.1", 0)).detach()
    assert len(listen(fd, fds=[fd])) == 1


def test_a_descriptor_that_is_no_socket(in_tmp):
    with open("file", "w") as file, pytest.raises(OSError, match="not a socket|non-socket"):
        sock.create_sockets(settings(), LOG, [file.fileno()])


def test_a_busy_address_is_tried_five_times_and_named(caplog, monkeypatch):
    monkeypatch.setattr(sock, "BIND_PAUSE", 0.001)
    caplog.set_level(logging.DEBUG, "test.sock")
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = busy.getsockname()
        with pytest.raises(SystemExit) as info:
            sock.create_sockets(settings(("127.0.0.1", 0), address), LOG)
    assert info.value.code == 1
    lines = [record.getMessage() for record in caplog.records]
    assert lines.count(f"Connection in use: {address}") == 5
    assert lines.count("Retrying in 1 second.") == 4
    assert lines[-1] == f"Can't connect to {address}"


def test_a_busy_address_may_become_free(listen, monkeypatch):
    busy = socket.create_server(("127.0.0.1", 0))
    address = busy.getsockname()
    monkeypatch.setattr(sock.time, "sleep", lambda seconds: busy.close())
    (listener,) = listen(address)
    assert listener.getsockname() == address


def test_an_address_that_is_not_ours(caplog):
    with pytest.raises(OSError, match="assign") as info:
        sock.open_listener(("192.0.2.1", 0), settings(), LOG)
    assert info.value.errno == errno.EADDRNOTAVAIL
    sock.report(info.value, ("192.0.2.1", 0), LOG)
    assert "Invalid address: ('192.0.2.1', 0)" in caplog.text


def test_reuse_port_lets_two_have_one_address(listen):
    (first,) = listen(("127.0.0.1", 0), reuse_port=True)
    (second,) = listen(first.getsockname(), reuse_port=True)
    assert first.getsockname() == second.getsockname()


@pytest.mark.skipif(not os.path.exists("/proc"), reason="only Linux tells")
@pytest.mark.skipif(not hasattr(socket, "TCP_DEFER_ACCEPT"), reason="Linux only")
@pytest.mark.parametrize("seconds", [0, 1, 3, 7])
def test_a_connection_is_handed_over_with_its_first_bytes(listen, seconds):
    (listener,) = listen(("127.0.0.1", 0), tcp_defer_accept=seconds)
    assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) == seconds
    with socket.create_connection(listener.getsockname(), timeout=10) as client:
        if seconds == 7:  # long enough for whatever stops us here
            with pytest.raises(BlockingIOError):
                listener.accept()
        if seconds:
            client.sendall(b"GET")
        taken, _ = listener.accept()
        taken.close()


def test_the_listen_queue_is_counted(listen):
    (listener,) = listen(("127.0.0.1", 0))
    assert listener.get_backlog() == 0
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(b"G")
        assert listener.get_backlog() == 1
        listener.accept()[0].close()
    assert listener.get_backlog() == 0


def test_an_unknown_kind_of_address():
    with pytest.raises(TypeError, match="Unable to create socket from: None"):
        sock.open_listener(None, settings(), LOG)


# -- doubts --


@pytest.mark.parametrize(
    ("values", "limit", "level", "text"),
    [
        ({"backlog": 4097}, "4096\n", logging.WARNING, "backlog = 4097 is more than the kernel"),
        ({"backlog": 4096}, "4096\n", None, ""),
        ({}, "4096\n", None, ""),
        ({}, "128\n", logging.DEBUG, "net.core.somaxconn = 128"),  # nobody asked for so many
        ({"backlog": 9}, "", None, ""),
        ({"backlog": 9}, None, None, ""),
        ({"bind": "unix://run/a"}, "4096", logging.WARNING, "is the relative path 'run/a'; write"),
        ({"bind": "unix:///run/a"}, "4096", None, ""),
        ({"bind": ["unix://@a", "unix:a"]}, "4096", None, ""),
        ({"bind": ["h:1", "unix:a"], "reuse_port": True}, "", logging.WARNING, "has no effect"),
        ({"reuse_port": True}, "", None, ""),
    ],
)
def test_what_will_not_come_true_is_told(values, limit, level, text, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sock, "SOMAXCONN", str(tmp_path / "limit"))
    if limit is not None:
        (tmp_path / "limit").write_text(limit)
    caplog.set_level(logging.DEBUG, "test.sock")
    cfg = Config()
    for name, value in values.items():
        cfg.set(name, value)
    sock.warn(cfg, LOG, inherited=False)
    assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
    assert text in caplog.text
    caplog.clear()
    sock.warn(cfg, LOG, inherited=True)
    assert not caplog.records
