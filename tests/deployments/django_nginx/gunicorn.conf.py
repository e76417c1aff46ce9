"""Django behind nginx: gunicorn -c gunicorn.conf.py

nginx ends TLS, serves /static/ itself and passes the rest on.
"""

import multiprocessing
import os

wsgi_app = "shop.wsgi:application"

# Server socket. The group www-data may connect, others may not.
bind = os.environ.get("GUNICORN_BIND", "unix:/run/shop/gunicorn.sock")
umask = 0o007
backlog = 1024

# Workers
workers = int(os.environ.get("WEB_CONCURRENCY", multiprocessing.cpu_count() * 2 + 1))
worker_class = "gthread"
threads = 4
worker_tmp_dir = "/dev/shm"
timeout = 60
graceful_timeout = 30
keepalive = 5
max_requests = 1000
max_requests_jitter = 100

# Only nginx can reach the socket, so what it says is true.
forwarded_allow_ips = "*"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}

# Logging
accesslog = "-"
errorlog = "-"
loglevel = os.environ.get("LOG_LEVEL", "info")
access_log_format = '%({x-forwarded-for}i)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'

# Process naming
proc_name = "shop"
raw_env = ["DJANGO_SETTINGS_MODULE=shop.settings"]


def on_starting(server):
    server.log.info("Starting shop with %s workers", server.cfg.workers)


def on_reload(server):
    server.log.info("Reloading shop")
