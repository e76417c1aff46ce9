"""The pollers: both twins over epoll, and the reference over what `selectors` offers."""

import os
import select
import signal
import socket
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

import pytest

from cyserve import _accel

READ, NEWS, WRITE = 1, 2, 4
LONG = 20.0  # seconds that nothing may take

COMPILED = ["compiled"] if _accel.implementation() == "compiled" else []
EPOLL = [*COMPILED, "pure"] if sys.platform.startswith("linux") else []


@pytest.fixture
def make(request, monkeypatch):
    """Makes pollers of a kind: compiled, pure, or pure over selectors."""
    module = import_module("cyserve._poll" if request.param == "compiled" else "cyserve._pypoll")
    if request.param == "selectors":
        monkeypatch.delattr(select, "epoll", raising=False)
    pollers = []

    def make():
        pollers.append(module.Poller())
        return pollers[-1]

    yield make
    for poller in pollers:
        poller.close()


@pytest.fixture
def poller(make):
    return make()


any_poller = pytest.mark.parametrize("make", [*EPOLL, "selectors"], indirect=True)
epoll = pytest.mark.parametrize("make", EPOLL, indirect=True)


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


class Calling:
    """A call in a thread of its own."""

    def __init__(self, call, *args):
        self.began = threading.Event()
        self.result = None
        self.thread = threading.Thread(target=self._run, args=(call, args), daemon=True)
        self.thread.start()
        assert self.began.wait(LONG)

    def _run(self, call, args):
        self.began.set()
        self.result = call(*args)

    def returns(self, seconds=LONG):
        """What it returns; fails if it does not within that time."""
        self.thread.join(seconds)
        assert not self.thread.is_alive()
        return self.result


@any_poller
def test_reading_and_writing(poller, pair):
    ours, theirs = pair
    fd = ours.fileno()
    poller.register(fd, READ)
    assert poller.take() == []
    theirs.send(b"x")
    assert poller.take() == [fd]
    assert poller.take() == [fd]  # as long as it is ready
    poller.modify(fd, WRITE)
    assert poller.wait(LONG) == [fd]
    ours.recv(1)
    poller.modify(fd, READ)
    assert poller.take() == []
    theirs.close()
    assert poller.wait(LONG) == [fd]  # the end is something to read
    poller.unregister(fd)
    assert poller.take() == []


@epoll
def test_news_are_told_once(poller, pair):
    ours, theirs = pair
    fd = ours.fileno()
    assert poller.edge
    poller.register(fd, NEWS)
    theirs.send(b"x")
    assert poller.take() == [fd]
    assert poller.take() == []
    theirs.send(b"y")
    assert poller.wait(LONG) == [fd]
    poller.modify(fd, NEWS)  # what has not been read is news once more
    assert poller.take() == [fd]
    poller.unregister(fd)
    poller.register(fd, NEWS)
    assert poller.take() == [fd]


@epoll
def test_the_end_of_the_news_is_listed_twice(poller, pair):
    ours, theirs = pair
    others, silent = socket.socketpair()
    with others, silent:
        poller.register(ours.fileno(), NEWS)
        poller.register(others.fileno(), NEWS)
        theirs.send(b"x")
        silent.send(b"x")
        theirs.shutdown(socket.SHUT_WR)
        found = poller.take()
        assert sorted(found) == sorted([ours.fileno(), ours.fileno(), others.fileno()])
        assert found[-1] == ours.fileno()
        assert poller.take() == []
        silent.close()  # its rest has not been read, it is a reset
        assert poller.wait(LONG) == [others.fileno()] * 2


@pytest.mark.parametrize("make", ["selectors"], indirect=True)
def test_news_without_epoll_are_what_can_be_read(poller, pair):
    ours, theirs = pair
    assert not poller.edge
    poller.register(ours.fileno(), NEWS)
    theirs.send(b"x")
    assert poller.take() == poller.take() == [ours.fileno()]


@any_poller
def test_waiting_ends(poller, pair):
    ours, theirs = pair
    poller.register(ours.fileno(), READ)
    start = time.monotonic()
    assert poller.wait(0.01) == []
    assert time.monotonic() - start >= 0.01
    waiting = Calling(poller.wait, float("inf"))
    theirs.send(b"x")
    assert waiting.returns() == [ours.fileno()]


@any_poller
def test_a_signal_runs_its_handler_while_waiting(poller):
    class Arrived(Exception):
        pass

    def arrive(sig, frame):
        raise Arrived

    def wait():
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        poller.wait(LONG)

    before = signal.signal(signal.SIGALRM, arrive)
    try:
        with pytest.raises(Arrived):
            wait()
    finally:
        signal.signal(signal.SIGALRM, before)


@any_poller
def test_many_at_once_come_in_batches(poller):
    with_something = []
    pipes = [os.pipe() for _ in range(100)]
    try:
        for reader, writer in pipes:
            poller.register(reader, READ)
            os.write(writer, b"x")
        while found := poller.take():
            with_something += found
            for fd in found:
                os.read(fd, 1)
        assert sorted(with_something) == sorted(reader for reader, _ in pipes)
    finally:
        for fd in sum(pipes, ()):
            os.close(fd)


@any_poller
def test_errors(poller, pair):
    fd = pair[0].fileno()
    with pytest.raises(FileNotFoundError):
        poller.unregister(fd)
    with pytest.raises(FileNotFoundError):
        poller.modify(fd, READ)
    poller.register(fd, READ)
    with pytest.raises(FileExistsError):
        poller.register(fd, READ)
    reader, writer = os.pipe()
    os.close(writer)
    os.close(reader)
    with pytest.raises(OSError, match="Bad file"):
        poller.register(reader, READ)


