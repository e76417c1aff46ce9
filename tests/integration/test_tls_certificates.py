"""Certificates: bad ones at start, on reload and at work; new ones without a restart."""

import signal
import ssl

import pytest
from harness import differs, wait_for
from http_client import Client, request, request_bytes
from tls_helpers import client_context, make_files

WORKERS = {"sync": (), "gthread": ("--threads", "2"), "gevent": ("-k", "gevent")}


@pytest.fixture
def files(tmp_path):
    return make_files(tmp_path / "certificates")


def serial(server):
    with Client(server.address, tls=client_context()) as client:
        return client.sock.getpeercert()["serialNumber"]


# -- at start --


@differs("tls-checked")
@pytest.mark.parametrize("ruin", ["missing", "foreign", "text", "no key"])
def test_a_bad_certificate_stops_the_start_with_one_line(start_server, files, ruin):
    args = files.args()
    other = make_files(files.cert.parent / "other")
    if ruin == "missing":
        files.key.unlink()
        said = f"Error: keyfile = '{files.key}': No such file or directory"
    elif ruin == "foreign":
        files.key.write_bytes(other.key.read_bytes())
        said = f"Error: keyfile = '{files.key}': does not fit certfile '{files.cert}'"
    elif ruin == "text":
        files.cert.write_text("hello")
        said = f"Error: certfile = '{files.cert}': holds no usable certificate"
    else:
        args = args[:2]
        said = f"Error: certfile = '{files.cert}': holds no usable private key"
    server = start_server("tls_app:app", *args, "--pid", "x.pid", wait=False)
    assert server.wait_exit() == 1
    (line,) = (text for text in server.log_text().splitlines() if "[INFO]" not in text)
    assert line == said
    assert "Booting worker" not in server.log_text()
    assert not (server.directory / "x.pid").exists()


@differs("tls-context")
@pytest.mark.parametrize("worker", WORKERS)
def test_a_hook_that_fails_stops_the_start(start_server, files, worker):
    config = "def ssl_context(config, factory): return factory().no_such_thing"
    server = start_server("tls_app:app", *files.args(), *WORKERS[worker], config=config, wait=False)
    assert server.wait_exit() == 3
    assert "AttributeError: 'SSLContext' object has no attribute 'no_such_thing'" in (
        server.log_text()
    )
    assert "Reason: Worker failed to boot." in server.log_text()


@pytest.mark.parametrize("worker", WORKERS)
def test_the_hook_ssl_context(start_server, files, worker):
    """The one of gunicorn's documentation: TLS 1.3 only."""
    config = (
        "def ssl_context(config, default_ssl_context_factory):\n"
        "    import ssl\n"
        "    context = default_ssl_context_factory()\n"
        "    context.minimum_version = ssl.TLSVersion.TLSv1_3\n"
        "    return context\n"
    )
    server = start_server("tls_app:app", *files.args(), *WORKERS[worker], config=config)
    assert request(server.address, tls=client_context()).json()["version"] == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        Client(server.address, tls=client_context(maximum_version=ssl.TLSVersion.TLSv1_2))


@differs("tls-key-rights")
def test_a_key_that_only_root_may_read(start_server, everybody_may_enter, files):
    files.key.chmod(0o600)
    server = start_server("tls_app:app", *files.args(), "--user", "65534", "--preload")
    assert request(server.address, tls=client_context()).status == 200


# -- at work --


@differs("tls-context")
@pytest.mark.parametrize("worker", WORKERS)
def test_a_new_certificate_is_served_without_a_restart(start_server, files, worker):
    server = start_server("tls_app:app", *files.args(), *WORKERS[worker])
    workers = server.worker_pids()
    first = serial(server)
    with Client(server.address, tls=client_context()) as kept:
        files.issue()
        second = wait_for(lambda: (new := serial(server)) != first and new, "the new one")
        assert second == files.serial()
        kept.send(request_bytes())
        assert kept.read_response().status == 200
    server.wait_log("Using the new certificate")
    assert server.worker_pids() == workers
    assert "[ERROR]" not in server.log_text()


@differs("tls-checked")
@pytest.mark.parametrize("worker", WORKERS)
def test_a_broken_new_certificate_is_logged_once_and_not_used(start_server, files, worker):
    server = start_server("tls_app:app", *files.args(), *WORKERS[worker])
    first = serial(server)
    files.cert.write_text("broken")
    server.wait_log(
        r"\[ERROR\] The new certificate cannot be used, the old one stays: certfile = .*: "
        "holds no usable certificate"
    )
    assert serial(server) == first
    files.issue()
    wait_for(lambda: serial(server) == files.serial(), "the new one")
    assert server.log_text().count("[ERROR]") == 1


# -- on reload --


@differs("reload-broken")
@pytest.mark.parametrize("worker", WORKERS)
def test_hup_with_a_broken_certificate_keeps_serving(start_server, files, worker):
    server = start_server("tls_app:app", *files.args(), *WORKERS[worker])
    first, workers = serial(server), server.worker_pids()
    files.key.unlink()
    server.signal(signal.SIGHUP)
    server.wait_log("Reload failed, the old workers stay: keyfile = .*: No such file")
    assert serial(server) == first
    assert server.worker_pids() == workers
    files.issue()
    server.signal(signal.SIGHUP)
    server.wait_log("Reloaded: 1 new workers are ready.")
    server.wait_workers(1, but_not=workers)  # the old one serves what it finds until it goes
    assert serial(server) == files.serial()
    assert "Traceback" not in server.log_text()


@differs("tls-checked")
def test_a_worker_that_is_replaced_meets_a_broken_certificate(start_server, files):
    """The others go on, and the master tries again."""
    server = start_server("tls_app:app", *files.args(), workers=2)
    whole = files.cert.read_bytes()
    files.cert.write_text("broken")
    first, second = server.worker_pids()
    server.signal(signal.SIGTERM, first)
    server.wait_log("A worker died while it started; next try in 1 s.")
    assert request(server.address, tls=client_context()).status == 200
    files.cert.write_bytes(whole)
    server.wait_workers(2, but_not=[first])
    assert second in server.worker_pids()


def test_hup_turns_tls_on_and_off(start_server, files):
    paths = f"certfile = {str(files.cert)!r}\nkeyfile = {str(files.key)!r}\n"
    server = start_server("tls_app:loaded", config="")
    assert request(server.address).json() is False
    server.write_config(paths)
    old = server.worker_pids()
    server.signal(signal.SIGHUP)
    new = server.wait_workers(1, but_not=old)
    assert request(server.address, tls=client_context()).json() is True
    server.write_config("")
    server.signal(signal.SIGHUP)
    server.wait_workers(1, but_not=new)
    assert request(server.address).json() is False
