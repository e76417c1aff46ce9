"""TLS: what a full handshake costs and what a request on a kept connection does.

The certificate is made here with the openssl program (ECDSA P-256, so that the server's own work is
not hidden behind RSA's) and all servers have the same one. OpenSSL's own cost is that of `openssl
s_server -WWW`, which does the same handshakes over the same sockets for the same client and answers
with a file; `openssl speed` would leave out all but the sums.
"""

import shutil
import subprocess
from pathlib import Path

from benchmarks.load import hey, procs
from benchmarks.load.figures import Sheet
from benchmarks.load.running import BenchError
from benchmarks.load.scenarios.stage import Stage

PATH = "/hello.txt"
OPENSSL = "openssl"
SIXTEEN = 16  # connections at a time


def tls(stage: Stage) -> Sheet:
    """Handshakes and kept connections, TLS 1.3, four threads."""
    sheet = Sheet(
        "tls",
        "TLS 1.3, one certificate (ECDSA P-256), 4 threads",
        f"Handshakes: hey, which never resumes, {SIXTEEN} connections at a time, each with one "
        "hello. hey itself takes some 0.7 ms of its core for each, so a server that needs less is "
        "not busy all the time: compare the CPU; `full core` is what that comes to. Requests: "
        f"wrk, {stage.plan.connections} keep-alive connections. openssl: `openssl s_server -WWW`, "
        "which closes after each answer.",
    )
    with sheet.guard(OPENSSL):
        make_certificate(stage.tmp)
        (stage.tmp / PATH[1:]).write_bytes(b"Hello, World!")
    files = ("--certfile", str(stage.tmp / "cert.pem"), "--keyfile", str(stage.tmp / "key.pem"))
    names = ["cyserve-gthread-4", "gunicorn-gthread-4"]
    with (
        stage.servers(sheet, names, *files, app="hello", ready=PATH, tls=True) as servers,
        stage.servers(sheet, [OPENSSL], ready=PATH) as own,
    ):
        for name, server in stage.turns(sheet, {**servers, **own}):
            with sheet.guard(name):
                cpu = procs.tree_cpu(server.pid)
                answers, rate = hey.run(
                    server.port,
                    PATH,
                    core=stage.plan.client_core,
                    seconds=stage.plan.seconds,
                    connections=SIXTEEN,
                )
                cpu = (procs.tree_cpu(server.pid) - cpu) / answers
                sheet.add(name, "handshakes", rate, "/s")
                sheet.add(name, "CPU/handshake", cpu * 1e6, "µs")
                sheet.add(name, "full core", 1 / cpu, "/s")
                if name != OPENSSL:
                    counts = stage.wrk(server, PATH)
                    sheet.add(name, "CPU/request", counts["cpu_us"], "µs")
                    sheet.add(name, "rate", counts["rate"], "/s")
    for name in names:
        handshake = "CPU/handshake"
        sheet.compare("handshake to OpenSSL's", (name, handshake), (OPENSSL, handshake))
    return sheet


def make_certificate(tmp: Path) -> None:
    """Writes cert.pem and key.pem, good for 127.0.0.1."""
    if not shutil.which("openssl"):
        raise BenchError("openssl is not installed (Debian: apt-get install openssl)")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "30", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    done = subprocess.run(command, cwd=tmp, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"openssl req: {done.stderr.strip()}")
