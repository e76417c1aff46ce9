"""Certificates for tests of TLS, made anew for each run, and clients that trust them."""

from __future__ import annotations

import functools
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme


@functools.cache
def authority() -> trustme.CA:
    """The authority that signs everything here."""
    return trustme.CA()


@dataclass
class Files:
    """Paths of PEM files in one directory."""

    cert: Path
    key: Path
    ca: Path

    def args(self) -> list[str]:
        """The server's command line for them."""
        return ["--certfile", str(self.cert), "--keyfile", str(self.key)]

    def issue(self, *names: str) -> None:
        """Put a new certificate and key in the place of the old ones; the key comes last."""
        made = authority().issue_cert(*names or ("localhost", "127.0.0.1", "::1"))
        for path, text in (
            (self.cert, b"".join(pem.bytes() for pem in made.cert_chain_pems)),
            (self.key, made.private_key_pem.bytes()),
        ):
            new = path.with_suffix(".new")
            new.write_bytes(text)
            new.replace(path)

    def serial(self) -> str:
        """The serial number of the certificate, as getpeercert() gives it."""
        return str(ssl._ssl._test_decode_cert(str(self.cert))["serialNumber"])  # type: ignore[attr-defined]


def make_files(directory: Path, *names: str) -> Files:
    """A certificate and key for these names (default: this machine), and the authority's."""
    directory.mkdir(parents=True, exist_ok=True)
    files = Files(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")
    authority().cert_pem.write_to_path(str(files.ca))
    files.issue(*names)
    return files


def client_context(certificate: str | None = None, **versions: Any) -> ssl.SSLContext:
    """A client that trusts the authority; certificate: the name in one of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    if certificate:
        authority().issue_cert(certificate).configure_cert(context)
    for name, version in versions.items():
        setattr(context, name, version)
    return context
