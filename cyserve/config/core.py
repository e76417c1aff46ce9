"""What a setting is, the registry of all settings, and Config, which holds their values.

A setting is one class with its name, flags, kind, default, environment variable and meaning.
The command line, the config file, --help and --print-config are derived from it; a new setting
needs no line anywhere else. Nothing here knows a particular setting by name, except the derived
values at the end of Config.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from textwrap import dedent
from types import FunctionType, SimpleNamespace

from cyserve.address import Address, parse_address
from cyserve.errors import ConfigError
from cyserve.importer import load_class, worker_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from ipaddress import IPv4Network, IPv6Network
    from typing import Any

    from cyserve.config.parser import CommandLine

__all__ = ("KNOWN_SETTINGS", "Config", "Setting", "SettingMeta", "make_settings")

#: Every declared setting, in the order of declaration.
KNOWN_SETTINGS: list[type[Setting]] = []

#: Sources of a value that nobody can look at to correct it.
DEFAULT = "default"
APPLICATION = "application"

#: Environment variables with command line arguments: the first one that is set is read.
CMD_ARGS_VARIABLES = ("CYSERVE_CMD_ARGS", "GUNICORN_CMD_ARGS")


class _Words:
    """The `desc` of a class, freed of its indentation when somebody reads it: few do."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __get__(self, instance: Any, owner: Any) -> str:
        return dedent(self.text).strip()


class _FirstLine(_Words):
    """The `short` of a class: the first line of its `desc`."""

    def __init__(self, words: _Words) -> None:
        super().__init__(words.text)

    def __get__(self, instance: Any, owner: Any) -> str:
        return super().__get__(instance, owner).splitlines()[0]


class Setting:
    """One setting. Declaring a subclass with a `name` is all it takes to add one.

    name       as in a config file and as attribute of Config
    section    heading under which --help and the documentation show it
    cli        flags; none: not on the command line
    validator  takes a value from any source, returns it in its normal form, or raises ValueError
               or TypeError with a text that says what is allowed
    type, meta, action, nargs, const
               as in argparse (`meta` is its metavar); a plain function as `type` is a method
    default    value when no source gives one
    default_text
               the default in words, where it depends on the machine or on more than the value
    env        environment variable that replaces the default
    desc       what it means; the first line is the short form

    `source` says where the value of an instance came from, as --print-config shows it.
    """

    name: str | None = None
    section: str | None = None
    cli: Iterable[str] | None = None
    validator: Any = None
    type: Any = None
    meta: str | None = None
    action: str | None = None
    nargs: int | str | None = None
    const: Any = None
    default: Any = None
    default_text: str | None = None
    env: str | None = None
    desc: str | None = None
    short: str | None = None
    order: int = -1
    value: Any = None
    source: str = DEFAULT

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__
        if isinstance(own.get("validator"), FunctionType):  # a plain function, not a method
            cls.validator = staticmethod(own["validator"])
        if own.get("desc"):
            words = _Words(own["desc"])
            cls.desc = words  # type: ignore[assignment]
            cls.short = _FirstLine(words)  # type: ignore[assignment]
        if cls.name is not None:
            cls.order = len(KNOWN_SETTINGS)
            KNOWN_SETTINGS.append(cls)

    def __init__(self) -> None:
        if self.default is not None:
            self.set(self.default)
        self.source = DEFAULT
        text = os.environ.get(self.env) if self.env else None
        if text is not None and (value := self.from_env(text)) is not None:
            source = f"environment variable {self.env}"
            try:
                self.set(value)
            except (ConfigError, TypeError, ValueError) as exc:
                raise _restated(exc, f"{source}: {self.name}", value) from exc.__cause__
            self.source = source

    def __lt__(self, other: Setting) -> bool:
        return self.section == other.section and self.order < other.order

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} = {self.value!r}>"

    def add_option(self, parser: Any) -> None:
        """Add the setting to an argparse parser or group, if it has flags."""
        if not self.cli:
            return
        shown = self.short or ""
        value = self.get()
        note = ", ".join(value) if isinstance(value, list) else f"{value}"
        if self.env:
            note += f"; env {self.env}"
        options: dict[str, Any] = {
            "dest": self.name,
            "action": self.action or "store",
            "help": f"{shown} [{note}]".replace("%", "%%"),
        }
        if options["action"] in {"store", "append"}:
            options["type"] = self.type or str
            options["metavar"] = self.meta
            options["nargs"] = self.nargs
        if self.const is not None:
            options["const"] = self.const
        given = {key: option for key, option in options.items() if option is not None}
        parser.add_argument(*self.cli, **given, default=None)  # None: not on the command line

    def copy(self) -> Setting:
        """A second setting with the same value."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def get(self) -> Any:
        """The value."""
        return self.value

    def set(self, val: Any) -> None:
        """Check a value and keep its normal form. Raises what the validator raises."""
        if not callable(self.validator):
            raise TypeError(f"the setting {self.name} has no validator")
        self.value = self.validator(val)
        self.source = APPLICATION

    def from_env(self, text: str) -> Any:
        """The value that the text of the environment variable stands for; None: no value."""
        return text or None

    def missing(self, cfg: Config) -> str | None:
        """What the value asks for and this version of cyserve does not have; None: nothing.

        cfg: all settings, as the value alone may not tell.

        The server does not start with such a value. For features of gunicorn that come later.
        """
        return None


#: gunicorn's name for the class of Setting.
SettingMeta = type(Setting)


def make_settings(ignore: Iterable[str] | None = None) -> dict[str, Setting]:
    """Fresh settings with their defaults, by name, without those in `ignore` (or named by it)."""
    ignored = {ignore} if isinstance(ignore, str) else set(ignore or ())
    return {str(s.name): s() for s in KNOWN_SETTINGS if s.name not in ignored}


def shown(value: Any) -> str:
    """A value as error messages show it: one line, not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _restated(exc: Exception, name: str, value: Any) -> Exception:
    """The same error with the setting's name and the value before its text."""
    kind = next(k for k in (ConfigError, TypeError, ValueError) if isinstance(exc, k))
    return kind(f"{name} = {shown(value)}: {exc}")


