"""What a setting is, the registry of all settings, and Config, which holds their values.

A setting is one class with its name, flags, kind, default, environment variable and meaning.
The command line, the config file, --help and --print-config are derived from it; a new setting
needs no line anywhere else. Nothing here knows a particular setting by name, except the derived
values at the end of Config.
"""

import os
import shlex
from argparse import SUPPRESS, Action, ArgumentParser, Namespace
from collections.abc import Iterable
from textwrap import dedent
from types import FunctionType
from typing import TYPE_CHECKING, Any, NoReturn

from cyserve.address import Address, parse_address
from cyserve.config.absent import is_absent_flag, unknown_setting
from cyserve.errors import ConfigError
from cyserve.importer import load_class, worker_path

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

__all__ = ("KNOWN_SETTINGS", "Config", "Setting", "make_settings")

#: Every declared setting, in the order of declaration.
KNOWN_SETTINGS: list[type["Setting"]] = []

#: Environment variables with command line arguments: the first one that is set is read.
CMD_ARGS_VARIABLES = ("CYSERVE_CMD_ARGS", "GUNICORN_CMD_ARGS")


class Setting:
    """One setting. Declaring a subclass with a `name` is all it takes to add one.

    name       as in a config file and as attribute of Config
    section    heading under which --help and the documentation show it
    cli        flags; none: not on the command line
    validator  takes a value from any source, returns it in its normal form, or raises ValueError
               or TypeError with a text that says what is allowed
    type, meta, action, nargs, const
               as in argparse (`meta` is its metavar)
    default    value when no source gives one
    env        environment variable that replaces the default
    desc       what it means; the first line is the short form
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
    env: str | None = None
    desc: str | None = None
    short: str | None = None
    order: int = -1
    value: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__
        for attribute in ("validator", "type"):  # plain functions, not methods
            if isinstance(own.get(attribute), FunctionType):
                setattr(cls, attribute, staticmethod(own[attribute]))
        if own.get("desc"):
            cls.desc = dedent(own["desc"]).strip()
            cls.short = cls.desc.splitlines()[0]
        if cls.name is not None:
            cls.order = len(KNOWN_SETTINGS)
            KNOWN_SETTINGS.append(cls)

    def __init__(self) -> None:
        if self.default is not None:
            self.set(self.default)

    def __lt__(self, other: "Setting") -> bool:
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

    def copy(self) -> "Setting":
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

    def from_env(self, text: str) -> Any:
        """The value that the text of the environment variable stands for; None: no value."""
        return text or None


def make_settings(ignore: Iterable[str] | None = None) -> dict[str, Setting]:
    """Fresh settings with their defaults, by name, without those in `ignore`."""
    ignored = set(ignore or ())
    return {str(s.name): s() for s in KNOWN_SETTINGS if s.name not in ignored}


def shown(value: Any) -> str:
    """A value as error messages show it: one line, not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


class CommandLine(ArgumentParser):
    """An argument parser whose complaint is one line; `source` says where the arguments are."""

    source = ""

    def error(self, message: str) -> NoReturn:
        for word in message.split():
            flag = word.partition("=")[0]
            if is_absent_flag(flag):
                message = f"{flag}: this version of cyserve does not have it"
        self.exit(2, f"Error: {self.source}{message} (see {self.prog} --help)\n")


class _Version(Action):
    """-v: the version and which kernel runs; looked up only when asked for."""

    def __call__(self, parser: ArgumentParser, *args: Any) -> NoReturn:
        # A kernel that cannot be loaded must not break the import of the settings.
        from cyserve import __version__, _accel  # noqa: PLC0415

        print(f"{parser.prog} (version {__version__}, {_accel.implementation()})")
        parser.exit()


