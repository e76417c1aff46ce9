"""A worker's threads in simulated time: the real rules, the real ThreadWorker, the rest made up.

One core, one GIL with CPython's switch interval, a lock, an epoll set, clients in closed loops. The
simulated threads are real ones that hand a baton to each other, so that exactly one runs and the
order of things is always the same. Only `spend` takes time; waking somebody takes WAKE.
"""

import contextlib
import heapq
import itertools
import math
import random
import threading
from collections import deque
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

from cyserve import _pypoll
from cyserve.workers import crew, gthread
from cyserve.workers.turns import ACTIVE, GUARD, WAIT, Turns

SWITCH = 0.005  # sys.getswitchinterval()
WAKE = 0.00003  # from an event to the thread that slept for it
LOOP = 0.000004  # what the worker itself does for a request
TRIP = 0.00005  # for an answer to reach the client and the next request the worker


class Thread:
    """A simulated thread: a real one that runs only while it has the baton."""

    def __init__(self, sim, target):
        self.sim = sim
        self.baton = threading.Semaphore(0)
        self.rest = 0.0  # of what it computes, while it has not got the GIL
        self.real = threading.Thread(target=self._run, args=(target,), daemon=True)
        self.real.start()
        sim.after(0, lambda: sim.want_gil(self))

    def _run(self, target):
        self.baton.acquire()
        try:
            if not self.sim.over:
                target()
        except BaseException as exc:
            if not self.sim.over:
                self.sim.failure = exc
        self.sim.gil_given_up(self)
        self.sim.hub.release()


class Over(BaseException):
    """Unwinds the simulated threads at the end."""


class Simulation:
    """Clock, GIL and events."""

    def __init__(self):
        self.now = 0.0
        self.events = []
        self.order = itertools.count()
        self.hub = threading.Semaphore(0)
        self.current = None
        self.threads = []
        self.holder = None  # of the GIL
        self.waiters = deque()
        self.switches = 0
        self.token = 0
        self.began = 0.0
        self.over = False
        self.failure = None
        self.watch_invariants = lambda: None

    def after(self, seconds, callback):
        heapq.heappush(self.events, (self.now + seconds, next(self.order), callback))

    def spawn(self, target):
        self.threads.append(Thread(self, target))

    def run(self, seconds):
        end = self.now + seconds
        while self.events and self.events[0][0] <= end:
            self.now, _, callback = heapq.heappop(self.events)
            callback()
            if self.failure:
                raise self.failure
            self.watch_invariants()
        self.now = end

    def finish(self):
        self.over = True
        for thread in self.threads:
            thread.baton.release()
            thread.real.join(10)
            assert not thread.real.is_alive()

    def resume(self, thread):
        """Let a thread run until it waits for something."""
        self.current = thread
        thread.baton.release()
        self.hub.acquire()
        self.current = None

    def block(self):
        """Called by a thread: wait until somebody resumes it."""
        thread = self.current
        self.hub.release()
        thread.baton.acquire()
        if self.over:
            raise Over

    # -- the GIL --

    def want_gil(self, thread, rest=0.0):
        thread.rest = rest
        if self.holder is None:
            self._give_gil(thread)
            return
        self.waiters.append(thread)
        self._ask_for_gil(thread, self.switches)

    def _ask_for_gil(self, thread, seen):
        def check():
            if self.holder is not None and thread in self.waiters:
                if self.switches == seen:
                    self._preempt()
                else:  # somebody else got it in the meantime: a new interval begins
                    self._ask_for_gil(thread, self.switches)

        self.after(SWITCH, check)

    def _give_gil(self, thread):
        self.holder = thread
        self.switches += 1
        if thread.rest:
            self._compute(thread)
        else:
            self.after(0, lambda: self.resume(thread))

    def _compute(self, thread):
        self.token += 1
        token = self.token
        self.began = self.now

        def done():
            if token == self.token and self.holder is thread:
                thread.rest = 0.0
                self.resume(thread)

        self.after(thread.rest, done)

    def _preempt(self):
        holder = self.holder
        if not holder.rest:  # it is between two steps that take no time
            return
        rest = max(holder.rest - (self.now - self.began), 1e-9)
        self.token += 1
        self.holder = None
        self._give_gil(self.waiters.popleft())
        self.want_gil(holder, rest)

    def gil_given_up(self, thread):
        if self.holder is thread:
            self.holder = None
            if self.waiters:
                self._give_gil(self.waiters.popleft())

    def spend(self, seconds):
        """Compute: the GIL is held, and lost to others that want it every switch interval."""
        if seconds > 0:
            thread = self.current
            thread.rest = seconds
            self._compute(thread)
            self.block()

    def without_gil(self, wait):
        """Run `wait`, which may block, without the GIL.

        Returns what it returns, and how many seconds it took to get the GIL back.
        """
        thread = self.current
        self.gil_given_up(thread)
        result = wait()
        back = self.now
        self.want_gil(thread)
        self.block()
        return result, self.now - back

    def sleep(self, seconds):
        """A plain delay; the caller does not hold the GIL."""
        thread = self.current
        self.after(seconds, lambda: self.resume(thread))
        self.block()


