"""Says in a few words what machine the figures come from.

Figures without their machine mean nothing, so every report opens with this. Only /proc and the
standard library are asked; no program is run.
"""

import os
import platform
from pathlib import Path


def describe() -> dict[str, str]:
    """Processor, number of cores, kernel, C library."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "machine": f"{model}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
    }
