"""Whose turn it is: how the threads of a worker share its connections.

The aim: as cheap as one thread while the application does not block, as many requests at once as
there are threads while it does, and no request ever parked in a thread that cannot run.

A thread is in one of four roles.
  ACTIVE  takes what is ready, runs it to its end, takes the next. Usually there is one.
  WAIT    nobody is counted on: sleeps until something is ready, then is active. At most one.
  GUARD   sleeps too, but wakes when something is ready while the active threads get nothing done,
          for then they are held up in the application; it becomes active beside them. At most one.
  PARK    sleeps until it is wanted, as the next guard.

Since a guard naps before it judges, a second thread joins only an application that blocks for as
long as a nap; a quick one is served by one thread, which never hands a request to another. A
request that took long and left others waiting calls the guard. Where most take long, nobody in the
application is counted on and the guard does not nap. A thread that has only had short requests
leaves again, if another one is active.

Threads that compute hold the GIL, and more threads would only get into each other's way. Whoever
comes back from a sleep and has to wait for the GIL knows that somebody computes (`contended`): then
no help is called, and a thread with short requests pauses now and then, so that the computing one
gets on; it would lose half of its time otherwise.

Nothing here sleeps, locks or looks at a clock: the worker does, and calls these rules with one lock
held. All times are seconds.
"""

ACTIVE, WAIT, GUARD, PARK, GONE = range(5)

NAP = 0.0005  # what a guard gives the active threads before it judges
LONG = 0.0002  # a request that took longer may have been blocked
BLOCKED = 0.0005  # a thread that has been in the application for longer is not counted on
STREAK = 16  # short requests in a row after which a thread leaves, if another one is active
PROBE = 0.002  # how long a thread goes on beside others that are held up before it pauses
TURN = 0.00025  # the same while one of them is known to compute
PAUSE = 0.00005

_IDLE = float("inf")


class Turns:
    """The roles of the threads of one worker.

    threads: how many there are. They are GONE at first; each calls `rest` to get a role.
    """

    def __init__(self, threads: int) -> None:
        self.role = [GONE] * threads
        self.began = [_IDLE] * threads  # when it went into the application; not in it: inf
        self.streak = [0] * threads  # short requests since it became active
        self.since = [0.0] * threads  # when it became active, or last paused
        self.lane = list(range(threads))  # of the scoreboard
        self.active = 0
        self.contended = False
        self.slow = 0.0  # how many of the last requests were long: 0..1
        self.patience = BLOCKED  # how long a thread in the application is counted on

    def join(self, lane: int) -> int:
        """Room for one more thread, with a lane of the scoreboard; returns its number."""
        self.lane.append(lane)
        self.role.append(GONE)
        self.began.append(_IDLE)
        self.streak.append(0)
        self.since.append(0.0)
        return len(self.role) - 1

    def rest(self, thread: int, now: float) -> int:
        """Nothing is ready for `thread`, or it has left: returns how it shall sleep."""
        if self.role[thread] == ACTIVE:
            self.active -= 1
        self.role[thread] = PARK
        counted_on = self.counted_on(now)
        if WAIT not in self.role and not counted_on:
            role = WAIT
        elif GUARD not in self.role and (counted_on or not self.active):
            role = GUARD
        else:
            role = PARK
        self.role[thread] = role
        return role

    def gone(self, thread: int) -> None:
        """`thread` has ended and will not be back."""
        if self.role[thread] == ACTIVE:
            self.active -= 1
        self.role[thread] = GONE
        self.began[thread] = _IDLE

    def running(self) -> int:
        """How many threads are in the application."""
        return sum(began != _IDLE for began in self.began)

    def counted_on(self, now: float) -> bool:
        """Whether an active thread is likely to be back soon and take what comes."""
        return any(
            role == ACTIVE and now - began < self.patience
            for role, began in zip(self.role, self.began, strict=True)
        )

    def wake(self, thread: int, now: float) -> bool:
        """`thread` takes part from now on; True if a parked one is wanted as the next guard."""
        self.role[thread] = ACTIVE
        self.active += 1
        self.streak[thread] = 0
        self.since[thread] = now
        return GUARD not in self.role and PARK in self.role

    def enter(self, thread: int, now: float) -> None:
        """`thread` begins to run a request."""
        self.began[thread] = now

    def leave(self, thread: int, now: float) -> bool:
        """Its request has ended; True if it took long: help is wanted if others are waiting."""
        long = now - self.began[thread] >= LONG
        self.began[thread] = _IDLE
        self.slow += (long - self.slow) / 8
        if long:
            self.streak[thread] = 0
            self.since[thread] = now
        else:
            self.streak[thread] += 1
        self.patience = 0.0 if self.slow > 0.5 and not self.contended else BLOCKED
        return long and not self.contended and GUARD in self.role

    def superfluous(self, thread: int, now: float) -> bool:
        """Whether `thread` had better go to sleep although something is ready."""
        return (
            self.active > 1
            and self.streak[thread] >= STREAK
            and any(
                role == ACTIVE and other != thread and now - self.began[other] < BLOCKED
                for other, role in enumerate(self.role)
            )
        )

    def must_pause(self, thread: int, now: float) -> bool:
        """Whether `thread`, which has short requests, shall let the others have the GIL."""
        return self.active > 1 and now - self.since[thread] >= (TURN if self.contended else PROBE)

    def paused(self, thread: int, now: float, contended: bool) -> None:
        """It has done so; contended: and waited long for the GIL."""
        self.since[thread] = now
        self.contended = contended
