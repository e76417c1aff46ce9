"""A native tornado application, and one WSGI callable beside it."""

import asyncio
import os
import time

import tornado.web
from tornado.ioloop import IOLoop


class Hello(tornado.web.RequestHandler):
    def get(self):
        self.write(f"tornado {os.getpid()}")


class Load(tornado.web.RequestHandler):
    def get(self):
        self.write(f"pid is {os.getpid()}")


class Wait(tornado.web.RequestHandler):
    """Answers when the file `go` is there."""

    async def get(self):
        while not os.path.exists("go"):
            await asyncio.sleep(0.01)
        self.write("waited")


class Spin(tornado.web.RequestHandler):
    def get(self):
        while True:
            time.sleep(0.01)


class Own(tornado.web.RequestHandler):
    def set_default_headers(self):
        self.set_header("Server", "own")

    def get(self):
        self.write(str(called_back))


called_back = []
app = tornado.web.Application(
    [("/", Hello), ("/load", Load), ("/wait", Wait), ("/spin", Spin), ("/own", Own)]
)


def make_app():
    """As applications do that schedule work while they are loaded."""
    IOLoop.current().add_callback(called_back.append, True)
    return app


def wsgi(environ, start_response):
    body = environ["wsgi.input"].read() or environ["PATH_INFO"].encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Server", "wsgi")])
    return [body]
