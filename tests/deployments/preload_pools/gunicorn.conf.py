"""A preloaded application: what the master has opened is not for the workers.

prometheus_client needs to hear of dead workers; PROMETHEUS_MULTIPROC_DIR is set by the unit file.
"""

import os

from prometheus_client import multiprocess

bind = os.environ.get("BIND", "0.0.0.0:8000")
workers = int(os.environ.get("WORKERS", "4"))
threads = 2
preload_app = True
os.makedirs(os.environ["PROMETHEUS_MULTIPROC_DIR"], exist_ok=True)
worker_tmp_dir = "/dev/shm"
errorlog = "-"
loglevel = "info"


def on_starting(server):
    server.log.info("on_starting in %s", _who(server))


def when_ready(server):
    server.log.info("Server is ready. Spawning workers")


def pre_fork(server, worker):
    server.log.info("pre_fork in %s", _who(server))


def post_fork(server, worker):
    server.log.info("post_fork in %s", _who(server))
    from shop import engine

    # The master's connections stay the master's: two processes on one would mix up answers.
    engine.dispose(close=False)


def post_worker_init(worker):
    from shop import engine

    with engine.connect() as connection:  # the first request shall not wait for it
        connection.exec_driver_sql("SELECT 1")
    worker.log.info("pool of the worker is open: %s", engine.pool.checkedin())


def worker_int(worker):
    worker.log.info("worker received INT or QUIT signal")

    import sys
    import threading
    import traceback

    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, stack in sys._current_frames().items():
        frames = traceback.format_stack(stack)
        worker.log.info("thread %s: %s frames", names.get(ident, ""), len(frames) > 0)


def worker_abort(worker):
    worker.log.info("worker received SIGABRT signal")


def child_exit(server, worker):
    server.log.info("child_exit of %s", worker.age)
    multiprocess.mark_process_dead(worker.pid)


def worker_exit(server, worker):
    from shop import engine

    engine.dispose()
    server.log.info("worker_exit in %s", _who(server))


def nworkers_changed(server, new_value, old_value):
    server.log.info("workers: %s -> %s", old_value, new_value)


def pre_exec(server):
    server.log.info("Forked child, re-executing.")


def on_exit(server):
    server.log.info("on_exit in %s", _who(server))


def _who(server):
    return "the master" if os.getpid() == server.pid else "a worker"
