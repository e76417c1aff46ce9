"""A shop with a pool of database connections, opened while it is loaded, and with metrics."""

import json
import os

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, multiprocess
from sqlalchemy import create_engine, event
from sqlalchemy.pool import QueuePool

engine = create_engine("sqlite:///shop.db", poolclass=QueuePool, pool_size=2)


@event.listens_for(engine, "connect")
def remember(connection, record):
    record.info["pid"] = os.getpid()


@event.listens_for(engine, "checkout")
def check(connection, record, proxy):
    """What goes wrong without the hooks: a connection that another process has opened."""
    if record.info["pid"] != os.getpid():
        raise RuntimeError(f"a connection of {record.info['pid']} in {os.getpid()}")


with engine.begin() as connection:
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS pots (name TEXT)")
    connection.exec_driver_sql("INSERT INTO pots VALUES ('blue')")

LOADED_BY = os.getpid()
ORDERS = Counter("orders", "Orders taken.")
ALIVE = Gauge("alive", "Workers alive.", multiprocess_mode="livesum")


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/metrics":
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        body = generate_latest(registry)
    else:
        ORDERS.inc()
        ALIVE.set(1)
        with engine.connect() as connection:
            pots = connection.exec_driver_sql("SELECT count(*) FROM pots").scalar()
        body = json.dumps({"pots": pots, "pid": os.getpid(), "loaded_by": LOADED_BY}).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
