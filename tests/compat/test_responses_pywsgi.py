"""What gevent_pywsgi workers answer and log: as gunicorn's (responses.py)."""

from responses import test_the_same_answer  # noqa: F401  (collected here)

KIND = "gevent_pywsgi"
