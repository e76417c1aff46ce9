"""Unix sockets side by side: the file, what the log calls it, and what is left behind."""

import os
import socket

import pytest
from differences import compare
from http_client import request


def observed(server, name, *, address=None):
    """What can be seen of a server on the unix socket called `name`, to the end of its life."""
    [listening] = server.wait_log(r"Listening at: (\S+) \(")
    server.wait_workers(1)
    path = server.directory / name
    there = path.exists()
    info = path.stat() if there else None
    status = request(address or str(path)).status
    server.stop()
    seen = (info.st_mode, info.st_uid, info.st_gid) if info else None
    return {"printed": listening, "file": seen, "status": status, "left": path.exists()}


@pytest.mark.parametrize(
    ("bind", "args"),
    [
        ("unix:a.sock", []),
        ("unix:a.sock", ["--umask=0o117"]),
        ("unix:a.sock", ["-m", "7"]),
        ("unix://sub/a.sock", []),
    ],
)
def test_the_file(start_server, oracle, kernel, bind, args):
    def run(**options):
        server = start_server(
            "plain:app", *args, bind=bind, wait=False, files={"sub/file": ""}, **options
        )
        return observed(server, "sub/a.sock" if "sub" in bind else "a.sock")

    compare(run(program=oracle), run(kernel=kernel))


def test_an_abstract_one(start_server, oracle, kernel):
    name = f"cyserve-compat-{os.getpid()}"

    def run(address, **options):
        server = start_server("plain:app", bind=f"unix:@{name}", wait=False, **options)
        return observed(server, f"@{name}", address=address)

    gunicorn = run(None, program=oracle)
    cyserve = run(f"\0{name}", kernel=kernel)
    compare(gunicorn, cyserve, differs={"unix-abstract": lambda seen: {**seen, "file": None}})


def test_one_that_somebody_else_has_opened(start_server, oracle, kernel):
    def run(**options):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"/tmp/cyserve-{os.getpid()}.sock")
            sock.listen()
            fd = sock.fileno()
            server = start_server(
                "plain:app", bind=f"fd://{fd}", pass_fds=[fd], wait=False, **options
            )
        path = f"/tmp/cyserve-{os.getpid()}.sock"
        seen = observed(server, path)
        if seen["left"]:
            os.unlink(path)
        return seen

    compare(
        run(program=oracle),
        run(kernel=kernel),
        differs={"unix-inherited": lambda seen: {**seen, "left": True}},
    )
