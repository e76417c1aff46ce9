"""What gthread workers answer, byte by byte, and log: as gunicorn's (responses.py)."""

from responses import test_the_same_answer  # noqa: F401  (collected here)

KIND = "gthread"
