"""The Flask application that is served while measuring: one view, nothing else.

A copy named `load_flask.py` is put into the run's temporary directory, as `apps.py` is.
"""

from flask import Flask, Response

app = Flask(__name__)


@app.route("/")
def hello():
    return Response("Hello, World!", mimetype="text/plain")
