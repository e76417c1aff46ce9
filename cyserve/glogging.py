"""The server's two logs: `gunicorn.error` and `gunicorn.access`, set up from the settings.

Logger is what users subclass (`logger_class`), so its method names, class attributes and formats
are gunicorn's. Setting up is all or nothing: when a reload brings a configuration that does not
work, RuntimeError is raised and the old handlers go on.

May not be done here: knowing how an access line becomes text fast (access_log.py), deciding what
is worth logging, ending the process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from datetime import timedelta

from cyserve import access_log, log_config
from cyserve.access_writer import DirectAccessLog, Line
from cyserve.log_config import CONFIG_DEFAULTS
from cyserve.log_state import LoggingState, loggers
from cyserve.log_targets import (
    SYSLOG_FACILITIES,
    give_to,
    not_writable,
    open_file,
    parse_syslog_address,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

__all__ = (
    "CONFIG_DEFAULTS",
    "SYSLOG_FACILITIES",
    "Logger",
    "SafeAtoms",
    "loggers",
    "parse_syslog_address",
)


class SafeAtoms(dict[str, "Any"]):
    """The atoms of one access line; values cannot break out of it.

    atoms: atom name -> value. Quotes and control characters in text are escaped. Lookups of
    `{name}i`, `{name}o` and `{name}e` ignore case; what is not there reads `-`.
    """

    def __init__(self, atoms: Mapping[str, Any]) -> None:
        super().__init__(atoms)
        for key, value in atoms.items():
            if isinstance(value, str) and (not value.isprintable() or '"' in value):
                self[key] = access_log.escape(value)

    def __getitem__(self, key: str) -> Any:
        value = self.get(key.lower() if key[:1] == "{" else key, "-")
        return value if isinstance(value, str) else access_log.printable(value)


class Logger:
    """The server's logger; `logger_class` names it or a subclass.

    cfg: the settings (Config). Raises RuntimeError when the logs cannot be set up.
    """

    LOG_LEVELS = {
        "critical": logging.CRITICAL,
        "error": logging.ERROR,
        "warning": logging.WARNING,
        "info": logging.INFO,
        "debug": logging.DEBUG,
    }
    loglevel = logging.INFO

    error_fmt = r"%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
    datefmt = r"[%Y-%m-%d %H:%M:%S %z]"
    access_fmt = "%(message)s"
    syslog_fmt = "[%(process)d] %(message)s"

    atoms_wrapper_class: type = SafeAtoms

    # Stand in for what setup() sets, when a subclass replaces setup().
    _access_log_enabled: bool | None = None
    _line: Line | None = None

    def __init__(self, cfg: Any) -> None:
        self.error_log = logging.getLogger("gunicorn.error")
        self.error_log.propagate = False
        self.access_log = logging.getLogger("gunicorn.access")
        self.access_log.propagate = False
        self.error_handlers: list[logging.Handler] = []
        self.access_handlers: list[logging.Handler] = []
        self.logfile: TextIO | None = None
        self.lock = threading.Lock()
        self.cfg = cfg
        self._direct = DirectAccessLog(self.access_log, self.error)
        self._configured: list[logging.Handler] = []  # handlers that came from a logconfig
        self.setup(cfg)

    # -- setting up --

    def setup(self, cfg: Any) -> None:
        """Open the logs that `cfg` asks for; on a reload they replace those of the last time.

        Raises RuntimeError, with a text for the user, when that cannot be done; then nothing has
        changed.
        """
        attributes = dict(vars(self))
        state = LoggingState()
        try:
            self._configure(cfg)
        except BaseException:
            state.restore()
            vars(self).clear()
            vars(self).update(attributes)
            raise
        state.keep()
        # Makes the descriptor while there is one thread; the first line arms for good, so that
        # what hooks and the application override until then is seen.
        self._arm()
        self._direct.disarm()
        if cfg.statsd_host is not None and not hasattr(self, "increment"):
            self.warning(
                "statsd_host has no effect: the logger, %s, sends no metrics", type(self).__name__
            )

    def _configure(self, cfg: Any) -> None:
        self.cfg = cfg
        self.loglevel = self.LOG_LEVELS.get((cfg.loglevel or "").lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.access_log.setLevel(logging.INFO)
        for log in (self.error_log, self.access_log):
            log.propagate = False
            log.handlers[:] = [h for h in log.handlers if h not in self._configured]

        self._set_handler(
            self.error_log, cfg.errorlog, logging.Formatter(self.error_fmt, self.datefmt)
        )
        self._set_handler(
            self.access_log, cfg.accesslog, logging.Formatter(self.access_fmt), sys.stdout
        )
        if cfg.syslog:
            self._set_syslog_handler(self.error_log, cfg, self.syslog_fmt, "error")
            if not cfg.disable_redirect_access_to_syslog:
                self._set_syslog_handler(self.access_log, cfg, self.syslog_fmt, "access")

        before = {*self.error_log.handlers, *self.access_log.handlers}
        self._load_logconfig(cfg)
        after = {*self.error_log.handlers, *self.access_log.handlers}
        self._configured = [*(after - before)]
        self._access_log_enabled = self._compute_access_log_enabled()
        self._line = _compile(cfg.access_log_format)
        if cfg.capture_output and cfg.errorlog not in {None, "-"}:
            self._capture_output(cfg.errorlog)

    def _set_handler(
        self,
        log: logging.Logger,
        output: str | None,
        fmt: logging.Formatter,
        stream: TextIO | None = None,
    ) -> None:
        """Replace the handlers that setup() gave `log` by one for `output`.

        output: a path, `-` for `stream` (stderr when None), None for no handler at all.
        Raises RuntimeError when the file cannot be written.
        """
        log.handlers[:] = [h for h in log.handlers if not getattr(h, "_gunicorn", False)]
        if output is None:
            return
        handler: logging.Handler
        if output == "-":
            handler = logging.StreamHandler(stream)
        else:
            setting = "errorlog" if log is self.error_log else "accesslog"
            handler = open_file(output, setting)
            give_to(output, self.cfg.uid, self.cfg.gid)
        _attach(log, handler, fmt)

    def _set_syslog_handler(self, log: logging.Logger, cfg: Any, fmt: str, name: str) -> None:
        """Add a handler that sends the lines of `log` to the syslog target of `cfg`.

        name: `error` or `access`, part of the program name in each line.
        Raises RuntimeError when facility or address are wrong or nobody can be reached there.
        """
        try:
            facility = SYSLOG_FACILITIES[cfg.syslog_facility.lower()]
        except (KeyError, AttributeError):
            raise RuntimeError(
                f"syslog_facility = {cfg.syslog_facility!r}: unknown facility name, "
                f"allowed are {', '.join(SYSLOG_FACILITIES)}"
            ) from None
        setting = f"syslog_addr = {cfg.syslog_addr!r}"
        try:
            kind, address = parse_syslog_address(cfg.syslog_addr or "")
        except RuntimeError as exc:
            raise RuntimeError(f"{setting}: {exc}") from None
        try:
            from logging.handlers import SysLogHandler  # noqa: PLC0415 - it loads pickle

            handler = SysLogHandler(address, facility, kind)
        except OSError as exc:
            raise RuntimeError(f"{setting} can't be reached: {exc}") from exc
        prefix = cfg.syslog_prefix or cfg.proc_name.replace(":", ".")
        # A prefix is text, not format.
        program = f"gunicorn.{prefix}.{name}".replace("%", "%%")
        _attach(log, handler, logging.Formatter(f"{program}: {fmt}"))

    def _get_gunicorn_handler(self, log: logging.Logger) -> logging.Handler | None:
        """Return the first handler of `log` that setup() made."""
        return next((h for h in log.handlers if getattr(h, "_gunicorn", False)), None)

    def _load_logconfig(self, cfg: Any) -> None:
        """Apply logconfig_dict, else logconfig_json, else logconfig; errors as RuntimeError."""
        log_config.load(cfg, self.warning)

    def _capture_output(self, path: str) -> None:
        """Send what the process prints to stdout and stderr to the error log file."""
        path = os.path.abspath(path)
        try:
            logfile = open(path, "a+", encoding="utf-8", errors="backslashreplace")
        except OSError as exc:
            raise not_writable(f"errorlog = {path!r}", exc) from None
        with self.lock:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    stream.flush()
            os.dup2(logfile.fileno(), 1)
            os.dup2(logfile.fileno(), 2)
            old, self.logfile = self.logfile, logfile
        if old is not None:
            old.close()

    def _arm(self) -> None:
        """Let access lines skip the logging package if no part of this class is overridden."""
        if self._line is not None and self.is_stock():
            self._direct.arm(self._line)
        else:
            self._direct.disarm()

    def is_stock(self) -> bool:
        """Whether nothing is overridden that decides the text of an access line."""
        cls = type(self)
        return all(
            getattr(cls, name) is stock and name not in vars(self) for name, stock in _STOCK.items()
        )

    # -- the error log --

    def critical(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.critical(msg, *args, **kwargs)

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.error(msg, *args, **kwargs)

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.warning(msg, *args, **kwargs)

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.info(msg, *args, **kwargs)

    def debug(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.debug(msg, *args, **kwargs)

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.exception(msg, *args, **kwargs)

    def log(self, lvl: int | str, msg: object, *args: object, **kwargs: Any) -> None:
        """Log at a level given as number or name; a name that does not exist means info."""
        if isinstance(lvl, str):
            lvl = self.LOG_LEVELS.get(lvl.lower(), logging.INFO)
        self.error_log.log(lvl, msg, *args, **kwargs)

    # -- the access log --

    @property
    def access_wanted(self) -> bool:
        """Whether access() is to be called: a subclass's own, even without an access log."""
        return not self._has_stock_access() or self.access_log_enabled

    @property
    def direct_access(self) -> DirectAccessLog | None:
        """What may be asked first to write a line; None where access() is a subclass's own."""
        return self._direct if self._has_stock_access() else None

    def _has_stock_access(self) -> bool:
        return type(self).access is _STOCK_ACCESS and "access" not in vars(self)

    @property
    def access_log_enabled(self) -> bool:
        """Whether any setting asks for an access log. False: access() does nothing."""
        enabled = self._access_log_enabled
        return self._compute_access_log_enabled() if enabled is None else enabled

    def _compute_access_log_enabled(self) -> bool:
        cfg = self.cfg
        return bool(
            cfg.accesslog
            or cfg.logconfig
            or cfg.logconfig_dict
            or cfg.logconfig_json
            or (cfg.syslog and not cfg.disable_redirect_access_to_syslog)
        )

    def access(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta
    ) -> None:
        """Write the access line of one request. Never raises.

        resp: the response (status, sent, headers). req: the request, or its header fields.
        request_time: how long it took.
        """
        line = self._line
        if line is not None and self._direct.write(resp, req, environ, request_time):
            return
        if not self.access_log_enabled:
            return
        try:
            if access_log.is_json(self.cfg.access_log_format):
                self.access_log.info(self._json(resp, req, environ, request_time))
            else:
                atoms = self.atoms(resp, req, environ, request_time)
                self.access_log.info(self.cfg.access_log_format, self.atoms_wrapper_class(atoms))
        except Exception:
            self.error(traceback.format_exc())
        if line is not None and not self._direct.settled():
            self._arm()

    def _json(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta
    ) -> str:
        """The access line as JSON; a subclass with atoms of its own is asked for them."""
        from cyserve import access_json  # noqa: PLC0415 - rarely needed, and it loads json

        template, arguments = self.cfg.access_log_format, (resp, req, environ, request_time)
        if self.is_stock():
            return access_json.compile_json(template)(*arguments)
        atoms: Mapping[str, Any] = self.atoms(*arguments)
        if self.atoms_wrapper_class is not SafeAtoms:
            atoms = self.atoms_wrapper_class(atoms)
        return access_json.json_from_atoms(template, atoms, *arguments)

    def atoms(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta
    ) -> dict[str, Any]:
        """Return every atom of one access line, unescaped; see `access_log_format`."""
        seconds, micros = request_time.seconds, request_time.microseconds
        get = environ.get
        line = [str(get(key, "-")) for key in ("REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL")]
        atoms = {
            "h": get("REMOTE_ADDR", "-"),
            "l": "-",
            "u": self._get_user(environ) or "-",
            "t": self.now(),
            "r": " ".join(line) if line[0] != "-" else "-",
            "s": access_log.status_code(resp),
            "m": get("REQUEST_METHOD", "-"),
            "U": get("PATH_INFO", "-"),
            "q": get("QUERY_STRING", "-"),
            "H": get("SERVER_PROTOCOL", "-"),
            "b": "-" if resp.sent is None else str(resp.sent),
            "B": resp.sent,
            "f": get("HTTP_REFERER", "-"),
            "a": get("HTTP_USER_AGENT", "-"),
            "T": seconds,
            "D": seconds * 1_000_000 + micros,
            "M": seconds * 1000 + micros // 1000,
            "L": f"{seconds}.{micros:06d}",
            "p": f"<{os.getpid()}>",
        }
        for fields, kind in (
            (access_log.field_list(req), "i"),
            (access_log.field_list(resp), "o"),
            (environ.items(), "e"),
        ):
            atoms.update((f"{{{name.lower()}}}{kind}", value) for name, value in fields)
        return atoms

    def now(self) -> str:
        """Return the local time as the access log writes it."""
        return access_log.time_text(time.time())

    def _get_user(self, environ: Mapping[str, Any]) -> str | None:
        return access_log.basic_user(environ)

    # -- files --

    def write_left(self, lines: bytes) -> None:
        """Write access lines that a worker which has died had ready; none of it that has no end."""
        handler = self._get_gunicorn_handler(self.access_log)
        lines = lines[: lines.rfind(b"\n") + 1]
        if lines and isinstance(handler, logging.FileHandler):
            with contextlib.suppress(OSError, ValueError):
                stream: Any = handler.stream
                os.write(stream.fileno(), lines)

    def reopen_files(self) -> None:
        """Open every log file of the process anew (after it was moved away: USR1).

        A file that cannot be opened is reported in the error log and the old one is kept.
        """
        if self.logfile is not None:
            try:
                self._capture_output(self.logfile.name)
            except RuntimeError as exc:
                self.error("%s", exc)
        for log in loggers():
            for handler in log.handlers:
                if isinstance(handler, logging.FileHandler):
                    self._reopen(handler)
        if self._direct.armed:
            self._arm()

    def _reopen(self, handler: logging.FileHandler) -> None:
        handler.acquire()
        try:
            old = handler.stream
            if old is None:  # opens by itself when it is next used
                return
            handler.stream = handler._open()
            with contextlib.suppress(OSError, ValueError):
                old.close()
            if hasattr(handler, "_gunicorn"):  # else the workers could not open it in their turn
                give_to(handler.baseFilename, self.cfg.uid, self.cfg.gid)
        except OSError as exc:
            self.error("%s", not_writable(f"Log file {handler.baseFilename!r}", exc))
        finally:
            handler.release()

    def close_on_exec(self) -> None:
        """Keep log files from leaking into programs that the process starts."""
        for log in loggers():
            for handler in log.handlers:
                if isinstance(handler, logging.FileHandler) and handler.stream is not None:
                    os.set_inheritable(handler.stream.fileno(), False)


# What decides the text of an access line; overriding any of it turns the short way off.
_STOCK_ACCESS = Logger.access
_STOCK = {name: vars(Logger)[name] for name in ("_get_user", "atoms", "atoms_wrapper_class", "now")}


def _compile(template: str | None) -> Line | None:
    """The function that makes the access line of a format, with its line end, if there is one."""
    if access_log.is_json(template):
        from cyserve import access_json  # noqa: PLC0415 - as above

        return access_json.compile_json(str(template), "\n")
    return access_log.compile_format(f"{template}\n")


def _attach(log: logging.Logger, handler: logging.Handler, fmt: logging.Formatter) -> None:
    handler.setFormatter(fmt)
    handler._gunicorn = True  # type: ignore[attr-defined]  # the mark that others look for
    log.addHandler(handler)
