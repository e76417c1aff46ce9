"""Runs wrk against one server and reads what it counted.

A run in which wrk saw any error (connect, read, write, timeout, status above 399) is refused: a
server that drops requests looks cheap.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

from benchmarks.load.cases import Case
from benchmarks.load.running import HOST, BenchError


def version() -> str:
    """wrk's own words about its version; BenchError when it is not installed."""
    program = shutil.which("wrk")
    if program is None:
        raise BenchError("wrk is not installed (Debian: apt-get install wrk)")
    done = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()[0].split(" Copyright")[0].strip()


def run(
    case: Case,
    port: int,
    tmp: Path,
    *,
    cores: Collection[int],
    seconds: int,
    connections: int,
    scheme: str = "http",
    late: bool = False,
) -> dict[str, Any]:
    """Drives the case at the server on `port` for `seconds`; returns wrk's counts, see `parse`."""
    script = tmp / f"{case.name}.lua"
    script.write_text(case.wrk_script())
    url = f"{scheme}://{HOST}:{port}{case.path}"
    options = ["-t", "1", "-c", str(connections), "-d", f"{seconds}s", "-s", str(script)]
    done = subprocess.run(
        ["wrk", *options, url],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    return parse(done.stdout, late=late)


def parse(output: str, *, late: bool = False) -> dict[str, Any]:
    """Reads the last line of wrk's output (the JSON our script prints).

    Args:
        late: answers that wrk (2 seconds) has not waited for are no matter, only counted.

    Returns: requests, duration_us, bytes, p50_us, p99_us, p999_us, rate (requests per second),
    late (requests).
    Raises: BenchError when there is no such line, nothing was answered, or wrk saw an error.
    """
    lines = output.splitlines()
    try:
        counts: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise BenchError(f"wrk gave no result:\n{output}") from None
    errors = {name: count for name, count in counts.pop("errors").items() if count}
    counts["late"] = errors.pop("timeout", 0) if late else 0
    if errors:
        raise BenchError(f"wrk saw errors: {errors} in {counts['requests']} requests")
    if not counts["requests"]:
        raise BenchError("wrk got no answer at all")
    counts["rate"] = counts["requests"] * 1e6 / counts["duration_us"]
    return counts
