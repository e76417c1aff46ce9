"""The grammar of HTTP/1.1 (RFC 9110, RFC 9112) and what it maps to: byte classes, limits, names.

Ground floor. Both twins build their tables from these constants at import; a byte class, a limit,
a flag or an environ key exists here and nowhere else.
"""

# Classification of a request head: a bit for each thing that needs a decision by http/policy.py.
HAS_EXPECT = 1 << 0       # an Expect field
HAS_UPGRADE = 1 << 1      # an Upgrade field
HAS_UNDERSCORE = 1 << 2   # a field name containing "_"
HAS_SCHEME = 1 << 3       # a field named in HeadRules.scheme_headers
HAS_PROXY = 1 << 4        # a Proxy field (httpoxy)
HAS_CODINGS = 1 << 5      # transfer codings beside chunked
