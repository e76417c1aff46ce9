"""The application behind the command line: `cyserve [OPTIONS] [APP_MODULE]`.

It says which application is served and imports it when asked; where settings come from is decided
in `cyserve.app.base`, how an application is found in `cyserve.importer` and, if it is one of
PasteDeploy's, in `cyserve.app.pasterapp`.
"""

from __future__ import annotations

import os

from cyserve.app.base import Application
from cyserve.config.core import APPLICATION, DEFAULT
from cyserve.errors import ConfigError
from cyserve.importer import import_app
from cyserve.paths import launch_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

__all__ = ("WSGIApplication", "run")


class WSGIApplication(Application):
    """Serves the WSGI application named on the command line or by the setting `wsgi_app`."""

    app_uri: str | None = None
    #: What the setting `paste` names, if that is what is served: the absolute path and `#NAME`.
    paste_uri: str | None = None

    def init(self, parser: ArgumentParser, opts: Namespace, args: list[str]) -> None:
        """Take the application's name from the command line; others after it are ignored."""
        self.app_uri = self.paste_uri = None
        if opts.paste is not None:
            self._use_paste(opts.paste)
        elif args:
            self.app_uri = args[0]
            self._apply("command line", "default_proc_name", self.app_uri)

    def _ignores_parser(self) -> bool:
        return type(self).init is WSGIApplication.init

    def load_config(self) -> None:
        """Load the settings. Raises ConfigError if no application is named anywhere."""
        super().load_config()
        if self.app_uri is None and self.paste_uri is None:
            self.app_uri = self.cfg.wsgi_app
            if not self.app_uri and self.cfg.paste:
                self._use_paste(self.cfg.paste)
        if not (self.app_uri or self.paste_uri):
            raise ConfigError("No application module specified.")

    def _use_paste(self, uri: str) -> None:
        """Serve the application of a PasteDeploy file; settings that others have set stay."""
        path, separator, name = uri.partition("#")
        path = os.path.normpath(os.path.join(launch_directory(), path))
        if not os.path.isfile(path):
            raise ConfigError(f"paste = {uri!r}: there is no file {path!r}")
        from cyserve.app import pasterapp  # noqa: PLC0415 - rarely needed

        pasterapp.check_paste()
        self.paste_uri = path + separator + name
        self.code_files = [path]
        derived = {"default_proc_name": path}
        if pasterapp.has_logging_config(path):
            derived["logconfig"] = path
        for setting, value in derived.items():
            if self.cfg.settings[setting].source == DEFAULT:
                self._apply(APPLICATION, setting, value)

    def load_wsgiapp(self) -> Any:
        """Import the application. Raises AppImportError or what its module raises."""
        return import_app(str(self.app_uri))

    def load_pasteapp(self) -> Any:
        """Load the application of the PasteDeploy file."""
        from cyserve.app import pasterapp  # noqa: PLC0415 - rarely needed

        return pasterapp.get_wsgi_app(str(self.paste_uri), defaults=self.cfg.paste_global_conf)

    def load(self) -> Any:
        return self.load_wsgiapp() if self.paste_uri is None else self.load_pasteapp()


def run(prog: str | None = None) -> None:
    """Run the command line `cyserve`.

    prog: name of the program for --help and --version.
    """
    WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog=prog).run()


if __name__ == "__main__":
    run()
