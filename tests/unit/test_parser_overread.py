"""The compiled parser reads nothing behind its input: that input ends where readable memory ends.

A program puts the bytes of an InputBuffer at the end of a page, before one that must not be
touched, and parses every beginning of every request file. A read too far kills the program.
"""

import subprocess
import sys
from pathlib import Path

from cyserve import _accel

CORPUS = Path(__file__).resolve().parents[1] / "corpus"

PROGRAM = r"""
import ctypes, mmap, sys
from pathlib import Path
from cyserve._errors import ParseException
from cyserve._io import InputBuffer
from cyserve._parser import ChunkedDecoder, HeadRules, parse_head

class Layout(ctypes.Structure):  # as in _io.pxd, behind the object's own header
    _fields_ = [("vtable", ctypes.c_void_p), ("data", ctypes.c_void_p)] + [
        (name, ctypes.c_ssize_t) for name in ("start", "end", "capacity", "scanned")]

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
PAGE, ROOM = mmap.PAGESIZE, 16 * mmap.PAGESIZE
memory = libc.mmap(None, ROOM + PAGE, mmap.PROT_READ | mmap.PROT_WRITE,
                   mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
assert libc.mprotect(memory + ROOM, PAGE, 0) == 0

def at_the_edge(data, read):
    buffer = InputBuffer(b"check")
    layout = Layout.from_address(id(buffer) + object.__basicsize__)
    assert ctypes.string_at(layout.data, 5) == b"check" and (layout.start, layout.end) == (0, 5)
    buffer.skip(5)
    buffer.release()
    assert layout.data is None
    ctypes.memmove(memory + ROOM - len(data), data, len(data))
    layout.data, layout.end, layout.capacity = memory + ROOM - len(data), len(data), len(data)
    try:
        return read(buffer)
    except ParseException:
        return None
    finally:
        layout.data, layout.start, layout.end, layout.capacity = None, 0, 0, 0

def read_head(buffer):
    head = parse_head(buffer, RULES)
    return head is not None and bool(head.headers or head.fill_environ({}))

def read_body(buffer):
    decoder = ChunkedDecoder(RULES)
    while decoder.decode(buffer, 5):
        pass
    return decoder.done

RULES = HeadRules()
if "beyond" in sys.argv:
    ctypes.string_at(memory + ROOM, 1)
heads = bodies = 0
for path in Path(sys.argv[1]).rglob("*.http"):
    data = path.read_bytes()
    start = data.find(b"\r\n\r\n") + 4
    for end in range(1, min(len(data), 400) + 1):
        heads += bool(at_the_edge(data[:end], read_head))
        if end > start:
            bodies += bool(at_the_edge(data[start:end], read_body))
print(heads > 200, bodies > 10)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(CORPUS), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


if _accel.implementation() == "compiled" and sys.platform == "linux":

    def test_nothing_is_read_behind_the_input() -> None:
        ended = run()
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True True\n", "")

    def test_the_program_dies_of_a_read_too_far() -> None:
        assert run("beyond").returncode < 0
