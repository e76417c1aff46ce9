"""Flask on gevent, on a platform that tells the port."""

import multiprocessing
import os

import gunicorn

# Nobody needs to know.
gunicorn.SERVER = "undisclosed"

bind = "{}:{}".format(os.getenv("HOST", "0.0.0.0"), os.getenv("PORT", "5000"))

worker_class = "gevent"
workers = int(os.getenv("WEB_CONCURRENCY", multiprocessing.cpu_count() * 2 + 1))
worker_connections = 1000

# Leaks are slow.
max_requests = int(os.getenv("MAX_REQUESTS", "10000"))
max_requests_jitter = int(os.getenv("MAX_REQUESTS_JITTER", "1000"))

timeout = 30
keepalive = 65  # more than the load balancer's 60
graceful_timeout = 10

loglevel = "info"
accesslog = "-"
errorlog = "-"
capture_output = True
enable_stdio_inheritance = True


def post_fork(server, worker):
    server.log.info("Worker spawned (pid: %s)", worker.pid)


def worker_exit(server, worker):
    server.log.info("Worker gone (pid: %s)", worker.pid)
