"""Runs hey, the client for TLS handshakes: it never resumes a session, which wrk does.

As with wrk, a run with any error or with a status other than 200 is refused.
"""

import os
import re
import shutil
import subprocess

from benchmarks.load.running import HOST, BenchError


def run(port: int, path: str, *, core: int, seconds: int, connections: int) -> tuple[int, float]:
    """Asks over TLS, a new connection for every request; (answers, answers per second)."""
    if not shutil.which("hey"):
        raise BenchError("hey is not installed (Debian: apt-get install hey)")
    options = ["-z", f"{seconds}s", "-c", str(connections), "-cpus", "1", "-disable-keepalive"]
    done = subprocess.run(
        ["hey", *options, f"https://{HOST}:{port}{path}"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return parse(done.stdout + done.stderr)


def parse(output: str) -> tuple[int, float]:
    """Reads hey's summary: (answers, answers per second); BenchError if there was any error."""
    statuses = dict(re.findall(r"\[(\d{3})\]\s+(\d+) responses", output))
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", output)
    errors = output.partition("Error distribution:")[2].strip()
    if errors or set(statuses) != {"200"} or not rate:
        raise BenchError(f"hey: {errors or statuses or output.strip() or 'no answer'}")
    return int(statuses["200"]), float(rate[1])
