"""The configurations that cases are run with; each is one server for each kind of worker.

All listen on TCP and on a unix socket, and log accesses to the place of the error log, so that the
order of lines can be compared. No test lives here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Config:
    """arguments and config file of a server; prefix: of the paths that it serves."""

    args: tuple[str, ...] = ()
    text: str = ""
    env: Mapping[str, str | None] = field(default_factory=dict)
    prefix: str = ""


CONFIGS = {
    "plain": Config(),
    # As lenient as the settings make it, and small limits.
    "lenient": Config(
        (
            "--permit-obsolete-folding",
            "--strip-header-spaces",
            "--permit-unconventional-http-method",
            "--permit-unconventional-http-version",
            "--casefold-http-method",
            "--header-map=dangerous",
            "--no-sendfile",
        )
    ),
    "small": Config(
        (
            "--limit-request-line=100",
            "--limit-request-fields=5",
            "--limit-request-field_size=60",
            "--keep-alive=0",
            "--header-map=refuse",
        )
    ),
    "unlimited": Config(
        (
            "--limit-request-line=0",
            "--limit-request-fields=1000",
            "--limit-request-field_size=0",
            "--header-map=refuse",
            "--forwarder-headers=*",
        )
    ),
    "proxied": Config(
        ("--proxy-protocol=auto", "--forwarded-allow-ips=*", "--proxy-allow-from=*"),
        "forwarder_headers = 'SCRIPT_NAME,PATH_INFO,REMOTE_USER'\n",
    ),
    "untrusted": Config(
        (
            "--proxy-protocol=v1",
            "--forwarded-allow-ips=192.0.2.1,10.0.0.0/8",
            "--proxy-allow-from=192.0.2.1",
        )
    ),
    "mounted": Config(
        ("--proxy-protocol=v2",),
        "secure_scheme_headers = {'X-SCHEME': 'tls'}\n",
        {"SCRIPT_NAME": "/app"},
        "/app",
    ),
}
