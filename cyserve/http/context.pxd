"""C types of context.py."""

from cyserve._parser cimport HeadRules
from cyserve._runtime cimport Pool
from cyserve.http.body cimport Opener

cdef class Context:
    cdef public object cfg, log, handle_error, access, policy, rules, proxy_protocol
    cdef public Pool requests, connections
    cdef public Opener bodies
    cdef HeadRules direct_rules
    cdef public bint expects_proxy
    cdef public long long body_buffer_size
    cdef public double handshake_timeout, header_timeout, body_timeout, send_timeout, idle_timeout
