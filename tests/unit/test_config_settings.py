"""Whether the declarations are complete; the compat tests compare them with gunicorn's."""

import os

import pytest

from cyserve import config
from cyserve.importer import get_arity

NEW = {
    "boot_timeout": 0,
    "client_body_buffer_size": 65536,
    "client_body_timeout": 60,
    "client_header_timeout": 30,
    "client_max_body_size": 0,
    "gunicorn_alias": True,
    "postpone_output": 131072,
    "request_timeout": 0,
    "send_timeout": 60,
    "ssl_handshake_timeout": 60,
    "tcp_defer_accept": 1,
}
NEW_FLAGS = {"gunicorn_alias": "--no-gunicorn-alias"}


def test_defaults_that_depend_on_the_process(clean_env):
    cfg = config.Config()
    assert (cfg.user, cfg.group) == (cfg.uid, cfg.gid) == (os.geteuid(), os.getegid())
    assert cfg.chdir == os.getcwd()


@pytest.mark.parametrize(("name", "default"), NEW.items())
def test_settings_beyond_gunicorn(clean_env, name, default):
    setting = config.Config().settings[name]
    assert setting.get() == default
    assert setting.cli == (NEW_FLAGS.get(name, f"--{name.replace('_', '-')}"),)


@pytest.mark.parametrize("declared", config.KNOWN_SETTINGS, ids=lambda s: s.name)
def test_declaration_is_complete(declared):
    """What the command line and the documentation are made of is there."""
    assert getattr(config, declared.__name__) is declared
    assert declared.section
    assert declared.short.endswith((".", ")."))
    assert len(declared.short) <= 92  # fits on a line of the source
    assert declared.desc.startswith(declared.short)
    if declared.cli and declared.action is None:
        assert declared.meta


def test_hooks_take_what_gunicorn_passes(clean_env):
    arities = {
        name: get_arity(setting.default)
        for name, setting in config.Config().settings.items()
        if setting.section == "Server Hooks"
    }
    assert arities == {
        "on_starting": 1,
        "on_reload": 1,
        "when_ready": 1,
        "pre_fork": 2,
        "post_fork": 2,
        "post_worker_init": 1,
        "worker_int": 1,
        "worker_abort": 1,
        "pre_exec": 1,
        "pre_request": 2,
        "post_request": 4,
        "child_exit": 2,
        "worker_exit": 2,
        "nworkers_changed": 3,
        "on_exit": 1,
        "ssl_context": 2,
    }


def test_an_unset_hook_is_recognised_by_identity(clean_env):
    settings = config.Config().settings
    for name in ("pre_request", "post_request"):
        assert settings[name].get() is settings[name].default


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        ([], None),
        (["--proxy-protocol"], "auto"),
        (["--proxy-protocol", "V1"], "V1"),
        (["--proxy-protocol=v2"], "v2"),
    ],
)
def test_the_flag_of_proxy_protocol_needs_no_value(clean_env, arguments, mode):
    assert config.Config().parser().parse_args(arguments).proxy_protocol == mode


def test_tls_is_on_if_there_is_a_certificate_or_a_key(clean_env):
    cfg = config.Config()
    assert not cfg.is_ssl
    cfg.set("keyfile", " key.pem ")
    assert cfg.is_ssl == "key.pem"
    cfg.set("certfile", "cert.pem")
    assert cfg.is_ssl == "cert.pem"
    assert cfg.ssl_options == {
        "keyfile": "key.pem",
        "certfile": "cert.pem",
        "ssl_version": 2,
        "cert_reqs": 0,
        "ca_certs": None,
        "suppress_ragged_eofs": True,
        "do_handshake_on_connect": False,
        "ciphers": None,
    }


def test_ssl_version_is_ignored_with_a_warning(clean_env, capsys):
    import ssl

    cfg = config.Config()
    cfg.set("ssl_version", ssl.PROTOCOL_TLS)
    assert capsys.readouterr().err == ""
    cfg.set("ssl_version", "TLSv1_2")
    assert cfg.ssl_version == "TLSv1_2"
    assert capsys.readouterr().err == (
        "Warning: option `ssl_version` is deprecated and it is ignored. Use ssl_context instead.\n"
    )


@pytest.mark.parametrize(("value", "kept"), [("1", 1), ("0x2", 2), (True, 1), (0, 0)])
def test_cert_reqs(clean_env, value, kept):
    cfg = config.Config()
    cfg.set("cert_reqs", value)
    assert cfg.cert_reqs == kept


@pytest.mark.parametrize("value", [3, "7", -1, None, "x"])
def test_cert_reqs_that_mean_nothing(clean_env, value):
    with pytest.raises((TypeError, ValueError), match="cert_reqs = "):
        config.Config().set("cert_reqs", value)
