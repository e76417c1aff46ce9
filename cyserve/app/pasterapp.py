"""PasteDeploy: its applications served by us, and we as the server that its files ask for.

`get_wsgi_app` loads an application for `--paste`; `serve` is what `use = egg:cyserve#main` in a
[server:...] section leads to. How such files are read is the business of the package PasteDeploy,
which is loaded only when it is needed.
"""

import importlib.util
from collections.abc import Mapping
from configparser import ConfigParser
from typing import Any

from cyserve import gunicorn_alias
from cyserve.app.base import Application
from cyserve.config import get_default_config_file
from cyserve.config.core import APPLICATION
from cyserve.errors import ConfigError

__all__ = ("check_paste", "get_wsgi_app", "has_logging_config", "serve")


def get_wsgi_app(
    config_uri: str, name: str | None = None, defaults: Mapping[str, str] | None = None
) -> Any:
    """The WSGI application of a PasteDeploy file.

    config_uri: path of the file, or `config:PATH`; either may end in `#NAME`.
    name: which of its applications; the one in the URI, or else `main`, if None.
    defaults: variables of the file.

    Raises whatever PasteDeploy raises: OSError, LookupError, errors of the application.
    """
    from paste.deploy import loadapp  # noqa: PLC0415 - see above

    if ":" not in config_uri:
        config_uri = f"config:{config_uri}"
    return loadapp(config_uri, name=name, relative_to=".", global_conf=dict(defaults or {}))


def has_logging_config(config_file: str) -> bool:
    """Whether the file has a section [loggers], so that it can be used as `logconfig`."""
    parser = ConfigParser(interpolation=None)
    parser.read([config_file])
    return parser.has_section("loggers")


def check_paste() -> None:
    """Raise ConfigError, one line, if PasteDeploy is not installed."""
    try:
        found = importlib.util.find_spec("paste.deploy")
    except ModuleNotFoundError:  # there is no `paste` at all
        found = None
    if found is None:
        raise ConfigError("the package PasteDeploy is not installed: pip install 'cyserve[paste]'")


class PasterServerApplication(Application):
    """Serves what PasteDeploy has loaded, with the settings of the section of the server.

    A config file is read first: the one that `config` names, or the one in the current directory.
    Neither command line nor environment is looked at, they are those of another program.
    """

    def __init__(
        self, app: Any, global_conf: Mapping[str, str] | None, local_conf: Mapping[str, Any]
    ) -> None:
        self.app = app
        self.ini: str | None = (global_conf or {}).get("__file__")
        self.local_conf = dict(local_conf)
        super().__init__()

    def load_config(self) -> None:
        if self.ini is not None:
            self._apply(APPLICATION, "default_proc_name", self.ini)
            if has_logging_config(self.ini):
                self._apply(APPLICATION, "logconfig", self.ini)
        settings = dict(self.local_conf)
        gunicorn_alias.install()  # before the config file runs
        self.chdir()
        location = settings.pop("config", None) or get_default_config_file()
        if location:
            self.load_config_from_file(location)
        if addresses := _addresses(settings.pop("host", ""), settings.pop("port", "")):
            settings.setdefault("bind", addresses)
        for name, value in settings.items():
            self._apply(self.ini or "server section", name, value)
        if not self.cfg.gunicorn_alias:
            gunicorn_alias.uninstall()
        self.chdir()

    def load(self) -> Any:
        return self.app


def _addresses(hosts: str, port: str) -> list[str]:
    """What `host` and `port` of a section ask for: addresses for `bind`; none if neither is set."""
    names = [host.strip() for host in hosts.split(",") if host.strip()]
    if not str(port).strip():
        return names
    return [
        f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
        for host in names or ["127.0.0.1"]
    ]


def serve(app: Any, global_conf: Mapping[str, str] | None, **local_conf: Any) -> None:
    """Serve until told to stop; the `paste.server_runner` called `main`.

    app: the WSGI application.
    global_conf: variables of the PasteDeploy file; `__file__` is its path.
    local_conf: `host` and `port`, or a list of addresses in `host` alone; `config`, a config file;
        everything else is a setting. What the section says wins over the config file.

    Does not return: the master exits the process, with 1 if a setting cannot be used.
    """
    PasterServerApplication(app, global_conf, local_conf).run()
