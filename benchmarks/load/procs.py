"""Process trees as /proc shows them: who belongs to a server, what it has used, how it is ended.

A tree is the process that we started, its descendants, and whoever is left in the session that it
leads. Only such processes are ever signalled, each by its pid, and only while the pid still belongs
to the process that was seen (start time compared).
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat that matter here; times in clock ticks (proc(5))."""

    pid: int
    state: str
    parent: int
    session: int
    user: int
    system: int
    reaped_user: int
    reaped_system: int
    started: int

    @property
    def cpu(self) -> int:
        """CPU of this process and of the children it has waited for, in ticks."""
        return self.user + self.system + self.reaped_user + self.reaped_system


def parse_stat(line: str) -> Stat:
    """Reads one line of /proc/PID/stat; the command in it may hold blanks and parentheses."""
    before, _, after = line.rpartition(")")
    rest = after.split()
    numbers = [int(rest[i]) for i in (1, 3, 11, 12, 13, 14, 19)]
    return Stat(int(before.split(" ", 1)[0]), rest[0], *numbers)


def all_stats() -> Iterator[Stat]:
    """Every process there is now, except those that vanish while we look."""
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                yield parse_stat((entry / "stat").read_text())
            except OSError:
                continue


def select_tree(stats: list[Stat], root: int) -> list[Stat]:
    """Those of `stats` that descend from `root` or are in the session that `root` leads."""
    children: dict[int, list[Stat]] = {}
    for stat in stats:
        children.setdefault(stat.parent, []).append(stat)
    found = {stat.pid: stat for stat in stats if root in (stat.pid, stat.session)}
    todo = list(found)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                todo.append(child.pid)
    return sorted(found.values(), key=lambda stat: stat.pid)


def tree(root: int) -> list[Stat]:
    """The processes of the tree of `root` now."""
    return select_tree(list(all_stats()), root)


def tree_cpu(root: int) -> float:
    """User and system seconds of the whole tree so far, reaped children included.

    A live child's time is not in its parent's reaped time, so nothing counts twice.
    """
    return sum(stat.cpu for stat in tree(root)) / TICKS


@dataclass(frozen=True)
class Usage:
    """What a tree has used up to a moment: by the clock's tick, and exactly per living thread."""

    ticks: float
    threads: Mapping[tuple[int, int], int]  # (pid, tid): nanoseconds

    def since(self, before: "Usage") -> float:
        """CPU seconds since `before`.

        Exact as long as no thread has ended in between: what an ended one has used is in the ticks
        only, so where the two disagree by more than ticks round, the ticks are right.
        """
        ticks = self.ticks - before.ticks
        if not before.threads.keys() <= self.threads.keys():
            return ticks
        exact = (sum(self.threads.values()) - sum(before.threads.values())) / 1e9
        return exact if abs(exact - ticks) <= 0.02 * ticks + 4 / TICKS else ticks


def usage(root: int) -> Usage:
    """What the tree of `root` has used so far."""
    stats = tree(root)
    threads = {}
    for stat in stats:
        for task in (PROC / str(stat.pid) / "task").iterdir():
            with suppress(OSError):  # it has ended meanwhile
                run = (task / "schedstat").read_text().split()[0]
                threads[stat.pid, int(task.name)] = int(run)
    return Usage(sum(stat.cpu for stat in stats) / TICKS, threads)


def tree_run(root: int) -> float:
    """Seconds that the live threads of the tree of `root` were on a processor, to the microsecond.

    Finer than `tree_cpu`, but threads and processes that have ended are forgotten.
    """
    total = 0
    for stat in tree(root):
        for task in (PROC / str(stat.pid) / "task").glob("*/schedstat"):
            total += int(task.read_text().split()[0])
    return total / 1e9


def memory(root: int) -> tuple[int, int]:
    """Bytes of memory of the tree of `root`: (RSS, PSS), summed over its processes."""
    sums = {"Rss": 0, "Pss": 0}
    for stat in tree(root):
        for line in (PROC / str(stat.pid) / "smaps_rollup").read_text().splitlines()[1:]:
            name, size, *_ = line.split()
            if name[:-1] in sums:
                sums[name[:-1]] += int(size) * 1024
    return sums["Rss"], sums["Pss"]


def descriptors(root: int) -> int:
    """How many descriptors the processes of the tree of `root` have open."""
    return sum(len(list((PROC / str(stat.pid) / "fd").iterdir())) for stat in tree(root))


def core_busy(core: int) -> float:
    """Seconds that `core` was busy since boot, stolen time included (proc(5), /proc/stat)."""
    for line in (PROC / "stat").read_text().splitlines():
        name, *numbers = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, numbers[:8])
            return (user + nice + system + irq + softirq + steal) / TICKS
    raise ValueError(f"there is no core {core}")


def switches(pid: int) -> int:
    """Voluntary context switches of all threads of a process: how often it went to sleep."""
    total = 0
    for status in (PROC / str(pid) / "task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                total += int(line.split()[1])
    return total


def stop_tree(root: int, patience: float = 10.0) -> None:
    """Ends the tree of `root`: TERM to the root, KILL to what is left after `patience` seconds.

    The caller still has to reap the root itself; a zombie counts as ended.
    """
    members = tree(root)
    _signal(members, signal.SIGTERM, only=root)
    deadline = time.monotonic() + patience
    while (left := _alive(members)) and time.monotonic() < deadline:
        if root not in [stat.pid for stat in left]:  # nobody is left to end the others
            deadline = min(deadline, time.monotonic() + 0.5)
        time.sleep(0.02)
    members = _alive(members + [s for s in tree(root) if s not in members])
    _signal(members, signal.SIGKILL)
    while _alive(members):  # the kernel takes a moment
        time.sleep(0.001)


def _alive(members: list[Stat]) -> list[Stat]:
    now = {stat.pid: stat for stat in all_stats() if stat.state != "Z"}
    return [s for s in members if s.pid in now and now[s.pid].started == s.started]


def _signal(members: list[Stat], number: int, only: int | None = None) -> None:
    for stat in _alive(members):
        if only in (None, stat.pid):
            try:
                os.kill(stat.pid, number)
            except ProcessLookupError:
                continue