#: Settings whose derived value may turn out to be impossible.
_DERIVED = (("bind", "address"), ("raw_env", "env"), ("raw_paste_global_conf", "paste_global_conf"))


class Config:
    """All settings of a server and the values derived from them.

    usage: usage line for --help.
    prog: name of the program for --help and --version.

    `cfg.NAME` reads a value, `cfg.set(NAME, value)` checks and stores one, `cfg.settings[NAME]` is
    the Setting. Raises ValueError or TypeError if an environment variable has a bad value.
    """

    settings: dict[str, Setting]
    usage: str | None = None
    prog: str = "cyserve"
    env_orig: Mapping[str, str] = os.environ

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        # Subclasses exist that do the same here without calling this: no more state than that.
        self.settings = make_settings()
        self.usage = usage
        self.prog = prog or "cyserve"
        self.env_orig = os.environ.copy()

    def __str__(self) -> str:
        return "\n".join(line for line, _ in self._lines())

    def listing(self) -> str:
        """What --print-config shows: a line for each setting, with where its value came from."""
        return "\n".join(f"{line}  # {source}" for line, source in self._lines())

    def _lines(self) -> list[tuple[str, str]]:
        width = max(map(len, self.settings))
        return [
            (f"{name:{width}} = {_printable(setting.get())}", setting.source)
            for name, setting in sorted(self.settings.items())
        ]

    def __getattr__(self, name: str) -> Any:
        settings = self.__dict__.get("settings")
        if settings is None or name not in settings:
            raise AttributeError(f"No configuration setting for: {name}")
        return settings[name].get()

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "settings" and name in self.__dict__.get("settings", ()):
            raise AttributeError("Invalid access!")
        super().__setattr__(name, value)

    def set(self, name: str, value: Any) -> None:
        """Check and store a value.

        Raises AttributeError for a name that is no setting, and ValueError, TypeError or
        ConfigError, naming the setting, the value and what is allowed, for a bad value.
        """
        setting = self.settings.get(name)
        if setting is None:
            raise AttributeError(f"No configuration setting for: {name}")
        try:
            setting.set(value)
        except (ConfigError, TypeError, ValueError) as exc:
            raise _restated(exc, name, value) from exc.__cause__

    def parser(self) -> CommandLine:
        """An argument parser with a flag for every setting that has one."""
        from cyserve.config.parser import make  # noqa: PLC0415 - most command lines are plain

        return make(self.settings.values(), self.usage, self.prog)

    def plain_args(self, words: Sequence[str]) -> SimpleNamespace | None:
        """What the parser would make of these arguments, without it; None if that is needed."""
        from cyserve.config.command_line import usual  # noqa: PLC0415 - it derives from this

        return usual(words, self.settings) if type(self).parser is Config.parser else None

    @property
    def args_variable(self) -> str:
        """The environment variable that may hold command line arguments."""
        return next((v for v in CMD_ARGS_VARIABLES if v in self.env_orig), CMD_ARGS_VARIABLES[0])

    def get_cmd_args_from_env(self) -> list[str]:
        """The arguments in that variable, split like a shell does. Raises ConfigError."""
        text = self.env_orig.get(self.args_variable, "")
        if not text:
            return []
        import shlex  # noqa: PLC0415 - rarely needed

        try:
            return shlex.split(text)
        except ValueError as exc:
            raise ConfigError(f"${self.args_variable}: {exc}") from None

    def parse_args_from_env(self) -> Namespace | SimpleNamespace:
        """The same, parsed. Exits with 2, as for the command line, if they cannot be."""
        words = self.get_cmd_args_from_env()
        plain = self.plain_args(words)
        if plain is not None:
            return plain
        parser = self.parser()
        parser.source = f"${self.args_variable}: "
        return parser.parse_args(words)

    def validate(self) -> None:
        """Check what single settings cannot, in one line each. Raises ConfigError.

        Refuses what asks for a feature that this version does not have.
        """
        for name, derived in _DERIVED:
            try:
                getattr(self, derived)
            except RuntimeError as exc:
                raise ConfigError(f"{self._origin(name)}{exc}") from None
        for name, setting in self.settings.items():
            feature = setting.missing(self)
            if feature is not None:
                raise ConfigError(
                    f"{self._origin(name)}{name} = {shown(setting.get())}: "
                    f"this version of cyserve does not have {feature}"
                )
        asked = self.settings["worker_class"].get()
        if isinstance(asked, str):
            try:
                worker_path(self.worker_class_str)
            except LookupError as exc:
                prefix = f"{self._origin('worker_class')}worker_class = {shown(asked)}"
                raise ConfigError(f"{prefix}: {exc}") from None

    def _origin(self, name: str) -> str:
        """What messages begin with: where the value came from, if that was not a program."""
        source = self.settings[name].source
        return "" if source in {DEFAULT, APPLICATION} else f"{source}: "

    # Values derived from settings.

    @property
    def worker_class_str(self) -> str:
        """Name of the worker class for logs. More than one thread turns sync into gthread."""
        uri = self.settings["worker_class"].get()
        if isinstance(uri, type):
            return uri.__name__
        if self.threads > 1 and (uri == "sync" or uri.endswith("SyncWorker")):
            return "gthread"
        return str(uri)

    @property
    def worker_class(self) -> Any:
        """The worker class, set up. Raises RuntimeError if it cannot be loaded."""
        uri = self.settings["worker_class"].get()
        found = load_class(uri if isinstance(uri, type) else self.worker_class_str)
        if hasattr(found, "setup"):
            found.setup()
        return found

    @property
    def logger_class(self) -> Any:
        """The logger class, installed; the default one counts if there is a `statsd_host`.

        Raises RuntimeError if it cannot be loaded.
        """
        uri = self.settings["logger_class"].get()
        default = "cyserve.glogging.Logger"
        if self.statsd_host is not None:
            default = "cyserve.instrument.statsd.Statsd"
            if uri in {"cyserve.glogging.Logger", "gunicorn.glogging.Logger"}:
                uri = default
        found = load_class(uri, default=default, section="gunicorn.loggers")
        if hasattr(found, "install"):
            found.install()
        return found

    @property
    def address(self) -> list[Address]:
        """The parsed `bind` addresses. Raises RuntimeError for one that cannot be parsed."""
        parsed = []
        for text in self.bind:
            try:
                parsed.append(parse_address(text))
            except RuntimeError as exc:
                raise RuntimeError(f"bind = {shown(text)}: {exc}") from None
        return parsed

    @property
    def reuse_port(self) -> bool:
        """Whether each worker binds its own sockets; it cannot if there is a unix socket."""
        wanted = bool(self.settings["reuse_port"].get())
        return wanted and not any(isinstance(address, str) for address in self.address)

    @property
    def uid(self) -> int:
        """User id of the workers."""
        return int(self.settings["user"].get())

    @property
    def gid(self) -> int:
        """Group id of the workers."""
        return int(self.settings["group"].get())

    @property
    def proc_name(self) -> str:
        """Base of the process titles."""
        return str(self.settings["proc_name"].get() or self.settings["default_proc_name"].get())

    @property
    def sendfile(self) -> bool:
        """Whether files are sent by sendfile(2): as set, else as $SENDFILE says now, else yes."""
        asked: bool | None = self.settings["sendfile"].get()
        if asked is not None:
            return asked
        return os.environ.get("SENDFILE", "true").lower() in {"y", "1", "yes", "true"}

    @property
    def is_ssl(self) -> str | None:
        """Whether the listeners speak TLS: the certificate's or key's path, if there is one."""
        return self.certfile or self.keyfile or None

    @property
    def ssl_options(self) -> dict[str, Any]:
        """The settings of section SSL by name."""
        return {
            name: setting.get()
            for name, setting in self.settings.items()
            if setting.section == "SSL"
        }

    @property
    def env(self) -> dict[str, str]:
        """The environment variables of `raw_env`. Raises RuntimeError for one without `=`."""
        pairs: dict[str, str] = {}
        for text in self.raw_env:
            name, separator, value = text.partition("=")
            if not separator or not name:
                raise RuntimeError(
                    f"raw_env: environment setting {shown(text)} invalid; allowed is NAME=VALUE"
                )
            pairs[name] = value
        return pairs

    @property
    def paste_global_conf(self) -> dict[str, str]:
        r"""The variables of `raw_paste_global_conf`; `\=` is a = that does not end the name.

        Raises RuntimeError for one without `=`.
        """
        pairs: dict[str, str] = {}
        for text in self.raw_paste_global_conf:
            name, *value = re.split(r"(?<!\\)=", text, maxsplit=1)
            if not value:
                raise RuntimeError(
                    f"raw_paste_global_conf: {shown(text)} invalid; allowed is NAME=VALUE"
                )
            pairs[name.replace(r"\=", "=")] = value[0].replace(r"\=", "=")
        return pairs

    def forwarded_allow_networks(self) -> list[IPv4Network | IPv6Network]:
        """The networks of `forwarded_allow_ips`, without `*`."""
        return self._networks_of("forwarded_allow_ips")

    def proxy_allow_networks(self) -> list[IPv4Network | IPv6Network]:
        """The networks of `proxy_allow_ips`, without `*`."""
        return self._networks_of("proxy_allow_ips")

    def _networks_of(self, name: str) -> list[IPv4Network | IPv6Network]:
        texts = self.settings[name].get()
        known: dict[str, Any] = self.__dict__.setdefault("_networks", {})
        if name not in known or known[name][0] is not texts:
            from ipaddress import ip_network  # noqa: PLC0415 - rarely needed

            known[name] = texts, [ip_network(text) for text in texts if text != "*"]
        networks: list[IPv4Network | IPv6Network] = known[name][1]
        return networks


def _printable(value: Any) -> str:
    """A value as --print-config shows it; callables by their qualified name."""
    if callable(value):
        return f"<{getattr(value, '__qualname__', type(value).__qualname__)}()>"
    return str(value)
