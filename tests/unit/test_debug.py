"""spew prints each line before it runs, and disturbs nothing."""

import subprocess
import sys
import threading

import pytest

from cyserve import debug

NUMBER = 5


class Rude:
    def __repr__(self):
        raise RuntimeError("no")


def work(x):
    y = x + NUMBER
    rude = Rude()
    return y if rude else None


LINES = [
    f"{__name__}:%d:     y = x + NUMBER",
    f"{__name__}:%d:     rude = Rude()",
    f"{__name__}:%d:     return y if rude else None",
]
FIRST = work.__code__.co_firstlineno + 1
PLAIN = [line % (FIRST + number) for number, line in enumerate(LINES)]


@pytest.fixture
def spewing():
    """Stops it, and gives back whatever traced before."""
    before, threads = sys.gettrace(), threading.gettrace()
    yield
    threading.settrace(threads)
    sys.settrace(before)


def test_lines(spewing, capsys):
    debug.spew([__name__])
    work(3)
    debug.unspew()
    work(4)
    assert capsys.readouterr().out.splitlines() == PLAIN


def test_values(spewing, capsys):
    debug.spew([__name__], show_values=True)
    work(3)
    debug.unspew()
    assert capsys.readouterr().out.splitlines() == [
        PLAIN[0],
        "\tx=3 NUMBER=5",
        PLAIN[1],
        f"\tRude={Rude!r}",
        PLAIN[2],
        "\ty=8 rude=<Rude: RuntimeError in repr>",
    ]


def test_names_choose_modules(spewing, capsys):
    debug.spew(["some.other"])
    work(3)
    debug.unspew()
    assert capsys.readouterr().out == ""


def test_threads_to_come(spewing, capsys):
    debug.spew([__name__])
    thread = threading.Thread(target=work, args=(3,))
    thread.start()
    thread.join()
    debug.unspew()
    assert capsys.readouterr().out.splitlines() == PLAIN


def test_nobody_reads():
    code = """
import os, sys
from cyserve import debug
reader, writer = os.pipe()
os.close(reader)
os.dup2(writer, 1)
def work():
    x = 1
    return x + 1
debug.spew()
print(work(), file=sys.stderr)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
    assert done.stderr.decode().strip() == "2"
