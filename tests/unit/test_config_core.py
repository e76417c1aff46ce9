"""Setting, the registry and Config: reading, setting, messages, derived values."""

import copy
import pickle
from argparse import ArgumentParser
from ipaddress import ip_network

import pytest

from cyserve import config
from cyserve.config import Config, Setting
from cyserve.config.kinds import Number
from cyserve.config.misspelt import misspelt
from cyserve.errors import ConfigError

pytestmark = pytest.mark.usefixtures("clean_env")


def test_reading_and_setting():
    cfg = Config()
    cfg.set("workers", "0x4")
    assert cfg.workers == cfg.settings["workers"].get() == cfg.settings["workers"].value == 4


def test_attributes_cannot_be_assigned():
    cfg = Config()
    with pytest.raises(AttributeError, match="Invalid access!"):
        cfg.workers = 3
    cfg.extra = 3  # what is no setting is an ordinary attribute
    assert cfg.extra == 3


def test_unknown_name():
    cfg = Config()
    for use in (lambda: cfg.nothing, lambda: cfg.set("nothing", 1)):
        with pytest.raises(AttributeError, match="No configuration setting for: nothing"):
            use()


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("workers", "x", ValueError, "workers = 'x': allowed is a whole number, 0 or more"),
        ("workers", None, TypeError, "workers = None: allowed is a whole number, 0 or more"),
        ("user", "no-such", ConfigError, "user = 'no-such': no such user"),
        ("header_map", "keep", ValueError, "header_map = 'keep': allowed are drop, refuse, danger"),
    ],
)
def test_bad_value_names_setting_value_and_what_is_allowed(name, value, error, message):
    cfg = Config()
    before = cfg.settings[name].get()
    with pytest.raises(error) as caught:
        cfg.set(name, value)
    assert str(caught.value).startswith(message)
    assert cfg.settings[name].get() == before


def test_message_is_one_short_line_whatever_the_value():
    with pytest.raises(ValueError, match="header_map") as caught:
        Config().set("header_map", "a\nb" * 500)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_two_configs_share_nothing():
    one, other = Config(), Config()
    one.set("bind", "127.0.0.1:1")
    one.raw_env.append("A=1")
    one.secure_scheme_headers["X"] = "y"
    assert other.bind == ["127.0.0.1:8000"]
    assert other.raw_env == []
    assert "X" not in other.secure_scheme_headers


def test_copies():
    cfg = Config()
    cfg.set("workers", 3)
    twin = cfg.settings["workers"].copy()
    twin.set(5)
    assert (cfg.workers, twin.get()) == (3, 5)
    assert copy.copy(cfg).workers == 3
    assert pickle.loads(pickle.dumps(Config(prog="p"))).prog == "p"


def test_environment_gives_defaults(monkeypatch):
    monkeypatch.setenv("PORT", "5000")
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1,*")
    cfg = Config()
    assert (cfg.bind, cfg.workers) == (["0.0.0.0:5000"], 3)
    assert cfg.forwarded_allow_ips == ["10.0.0.1", "*"]


def test_empty_environment_variables(monkeypatch):
    for name in ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"):
        monkeypatch.setenv(name, "")
    cfg = Config()
    assert (cfg.bind, cfg.workers) == (["127.0.0.1:8000"], 1)
    assert cfg.forwarded_allow_ips == []  # trust nobody: that one has a meaning


def test_bad_environment_variable_is_named(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "abc")
    with pytest.raises(ValueError, match=r"WEB_CONCURRENCY: workers = 'abc': allowed"):
        Config()


@pytest.mark.parametrize(
    ("text", "on"),
    [("y", True), ("1", True), ("YES", True), ("true", True), ("0", False), ("", False)],
)
def test_sendfile_follows_the_environment_until_it_is_set(monkeypatch, text, on):
    cfg = Config()
    assert cfg.sendfile is True
    monkeypatch.setenv("SENDFILE", text)
    assert cfg.sendfile is on
    cfg.set("sendfile", True)  # in gunicorn this turns it off
    assert cfg.sendfile is True
    cfg.set("sendfile", False)
    assert cfg.sendfile is False


