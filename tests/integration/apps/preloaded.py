"""Says where it was loaded and how much of that the garbage collector leaves alone."""

import gc
import os

LOADED_BY = os.getpid()
KEPT = [{"number": number} for number in range(1000)]  # collectable, so that it can be frozen


def app(environ, start_response):
    body = f"{LOADED_BY} {os.getppid()} {gc.get_freeze_count()}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
