"""Settings, section Server Mechanics, about HTTP: whom to trust and what to tolerate.

What is tolerated here has let requests be smuggled past proxies before; everything is off unless
asked for.
"""

from cyserve.config.core import Setting
from cyserve.config.kinds import Flag
from cyserve.config.validators import (
    validate_choice,
    validate_dict,
    validate_string_to_addr_list,
    validate_string_to_list,
)

__all__ = (
    "CasefoldHTTPMethod",
    "ForwardedAllowIPS",
    "ForwarderHeaders",
    "HeaderMap",
    "PermitObsoleteFolding",
    "PermitUnconventionalHTTPMethod",
    "PermitUnconventionalHTTPVersion",
    "SecureSchemeHeader",
    "StripHeaderSpaces",
)

SECTION = "Server Mechanics"


class SecureSchemeHeader(Setting):
    name = "secure_scheme_headers"
    section = SECTION
    validator = validate_dict
    default = {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}
    desc = """\
        Header fields by which a trusted proxy says that its client used https.

        A dict of upper-case names and exact values. Another value means http; two fields that
        contradict each other are answered with 400.
        """


class ForwardedAllowIPS(Setting):
    name = "forwarded_allow_ips"
    section = SECTION
    cli = ("--forwarded-allow-ips",)
    meta = "STRING"
    validator = validate_string_to_addr_list
    default = "127.0.0.1,::1"
    env = "FORWARDED_ALLOW_IPS"
    desc = """\
        Proxies that are believed what they say about the client, separated by commas.

        IP addresses, networks (10.0.0.0/8) or * for all. Clients on unix sockets are always
        trusted. The environment variable FORWARDED_ALLOW_IPS changes the default.
        """

    def from_env(self, text: str) -> str:
        return text  # empty has a meaning: nobody is trusted


class PermitObsoleteFolding(Flag):
    name = "permit_obsolete_folding"
    section = SECTION
    cli = ("--permit-obsolete-folding",)
    desc = """\
        Accept header fields continued on the next line (RFC 9112 5.2 calls this obsolete).

        Dangerous if a proxy in front reads them differently.
        """


class StripHeaderSpaces(Flag):
    name = "strip_header_spaces"
    section = SECTION
    cli = ("--strip-header-spaces",)
    desc = """\
        Accept spaces between the name of a header field and its colon.

        RFC 9112 5.1 forbids it, as it lets requests be smuggled past proxies.
        """


class PermitUnconventionalHTTPMethod(Flag):
    name = "permit_unconventional_http_method"
    section = SECTION
    cli = ("--permit-unconventional-http-method",)
    desc = """\
        Accept methods with lower-case letters or "#", or shorter than 3 or longer than 20.
        """


class PermitUnconventionalHTTPVersion(Flag):
    name = "permit_unconventional_http_version"
    section = SECTION
    cli = ("--permit-unconventional-http-version",)
    desc = """\
        Accept request lines with an HTTP version other than 1.x.
        """


class CasefoldHTTPMethod(Flag):
    name = "casefold_http_method"
    section = SECTION
    cli = ("--casefold-http-method",)
    desc = """\
        Turn methods into upper case.

        RFC 9110 9.1 says that methods are case-sensitive; this is for clients that do not know.
        """


class ForwarderHeaders(Setting):
    name = "forwarder_headers"
    section = SECTION
    cli = ("--forwarder-headers",)
    meta = "STRING"
    validator = validate_string_to_list
    default = "SCRIPT_NAME,PATH_INFO"
    desc = """\
        Field names with an underscore that a trusted proxy may send, separated by commas.

        In upper case, or * for all. The proxy must remove them from what its clients send.
        """


class HeaderMap(Setting):
    name = "header_map"
    section = SECTION
    cli = ("--header-map",)
    meta = "STRING"
    validator = validate_choice("drop", "refuse", "dangerous")
    default = "drop"
    desc = """\
        What happens to other field names with an underscore: drop, refuse or dangerous.

        In the environ they cannot be told from names with a hyphen, so that a client could forge
        what the application believes to come from the proxy. refuse answers with 400, dangerous
        hands them to the application.
        """
