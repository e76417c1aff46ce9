"""Clock, mutex, pool and row: as the things of the standard library that they stand for."""

import gc
import signal
import threading
import time
import weakref
from importlib import import_module

import pytest

from cyserve import _accel

COMPILED = _accel.implementation() == "compiled"
LONG = 20


@pytest.fixture(params=["pure", "compiled"] if COMPILED else ["pure"])
def runtime(request):
    return import_module(
        "cyserve._runtime" if request.param == "compiled" else "cyserve._pyruntime"
    )


def test_the_clock_is_pythons(runtime):
    clock = runtime.Clock()
    before, now, after = time.monotonic(), clock.monotonic(), time.monotonic()
    assert before <= now + 1e-6
    assert now <= after + 1e-6
    first, second, last = int(time.time()), clock.second(), int(time.time())
    assert first - 1 <= second <= last  # the kernel's coarse clock may lag by a tick
    clock.ahead = 1000.0
    assert clock.monotonic() >= before + 1000


class TestMutex:
    def test_one_at_a_time(self, runtime):
        mutex = runtime.Mutex()
        assert not mutex.locked()
        assert mutex.acquire()
        assert mutex.locked()
        assert not mutex.acquire(False)
        assert not mutex.acquire(timeout=0.01)
        mutex.release()
        assert mutex.acquire(blocking=False)
        mutex.release()

    def test_nobody_has_it(self, runtime):
        with pytest.raises(RuntimeError):
            runtime.Mutex().release()

    def test_with(self, runtime):
        mutex = runtime.Mutex()
        with mutex:
            assert mutex.locked()
        assert not mutex.locked()

    def test_threads_wait_for_each_other(self, runtime):
        mutex = runtime.Mutex()
        total = [0]

        def add():
            for _ in range(2000):
                with mutex:
                    before = total[0]
                    if before % 50 == 0:
                        time.sleep(0)
                    total[0] = before + 1

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
        assert total == [8000]

    def test_a_condition_can_be_made_of_it(self, runtime):
        mutex = runtime.Mutex()
        condition = threading.Condition(mutex)
        said = []

        def wait():
            with condition:
                said.append(condition.wait_for(lambda: "go" in said, LONG))

        thread = threading.Thread(target=wait)
        thread.start()
        with condition:
            said.append("go")
            condition.notify()
        thread.join(LONG)
        assert said == ["go", True]

    def test_a_signal_is_handled_while_it_is_waited_for(self, runtime):
        mutex = runtime.Mutex()
        mutex.acquire()
        handled = []

        def handle(number, frame):
            handled.append(number)
            mutex.release()

        before = signal.signal(signal.SIGUSR2, handle)
        try:
            main = threading.get_ident()
            timer = threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGUSR2))
            timer.start()
            assert mutex.acquire(timeout=LONG)
            timer.join(LONG)
        finally:
            signal.signal(signal.SIGUSR2, before)
        assert handled == [signal.SIGUSR2]

    def test_one_that_is_held_can_be_forgotten(self, runtime):
        mutex = runtime.Mutex()
        mutex.acquire()
        del mutex


class Thing:
    pass


class TestPool:
    def test_nothing_in_it(self, runtime):
        assert runtime.Pool().take() is None

    @pytest.mark.parametrize("most", [0, -1, 65])
    def test_sizes(self, runtime, most):
        with pytest.raises(ValueError, match="allowed are 1 to 64"):
            runtime.Pool(most)

    def test_the_twin_keeps_nothing(self):
        pool = import_module("cyserve._pyruntime").Pool()
        thing = Thing()
        assert not pool.alone(thing, 1000)
        assert not pool.give(thing)
        assert pool.take() is None


if COMPILED:

    class TestCompiledPool:
        @pytest.fixture
        def make(self):
            return import_module("cyserve._runtime").Pool

        def test_things_come_back(self, make):
            pool = make(2)
            things = [Thing(), Thing(), Thing()]
            assert [pool.give(thing) for thing in things] == [True, True, False]
            assert {pool.take(), pool.take()} == set(things[:2])
            assert pool.take() is None

        def test_who_is_alone(self, make):
            def references():
                """To the thing, as `alone` sees them when Python calls it."""
                return next(number for number in range(10) if pool.alone(things[0], number))

            pool = make()
            things = [Thing()]
            before = references()
            other = things[0]
            assert references() == before + 1
            del other
            assert references() == before

        def test_who_is_watched_is_not_alone(self, make):
            pool = make()
            thing = Thing()
            assert pool.alone(thing, 9)
            watch = weakref.ref(thing)
            assert not pool.alone(thing, 9)
            del watch
            assert pool.alone(thing, 9)
            assert pool.alone(9**9, 9)  # of a kind that cannot be watched

        def test_it_lets_go_of_what_is_in_it(self, make):
            pool = make()
            thing = Thing()
            gone = weakref.ref(thing)
            pool.give(thing)
            del thing
            assert gone() is not None
            del pool
            gc.collect()
            assert gone() is None


class TestRow:
    def test_first_come_first_served(self, runtime):
        row = runtime.Row()
        for turn in range(5):  # around the ring, and beyond its size
            things = [Thing() for _ in range(7 + 10 * turn)]
            for thing in things:
                row.push(thing)
            assert len(row) == row.count == len(things)
            assert [row.pop() for _ in things] == things
        assert not row

    def test_nobody_is_there(self, runtime):
        with pytest.raises(IndexError):
            runtime.Row().pop()

    def test_one_leaves(self, runtime):
        row = runtime.Row()
        things = [Thing() for _ in range(40)]
        for thing in things:
            row.push(thing)
        row.remove(things[20])
        row.remove(things[0])
        row.remove(Thing())
        assert [row.pop() for _ in range(row.count)] == things[1:20] + things[21:]

    def test_it_keeps_nobody_alive_who_has_left(self, runtime):
        row = runtime.Row()
        thing = Thing()
        gone = weakref.ref(thing)
        row.push(thing)
        del thing
        row.pop()
        assert gone() is None