class Lock:
    """threading.Lock: whoever comes first gets it, even if another has waited and is waking."""

    def __init__(self, sim):
        self.sim = sim
        self.locked = False
        self.waiters = deque()

    def acquire(self, timeout=-1):
        while self.locked and not self.sim.over:
            self.sim.without_gil(self._wait)
        self.locked = True
        return True

    def _wait(self):
        if self.locked:
            self.waiters.append(self.sim.current)
            self.sim.block()

    def release(self):
        self.locked = False
        if self.waiters:
            thread = self.waiters.popleft()
            self.sim.after(WAKE, lambda: self.sim.resume(thread))

    def __enter__(self):
        self.acquire()

    def __exit__(self, *exc):
        self.release()


class Condition:
    """threading.Condition over such a lock."""

    def __init__(self, lock):
        self.lock = lock
        self.sim = lock.sim
        self.waiters = deque()

    def wait(self):
        self.waiters.append(self.sim.current)
        self.lock.release()
        self.sim.without_gil(self.sim.block)
        self.lock.acquire()

    def notify(self):
        if self.waiters:
            thread = self.waiters.popleft()
            self.sim.after(WAKE, lambda: self.sim.resume(thread))

    def notify_all(self):
        while self.waiters:
            self.notify()


class Poller(_pypoll.Poller):
    """The reference's `watch` over simulated readiness."""

    def __init__(self, sim):
        super().__init__()
        super().close()
        self.edge = False  # nothing is told here: readiness is looked at
        self.sim = sim
        self.ready = {}  # fd -> client, in the order of arrival
        self.sleepers = []  # (thread, number of its sleep)
        self.sleeps = itertools.count()
        self.awake = {}

    def arrive(self, client):
        self.ready[client.fd] = client
        sleepers, self.sleepers = self.sleepers, []
        for sleeper in sleepers:
            self.sim.after(WAKE, lambda sleeper=sleeper: self._wake(sleeper))

    def _wake(self, sleeper):
        if self.awake.get(sleeper[0]) == sleeper[1]:
            self.awake[sleeper[0]] = None
            self.sim.resume(sleeper[0])

    def _until_ready(self, seconds):
        if not self.ready:
            sleeper = (self.sim.current, next(self.sleeps))
            self.awake[sleeper[0]] = sleeper[1]
            self.sleepers.append(sleeper)
            if seconds is not None:
                self.sim.after(seconds, lambda: self._wake(sleeper))
            self.sim.block()

    def take(self):
        return list(self.ready)

    def _without_gil(self, wait):
        def come_back():
            result = wait()
            self.coming += 1
            return result

        result, waited = self.sim.without_gil(come_back)
        self.coming -= 1
        self.contended = waited > 0.001
        return result

    def wait(self, seconds):
        def wait():
            self._until_ready(None)
            return list(self.ready)

        return self._without_gil(wait)

    def watch(self, nap):
        return self._without_gil(lambda: super(Poller, self).watch(nap))

    def _readable(self, seconds):
        if seconds != 0:
            self._until_ready(seconds)
        return bool(self.ready)

    def pause(self, seconds):
        self._without_gil(lambda: self.sim.sleep(seconds))


class Client:
    """Sends a request, waits for the answer, thinks, sends the next.

    computes, sleeps: seconds that a request takes; think: seconds until the next one; pipelined:
    how many are sent at once, so that the later ones are in a buffer where no poller sees them.
    """

    keep = True  # the connection goes on

    def __init__(self, worker, fd, computes=0.000004, sleeps=0.0, think=TRIP, pipelined=1):
        self.worker = worker
        self.fd = fd
        self.computes = computes
        self.sleeps = sleeps
        self.think = think
        self.pipelined = pipelined
        self.latencies = []
        self.request = self  # what a connection has
        self.step = None
        self.sent = None
        self.by = set()  # threads that have served it

    def send(self):
        assert self.sent is None
        self.sent = self.worker.sim.now
        self.worker.poller.arrive(self)

    def answered(self):
        sim = self.worker.sim
        self.worker.last_progress = sim.now
        self.latencies.append(sim.now - self.sent + WAKE)
        self.by.add(self.worker.running.pop(self))
        self.sent = None
        if len(self.latencies) % self.pipelined:
            self.sent = sim.now
            self.worker.loop.ready.append(self)
        else:
            sim.after(self.think, self.send)


