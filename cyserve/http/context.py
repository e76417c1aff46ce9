"""What all connections of a worker share: its settings, read once, and what they lend each other.

Values only: nothing is received, sent or decided here.
"""

from typing import Any

from cyserve import _accel
from cyserve.http.body import Opener
from cyserve.http.policy import Policy
from cyserve.http.refusal import access_function

NEVER = float("inf")


class Context:
    """What all connections of a worker share, read once from the settings.

    cfg: the settings; log: the error log; handle_error: a worker's, if a user has replaced it.
    Sizes are in bytes, timeouts in seconds.
    """

    def __init__(self, cfg: Any, log: Any, handle_error: Any = None) -> None:
        self.cfg = cfg
        self.log = log
        self.handle_error = handle_error
        self.access = access_function(log)
        self.policy = Policy(cfg)
        self.rules = self.policy.rules
        #: The rules again if both kernel and engine are compiled: calls through them are C calls.
        self.direct_rules = self.rules if _accel.is_compiled else None
        self.requests = _accel.runtime.Pool()  # those that nobody has kept
        self.connections = _accel.runtime.Pool()  # the same
        self.proxy_protocol: str = cfg.proxy_protocol
        self.expects_proxy = self.proxy_protocol != "off"
        self.body_buffer_size: int = cfg.client_body_buffer_size
        self.handshake_timeout: float = cfg.ssl_handshake_timeout or NEVER
        self.header_timeout: float = cfg.client_header_timeout or NEVER
        self.body_timeout: float = cfg.client_body_timeout or NEVER
        self.bodies = Opener(self.rules, self.body_timeout, cfg.client_max_body_size)
        self.send_timeout: float = cfg.send_timeout or NEVER
        self.idle_timeout: float = cfg.keepalive
