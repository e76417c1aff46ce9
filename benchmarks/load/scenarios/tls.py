"""TLS: what a full handshake costs and what a request on a kept connection does.

The certificate is made here with the openssl program (ECDSA P-256, so that the server's own work is
not hidden behind RSA's) and all servers have the same one. OpenSSL's own cost is told twice: by
`openssl s_server -WWW`, which does the same handshakes over sockets for the same client and answers
with a file, and by handshakes in memory, of which only the server's half is counted. `openssl
speed` would tell of single operations only, `openssl s_time` of a client that waits for each one.
"""

import subprocess
import sys

from benchmarks.load import hey, procs
from benchmarks.load.figures import Sheet
from benchmarks.load.running import BenchError, make_certificate
from benchmarks.load.scenarios.stage import Stage

PATH = "/hello.txt"
OPENSSL = "openssl"
MEMORY = "openssl in memory"
SIXTEEN = 16  # connections at a time

# Handshakes between two ends in one process; prints CPU seconds of the server's end for each.
_HANDSHAKES = """
import os, ssl, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(sys.argv[2], sys.argv[3])
client = ssl._create_unverified_context()

def handshake():
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    spent = 0.0
    for turn in range(4):
        begin = time.thread_time()
        try:
            ends[turn % 2].do_handshake()
        except ssl.SSLWantReadError:
            pass
        if turn % 2:
            spent += time.thread_time() - begin
    assert ends[1].version() == 'TLSv1.3' and ends[1].cipher()
    return spent

for _ in range(50):
    handshake()
print(sum(handshake() for _ in range(300)) / 300)
"""


def tls(stage: Stage) -> Sheet:
    """Handshakes and kept connections, TLS 1.3, four threads."""
    sheet = Sheet(
        "tls",
        "TLS 1.3, one certificate (ECDSA P-256), 4 threads",
        f"Handshakes: hey, which never resumes, {SIXTEEN} connections at a time, each with one "
        "hello. hey itself takes some 0.7 ms of its core for each, so a server that needs less is "
        "not busy all the time: compare the CPU; `full core` is what that comes to. Requests: "
        f"wrk, {stage.plan.connections} keep-alive connections. {OPENSSL}: `openssl s_server "
        f"-WWW`, which closes after each answer. {MEMORY}: the server's half of a handshake "
        "without sockets and without a request.",
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
        for _ in range(stage.plan.rounds if servers else 0):
            with sheet.guard(MEMORY):
                seconds = _in_memory(stage)
                sheet.add(MEMORY, "CPU/handshake", seconds * 1e6, "µs")
                sheet.add(MEMORY, "full core", 1 / seconds, "/s")
    handshake = "CPU/handshake"
    for name in names:
        sheet.compare("handshake to openssl's", (name, handshake), (OPENSSL, handshake))
        sheet.compare("to that in memory", (name, handshake), (MEMORY, handshake))
    return sheet


def _in_memory(stage: Stage) -> float:
    """CPU seconds of the server's half of one handshake."""
    words = [str(stage.plan.server_core), "cert.pem", "key.pem"]
    command = [sys.executable, "-c", _HANDSHAKES, *words]
    done = subprocess.run(command, cwd=stage.tmp, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"handshakes in memory: {done.stderr.strip()}")
    return float(done.stdout)
