"""Pages that wait for something else, as all pages of such a site do."""

import os
import time

from flask import Flask, Response, jsonify, request

app = Flask(__name__)
waiting = 0


@app.get("/")
def home():
    return jsonify(pid=os.getpid(), client=request.remote_addr, waiting=waiting)


@app.get("/wait")
def wait():
    """Waits for a database, or the like."""
    global waiting
    waiting += 1
    while not os.path.exists("go"):
        time.sleep(0.01)
    waiting -= 1
    return "waited"


@app.get("/events")
def events():
    return Response((f"data: {n}\n\n" for n in range(3)), mimetype="text/event-stream")


@app.get("/fail")
def fail():
    print("about to fail", flush=True)
    raise RuntimeError("on purpose")