@any_poller
def test_listeners_share_their_connections(poller):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        poller.register_listener(fd)
        assert poller.take() == []
        with socket.create_connection(listener.getsockname()):
            assert poller.wait(LONG) == [fd]
            poller.requeue_listener(fd)
            assert poller.wait(LONG) == [fd]
            poller.unregister(fd)
            with pytest.raises(FileNotFoundError):
                poller.requeue_listener(fd)


@epoll
def test_one_connection_wakes_one_of_those_that_wait_and_the_next_the_other(make):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        fd = listener.fileno()
        pollers = [make() for _ in range(2)]
        woken = []
        ready = threading.Semaphore(0)
        over = False

        def serve(number):
            while not over:
                if pollers[number].wait(0.1):
                    try:
                        listener.accept()[0].close()
                    except BlockingIOError:  # none of them slept: then both are told
                        continue
                    woken.append(number)
                    pollers[number].requeue_listener(fd)
                    ready.release()

        for poller in pollers:
            poller.register_listener(fd)
        threads = [threading.Thread(target=serve, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        try:
            end = time.monotonic() + LONG
            while time.monotonic() < end:  # a busy machine may keep one from waiting for a while
                socket.create_connection(listener.getsockname()).close()
                assert ready.acquire(timeout=LONG)
                if len(set(woken)) == 2:
                    break
        finally:
            over = True
            for thread in threads:
                thread.join()
        assert woken.count(0) >= 1 <= woken.count(1)


# -- standing guard --


@any_poller
def test_a_guard_returns_when_nobody_gets_anything_done(poller, pair):
    poller.register(pair[0].fileno(), READ)
    pair[1].send(b"x")
    poller.active = 1
    assert Calling(poller.watch, 0.001).returns() is True
    poller.unregister(pair[0].fileno())
    poller.waiting = 1  # what has been taken counts too
    assert Calling(poller.watch, 0.001).returns() is True


@any_poller
def test_a_guard_stays_while_the_others_get_on(poller, pair):
    poller.register(pair[0].fileno(), READ)
    pair[1].send(b"x")
    poller.active = 1
    nap = longest = 0.1
    while longest >= nap:  # once more, if the machine let nobody get on for so long
        longest, last = 0.0, time.monotonic()
        end = last + 3 * nap
        guard = Calling(poller.watch, nap)
        while last < end:
            poller.progress += 1
            stayed = guard.thread.is_alive()
            now = time.monotonic()
            longest, last = max(longest, now - last), now
            time.sleep(0.001)
        assert guard.returns() is True
    assert stayed


@any_poller
def test_a_guard_returns_when_it_is_called(poller, pair):
    poller.register(pair[0].fileno(), READ)
    pair[1].send(b"x")
    poller.active = 1
    guard = Calling(poller.watch, 0.05)
    poller.called = True
    while guard.thread.is_alive():
        poller.progress += 1
    assert guard.returns() is True


@any_poller
def test_a_guard_without_patience_does_not_nap(poller, pair):
    poller.register(pair[0].fileno(), READ)
    pair[1].send(b"x")
    poller.active = 1
    over = threading.Event()

    def get_on():
        while not over.is_set():
            poller.progress += 1

    others = threading.Thread(target=get_on)
    others.start()
    try:
        assert Calling(poller.watch, 0.0).returns() is True
    finally:
        over.set()
        others.join()


@epoll
def test_a_guard_looks_round_when_nothing_happens_beside_active_threads(poller, pair):
    poller.register(pair[0].fileno(), READ)
    poller.active = 1
    assert Calling(poller.watch, 0.001).returns() is False


@epoll
def test_a_guard_of_idle_threads_sleeps(poller, pair):
    """No look round, no nap: an idle worker costs nothing."""
    poller.register(pair[0].fileno(), READ)
    guard = Calling(poller.watch, 0.001)
    task = Path(f"/proc/self/task/{guard.thread.native_id}/status")

    def status(name):
        return next(line for line in task.read_text().splitlines() if line.startswith(name))

    while "sleeping" not in status("State:"):
        time.sleep(0.001)
    before = status("voluntary_ctxt_switches")
    time.sleep(0.1)
    assert status("voluntary_ctxt_switches") == before
    pair[1].send(b"x")
    assert guard.returns() is True


@any_poller
def test_whoever_waits_does_so_without_the_gil(poller, pair):
    poller.register(pair[0].fileno(), READ)
    waiting = Calling(poller.wait, LONG)
    assert waiting.thread.is_alive()  # or we would not get here before LONG is over
    pair[1].send(b"x")
    waiting.returns()
    poller.active = 1
    at_once = False
    while not at_once:  # once more, if the machine stopped us for so long
        napping = Calling(poller.watch, 0.5)
        at_once = napping.thread.is_alive()
        napping.returns()


if COMPILED:  # the reference cannot tell

    @pytest.mark.parametrize("make", COMPILED, indirect=True)
    def test_long_waits_for_the_gil_are_noticed(poller):
        over = False

        def compute():
            while not over:
                pass

        computing = threading.Thread(target=compute)
        computing.start()
        try:
            while not poller.contended:  # at once, usually; it may not have begun
                poller.pause(0.0001)
        finally:
            over = True
            computing.join()
        while poller.contended:
            poller.pause(0.0001)
        assert poller.coming == 0


@any_poller
def test_closing_twice_is_harmless(poller):
    poller.close()
    poller.close()
    with pytest.raises((OSError, ValueError, RuntimeError)):
        poller.take()


@any_poller
def test_a_time_that_is_over_is_not_waited_for(poller):
    assert poller.wait(-0.5) == []
