"""Settings, section Worker Processes: how many workers there are and how long things may take.

Declarations only. Which worker classes exist is known to `cyserve.workers` and
`cyserve.importer`.
"""

from __future__ import annotations

from cyserve.config.core import Setting
from cyserve.config.kinds import Number, Seconds
from cyserve.config.validators import validate_choice, validate_class

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = (
    "ASGIDisconnectGracePeriod",
    "ASGILifespan",
    "ASGILoop",
    "BootTimeout",
    "GracefulTimeout",
    "HttpParser",
    "Keepalive",
    "MaxRequests",
    "MaxRequestsJitter",
    "PostponeOutput",
    "RequestTimeout",
    "SendTimeout",
    "Timeout",
    "WebSocketMaxMessageSize",
    "WorkerClass",
    "WorkerConnections",
    "WorkerThreads",
    "Workers",
    "validate_asgi_lifespan",
    "validate_asgi_loop",
    "validate_http_parser",
)

SECTION = "Worker Processes"

validate_http_parser = validate_choice("auto", "fast", "python")
validate_asgi_loop = validate_choice("auto", "asyncio", "uvloop")
validate_asgi_lifespan = validate_choice("auto", "on", "off")


class Workers(Number):
    name = "workers"
    section = SECTION
    cli = ("-w", "--workers")
    default = 1
    env = "WEB_CONCURRENCY"
    desc = """\
        Number of worker processes.

        Two to four for each CPU core is a good start. SIGTTIN and SIGTTOU change the number while
        the server runs. The environment variable WEB_CONCURRENCY changes the default.
        """

    def from_env(self, text: str) -> Any:
        return int(text) if text.strip().isdecimal() else text or None  # decimal, also with zeros


class WorkerClass(Setting):
    name = "worker_class"
    section = SECTION
    cli = ("-k", "--worker-class")
    meta = "STRING"
    validator = validate_class
    default = "sync"
    desc = """\
        How a worker handles its connections.

        A short name, the dotted path of a class, egg:DISTRIBUTION#NAME, or, in a config file,
        the class itself. The short names:

        sync runs one request at a time. gthread runs `threads` of them. gevent (needs the package
        gevent) runs each connection in a greenlet, in a process where the standard library is
        patched; it is patched before the application is loaded, unless preload_app loads it
        first. gevent_pywsgi, also called gevent_wsgi, is gevent's own server, for WebSocket
        handlers that build on it. tornado (needs the package tornado) runs tornado and WSGI
        applications on tornado's own server. Settings and hooks about requests do not hold for
        the last two.
        """


class WorkerThreads(Number):
    name = "threads"
    section = SECTION
    cli = ("--threads",)
    default = 1
    desc = """\
        Number of threads in each worker that run the application.

        More than one selects the gthread worker where sync was asked for.
        """


class WorkerConnections(Number):
    name = "worker_connections"
    section = SECTION
    cli = ("--worker-connections",)
    default = 1000
    desc = """\
        How many connections a worker holds at once, those that wait for a request included.

        When there are as many, idle ones are closed to make room for new ones. tornado has no
        such bound.
        """


class MaxRequests(Number):
    name = "max_requests"
    section = SECTION
    cli = ("--max-requests",)
    default = 0
    desc = """\
        Replace a worker after this many requests; 0 is never.

        It limits the damage of an application that leaks memory.
        """


class MaxRequestsJitter(Number):
    name = "max_requests_jitter"
    section = SECTION
    cli = ("--max-requests-jitter",)
    default = 0
    desc = """\
        Add a random number from 0 to this to max_requests, so that workers restart one by one.
        """


class Timeout(Number):
    name = "timeout"
    section = SECTION
    cli = ("-t", "--timeout")
    default = 30
    desc = """\
        Kill and replace a worker that shows no sign of life for this many seconds; 0 is never.

        A sync worker shows none while the application handles a request, so this is also its
        limit for one request.
        """


