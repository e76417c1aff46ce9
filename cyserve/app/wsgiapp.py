"""The application behind the command line: `cyserve [OPTIONS] [APP_MODULE]`.

It says which application is served and imports it when asked; where settings come from is decided
in `cyserve.app.base`, how an application is found in `cyserve.importer`.
"""

from argparse import ArgumentParser, Namespace
from typing import Any

from cyserve.app.base import Application
from cyserve.errors import ConfigError
from cyserve.importer import import_app

__all__ = ("WSGIApplication", "run")


class WSGIApplication(Application):
    """Serves the WSGI application named on the command line or by the setting `wsgi_app`."""

    app_uri: str | None = None

    def init(self, parser: ArgumentParser, opts: Namespace, args: list[str]) -> None:
        """Take the application's name from the command line; others after it are ignored."""
        self.app_uri = args[0] if args else None
        if self.app_uri is not None:
            self._apply("command line", "default_proc_name", self.app_uri)

    def load_config(self) -> None:
        """Load the settings. Raises ConfigError if no application is named anywhere."""
        super().load_config()
        if self.app_uri is None:
            self.app_uri = self.cfg.wsgi_app
        if not self.app_uri:
            raise ConfigError("No application module specified.")

    def load_wsgiapp(self) -> Any:
        """Import the application. Raises AppImportError or what its module raises."""
        return import_app(str(self.app_uri))

    def load(self) -> Any:
        return self.load_wsgiapp()


def run(prog: str | None = None) -> None:
    """Run the command line `cyserve`.

    prog: name of the program for --help and --version.
    """
    WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog=prog).run()


if __name__ == "__main__":
    run()
