"""Certificates: what is wrong with them is said in a line, and new ones are taken up."""

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from http_helpers import Log
from tls_helpers import make_files

import cyserve
from cyserve import certificates, signals, sock
from cyserve.config import Config
from cyserve.errors import ConfigError

pytestmark = pytest.mark.usefixtures("clean_env")


@pytest.fixture
def files(tmp_path):
    return make_files(tmp_path)


def conf(**changes):
    cfg = Config()
    for name, value in changes.items():
        cfg.set(name, str(value) if isinstance(value, Path) else value)
    return cfg


def good(files, **changes):
    return conf(certfile=files.cert, keyfile=files.key, **changes)


def test_defaults_of_the_context(files):
    context = sock.ssl_context(good(files))
    assert context.protocol == ssl.PROTOCOL_TLS_SERVER
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.maximum_version == ssl.TLSVersion.MAXIMUM_SUPPORTED
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert not context.options & ssl.OP_NO_TICKET
    assert context.verify_mode == ssl.CERT_NONE


def test_settings_reach_the_context(files):
    cfg = good(files, cert_reqs=ssl.CERT_OPTIONAL, ca_certs=files.ca, ciphers="ECDHE+AESGCM")
    context = sock.ssl_context(cfg)
    assert context.verify_mode == ssl.CERT_OPTIONAL
    assert len(context.get_ca_certs()) == 1
    names = {c["name"] for c in context.get_ciphers() if c["protocol"] == "TLSv1.2"}
    assert names
    assert all("ECDHE" in name and "GCM" in name for name in names)


def test_a_key_in_the_certificate_file(files):
    files.cert.write_bytes(files.key.read_bytes() + files.cert.read_bytes())
    assert sock.ssl_context(conf(certfile=files.cert))


def test_the_hook_gets_settings_and_factory(files):
    cfg = good(files)
    seen = []

    def hook(config, factory):
        seen.append(config)
        context = factory()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    cfg.set("ssl_context", hook)
    assert sock.ssl_context(cfg).minimum_version == ssl.TLSVersion.TLSv1_3
    assert seen == [cfg]


def test_a_hook_that_returns_nothing(files):
    def hook(config, factory):
        factory()

    with pytest.raises(ConfigError, match=r"ssl_context = <function .*: it did not return an ssl"):
        sock.ssl_context(good(files, ssl_context=hook))


def broken(files):
    """Name -> (settings, complaint)."""
    other = make_files(files.cert.parent / "other")
    text = files.cert.parent / "text"
    text.write_text("hello")
    folder = files.cert.parent
    locked = files.cert.parent / "locked.pem"
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    two = {"certfile": files.cert, "keyfile": files.key}
    return [
        ({**two, "certfile": "no/a"}, "certfile = 'no/a': No such file or directory"),
        ({**two, "keyfile": "no/b"}, "keyfile = 'no/b': No such file or directory"),
        ({**two, "ca_certs": "no/c"}, "ca_certs = 'no/c': No such file or directory"),
        ({**two, "certfile": folder}, f"certfile = '{folder}': Is a directory"),
        ({"keyfile": files.key}, f"keyfile = '{files.key}': there is no certfile for it"),
        ({**two, "certfile": text}, f"certfile = '{text}': holds no usable certificate"),
        ({**two, "keyfile": text}, f"keyfile = '{text}': holds no usable private key"),
        ({"certfile": files.cert}, f"certfile = '{files.cert}': holds no usable private key"),
        (
            {**two, "keyfile": other.key},
            f"keyfile = '{other.key}': does not fit certfile '{files.cert}'",
        ),
        (
            {**two, "keyfile": locked},
            f"keyfile = '{locked}': the key is encrypted; load it in the hook ssl_context",
        ),
        ({**two, "ca_certs": text}, f"ca_certs = '{text}': no certificate or crl found"),
        ({**two, "ciphers": "no"}, "ciphers = 'no': No cipher can be selected."),
    ]


def test_what_is_wrong_is_said_in_one_line(files):
    for settings, complaint in broken(files):
        with pytest.raises(ConfigError) as caught:
            sock.ssl_context(conf(**settings))
        assert str(caught.value) == complaint
        with pytest.raises(ConfigError) as caught:
            certificates.check(conf(**settings))
        assert str(caught.value) == complaint


def test_the_check_does_not_call_a_hook_but_looks_for_the_files(files):
    cfg = good(files)
    cfg.set("ssl_context", lambda config, factory: 1 / 0)
    certificates.check(cfg)
    cfg.set("keyfile", "no")
    with pytest.raises(ConfigError, match="keyfile = 'no': No such file"):
        certificates.check(cfg)


def test_a_check_in_a_child_leaves_no_trace(files):
    code = (
        "import sys; from cyserve import certificates, signals; from cyserve.config import Config\n"
        "cfg = Config(); cfg.set('certfile', sys.argv[1])\n"
        "print(signals.try_in_child(certificates.check, cfg), 'ssl' in sys.modules)"
    )
    args = [sys.executable, "-c", code, str(files.cert)]
    run = subprocess.run(
        args,
        cwd=Path(cyserve.__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    assert run.stdout == f"certfile = '{files.cert}': holds no usable private key False\n"


def test_try_in_child():
    assert signals.try_in_child(lambda value: value, 1) == ""
    assert signals.try_in_child(lambda value: 1 / value, 0) == "division by zero"
    assert signals.try_in_child(lambda value: sys.exit(), 0) == "SystemExit"


# -- replaced on disk --


@pytest.fixture
def watched(files):
    cfg, log = good(files), Log()
    return certificates.Certificates(cfg, log), files, log


def test_the_context_stays_while_the_files_do(watched):
    kept, _, log = watched
    before = kept.context
    kept.refresh()
    assert kept.context is before
    assert log.lines == []


def test_new_files_make_a_new_context(watched):
    kept, files, log = watched
    before = kept.context
    files.issue()
    kept.refresh()
    assert kept.context is not before
    assert log.lines == [("info", f"Using the new certificate {files.cert}")]
    kept.refresh()
    assert len(log.lines) == 1


def test_the_key_may_come_after_the_certificate(watched):
    """No error is logged for the moment at which they do not fit."""
    kept, files, log = watched
    before = kept.context
    key = files.key.read_bytes()
    files.issue()
    new_key = files.key.read_bytes()
    files.key.write_bytes(key)
    kept.refresh()
    assert (kept.context, log.lines) == (before, [])
    files.key.unlink()
    files.key.write_bytes(new_key)
    kept.refresh()
    assert kept.context is not before
    assert [level for level, _ in log.lines] == ["info"]


@pytest.mark.parametrize("ruin", [Path.unlink, lambda path: path.write_text("x")])
def test_a_broken_file_is_logged_once_and_changes_nothing(watched, ruin):
    kept, files, log = watched
    before = kept.context
    ruin(files.cert)
    for _ in range(4):
        kept.refresh()
    assert kept.context is before
    ((level, text),) = log.lines
    assert level == "error"
    assert text.startswith("The new certificate cannot be used, the old one stays: certfile = ")
    files.issue()
    kept.refresh()
    assert kept.context is not before


def test_a_hook_that_fails_changes_nothing(files):
    cfg, log = good(files), Log()
    kept = certificates.Certificates(cfg, log)
    before = kept.context
    cfg.set("ssl_context", lambda config, factory: 1 / 0)
    os.utime(files.cert, (1, 1))
    for _ in range(3):
        kept.refresh()
    assert kept.context is before
    assert [text for _, text in log.lines] == [
        "The new certificate cannot be used, the old one stays: division by zero"
    ]
