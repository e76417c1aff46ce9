"""Settings, section Logging: where lines go and what they look like.

Declarations only: whether a file can be written or a level exists is found out by the logger.
"""

from __future__ import annotations

import sys

from cyserve.address import parse_address
from cyserve.config.core import Setting
from cyserve.config.kinds import Flag, Text
from cyserve.config.validators import validate_access_log_format, validate_class, validate_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = (
    "AccessLog",
    "AccessLogFormat",
    "BacklogMetric",
    "CaptureOutput",
    "DisableRedirectAccessToSyslog",
    "DogstatsdTags",
    "EnableStdioInheritance",
    "ErrorLog",
    "LogConfig",
    "LogConfigDict",
    "LogConfigJson",
    "LoggerClass",
    "Loglevel",
    "StatsdHost",
    "StatsdPrefix",
    "Syslog",
    "SyslogFacility",
    "SyslogPrefix",
    "SyslogTo",
    "validate_statsd_address",
)

SECTION = "Logging"

if sys.platform == "darwin":
    _SYSLOG = "unix:///var/run/syslog"
elif sys.platform.startswith(("freebsd", "dragonfly")):
    _SYSLOG = "unix:///var/run/log"
elif sys.platform.startswith("openbsd"):
    _SYSLOG = "unix:///dev/log"
else:
    _SYSLOG = "udp://localhost:514"


class AccessLog(Text):
    name = "accesslog"
    section = SECTION
    cli = ("--access-logfile",)
    meta = "FILE"
    default = None
    desc = """\
        File for one line per request; - is standard output. Without it there is no access log.
        """


class DisableRedirectAccessToSyslog(Flag):
    name = "disable_redirect_access_to_syslog"
    section = SECTION
    cli = ("--disable-redirect-access-to-syslog",)
    desc = """\
        Do not send the access log to syslog.
        """


class AccessLogFormat(Text):
    name = "access_log_format"
    section = SECTION
    cli = ("--access-logformat", "--access-log-format")
    validator = validate_access_log_format
    default = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
    desc = """\
        What a line of the access log looks like.

        ===========  ==================================================
        h            address of the client
        l            always -
        u            user of the Basic authorization
        t            time, [day/month/year:hour:minute:second zone]
        r            request line
        m, U, q, H   method, path, query, protocol
        s            status
        B, b         bytes of the body sent (b: - if unknown)
        f, a         referer, user agent
        T, M, D, L   time taken: seconds, milliseconds, microseconds,
                     seconds with six decimals
        p            process id
        {name}i      request header
        {name}o      response header
        {name}e      environ variable
        ===========  ==================================================

        "json" writes a JSON object per line instead, with the fields time (UTC), remote_addr,
        remote_user, method, target, protocol, status, bytes_sent, duration (seconds), referer,
        user_agent and pid. "json:FIELD,FIELD" chooses: there are also path, query, scheme, host,
        {name}i, {name}o and {name}e, and KEY=FIELD writes a field under another key. Numbers are
        numbers, what is absent is null, and no client can break out of its value.
        """


class ErrorLog(Text):
    name = "errorlog"
    section = SECTION
    cli = ("--error-logfile", "--log-file")
    meta = "FILE"
    default = "-"
    desc = """\
        File for errors and for what the server does; - is standard error.
        """


class Loglevel(Text):
    name = "loglevel"
    section = SECTION
    cli = ("--log-level",)
    meta = "LEVEL"
    default = "info"
    desc = """\
        Least important level in the error log: critical, error, warning, info or debug.
        """


class CaptureOutput(Flag):
    name = "capture_output"
    section = SECTION
    cli = ("--capture-output",)
    desc = """\
        Send what the application prints to the file of the error log.
        """


class LoggerClass(Setting):
    name = "logger_class"
    section = SECTION
    cli = ("--logger-class",)
    meta = "STRING"
    validator = validate_class
    default = "cyserve.glogging.Logger"
    desc = """\
        The class that writes the logs, as a dotted path or, in a config file, the class itself.
        """


class LogConfig(Text):
    name = "logconfig"
    section = SECTION
    cli = ("--log-config",)
    meta = "FILE"
    default = None
    desc = """\
        Configure logging from a file in the format of Python's logging.config.fileConfig.
        """


