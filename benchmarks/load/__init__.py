"""Load harness: cyserve and its rivals side by side, on one core, driven by wrk from another.

What it measures is CPU time per request of the whole server process tree (user and system), with
rate and latency beside it. Servers and cases are data (`servers`, `cases`); everything else only
runs them. What one client asking as fast as it can does not show is a scenario (`scenarios/`). It
needs the standard library and wrk, for TLS hey and openssl (Debian: `apt-get install ...`), and
never imports the servers it measures: each runs in the interpreter of its own virtual environment.

    python -m benchmarks.load --cases hello-close --servers cyserve-sync,gunicorn-sync --table
    python -m benchmarks.load --scenarios busy,idle --table
    python -m benchmarks.load.wakeups --servers cyserve-sync,gunicorn-sync
    python -m benchmarks.load.instructions --server cyserve-sync --case hello-close
"""
