"""The short way to read a command line gives what the parser gives, or nothing."""

import logging
import subprocess
import sys
from typing import Any

import pytest

from cyserve.app.wsgiapp import WSGIApplication
from cyserve.config import Config, Setting
from cyserve.config.core import KNOWN_SETTINGS

PLAIN = [
    [],
    ["app:app"],
    ["app:app", "other"],
    ["-w", "3", "app:app"],
    ["app:app", "-w", "3", "--preload"],
    ["--bind=a:1", "-b", "b:2", "--bind", "c:3", "app:app"],
    ["--access-logfile", "-", "--umask", "022", "--timeout", "30", "app"],
    ["--access-logformat", "%(h)s = x", "--no-sendfile", "app"],
    ["-e", "A=b=c", "--env=D=e", "app"],
    ["", "app"],
]

#: Whether right or wrong: the parser has to look at these.
OTHER = [
    ["-h"],
    ["--version"],
    ["--", "app"],
    ["--worker", "3"],  # ambiguous
    ["--work", "3"],
    ["-w3", "app"],
    ["-w=3", "app"],
    ["-w"],
    ["-w", "-3"],
    ["-w", "x"],
    ["--bind=", "app"],
    ["--preload=yes"],
    ["--no-such", "app"],
    ["app", "-w", "3", "other"],
    ["--proxy-protocol", "app"],
    ["--proxy-protocol=v1", "app"],
]


@pytest.mark.parametrize("words", PLAIN, ids=" ".join)
def test_plain_arguments_are_read_as_the_parser_reads_them(words: list[str]) -> None:
    cfg = Config()
    plain = cfg.plain_args(words)
    assert plain is not None
    assert vars(plain) == vars(cfg.parser().parse_args(words))


@pytest.mark.parametrize("words", OTHER, ids=" ".join)
def test_what_is_not_plain_is_left_to_the_parser(words: list[str]) -> None:
    assert Config().plain_args(words) is None


@pytest.mark.parametrize("declared", KNOWN_SETTINGS, ids=lambda s: str(s.name))
def test_every_flag_is_read_alike(declared: type[Setting]) -> None:
    cfg = Config()
    for flag in declared.cli or ():
        for words in ([flag], [flag, "1"], [f"{flag}=1"], [flag, "app:app", "1"]):
            plain = cfg.plain_args(words)
            if plain is not None:
                assert vars(plain) == vars(cfg.parser().parse_args(words)), words


def test_settings_and_parsers_of_users_have_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Config):
        def parser(self) -> Any:
            return super().parser()

    assert Own().plain_args(["app"]) is None

    cfg = Config()
    other = type("Shelves", (type(cfg.settings["workers"]),), {"__module__": "shop", "name": None})
    cfg.settings["shelves"] = other()
    assert cfg.plain_args(["app"]) is None

    class Program(WSGIApplication):
        def init(self, parser: Any, opts: Any, args: list[str]) -> None:
            self.seen = parser
            super().init(parser, opts, args)

    monkeypatch.setattr(sys, "argv", ["program", "app:app"])
    assert "--workers" in Program().seen.format_help()


@pytest.mark.parametrize("name", ["handlers", "config"])
def test_parts_of_logging_are_there_for_who_only_imports_logging(name: str) -> None:
    code = (
        "import logging, cyserve.glogging, sys\n"
        f"assert 'logging.{name}' not in sys.modules\n"
        f"print(logging.{name}.__name__, hasattr(logging, 'other'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == (f"logging.{name} False\n", "")
    assert not hasattr(logging, "other")