@pytest.mark.parametrize(
    ("worker_class", "threads", "name"),
    [
        ("sync", 1, "sync"),
        ("sync", 2, "gthread"),
        ("cyserve.workers.sync.SyncWorker", 2, "gthread"),
        ("my.Worker", 2, "my.Worker"),
        (dict, 2, "dict"),
    ],
)
def test_name_of_the_worker_class(worker_class, threads, name):
    cfg = Config()
    cfg.set("worker_class", worker_class)
    cfg.set("threads", threads)
    assert cfg.worker_class_str == name


class Installed:
    """Stands for a worker or logger class of a user."""

    calls: list[str] = []

    @classmethod
    def setup(cls):
        cls.calls.append("setup")

    @classmethod
    def install(cls):
        cls.calls.append("install")


def test_worker_and_logger_classes_are_set_up(monkeypatch):
    monkeypatch.setattr(Installed, "calls", [])
    cfg = Config()
    cfg.set("worker_class", Installed)
    cfg.set("logger_class", Installed)
    assert cfg.worker_class is Installed
    assert cfg.logger_class is Installed
    assert Installed.calls == ["setup", "install"]


@pytest.mark.parametrize("uri", ["simple", "gunicorn.glogging.Logger", "cyserve.glogging.Logger"])
def test_names_of_the_default_logger(uri):
    from cyserve.glogging import Logger

    cfg = Config()
    cfg.set("logger_class", uri)
    assert cfg.logger_class is Logger


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"worker_class": "asgi"}, r"worker_class = 'asgi': this version of cyserve does not"),
        (
            {"worker_class": "gunicorn.workers.gasgi.ASGIWorker"},
            r"does not have the worker class asgi yet; it has sync",
        ),
        ({"worker_class": "nosuch"}, r"worker_class = 'nosuch': cyserve has no worker class of"),
        (
            {"http_protocols": "h1,h2"},
            r"http_protocols = \['h1', 'h2'\]: this version of cyserve does",
        ),
        ({"http2_cleartext": "both"}, r"http2_cleartext = 'both': .* does not have HTTP/2"),
        ({"protocol": " uwsgi"}, r"protocol = 'uwsgi': .* does not have the uwsgi protocol"),
        ({"dirty_apps": ["a:B"], "dirty_workers": 1}, r"dirty_apps = \['a:B'\]: .* dirty workers"),
        ({"control_socket": "/x"}, r"control_socket = '/x': .* does not have a control socket"),
        ({"bind": ["h:x"]}, r"bind = 'h:x': 'x' is not a valid port number"),
        ({"raw_env": ["A"]}, r"raw_env: environment setting 'A' invalid; allowed is NAME=VALUE"),
        ({"raw_env": ["=1"]}, r"raw_env: environment setting '=1' invalid"),
    ],
)
def test_validate_refuses(settings, message):
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    with pytest.raises((ConfigError, RuntimeError), match=message):
        cfg.validate()


@pytest.mark.parametrize(
    "settings",
    [
        {"http_protocols": "h1"},
        {"http2_cleartext": False},
        {"http2_max_frame_size": 20000},
        {"protocol": "anything"},
        {"dirty_apps": ["a:B"]},
        {"dirty_workers": 1},
        {"control_socket": "/x", "control_socket_disable": True},
        {"control_socket": None},
        {"control_socket_mode": 0o660},
        {"asgi_loop": "uvloop", "root_path": "/x"},
    ],
    ids=str,
)
def test_validate_accepts_what_does_not_use_a_missing_feature(settings):
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    cfg.validate()


def test_validate_accepts_the_defaults_and_foreign_workers():
    cfg = Config()
    cfg.validate()
    cfg.set("worker_class", "uvicorn_worker.UvicornWorker")
    cfg.validate()


