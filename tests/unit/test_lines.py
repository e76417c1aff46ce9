"""Access lines as the kernel makes and keeps them: both twins, and both against the long way."""

import errno
import mmap
import os
import threading
from datetime import timedelta
from importlib import import_module
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_helpers import DEFAULT, ENVIRON, request, settings

from cyserve import _accel, access_log, glogging

COMPILED = _accel.implementation() == "compiled"
KINDS = ["pure", "compiled"] if COMPILED else ["pure"]
ALL = '%(h)s %(u)s "%(r)s" %(s)s %(b)s %(B)s %(f)s %(m)s %(U)s %(q)s %(H)s %(T)s %(M)s %(D)s %(L)s'


def module(kind):
    return import_module("cyserve._lines" if kind == "compiled" else "cyserve._pylines")


@pytest.fixture(params=KINDS)
def lines(request):
    return module(request.param)


def compiled_by(lines, template):
    """The FormatLine of a twin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_accel, "lines", lines)
        return access_log.compile_format(template)


def the_long_way(template, resp, req, environ, took):
    """What logging would write."""
    log = glogging.Logger(settings(errorlog=None))
    return template % glogging.SafeAtoms(log.atoms(resp, req, environ, took))


# -- a line --


class Text(str):
    """Text that formats as something else."""

    __slots__ = ()

    def __format__(self, spec):
        return f"format {super().__str__()}"


ODD = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=40),
    st.text(st.characters(max_codepoint=0xFF), max_size=2000),
    st.text(st.sampled_from('ab"\\ \x1f\x7f~ é'), max_size=20),
    st.integers(),
    st.none(),
    st.binary(max_size=5),
    st.booleans(),
    st.builds(Text, st.text(max_size=5)),
)
HALVES = st.integers(0, 10**7).map(lambda n: n / 2e6)  # of microseconds
SECONDS = st.one_of(st.floats(-1e5, 1e12), st.floats(0, 2), HALVES)
KEYS = st.sampled_from([*ENVIRON, "HTTP_HOST"])
STATUS = st.one_of(
    st.sampled_from(["200 OK", "404 Not Found", "200", "204 ", "2000 x", " 200 OK", "20", 'a"b c']),
    st.text(min_size=1, max_size=6).filter(lambda text: text.split()),
)


@given(
    st.sampled_from([DEFAULT.replace("%(t)s", "-"), ALL, 'é%(a)s"%%%({host}e)s\n']),
    st.dictionaries(KEYS, ODD),
    STATUS,
    st.one_of(st.none(), st.integers(0, 1 << 40)),
    st.timedeltas(),
    st.booleans(),
)
def test_the_short_way_gives_the_bytes_of_the_long_way(template, odd, status, sent, took, frozen):
    resp, req, environ, _ = request(**odd)
    resp.status, resp.sent = status, sent
    environ = MappingProxyType(environ) if frozen else environ
    expected = the_long_way(template, resp, req, environ, took)
    for kind in KINDS:
        line = compiled_by(module(kind), template)
        assert line(resp, req, environ, took) == expected
        assert line.make(resp, req, environ, took) == expected.encode()


@given(SECONDS)
def test_seconds_are_rounded_as_timedelta_rounds_them(seconds):
    template = "%(T)s %(M)s %(D)s %(L)s"
    resp, req, environ, _ = request()
    expected = the_long_way(template, resp, req, environ, timedelta(seconds=seconds))
    for kind in KINDS:
        assert compiled_by(module(kind), template)(resp, req, environ, seconds) == expected


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e300])
def test_no_time_at_all(seconds, lines):
    with pytest.raises((ValueError, OverflowError)):
        compiled_by(lines, "%(D)s")(*request()[:3], seconds)


@pytest.mark.parametrize("name", ["REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL"])
def test_a_request_line_that_cannot_be_had(name, lines):
    resp, req, environ, took = request()
    del environ[name]
    with pytest.raises(KeyError, match=name):
        compiled_by(lines, "%(r)s")(resp, req, environ, took)


@pytest.mark.parametrize("environ", [None, 7, []])
def test_an_environ_that_is_none(environ, lines):
    resp, req, _, took = request()
    with pytest.raises((TypeError, AttributeError)):
        compiled_by(lines, DEFAULT)(resp, req, environ, took)


def test_a_text_that_cannot_be_written(lines):
    assert compiled_by(lines, "\ud800 %(h)s") is None


@pytest.mark.parametrize(
    ("texts", "steps"), [(["a"], [("time", None)]), (["a", "b"], []), (["", ""], [("what", None)])]
)
def test_what_is_no_format(texts, steps, lines):
    with pytest.raises(ValueError, match=r"text more|is no step"):
        lines.FormatLine(texts, steps, str, str)


# -- the tray --

ROOM = 256


@pytest.fixture
def tray(lines):
    made = lines.Tray(mmap.mmap(-1, ROOM + 8))
    made.line = compiled_by(lines, "%(a)s %(s)s %(b)s\n")
    return made


def note(tray, agent="x", status="200 OK", sent=5):
    resp, req, environ, _ = request(HTTP_USER_AGENT=agent)
    resp.sent = sent
    started = _accel.runtime.CLOCK.monotonic()
    return tray.note(resp, req, environ, status, sent, started)


def test_a_line_joins_those_that_wait_and_no_others(tray):
    assert not note(tray)
    assert tray.add(b"first\n")
    assert note(tray, "second")
    assert tray.left() == b"first\nsecond 200 5\n"
    assert (tray.size, tray.count) == (len(tray.left()), 2)
    tray.line = None
    assert not note(tray)


def test_a_line_that_cannot_be_made(tray):
    tray.add(b"first\n")
    resp, req, _, _ = request()
    assert not tray.note(resp, req, None, "200 OK", 5, 0.0)
    assert tray.left() == b"first\n"


@pytest.mark.parametrize("size", [1, 50, ROOM])
def test_no_more_than_there_is_room_for(tray, size):
    line = b"x" * (size - 1) + b"\n"
    for _ in range(ROOM // size):
        assert tray.add(line)
    while tray.size + size <= ROOM:
        assert tray.add(line)
    assert not tray.add(line)
    assert not tray.add(b"x" * (ROOM + 1))
    assert not note(tray, "y" * 300)
    assert tray.left() == line * (ROOM // size)


def test_there_is_room_again(tray, tmp_path):
    with open(tmp_path / "log", "wb") as file:
        for n in range(50):
            assert tray.add(b"%d %s\n" % (n, b"x" * 100))
            assert not n % 2 or not tray.add(bytes(100))
            if n % 2:
                tray.empty(file.fileno())
                assert tray.size == 0
        tray.empty(file.fileno())
    assert (tmp_path / "log").read_bytes().count(b"\n") == 50


def test_what_has_been_written_is_not_left(tray):
    """A pipe takes a part: from then on only the rest would be written by the master."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    filler = b"." * 4096
    try:
        while True:
            os.write(writer, filler)
    except BlockingIOError:
        pass
    os.read(reader, 4096)
    tray = type(tray)(mmap.mmap(-1, 1 << 16))
    lines = b"".join(b"line %d\n" % n for n in range(1000))
    tray.add(lines)
    with pytest.raises(BlockingIOError) as caught:
        tray.empty(writer)
    assert caught.value.errno == errno.EAGAIN
    written = len(lines) - tray.size
    assert 0 < written < len(lines)
    assert tray.left() == lines[written:]
    assert tray.add(b"one more\n")
    assert tray.left() == lines[written:] + b"one more\n"
    assert tray.drop() == lines[written:].count(b"\n") + 1
    assert tray.drop() == 0
    os.close(reader)
    os.close(writer)


