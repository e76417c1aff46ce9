"""Protocol errors under gunicorn's public names, and the page that a client sees for one.

The classes live on the ground floor (`_errors`); each carries its status, phrase and message.
Nothing here logs or sends: callers do.
"""

from cyserve._errors import *  # noqa: F403  (this page exists to re-export them)
from cyserve._errors import Refusal

_PAGE = """<html>
  <head>
    <title>{reason}</title>
  </head>
  <body>
    <h1><p>{reason}</p></h1>
    {message}
  </body>
</html>
"""


def escape(text: str) -> str:
    """The text as HTML. (The module html would bring a table of 2,000 names along.)"""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("'", "&#x27;")


def error_response(status: int, reason: str, message: str = "") -> bytes:
    """A whole response that reports an error and announces the end of the connection.

    status: code of three digits; reason: its phrase; message: text shown under the heading.
    """
    page = _PAGE.format(reason=reason, message=escape(message))
    body = page.encode("latin-1", "replace")
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n"
        f"Content-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body


def status_for(exc: BaseException) -> str:
    """The status line's text for an exception: its own, or 500 for anything unknown."""
    if isinstance(exc, Refusal):
        return f"{exc.status} {exc.phrase}"
    return "500 Internal Server Error"


def response_for(exc: BaseException) -> bytes:
    """The error response that an exception asks for: its own, or 500 for anything unknown."""
    if isinstance(exc, Refusal):
        return error_response(exc.status, exc.phrase, exc.page_message)
    return error_response(500, "Internal Server Error")
