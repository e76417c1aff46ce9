"""Settings, section Logging: where lines go and what they look like.

Declarations only: whether a file can be written or a level exists is found out by the logger.
"""

import sys

from cyserve.config.core import Setting
from cyserve.config.kinds import Flag, Text
from cyserve.config.validators import validate_access_log_format, validate_class, validate_dict

__all__ = (
    "AccessLog",
    "AccessLogFormat",
    "CaptureOutput",
    "DisableRedirectAccessToSyslog",
    "EnableStdioInheritance",
    "ErrorLog",
    "LogConfig",
    "LogConfigDict",
    "LogConfigJson",
    "LoggerClass",
    "Loglevel",
    "Syslog",
    "SyslogFacility",
    "SyslogPrefix",
    "SyslogTo",
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
