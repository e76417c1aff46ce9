"""All scenarios by name, in the order in which the report shows them."""

from collections.abc import Callable

from benchmarks.load.figures import Sheet
from benchmarks.load.scenarios import boot, computing, holding, preload, sharing, threads, tls
from benchmarks.load.scenarios.stage import Stage

SCENARIOS: dict[str, Callable[[Stage], Sheet]] = {
    "hello": threads.hello,
    "gevent": threads.gevent,
    "sleep-1ms": threads.sleep_1,
    "sleep-20ms": threads.sleep_20,
    "stuck": threads.stuck,
    "computing": computing.computing,
    "computing-rest": computing.computing_rest,
    "busy": sharing.busy,
    "spread": sharing.spread,
    "silent": holding.silent,
    "idle": holding.idle,
    "resets": holding.resets,
    "tls": tls.tls,
    "boot": boot.boot,
    "preload": preload.preload,
}

#: Those that belong to the usual run and have a part of the page to themselves.
BOOT = ("boot", "preload")