class RequestTimeout(Seconds):
    name = "request_timeout"
    section = SECTION
    cli = ("--request-timeout",)
    default = 0
    desc = """\
        Seconds the application may take for one request; 0 is no limit.

        They run from its call to the last piece of the answer that it hands over. Other requests of
        the same worker are not touched: only the one that takes too long is ended. Its line, age
        and stack are logged and its client gets 504; if a part of the answer has been sent already,
        the connection is cut instead. Then cyserve.http.overdue.RequestOverdue, a BaseException, is
        raised in the application. What waits in a thread (for a lock, a database) meets it when the
        wait is over; the sync worker's wait is interrupted. A request that goes on for 3 more
        seconds costs the worker: it finishes its other requests within graceful_timeout and is
        replaced.

        The application can change the limit of the request at hand:
        environ["cyserve.set_timeout"](seconds) counts from now, 0 is no limit. Long streams and
        WebSockets want that.

        Code that keeps the GIL (a huge power, a regular expression that backtracks) or, in the
        gevent worker, never lets the hub run cannot be ended or noticed before it comes to its end;
        for that there is timeout. Over TLS a thread that cannot be interrupted costs its client the
        504: it sees the connection cut after those 3 seconds. In the sync worker it has to be less
        than timeout. The tornado and gevent_pywsgi workers do not have this limit.
        """


class GracefulTimeout(Number):
    name = "graceful_timeout"
    section = SECTION
    cli = ("--graceful-timeout",)
    default = 30
    desc = """\
        Seconds a worker gets to finish its requests after it was told to stop.

        What still runs then is killed; requests that were still waiting for a thread, or for
        their own rest, have been answered with 503.
        """


class Keepalive(Number):
    name = "keepalive"
    section = SECTION
    cli = ("--keep-alive",)
    default = 75
    desc = """\
        Seconds an idle connection is kept open for the next request; 0 is not at all.

        Must be longer than what the load balancer in front uses, or requests meet a connection
        that is just being closed. gunicorn's default is 2. The sync worker closes the connection
        after each answer, whatever this says.
        """


class SendTimeout(Seconds):
    name = "send_timeout"
    section = SECTION
    cli = ("--send-timeout",)
    default = 60
    desc = """\
        Seconds a client may take none of an answer before its connection is closed; 0 is no limit.
        """


class PostponeOutput(Number):
    name = "postpone_output"
    section = SECTION
    cli = ("--postpone-output",)
    default = 131072
    desc = """\
        Bytes of a streamed answer that may wait to be sent together; 0 sends each piece at once.

        A piece that comes within a millisecond of the last sending waits for the next ones: until
        so many bytes are there, the answer is complete, or the millisecond is over. If the
        application is busy then, another thread sends them, which takes some milliseconds where it
        computes, and as long as it holds the GIL. A piece that comes later than that is sent at
        once. So is each where the worker is not gthread, and with TLS or `request_timeout`, where
        the application has used `gunicorn.socket`, or where steps of `Response` are replaced.
        """


class BootTimeout(Seconds):
    name = "boot_timeout"
    section = SECTION
    cli = ("--boot-timeout",)
    default = 0
    desc = """\
        Seconds a new worker may take to load the application and get ready; 0 is no limit.
        """


class HttpParser(Setting):
    name = "http_parser"
    section = SECTION
    cli = ("--http-parser",)
    meta = "STRING"
    validator = validate_http_parser
    default = "auto"
    desc = """\
        Which kernel reads and writes HTTP: fast (compiled), python, or auto.

        auto takes the compiled one if this installation has it. fast refuses to start without it.
        """


class ASGILoop(Setting):
    name = "asgi_loop"
    section = SECTION
    cli = ("--asgi-loop",)
    meta = "STRING"
    validator = validate_asgi_loop
    default = "auto"
    desc = """\
        Event loop of the asgi worker: asyncio, uvloop, or auto.
        """


class ASGILifespan(Setting):
    name = "asgi_lifespan"
    section = SECTION
    cli = ("--asgi-lifespan",)
    meta = "STRING"
    validator = validate_asgi_lifespan
    default = "auto"
    desc = """\
        Whether the asgi worker tells the application of its start and end: on, off or auto.
        """


class ASGIDisconnectGracePeriod(Number):
    name = "asgi_disconnect_grace_period"
    section = SECTION
    cli = ("--asgi-disconnect-grace-period",)
    default = 3
    desc = """\
        Seconds an ASGI application gets to finish when its client has gone.
        """


class WebSocketMaxMessageSize(Number):
    name = "websocket_max_message_size"
    section = SECTION
    cli = ("--websocket-max-message-size",)
    default = 16 * 1024 * 1024
    desc = """\
        Longest WebSocket message in bytes that the asgi worker takes; 0 is no limit.
        """
