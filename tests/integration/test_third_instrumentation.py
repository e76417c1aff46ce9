"""What watches gunicorn by patching it: OpenTelemetry's instrumentation, unchanged from PyPI.

It replaces `Worker.__init__` and the `handle_request` of two workers, from the config file, and
refuses to begin where no gunicorn is installed.
"""

import json
from signal import SIGINT

import pytest
from harness import differs, wait_for

CONFIG = """
from opentelemetry.instrumentation.gunicorn import GunicornInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

spans = open("spans", "a", buffering=1)
provider = TracerProvider()
exporter = ConsoleSpanExporter(out=spans, formatter=lambda span: span.to_json(indent=None) + "\\n")
provider.add_span_processor(SimpleSpanProcessor(exporter))
GunicornInstrumentor().instrument(tracer_provider=provider)
"""

APP = """
from opentelemetry import trace

def app(environ, start_response):
    span = trace.get_current_span()
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("on purpose")
    start_response("200 OK", [])
    return [format(span.get_span_context().span_id, "016x").encode()]
"""


WORKERS = {"sync": ("-k", "sync"), "gthread": ("-k", "gthread", "--threads", "2")}


@pytest.mark.parametrize("worker", list(WORKERS))
def test_spans_of_opentelemetry(start_server, worker):
    files = {"shop.py": APP}
    server = start_server("shop:app", *WORKERS[worker], workers=2, config=CONFIG, files=files)

    def spans(name):
        text = (server.directory / "spans").read_text().rpartition("\n")[0]
        return [span for span in map(json.loads, text.splitlines()) if span["name"] == name]

    wait_for(lambda: len(spans("gunicorn.worker.init")) == 2, "two workers' spans")
    span_id = server.request("/pot?big").text
    (got,) = wait_for(lambda: spans("gunicorn.request.get"), "the span of GET")
    assert got["context"]["span_id"] == f"0x{span_id}"  # it is current in the application
    assert got["attributes"]["http.url.path"] == "/pot"
    assert got["attributes"]["worker.pid"] in server.worker_pids()
    assert got["status"]["status_code"] == "UNSET"

    assert server.request("/fail", "POST", body=b"x").status == 500
    (posted,) = wait_for(lambda: spans("gunicorn.request.post"), "the span of POST")
    assert posted["attributes"]["http.url.path"] == "/fail"
    assert posted["status"]["description"] == "RuntimeError: on purpose"
    assert server.log_text().count("[ERROR]") == 1  # it is logged by us, and once


# What exporters of metrics override: gunicorn-prometheus-exporter and others like it.
COUNTING = """
from gunicorn.workers import {module}

def count(what):
    with open("counts", "a") as file:
        file.write(what + "\\n")

class Counting({module}.{base}):
    def handle_request(self, *args, **kwargs):
        try:
            return super().handle_request(*args, **kwargs)
        except Exception as exc:
            count(f"request {{type(exc).__name__}} of worker {{self.age}}")
            raise

    def handle_error(self, req, client, addr, exc):
        family, name = client.family.name, type(exc).__name__
        count(f"error {{req.method}} {{req.path}} {{name}} {{addr[0]}} {{family}}")
        super().handle_error(req, client, addr, exc)

    def handle_quit(self, sig, frame):
        count("quit")
        super().handle_quit(sig, frame)
"""

BASES = {
    "sync": ("sync", "SyncWorker"),
    "gthread": ("gthread", "ThreadWorker"),
    "gevent": ("ggevent", "GeventWorker"),
}


@differs("error-request")
@pytest.mark.parametrize("kind", list(BASES))
def test_a_worker_class_that_counts_what_fails(start_server, kind):
    module, base = BASES[kind]
    files = {"shop.py": APP, "counting.py": COUNTING.format(module=module, base=base)}
    server = start_server("shop:app", "-k", "counting.Counting", files=files)
    with server.connect() as client:
        assert client.send(b"BAD\r\n\r\n").read_response().status == 400
    assert server.request("/fail").status == 500
    assert len(server.request("/").text) == 16
    server.wait_log(r"\[ERROR\] Error handling request GET /fail")
    assert server.stop(SIGINT) == 0
    assert "Exception while handling" not in server.log_text()
    counts = (server.directory / "counts").read_text().splitlines()
    assert sorted(counts) == [
        "error - - InvalidRequestLine 127.0.0.1 AF_INET",
        "error GET /fail RuntimeError 127.0.0.1 AF_INET",
        "quit",
        "request RuntimeError of worker 1",
    ]


@pytest.mark.parametrize("method", ["handle", "handle_request"])
@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_methods_wrapped_by_wrapt_are_called(start_server, kind, method):
    """Its proxies look like the methods that they wrap."""
    module, base = BASES[kind]
    config = f"""
import wrapt

def seen(wrapped, instance, args, kwargs):
    instance.log.info("wrapped")
    return wrapped(*args, **kwargs)

wrapt.wrap_function_wrapper("gunicorn.workers.{module}", "{base}.{method}", seen)
"""
    server = start_server("shop:app", "-k", kind, files={"shop.py": APP}, config=config)
    assert server.request("/").status == 200
    server.wait_log(r"\[INFO\] wrapped")
