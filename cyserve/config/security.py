"""Settings, section Security: limits on what a client may send and how long it may take.

The names new in cyserve are nginx's, where nginx has the thing. A default here must protect a
server that faces the internet alone.
"""

from cyserve.config.kinds import Number, Seconds

__all__ = (
    "ClientBodyBufferSize",
    "ClientBodyTimeout",
    "ClientHeaderTimeout",
    "ClientMaxBodySize",
    "LimitRequestFieldSize",
    "LimitRequestFields",
    "LimitRequestLine",
    "SSLHandshakeTimeout",
)

SECTION = "Security"


class LimitRequestLine(Number):
    name = "limit_request_line"
    section = SECTION
    cli = ("--limit-request-line",)
    default = 4094
    desc = """\
        Longest request line in bytes; 0 is no limit, 8190 is the largest limit.

        The line holds the method, the URL with its query and the version. A longer one is
        answered with 414.
        """


class LimitRequestFields(Number):
    name = "limit_request_fields"
    section = SECTION
    cli = ("--limit-request-fields",)
    default = 100
    desc = """\
        Most header fields in a request; at most 32768.

        More of them are answered with 431.
        """


class LimitRequestFieldSize(Number):
    name = "limit_request_field_size"
    section = SECTION
    cli = ("--limit-request-field_size", "--limit-request-field-size")
    default = 8190
    desc = """\
        Longest header field in bytes, its name included; 0 is no limit.

        A longer one is answered with 431.
        """


class SSLHandshakeTimeout(Seconds):
    name = "ssl_handshake_timeout"
    section = SECTION
    cli = ("--ssl-handshake-timeout",)
    default = 60
    desc = """\
        Seconds a client may take for the TLS handshake; 0 is no limit.
        """


class ClientHeaderTimeout(Seconds):
    name = "client_header_timeout"
    section = SECTION
    cli = ("--client-header-timeout",)
    default = 30
    desc = """\
        Seconds a client may take to send the head of a request; 0 is no limit.
        """


class ClientBodyTimeout(Seconds):
    name = "client_body_timeout"
    section = SECTION
    cli = ("--client-body-timeout",)
    default = 60
    desc = """\
        Seconds a client may send nothing in the middle of a request body; 0 is no limit.
        """


class ClientBodyBufferSize(Number):
    name = "client_body_buffer_size"
    section = SECTION
    cli = ("--client-body-buffer-size",)
    default = 65536
    desc = """\
        Request bodies up to this many bytes are received before the application is called.

        A client that sends slowly then occupies no worker. Larger bodies are read while the
        application runs.
        """


class ClientMaxBodySize(Number):
    name = "client_max_body_size"
    section = SECTION
    cli = ("--client-max-body-size",)
    default = 0
    desc = """\
        Largest request body in bytes; 0 is no limit.

        A request that announces a larger one is answered with 413 and its application is not
        called. Of a chunked body the size shows only as it comes: if the application is reading
        it by then, `wsgi.input` raises, and the client gets the 413 unless the application has
        answered by itself.
        """
