"""What `bind` may say. Where gunicorn's answer differs, the test tells."""

import pytest

from cyserve.util import is_ipv6, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("1.2.3.4", ("1.2.3.4", 8000)),
        ("h", ("h", 8000)),
        ("h:1", ("h", 1)),
        ("HOST:1", ("host", 1)),
        ("tcp://h:1", ("h", 1)),
        ("TCP://h:1", ("h", 1)),
        ("h:0", ("h", 0)),
        ("h:65535", ("h", 65535)),
        ("[::1]:80", ("::1", 80)),
        ("[::1]", ("::1", 8000)),
        ("tcp://[FE80::1]:80", ("fe80::1", 80)),
        ("::1", ("::1", 8000)),  # gunicorn wants brackets
        ("::", ("::", 8000)),
        (":80", ("", 80)),
        ("", ("0.0.0.0", 8000)),
        ("unix:/a", "/a"),
        ("unix:///a", "/a"),
        ("unix:a/b", "a/b"),
        ("unix://a/b", "a/b"),
        ("unix:@x", "\0x"),  # gunicorn makes a file of that name
        ("unix://@x", "\0x"),
        ("unix:./@x", "./@x"),
        ("unix:/Upper Case", "/Upper Case"),
        ("fd://3", 3),
    ],
)
def test_parsed(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("localhost:", "'' is not a valid port number."),
        ("h:http", "'http' is not a valid port number."),
        ("h:65536", "'65536' is not a valid port number."),
        ("h:-1", "'-1' is not a valid port number."),
        ("h:+1", "'+1' is not a valid port number."),
        ("h:1_0", "'1_0' is not a valid port number."),
        ("h:\N{ARABIC-INDIC DIGIT ONE}", "is not a valid port number."),
        ("h:" + "9" * 5000, "is not a valid port number."),
        ("h:1:2", "'1:2' is not a valid port number."),  # gunicorn listens on port 1
        ("[::1", "write [IPV6]:PORT"),
        ("[h]:1", "write [IPV6]:PORT"),
        ("[::1]1", "write [IPV6]:PORT"),
        ("fd://x", "'x' is not a valid file descriptor."),
        ("fd://", "'' is not a valid file descriptor."),
        ("/run/x.sock", "write unix:/run/x.sock"),  # gunicorn looks for a host of this name
        ("unix:", "needs a path or, after @, a name"),  # gunicorn gets some abstract name
        ("unix://", "needs a path"),
        ("unix:@", "needs a path"),
        ("http://h:1", "known are tcp://, unix: and fd://"),
    ],
)
def test_refused(text, complaint):
    with pytest.raises(RuntimeError) as caught:
        parse_address(text)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_default_port_can_be_given():
    assert parse_address("h", default_port="5") == ("h", 5)


@pytest.mark.parametrize(
    ("host", "answer"),
    [("::1", True), ("1.2.3.4", False), ("h", False), ("", False), ("a\0", False)],
)
def test_is_ipv6(host, answer):
    assert is_ipv6(host) is answer