def _interpreted(module):
    """The module as its source has it: the compiled one takes no stand-ins for its parts."""
    path = Path(module.__file__).with_name(f"{module.__name__.rpartition('.')[2]}.py")
    spec = spec_from_file_location(f"interpreted_{path.stem}", path)
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


CREW = _interpreted(crew)


class Loop:
    """As much of a ConnectionLoop as the threads use."""

    def __init__(self, worker):
        self.worker = worker
        self.poller = worker.poller
        self.ready = deque()
        self.arrivals = ()
        self.due = math.inf
        self.now = 0.0

    def next(self):
        self.worker.sim.spend(LOOP / 2)
        while True:
            if self.ready:
                client = self.ready.popleft()
                self.worker.poller.ready.pop(client.fd, None)
                self.worker.running[client] = None
                self.worker.last_progress = self.worker.sim.now
                return client
            if not self.due:
                return None
            if not self.arrived(self.worker.poller.take()):
                return None

    def wake_at(self):
        return math.inf

    def line_up(self):
        """There is no listener."""

    def arrived(self, found):
        self.now = self.worker.sim.now
        for fd in found:
            client = self.worker.poller.ready.get(fd)
            if client is not None and client not in self.ready:
                self.ready.append(client)
        return found

    awake = arrived

    def answered(self, client):
        self.worker.sim.spend(LOOP / 2)
        self.now = self.worker.sim.now
        client.answered()


class Worker(gthread.ThreadWorker):
    """The real worker's threads, in a simulation; `run` lets that many seconds pass."""

    def __init__(self, threads):
        self.sim = Simulation()
        self.log = SimpleNamespace(exception=self._failed)
        self.alive = True
        self.leaving = False
        self.threads_left = 0
        self.PIPE = ()
        self.turns = Turns(threads)
        self.poller = Poller(self.sim)
        self.loop = Loop(self)
        self.lock = Lock(self.sim)
        self.wanted = Condition(self.lock)
        self.cycle = SimpleNamespace(direct=None)  # no access log
        self.crew = CREW.Crew(self, plain=False)
        self.clients = []
        self.running = {}
        self.last_progress = 0.0
        # A nap or a look of the guard, then everybody else may have the GIL first.
        self.patience = 0.025 + 2 * threads * SWITCH
        self.sim.watch_invariants = self._check
        for number in range(threads):
            self.sim.spawn(lambda number=number: self.take_turns(number))
        self.sim.after(0, self._look)

    def _failed(self, *args):
        if not self.sim.over:
            raise AssertionError(args)

    def _look(self):
        """The invariants are looked at after each event, so let there be events."""
        self.sim.after(0.001, self._look)

    def client(self, starts=0.0, **kind):
        client = Client(self, len(self.clients), **kind)
        self.clients.append(client)
        self.sim.after(0.001 + starts, client.send)
        return client

    def handle(self, client):
        client.lane = self.sim.threads.index(self.sim.current)
        self.running[client] = client.lane
        self.sim.spend(client.computes)
        if client.sleeps:
            self.sim.without_gil(lambda: self.sim.sleep(client.sleeps))

    def _check(self):
        """What must hold at any time."""
        turns, now = self.turns, self.sim.now
        assert turns.role.count(WAIT) <= 1
        assert turns.role.count(GUARD) <= 1
        assert turns.active == turns.role.count(ACTIVE)
        unserved = [*self.poller.ready.values(), *self.loop.ready]
        if unserved and turns.running() < len(turns.role):
            oldest = min(client.sent for client in unserved)
            assert now - max(self.last_progress, oldest) < self.patience, (
                "nobody takes what is ready"
            )


def simulate(threads, seconds, clients):
    """Run clients, dicts for `Worker.client`, for simulated seconds; returns the worker."""
    worker = Worker(threads)
    draw = random.Random(0)
    clock = SimpleNamespace(monotonic=lambda: worker.sim.now, sleep=worker.sim.sleep)
    with contextlib.ExitStack() as stack:
        stack.callback(worker.sim.finish)
        for module in (gthread, _pypoll):
            stack.callback(setattr, module, "time", module.time)
            module.time = clock
        stack.callback(setattr, CREW, "monotonic", CREW.monotonic)
        CREW.monotonic = clock.monotonic
        for kind in clients:
            worker.client(**{"starts": draw.uniform(0, 0.001), **kind})
        worker.sim.run(seconds)
    return worker