def test_derived_values():
    cfg = Config()
    cfg.set("bind", ["127.0.0.1:1", "unix:/run/x"])
    cfg.set("raw_env", ["A=1=2", "B="])
    assert cfg.address == [("127.0.0.1", 1), "/run/x"]
    assert cfg.env == {"A": "1=2", "B": ""}
    assert not cfg.is_ssl
    assert cfg.proc_name == "cyserve"
    cfg.set("default_proc_name", "app:app")
    assert cfg.proc_name == "app:app"
    cfg.set("proc_name", "shop")
    assert cfg.proc_name == "shop"


@pytest.mark.parametrize("who", ["forwarded", "proxy"])
def test_allowed_networks_follow_the_setting(who):
    cfg = Config()
    networks = getattr(cfg, f"{who}_allow_networks")
    assert networks() == [ip_network("127.0.0.1"), ip_network("::1")]
    assert networks() is networks()
    cfg.set(f"{who}_allow_ips", "10.0.0.0/8,*")
    assert networks() == [ip_network("10.0.0.0/8")]


def test_the_two_lists_of_allowed_networks_are_apart():
    cfg = Config()
    cfg.set("proxy_allow_ips", "10.0.0.0/8")
    assert cfg.forwarded_allow_networks() == [ip_network("127.0.0.1"), ip_network("::1")]
    assert cfg.proxy_allow_networks() == [ip_network("10.0.0.0/8")]


def test_config_prints_every_setting_aligned():
    lines = str(Config()).splitlines()
    assert [line.split(" = ")[0].rstrip() for line in lines] == sorted(Config().settings)
    assert len({line.index(" = ") for line in lines}) == 1
    assert "pre_fork                           = <Prefork.pre_fork()>" in lines


@pytest.fixture
def registry(monkeypatch):
    """A registry of which additions are forgotten."""
    monkeypatch.setattr(config.core, "KNOWN_SETTINGS", config.KNOWN_SETTINGS.copy())
    return config.core.KNOWN_SETTINGS


def test_a_declaration_is_all_a_new_setting_needs(registry, monkeypatch):
    """As third parties do it: the class alone puts it on the command line and into Config."""

    class Shelves(Number):
        name = "shelves"
        section = "Library"
        cli = ["--shelves"]
        default = 3
        env = "SHELVES"
        desc = """\
            How many shelves there are; 100% pine.

            More words.
            """

    assert registry[-1] is Shelves
    assert Shelves.short == "How many shelves there are; 100% pine."
    assert Shelves.desc.endswith("More words.")
    cfg = Config()
    assert cfg.shelves == 3
    assert cfg.parser().parse_args(["--shelves", "5"]).shelves == 5
    assert "100% pine. [3; env SHELVES]" in " ".join(cfg.parser().format_help().split())
    monkeypatch.setenv("SHELVES", "8")
    assert Config().shelves == 8


def test_a_validator_may_be_a_method_like_function(registry):
    class Plain(Setting):
        name = "plain"
        default = "x"

        def validator(val):
            return val * 2

    assert Config().plain == "xx"


def test_a_type_is_a_method_as_in_gunicorn(registry):
    class Mode(Setting):
        name = "mode"
        cli = ["--mode"]
        validator = config.validate_pos_int
        type = config.auto_int
        default = 0

    assert Config().parser().parse_args(["--mode", "017"]).mode == 0o17


def test_a_setting_may_be_declared_anew(registry):
    class FewWorkers(config.Workers):
        default = 2

    class Chosen(Setting):
        name = "threads"
        validator = config.validate_pos_int
        default = 7

    cfg = Config()
    assert (cfg.workers, cfg.threads) == (2, 7)
    assert cfg.parser().parse_args(["-w", "3"]).workers == 3