class Config:
    """All settings of a server and the values derived from them.

    usage: usage line for --help.
    prog: name of the program for --help and --version.

    `cfg.NAME` reads a value, `cfg.set(NAME, value)` checks and stores one, `cfg.settings[NAME]` is
    the Setting. Raises ValueError or TypeError if an environment variable has a bad value.
    """

    settings: dict[str, Setting]

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.settings = make_settings()
        self.usage = usage
        self.prog = prog or "cyserve"
        self.env_orig = os.environ.copy()
        self._networks: dict[str, tuple[list[str], list[IPv4Network | IPv6Network]]] = {}
        for name, setting in self.settings.items():
            if setting.env is None or setting.env not in os.environ:
                continue
            value = setting.from_env(os.environ[setting.env])
            if value is not None:
                self._set(name, value, f"environment variable {setting.env}: ")

    def __str__(self) -> str:
        width = max(map(len, self.settings))
        return "\n".join(
            f"{name:{width}} = {_printable(self.settings[name].get())}"
            for name in sorted(self.settings)
        )

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

        Raises AttributeError for a name that is no setting, ConfigError for a setting of gunicorn
        that this version does not have, and ValueError, TypeError or ConfigError, naming the
        setting, the value and what is allowed, for a bad value.
        """
        self._set(name, value, "")

    def _set(self, name: str, value: Any, source: str) -> None:
        setting = self.settings.get(name)
        if setting is None:
            raise unknown_setting(name)
        try:
            setting.set(value)
        except (ConfigError, TypeError, ValueError) as exc:
            kind = next(k for k in (ConfigError, TypeError, ValueError) if isinstance(exc, k))
            message = f"{source}{name} = {shown(value)}: {exc}"
            raise kind(message) from exc.__cause__

    def parser(self) -> "CommandLine":
        """An argument parser with a flag for every setting that has one."""
        parser = CommandLine(usage=self.usage, prog=self.prog)
        parser.add_argument(
            "-v",
            "--version",
            action=_Version,
            nargs=0,
            default=SUPPRESS,
            help="show the version and which kernel runs, and exit",
        )
        parser.add_argument("args", nargs="*", help=SUPPRESS)
        groups: dict[str, Any] = {}
        for setting in sorted(self.settings.values(), key=lambda s: s.order):
            title = setting.section or "Other"
            if setting.cli and title not in groups:
                groups[title] = parser.add_argument_group(title)
            setting.add_option(groups.get(title))
        return parser

    @property
    def args_variable(self) -> str:
        """The environment variable that may hold command line arguments."""
        return next((v for v in CMD_ARGS_VARIABLES if v in self.env_orig), CMD_ARGS_VARIABLES[0])

    def get_cmd_args_from_env(self) -> list[str]:
        """The arguments in that variable, split like a shell does. Raises ConfigError."""
        try:
            return shlex.split(self.env_orig.get(self.args_variable, ""))
        except ValueError as exc:
            raise ConfigError(f"{self.args_variable}: {exc}") from None

    def parse_args_from_env(self) -> Namespace:
        """The same, parsed. Exits with 2, as for the command line, if they cannot be."""
        parser = self.parser()
        parser.source = f"{self.args_variable}: "
        return parser.parse_args(self.get_cmd_args_from_env())

    def validate(self) -> None:
        """Check what only all settings together can tell. Raises ConfigError or RuntimeError."""
        self.address  # noqa: B018
        self.env  # noqa: B018
        asked = self.settings["worker_class"].get()
        if isinstance(asked, str):
            try:
                worker_path(self.worker_class_str)
            except LookupError as exc:
                raise ConfigError(f"worker_class = {shown(asked)}: {exc}") from None

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
        """The logger class, installed. Raises RuntimeError if it cannot be loaded."""
        uri = self.settings["logger_class"].get()
        found = load_class(uri, default="cyserve.glogging.Logger", section="gunicorn.loggers")
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

    def forwarded_allow_networks(self) -> "list[IPv4Network | IPv6Network]":
        """The networks of `forwarded_allow_ips`, without `*`."""
        return self._networks_of("forwarded_allow_ips")

    def proxy_allow_networks(self) -> "list[IPv4Network | IPv6Network]":
        """The networks of `proxy_allow_ips`, without `*`."""
        return self._networks_of("proxy_allow_ips")

    def _networks_of(self, name: str) -> "list[IPv4Network | IPv6Network]":
        texts = self.settings[name].get()
        if name not in self._networks or self._networks[name][0] is not texts:
            from ipaddress import ip_network  # noqa: PLC0415 - rarely needed

            self._networks[name] = texts, [ip_network(text) for text in texts if text != "*"]
        return self._networks[name][1]


def _printable(value: Any) -> str:
    """A value as --print-config shows it; callables by their qualified name."""
    if callable(value):
        return f"<{getattr(value, '__qualname__', type(value).__qualname__)}()>"
    return str(value)
