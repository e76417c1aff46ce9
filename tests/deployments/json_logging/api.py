"""An application that logs by the standard library."""

import logging

log = logging.getLogger("api")


def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("on purpose")
    if environ["PATH_INFO"] == "/order":
        log.info("an order of %s", environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
