"""Certificates and keys: judged, made into a TLS context, watched for new ones.

`ssl` is imported by the functions that need it, so that a server without TLS never loads it. The
master does not load it at all, nor does it ever hold a key: it lets a child process call `check`.
Nothing here knows connections.
"""

from __future__ import annotations

import os

from cyserve.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any

_FILES = ("certfile", "keyfile", "ca_certs")

#: What a file was like when it was looked at: mtime in ns, inode, size; None if it was not there.
Look = tuple[tuple[int, int, int] | None, ...]


def default_context(conf: Any) -> ssl.SSLContext:
    """A server context as section SSL of the settings `conf` says.

    TLS 1.2 and newer, session tickets, ALPN http/1.1. Raises ConfigError, one line that names
    the setting and its value.
    """
    import ssl  # noqa: PLC0415 - see above

    for name in _FILES:
        _must_be_readable(name, getattr(conf, name))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # the client's way to make us compute
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, conf)
    if conf.ca_certs:
        try:
            context.load_verify_locations(conf.ca_certs)
        except ssl.SSLError as exc:
            raise _refused("ca_certs", conf.ca_certs, _reason(exc)) from None
    context.verify_mode = ssl.VerifyMode(conf.cert_reqs)
    if conf.ciphers:
        try:
            context.set_ciphers(conf.ciphers)
        except ssl.SSLError as exc:
            raise _refused("ciphers", conf.ciphers, _reason(exc)) from None
    return context


def ssl_context(conf: Any) -> ssl.SSLContext:
    """The server context that the hook ssl_context of the settings `conf` makes.

    Raises ConfigError, and whatever a hook of the user raises.
    """
    import ssl  # noqa: PLC0415 - see above

    context = conf.ssl_context(conf, lambda: default_context(conf))
    if not isinstance(context, ssl.SSLContext):
        raise _refused("ssl_context", conf.ssl_context, "it did not return an ssl.SSLContext")
    return context


def check(conf: Any) -> None:
    """Judge what settings `conf` say of TLS, for the master, who lets a child process do it.

    A hook of the user is not called, since that is for workers; then only the files are looked
    for. Raises ConfigError.
    """
    if conf.ssl_context is conf.settings["ssl_context"].default:
        default_context(conf)
    else:
        for name in _FILES:
            _must_be_readable(name, getattr(conf, name))


class Certificates:
    """The TLS context of a worker, made anew when certfile, keyfile or ca_certs change on disk.

    conf: the settings; log: the error log. Raises what making the context raises.
    """

    def __init__(self, conf: Any, log: Any) -> None:
        self.conf = conf
        self.log = log
        self._seen = self._look()
        self._failed: Look | None = None
        self.context = ssl_context(conf)

    def refresh(self) -> None:
        """Look at the files; call it now and then. A new context that fails leaves the old one.

        Certificate and key are two files and change one after the other, so a failure is an error,
        logged once, only if the files are the same at the next look.
        """
        look = self._look()
        if look == self._seen:
            return
        try:
            self.context = ssl_context(self.conf)
        except Exception as exc:  # also a hook's
            if look == self._failed:
                self._seen = look
                self.log.error("The new certificate cannot be used, the old one stays: %s", exc)
            self._failed = look
        else:
            self._seen = look
            self.log.info("Using the new certificate %s", self.conf.certfile or "")

    def _look(self) -> Look:
        return tuple(_looks_of(getattr(self.conf, name)) for name in _FILES)


def _looks_of(path: str | None) -> tuple[int, int, int] | None:
    if not path:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _must_be_readable(name: str, path: str | None) -> None:
    if path:
        try:
            with open(path, "rb"):
                pass
        except OSError as exc:
            raise _refused(name, path, exc.strerror or str(exc)) from None


def _load_certificate(context: ssl.SSLContext, conf: Any) -> None:
    import ssl  # noqa: PLC0415 - see above

    if not conf.certfile:
        raise _refused("keyfile", conf.keyfile, "there is no certfile for it")
    holder = "keyfile" if conf.keyfile else "certfile"  # of the key

    def no_password() -> str:  # without it OpenSSL would ask the terminal
        raise _refused(
            holder, getattr(conf, holder), "the key is encrypted; load it in the hook ssl_context"
        )

    try:
        context.load_cert_chain(conf.certfile, conf.keyfile, no_password)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise _refused(
                holder, getattr(conf, holder), f"does not fit certfile {conf.certfile!r}"
            ) from None
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(conf.certfile)
        except ssl.SSLError:
            raise _refused("certfile", conf.certfile, "holds no usable certificate") from None
        if getattr(exc, "reason", None):
            raise _refused("certfile", conf.certfile, _reason(exc)) from None
        raise _refused(holder, getattr(conf, holder), "holds no usable private key") from None


def _refused(name: str, value: Any, why: str) -> ConfigError:
    return ConfigError(f"{name} = {value!r}: {why}")


def _reason(exc: ssl.SSLError) -> str:
    """OpenSSL's reason in small letters, or whatever Python says."""
    reason = getattr(exc, "reason", None)
    return reason.replace("_", " ").lower() if reason else str(exc.args[-1])
