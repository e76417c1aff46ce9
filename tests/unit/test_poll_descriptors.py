"""What a Poller reports for descriptors with large numbers, which are no cached integers."""

import fcntl
import os
import sys

import pytest

from cyserve import _accel


@pytest.fixture
def readable():
    """The reading end of a pipe with a byte in it, as descriptor 300 or above."""
    reading, writing = os.pipe()
    number = fcntl.fcntl(reading, fcntl.F_DUPFD_CLOEXEC, 300)
    os.write(writing, b".")
    yield number
    for fd in (reading, writing, number):
        os.close(fd)


def test_a_large_number_belongs_to_the_list_alone(kernel, readable):
    poller = _accel.poll.Poller()
    poller.register(readable, 1)
    for report in (poller.take, lambda: poller.wait(1.0)):
        [number] = report()
        assert number == readable
        assert sys.getrefcount(number) == 2  # this name and the argument
    poller.close()
