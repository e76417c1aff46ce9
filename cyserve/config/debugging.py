"""Settings, section Debugging: look at the configuration instead of serving.

Declarations only; `cyserve.app.base` acts on them.
"""

from cyserve.config.kinds import Flag

__all__ = ("ConfigCheck", "PrintConfig")

SECTION = "Debugging"


class ConfigCheck(Flag):
    name = "check_config"
    section = SECTION
    cli = ("--check-config",)
    desc = """\
        Load the settings and the application, then exit: 0 if both are good, else 1.

        Nothing is bound and no process is started.
        """


class PrintConfig(Flag):
    name = "print_config"
    section = SECTION
    cli = ("--print-config",)
    desc = """\
        Print every setting with its final value, then do what --check-config does.
        """
