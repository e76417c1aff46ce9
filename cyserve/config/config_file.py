"""Settings, section Config File: where settings and the application are found.

The files are only named here; `cyserve.app.base` reads them.
"""

import os

from cyserve.config.core import Setting
from cyserve.config.kinds import Text
from cyserve.config.toml_file import PYPROJECT, has_settings
from cyserve.config.validators import validate_bool
from cyserve.paths import launch_directory

__all__ = ("ConfigFile", "GunicornAlias", "WSGIApp", "get_default_config_file")

SECTION = "Config File"


def get_default_config_file() -> str | None:
    """Path of the config file that is read when none is named; None: there is none.

    The first one there of cyserve.conf.py, pyproject.toml with the table [tool.cyserve], and
    gunicorn.conf.py, in the directory the server was started in.
    """
    for name in ("cyserve.conf.py", PYPROJECT, "gunicorn.conf.py"):
        path = os.path.join(launch_directory(), name)
        if has_settings(path) if name == PYPROJECT else os.path.exists(path):
            return path
    return None


class ConfigFile(Text):
    name = "config"
    section = SECTION
    cli = ("-c", "--config")
    meta = "CONFIG"
    default = "./gunicorn.conf.py"
    desc = """\
        Where the settings are read from: a path, file:PATH or python:MODULE.

        The file is Python code; each of its names that is the name of a setting sets it. A file
        whose name ends in .toml is TOML: its keys are names of settings, and nothing else may be
        there; hooks and classes are dotted paths, found from chdir and pythonpath as well. Of a
        pyproject.toml only the table [tool.cyserve] is meant. Before Python 3.11 TOML needs the
        extra cyserve[toml].

        Without this setting one file in the directory the server was started in is read, the
        first of: cyserve.conf.py, a pyproject.toml with the table [tool.cyserve],
        gunicorn.conf.py. It is no error if there is none. The file is read again on SIGHUP.
        """


class WSGIApp(Text):
    name = "wsgi_app"
    section = SECTION
    default = None
    desc = """\
        The application to serve if the command line names none, as MODULE:NAME.

        NAME can be left out (application) or be a call with literal arguments, as in
        myproject.wsgi:create_app("production").
        """


class GunicornAlias(Setting):
    name = "gunicorn_alias"
    section = SECTION
    cli = ("--no-gunicorn-alias",)
    validator = validate_bool
    action = "store_const"
    const = False
    default = True
    desc = """\
        Let `import gunicorn` give cyserve's own modules, in this server's processes. On by default.

        What was written for gunicorn (a custom logger, a worker class, the types in a config file)
        then works unchanged, whether gunicorn is installed or not. A real gunicorn that has been
        imported before is left alone. Turned off in the config file itself, it ends after
        that file; the flag, or $CYSERVE_CMD_ARGS, turns it off from the beginning.
        """
