"""Settings, section Server Mechanics: the process, its files and its rights.

The settings of this section about what HTTP is accepted are in `http_mechanics.py`.
"""

from __future__ import annotations

import os

from cyserve.config.core import Setting
from cyserve.config.kinds import Flag, Number, Text, Texts
from cyserve.config.validators import (
    auto_int,
    validate_bool,
    validate_chdir,
    validate_group,
    validate_user,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = (
    "Chdir",
    "Daemon",
    "Env",
    "Group",
    "Initgroups",
    "Paste",
    "PasteGlobalConf",
    "Pidfile",
    "PreloadApp",
    "PythonPath",
    "ReusePort",
    "Sendfile",
    "TmpUploadDir",
    "Umask",
    "User",
    "WorkerTmpDir",
)

SECTION = "Server Mechanics"


class PreloadApp(Flag):
    name = "preload_app"
    section = SECTION
    cli = ("--preload",)
    desc = """\
        Load the application in the master, before the workers are forked.

        Workers then share its memory and start at once. A reload (HUP) keeps the application that
        was loaded; USR2 starts a master that loads it anew.
        """


class Sendfile(Setting):
    name = "sendfile"
    section = SECTION
    cli = ("--no-sendfile",)
    validator = validate_bool
    action = "store_const"
    const = False
    default_text = "on"
    env = "SENDFILE"
    desc = """\
        Send files that the application returns with sendfile(2). On unless turned off.

        The environment variable SENDFILE decides if this is not set: y, 1, yes and true are on,
        everything else is off. (In gunicorn, sendfile = True turns it off.)
        """

    def from_env(self, text: str) -> Any:
        return None  # Config.sendfile looks there each time, as raw_env may have set it


class ReusePort(Flag):
    name = "reuse_port"
    section = SECTION
    cli = ("--reuse-port",)
    desc = """\
        Let each worker listen on a socket of its own, with SO_REUSEPORT.

        The kernel then shares out the connections. The master itself listens on nothing.
        """


class Chdir(Setting):
    name = "chdir"
    section = SECTION
    cli = ("--chdir",)
    meta = "DIR"
    validator = validate_chdir
    default = "."
    default_text = "the directory the server was started in"
    desc = """\
        Directory to work in, also the first place where the application is searched.
        """


class Daemon(Flag):
    name = "daemon"
    section = SECTION
    cli = ("-D", "--daemon")
    desc = """\
        Run in the background, detached from the terminal.
        """


class Env(Texts):
    name = "raw_env"
    section = SECTION
    cli = ("-e", "--env")
    meta = "NAME=VALUE"
    desc = """\
        Set an environment variable for the application, as NAME=VALUE. Repeatable.
        """


class Pidfile(Text):
    name = "pidfile"
    section = SECTION
    cli = ("-p", "--pid")
    meta = "FILE"
    default = None
    desc = """\
        File that holds the process id of the master while it runs.
        """


class WorkerTmpDir(Text):
    name = "worker_tmp_dir"
    section = SECTION
    cli = ("--worker-tmp-dir",)
    meta = "DIR"
    default = None
    desc = """\
        Not needed, accepted for configurations written for gunicorn.

        Workers show that they are alive in shared memory, not in a file.
        """


class User(Setting):
    name = "user"
    section = SECTION
    cli = ("-u", "--user")
    meta = "USER"
    validator = validate_user
    default = os.geteuid()
    default_text = "the user who starts the server"
    desc = """\
        Name or number of the user the workers run as.
        """


class Group(Setting):
    name = "group"
    section = SECTION
    cli = ("-g", "--group")
    meta = "GROUP"
    validator = validate_group
    default = os.getegid()
    default_text = "the group of who starts the server"
    desc = """\
        Name or number of the group the workers run as.
        """


class Umask(Number):
    name = "umask"
    section = SECTION
    cli = ("-m", "--umask")
    type = auto_int
    default = 0
    desc = """\
        Mode bits that files and unix sockets of the server do not get, like umask(2).

        On the command line 0x, 0o and a leading 0 (octal) are understood.
        """


class Initgroups(Flag):
    name = "initgroups"
    section = SECTION
    cli = ("--initgroups",)
    desc = """\
        Give the workers all groups of the user they run as, and the group of the setting group.
        """


class TmpUploadDir(Text):
    name = "tmp_upload_dir"
    section = SECTION
    default = None
    desc = """\
        Without effect, as in gunicorn; accepted for its configurations.
        """


class PythonPath(Text):
    name = "pythonpath"
    section = SECTION
    cli = ("--pythonpath",)
    default = None
    desc = """\
        Directories to search for Python modules first, separated by commas.
        """


class Paste(Text):
    name = "paste"
    section = SECTION
    cli = ("--paste", "--paster")
    default = None
    desc = """\
        Serve the application of a PasteDeploy file, as FILE or FILE#NAME.

        Needs the package PasteDeploy. A section [loggers] of the file sets up logging, unless
        logconfig names another file.
        """


class PasteGlobalConf(Texts):
    name = "raw_paste_global_conf"
    section = SECTION
    cli = ("--paste-global",)
    meta = "CONF"
    desc = """\
        Set a variable of the PasteDeploy file, as NAME=VALUE. Repeatable.

        A = in the name is written \\=.
        """