class LogConfigDict(Setting):
    name = "logconfig_dict"
    section = SECTION
    validator = validate_dict
    default: dict[str, object] = {}
    desc = """\
        Configure logging from a dict as Python's logging.config.dictConfig takes it.

        Its top-level keys replace those of the server's own configuration. It wins over
        logconfig_json, and that over logconfig.
        """


class LogConfigJson(Text):
    name = "logconfig_json"
    section = SECTION
    cli = ("--log-config-json",)
    meta = "FILE"
    default = None
    desc = """\
        Configure logging from a JSON file that holds what logconfig_dict would.
        """


class SyslogTo(Text):
    name = "syslog_addr"
    section = SECTION
    cli = ("--log-syslog-to",)
    meta = "SYSLOG_ADDR"
    default = _SYSLOG
    default_text = "udp://localhost:514; on macOS and the BSDs the system's unix socket"
    desc = """\
        Where syslog listens: unix://PATH#TYPE, udp://HOST:PORT or tcp://HOST:PORT.

        TYPE is stream or dgram; without it both are tried.
        """


class Syslog(Flag):
    name = "syslog"
    section = SECTION
    cli = ("--log-syslog",)
    desc = """\
        Send the logs to syslog.
        """


class SyslogPrefix(Text):
    name = "syslog_prefix"
    section = SECTION
    cli = ("--log-syslog-prefix",)
    meta = "SYSLOG_PREFIX"
    default = None
    desc = """\
        Program name in syslog lines, after "gunicorn."; without it the process name.
        """


class SyslogFacility(Text):
    name = "syslog_facility"
    section = SECTION
    cli = ("--log-syslog-facility",)
    meta = "SYSLOG_FACILITY"
    default = "user"
    desc = """\
        Syslog facility of the lines.
        """


class EnableStdioInheritance(Flag):
    name = "enable_stdio_inheritance"
    section = SECTION
    cli = ("-R", "--enable-stdio-inheritance")
    desc = """\
        In daemon mode, keep standard output and error if they are no terminal.

        Set PYTHONUNBUFFERED to see lines at once.
        """


def validate_statsd_address(val: Any) -> tuple[str, int] | str | None:
    """None, or where StatsD listens: HOST, HOST:PORT (8125) or unix://PATH."""
    allowed = "allowed are HOST, HOST:PORT and unix://PATH"
    if val is None:
        return None
    if not isinstance(val, str):
        raise TypeError(allowed)
    text = val.strip()
    scheme, colon, rest = text.partition(":")
    if scheme == "unix" and colon and not (rest.isascii() and rest.isdecimal()):
        return rest.removeprefix("//")
    try:  # `unix:8125` is a host of that name, as in gunicorn
        address = parse_address(f"tcp://{text}" if scheme == "unix" else text, default_port="8125")
    except RuntimeError:
        raise TypeError(allowed) from None
    if not isinstance(address, tuple):
        raise TypeError(allowed)
    return address


class StatsdHost(Setting):
    name = "statsd_host"
    section = SECTION
    cli = ("--statsd-host",)
    meta = "STATSD_ADDR"
    validator = validate_statsd_address
    default = None
    desc = """\
        Where a StatsD server listens, to send it metrics: HOST, HOST:PORT or unix://PATH.

        The default port is 8125. Metrics are gunicorn.requests, gunicorn.request.duration (ms),
        gunicorn.request.status.NNN, gunicorn.workers, gunicorn.log.critical, .error, .warning and
        .exception. It is the default logger_class that sends them; one that is down or slow costs
        nothing but the metrics.
        """


class DogstatsdTags(Text):
    name = "dogstatsd_tags"
    section = SECTION
    cli = ("--dogstatsd-tags",)
    meta = "DOGSTATSD_TAGS"
    default = ""
    desc = """\
        Tags that go with every metric sent to StatsD, separated by commas.
        """


class StatsdPrefix(Text):
    name = "statsd_prefix"
    section = SECTION
    cli = ("--statsd-prefix",)
    meta = "STATSD_PREFIX"
    default = ""
    desc = """\
        What the names of metrics sent to StatsD begin with; a dot is put behind it.
        """


class BacklogMetric(Flag):
    name = "enable_backlog_metric"
    section = SECTION
    cli = ("--enable-backlog-metric",)
    desc = """\
        Send StatsD how many connections wait to be accepted, on Linux.
        """
