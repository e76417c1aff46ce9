"""Settings, section SSL: certificates and how TLS is spoken.

Declarations only; `cyserve.certificates` makes a context of them. The standard library's ssl is
not imported here: a server without TLS never loads it. Its constants are numbers.
"""

from __future__ import annotations

import sys

from cyserve.config.core import Setting
from cyserve.config.kinds import Flag, Text
from cyserve.config.validators import validate_pos_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = (
    "CACerts",
    "CertFile",
    "CertReqs",
    "Ciphers",
    "DoHandshakeOnConnect",
    "KeyFile",
    "SSLVersion",
    "SuppressRaggedEOFs",
    "validate_ssl_version",
)

SECTION = "SSL"

_PROTOCOL_TLS = 2  # ssl.PROTOCOL_TLS
_CERT_REQUIRED = 2  # ssl.CERT_REQUIRED


def validate_cert_reqs(val: Any) -> int:
    """0, 1 or 2; also as text or as the constant of ssl."""
    number = validate_pos_int(val)
    if number > _CERT_REQUIRED:
        raise ValueError("allowed are 0 (none), 1 (optional) and 2 (required)")
    return number


def validate_ssl_version(val: Any) -> Any:
    """Whatever it is: it has no effect."""
    return val


class KeyFile(Text):
    name = "keyfile"
    section = SECTION
    cli = ("--keyfile",)
    meta = "FILE"
    default = None
    desc = """\
        The private key of the certificate, a PEM file.

        Not needed if the key is in certfile too. A new file is noticed within two seconds, as for
        certfile.
        """


class CertFile(Text):
    name = "certfile"
    section = SECTION
    cli = ("--certfile",)
    meta = "FILE"
    default = None
    desc = """\
        The certificate, a PEM file; with it every listener speaks TLS.

        Intermediate certificates follow the server's own in the file. When the file changes on
        disk, new connections get the new certificate within two seconds; one that cannot be used is
        logged and the old one stays.
        """


class SSLVersion(Setting):
    name = "ssl_version"
    section = SECTION
    cli = ("--ssl-version",)
    meta = "STRING"
    validator = validate_ssl_version
    default = _PROTOCOL_TLS
    desc = """\
        Without effect, as in gunicorn: the hook ssl_context chooses versions. Default is TLS 1.2+.
        """

    def set(self, val: Any) -> None:
        if val != self.default:
            print(
                "Warning: option `ssl_version` is deprecated and it is ignored. "
                "Use ssl_context instead.",
                file=sys.stderr,
            )
        super().set(val)


class CertReqs(Setting):
    name = "cert_reqs"
    section = SECTION
    cli = ("--cert-reqs",)
    meta = "INT"
    validator = validate_cert_reqs
    default = 0
    desc = """\
        Whether clients must show a certificate: 0 is no, 1 they may, 2 they must.

        It is checked against ca_certs. The application finds it by the method getpeercert of
        environ["gunicorn.socket"].
        """


class CACerts(Text):
    name = "ca_certs"
    section = SECTION
    cli = ("--ca-certs",)
    meta = "FILE"
    default = None
    desc = """\
        The authorities that may have signed clients' certificates, a PEM file.
        """


class SuppressRaggedEOFs(Flag):
    name = "suppress_ragged_eofs"
    section = SECTION
    cli = ("--suppress-ragged-eofs",)
    default = True
    desc = """\
        Take a connection cut without TLS's goodbye for a normal end, not for an error.
        """


class DoHandshakeOnConnect(Flag):
    name = "do_handshake_on_connect"
    section = SECTION
    cli = ("--do-handshake-on-connect",)
    desc = """\
        Without effect: handshakes are done as their bytes come and never hold a worker.
        """


class Ciphers(Text):
    name = "ciphers"
    section = SECTION
    cli = ("--ciphers",)
    default = None
    desc = """\
        Which ciphers TLS 1.2 may use, in the form that `openssl ciphers` understands.

        The default is Python's. For TLS 1.3 OpenSSL's own are used.
        """
