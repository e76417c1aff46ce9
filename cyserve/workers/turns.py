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

# The same under names that are C's in a compiled build, where a public one has to be looked up.
_LONG, _BLOCKED, _PROBE, _TURN = LONG, BLOCKED, PROBE, TURN
_ACTIVE, _WAIT, _GUARD, _PARK = ACTIVE, WAIT, GUARD, PARK


class Hand:
    """What `Turns` notes of one thread; lane: its place on the scoreboard."""

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self.began = _IDLE  # when it went into the application; not in it: inf
        self.streak = 0  # short requests since it became active
        self.since = 0.0  # when it became active, or last paused


class Turns:
    """The roles of the threads of one worker.

    threads: how many there are. They are GONE at first; each calls `rest` to get a role.
    """

    def __init__(self, threads: int) -> None:
        self.role = [GONE] * threads
        self.hands = [Hand(lane) for lane in range(threads)]
        self.active = 0
        self.contended = False
        self.slow = 0.0  # how many of the last requests were long: 0..1
        self.patience = _BLOCKED  # how long a thread in the application is counted on

    def join(self, lane: int) -> int:
        """Room for one more thread, with a lane of the scoreboard; returns its number."""
        self.hands.append(Hand(lane))
        self.role.append(GONE)
        return len(self.role) - 1

    def rest(self, thread: int, now: float) -> int:
        """Nothing is ready for `thread`, or it has left: returns how it shall sleep."""
        if self.role[thread] == _ACTIVE:
            self.active -= 1
        self.role[thread] = _PARK
        counted_on = self.counted_on(now)
        if _WAIT not in self.role and not counted_on:
            role = _WAIT
        elif _GUARD not in self.role and (counted_on or not self.active):
            role = _GUARD
        else:
            role = _PARK
        self.role[thread] = role
        return role

    def gone(self, thread: int) -> None:
        """`thread` has ended and will not be back."""
        if self.role[thread] == ACTIVE:
            self.active -= 1
        self.role[thread] = GONE
        self.hands[thread].began = _IDLE

    def running(self) -> int:
        """How many threads are in the application."""
        return sum(hand.began != _IDLE for hand in self.hands)

    def counted_on(self, now: float) -> bool:
        """Whether an active thread is likely to be back soon and take what comes."""
        if not self.active:
            return False
        for thread in range(len(self.role)):
            hand = self.hands[thread]
            if self.role[thread] == _ACTIVE and now - hand.began < self.patience:
                return True
        return False

    def wake(self, thread: int, now: float) -> bool:
        """`thread` takes part from now on; True if a parked one is wanted as the next guard."""
        self.role[thread] = _ACTIVE
        self.active += 1
        hand = self.hands[thread]
        hand.streak = 0
        hand.since = now
        return _GUARD not in self.role and _PARK in self.role

    def enter(self, thread: int, now: float) -> int:
        """`thread` begins to run a request; returns its lane."""
        hand = self.hands[thread]
        hand.began = now
        return hand.lane

    def leave(self, thread: int, now: float) -> bool:
        """Its request has ended; True if it took long: help is wanted if others are waiting."""
        hand = self.hands[thread]
        long = now - hand.began >= _LONG
        hand.began = _IDLE
        self.slow += (long - self.slow) / 8
        self.patience = 0.0 if self.slow > 0.5 and not self.contended else _BLOCKED
        if not long:
            hand.streak += 1
            return False
        hand.streak = 0
        hand.since = now
        return not self.contended and GUARD in self.role

    def superfluous(self, thread: int, now: float) -> bool:
        """Whether `thread` had better go to sleep although something is ready."""
        return (
            self.active > 1
            and self.hands[thread].streak >= STREAK
            and any(
                role == ACTIVE and other != thread and now - self.hands[other].began < _BLOCKED
                for other, role in enumerate(self.role)
            )
        )

    def must_pause(self, thread: int, now: float) -> bool:
        """Whether `thread`, which has short requests, shall let the others have the GIL."""
        hand = self.hands[thread]
        return self.active > 1 and now - hand.since >= (_TURN if self.contended else _PROBE)

    def paused(self, thread: int, now: float, contended: bool) -> None:
        """It has done so; contended: and waited long for the GIL."""
        self.hands[thread].since = now
        self.contended = contended
