"""Connections that last are spread over the workers, one after the other or all at once."""

import signal
import socket
from collections import Counter
from contextlib import ExitStack

import pytest
from harness import differs, wait_for

WORKERS = 4
APP = """
import os
def app(environ, start_response):
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture
def server(start_server):
    return start_server("who:app", "-k", "gthread", workers=WORKERS, files={"who.py": APP})


def asked(client: socket.socket) -> int:
    """Which worker holds this connection."""
    client.sendall(GET)
    answer = b""
    while b"\r\n\r\n" not in answer or answer.endswith(b"\r\n\r\n"):
        piece = client.recv(4096)
        assert piece
        answer += piece
    return int(answer.rpartition(b"\r\n\r\n")[2])


def is_even(counts: Counter[int]) -> bool:
    return len(counts) == WORKERS and max(counts.values()) <= 1.5 * min(counts.values())


def wants_more(counts: Counter[int]) -> bool:
    """400 connections tell; a worker that the machine kept from running needs some to catch up."""
    return counts.total() < 400 or (not is_even(counts) and counts.total() < 800)


@differs("spread")
def test_connections_one_after_the_other(server):
    with ExitStack() as stack:
        counts: Counter[int] = Counter()
        while wants_more(counts):
            client = stack.enter_context(socket.create_connection(server.address, timeout=30))
            counts[asked(client)] += 1
        assert is_even(counts), counts


def test_connections_in_bursts(server):
    with ExitStack() as stack:
        counts: Counter[int] = Counter()
        while wants_more(counts):
            clients = [
                stack.enter_context(socket.create_connection(server.address, timeout=30))
                for _ in range(100)
            ]
            counts.update(asked(client) for client in clients)
        assert is_even(counts), counts


def test_a_new_worker_catches_up(server):
    """The workers that were there before hold connections; the next ones go to the new one."""
    with ExitStack() as stack:

        def connect() -> int:
            client = stack.enter_context(socket.create_connection(server.address, timeout=30))
            return asked(client)

        old = server.worker_pids()
        for _ in range(200):
            connect()
        server.signal(signal.SIGTTIN)
        (new,) = set(server.wait_workers(WORKERS + 1)) - set(old)
        wait_for(
            lambda: sum(connect() == new for _ in range(40)) >= 20,
            "half of the connections to be the new worker's",
        )
