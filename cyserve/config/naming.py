"""Settings, section Process Naming: what ps and top show.

Declarations only; the title itself is made by `cyserve.process`.
"""

from cyserve.config.kinds import Text

__all__ = ("DefaultProcName", "Procname")

SECTION = "Process Naming"


class Procname(Text):
    name = "proc_name"
    section = SECTION
    cli = ("-n", "--name")
    default = None
    desc = """\
        Name shown in the process titles, if the package setproctitle is installed.

        It tells several servers on one machine apart in ps and top. Without it the name of the
        application is shown.
        """


class DefaultProcName(Text):
    name = "default_proc_name"
    section = SECTION
    default = "cyserve"
    desc = """\
        The name for process titles when proc_name is not set.

        The command line sets it to the name of the application.
        """
