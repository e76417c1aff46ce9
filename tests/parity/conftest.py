"""Parity compares the two kinds of kernel; where there is only one, nothing is collected."""

from cyserve import _accel

if _accel.implementation() != "compiled":
    collect_ignore_glob = ["test_*.py"]
