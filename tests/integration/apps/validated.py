"""An ordinary application behind wsgiref.validate, which raises where a server breaks PEP 3333."""

from wsgiref.validate import validator


@validator
def app(environ, start_response):
    stream = environ["wsgi.input"]
    first = stream.readline()
    rest = b"".join(stream)
    environ["wsgi.errors"].flush()
    body = b"%s:%d:%d" % (environ["REQUEST_METHOD"].encode(), len(first), len(rest))
    headers = [("Content-Type", "text/plain"), ("X-Path", environ["PATH_INFO"])]
    if environ["PATH_INFO"] == "/length":
        headers.append(("Content-Length", str(len(body))))
    write = start_response("200 OK", headers)
    if environ["PATH_INFO"] == "/write":
        write(body)
        return [b""]
    return [body]