def test_another_process_finds_what_is_left(tray):
    pid = os.fork()
    if pid == 0:
        tray.add(b"one\n")
        note(tray, "two")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert tray.left() == b"one\ntwo 200 5\n"
    assert tray.drop() == 2
    assert tray.left() == b""


def test_lines_are_added_while_others_are_written(tray, lines):
    """Whoever is slow to take them holds up nobody."""
    reader, writer = os.pipe()
    tray = lines.Tray(mmap.mmap(-1, 1 << 20))
    first = b"x" * 99_999 + b"\n"  # more than a pipe holds
    tray.add(first)
    thread = threading.Thread(target=tray.empty, args=(writer,))
    thread.start()
    got = os.read(reader, 1)
    assert tray.add(b"meanwhile\n")
    while len(got) < len(first):
        got += os.read(reader, len(first) - len(got))
    thread.join()
    assert got == first
    assert tray.left() == b"meanwhile\n"
    os.close(reader)
    os.close(writer)


def test_threads_add_and_one_empties(lines, tmp_path):
    tray = lines.Tray(mmap.mmap(-1, 1 << 12))
    busy = threading.Lock()
    each = 2000
    with open(tmp_path / "log", "wb") as file:

        def run(letter):
            for n in range(each):
                while not tray.add(b"%s%d\n" % (letter, n)):
                    with busy:
                        tray.empty(file.fileno())

        threads = [threading.Thread(target=run, args=(letter,)) for letter in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tray.empty(file.fileno())
    found = (tmp_path / "log").read_bytes().split()
    for letter in (b"a", b"b", b"c"):
        mine = [line for line in found if line.startswith(letter)]
        assert mine == [b"%s%d" % (letter, n) for n in range(each)]


@pytest.mark.parametrize("size", [0, 7, 8])
def test_memory_that_is_too_small(size, lines):
    with pytest.raises(ValueError, match="too small"):
        lines.Tray(bytearray(size))


def test_what_is_no_line(tray):
    with pytest.raises(TypeError):
        tray.add(None)
    with pytest.raises(TypeError):
        tray.add("text")


def test_the_time_taken_is_counted_from_the_start(lines):
    tray = lines.Tray(mmap.mmap(-1, 4096))
    tray.line = compiled_by(lines, "%(T)s\n")
    tray.add(b"-\n")
    resp, req, environ, _ = request()
    tray.note(resp, req, environ, "200 OK", 1, _accel.runtime.CLOCK.monotonic() - 7200.5)
    first, seconds = tray.left().splitlines()
    assert first == b"-"
    assert 7200 <= int(seconds) < 7260  # the clock goes on meanwhile
