"""An application for workers with threads; what a path does is said beside it."""

import os
import threading
import time
from urllib.parse import parse_qs

meeting = threading.Barrier(4)


class Odd(BaseException):
    pass


def app(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    body = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {os.getpid()}\n".encode()
    match environ["PATH_INFO"]:
        case "/sleep":  # s: seconds
            time.sleep(float(query["s"][0]))
        case "/say-and-sleep":  # name, s: tells the log first
            print(f"{query['name'][0]} begins", flush=True)
            time.sleep(float(query["s"][0]))
        case "/meet":  # waits until four requests run at once
            meeting.wait(30)
        case "/hold":  # holds the GIL for ever
            print("holding", flush=True)
            sum(range(10**15))
        case "/exit":
            raise SystemExit(3)
        case "/odd":
            raise Odd("out of the usual")
        case "/multithread":
            body = repr(environ["wsgi.multithread"]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