def test_a_config_may_be_built_in_another_way(monkeypatch):
    """As a third party does it: without the attributes that the base class may add later."""
    monkeypatch.setenv("WEB_CONCURRENCY", "3")

    class Other(Config):
        def __init__(self):
            self.settings = config.make_settings(ignore=["daemon"])

    cfg = Other()
    assert cfg.workers == 3
    assert not hasattr(cfg, "daemon")
    assert (cfg.prog, cfg.usage) == ("cyserve", None)
    assert cfg.forwarded_allow_networks() == [ip_network("127.0.0.1"), ip_network("::1")]
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "-w 4")
    assert cfg.parse_args_from_env().workers == 4
    cfg.validate()


def test_values_say_where_they_came_from(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    cfg = Config()
    cfg.set("timeout", 5)
    cfg.settings["threads"].set(2)
    names = ("backlog", "workers", "timeout", "threads")
    assert [cfg.settings[name].source for name in names] == [
        "default",
        "environment variable WEB_CONCURRENCY",
        "application",
        "application",
    ]
    assert str(cfg).splitlines() == [
        line.partition("  # ")[0] for line in cfg.listing().split("\n")
    ]


def test_make_settings_leaves_out_what_is_ignored():
    assert config.make_settings().keys() - config.make_settings(["bind", "user"]).keys() == {
        "bind",
        "user",
    }


def test_settings_sort_within_their_section():
    settings = Config().settings
    assert settings["bind"] < settings["backlog"]
    assert not settings["backlog"] < settings["bind"]
    assert not settings["bind"] < settings["workers"]


def test_options_can_be_added_to_a_foreign_parser():
    parser = ArgumentParser()
    Config().settings["workers"].add_option(parser)
    assert parser.parse_args(["-w", "2"]).workers == 2


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["-b", "a:1", "-b", "b:2"], {"bind": ["a:1", "b:2"]}),
        (["--no-sendfile"], {"sendfile": False}),
        (["--preload", "-D"], {"preload_app": True, "daemon": True}),
        (["-m", "022"], {"umask": 18}),
        (["--log-file", "x"], {"errorlog": "x"}),
        (["--work", "3"], None),
        (["--worker-conn", "3"], {"worker_connections": 3}),
        (["--client-header-timeout", "1.5"], {"client_header_timeout": 1.5}),
        ([], {}),
    ],
)
def test_command_line(args, expected, capsys):
    parser = Config().parser()
    if expected is None:  # several flags begin like this
        with pytest.raises(SystemExit):
            parser.parse_args(args)
        return
    found = vars(parser.parse_args(args))
    assert {k: v for k, v in found.items() if v is not None and k != "args"} == expected


def test_misspelt_suspects_only_plain_values_near_a_setting():
    names = {
        "wokers": 3,
        "keep_alive": 5,
        "log_level": "info",
        "preload": True,
        "bindd": ["x"],
        "workerz": print,
        "WORKER": 3,
        "_workers": 3,
        "port": 8000,
        "host": "h",
        "name": "shop",
        "cores": 4,
        "max_workers": 4,
        "access_log_dir": "/var/log",
        "timeouts": 35,
        "env": "production",
        "pid": 3,
        "keyfiles": None,
        "secure_scheme_header": {},
        "postfork": lambda server, worker: None,
        "pre_exe": "text",
        "when_readi": lambda: None,
        "log_config": {},
        "backlogs": "many",
        "log_file": "/var/log/x",
        "access_logfile": "/var/log/x",
        "accesslog": "/var/log/x",
    }
    assert misspelt(names, Config().settings) == {
        "wokers": "workers",
        "keep_alive": "keepalive",
        "log_level": "loglevel",
        "preload": "preload_app",
        "bindd": "bind",
        "timeouts": "timeout",
        "secure_scheme_header": "secure_scheme_headers",
        "postfork": "post_fork",
        "log_file": "errorlog",
        "backlogs": "backlog",
    }


def test_make_settings_may_be_given_one_name():
    """As django-rungunicorn does."""
    missing = config.make_settings().keys() - config.make_settings("pythonpath").keys()
    assert missing == {"pythonpath"}
