"""What each kind of setting accepts, what it becomes, and what is refused."""

import os
import pwd
import sys

import pytest

from cyserve.config import validators as v
from cyserve.config.http_mechanics import validate_proxy_protocol
from cyserve.errors import ConfigError


@pytest.mark.parametrize(
    ("validator", "given", "normal"),
    [
        (v.validate_bool, True, True),
        (v.validate_bool, None, None),
        (v.validate_bool, " TRUE ", True),
        (v.validate_bool, "false", False),
        (v.validate_pos_int, 0, 0),
        (v.validate_pos_int, "0x10", 16),
        (v.validate_pos_int, "7", 7),
        (v.validate_pos_int, True, 1),
        (v.validate_seconds, "1.5", 1.5),
        (v.validate_seconds, "30", 30),
        (v.validate_seconds, 0, 0),
        (v.validate_string, None, None),
        (v.validate_string, " a ", "a"),
        (v.validate_list_string, None, []),
        (v.validate_list_string, "", []),
        (v.validate_list_string, "a,b", ["a,b"]),
        (v.validate_list_string, (" a", "b "), ["a", "b"]),
        (v.validate_string_to_list, "A, B", ["A", "B"]),
        (v.validate_string_to_list, "", []),
        (v.validate_string_to_addr_list, "10.0.0.0/8, ::1", ["10.0.0.0/8", "::1"]),
        (v.validate_string_to_addr_list, "*", ["*"]),
        (v.validate_string_to_addr_list, "", []),
        (validate_proxy_protocol, None, "off"),
        (validate_proxy_protocol, False, "off"),
        (validate_proxy_protocol, True, "auto"),
        (validate_proxy_protocol, "FALSE", "off"),
        (validate_proxy_protocol, "0", "off"),
        (validate_proxy_protocol, "None", "off"),
        (validate_proxy_protocol, "true", "auto"),
        (validate_proxy_protocol, "1", "auto"),
        (validate_proxy_protocol, " Auto ", "auto"),
        (validate_proxy_protocol, "V1", "v1"),
        (validate_proxy_protocol, "v2", "v2"),
        (validate_proxy_protocol, "OFF", "off"),
        (v.validate_user, "12", 12),
        (v.validate_user, pwd.getpwuid(0).pw_name, 0),
        (v.validate_user, None, os.geteuid()),
        (v.validate_group, None, os.getegid()),
        (v.validate_class, dict, dict),
        (v.validate_class, lambda: "a.B", "a.B"),
        (v.validate_class, " sync ", "sync"),
    ],
)
def test_accepted(validator, given, normal):
    found = validator(given)
    assert found == normal
    assert type(found) is type(normal)


@pytest.mark.parametrize(
    ("validator", "given", "error"),
    [
        (v.validate_bool, "yes", ValueError),
        (v.validate_bool, 1, TypeError),
        (v.validate_pos_int, -1, ValueError),
        (v.validate_pos_int, "010", ValueError),
        (v.validate_pos_int, "x", ValueError),
        (v.validate_pos_int, 1.5, TypeError),
        (v.validate_pos_int, None, TypeError),
        (v.validate_seconds, -0.1, ValueError),
        (v.validate_seconds, "nan", ValueError),
        (v.validate_seconds, float("inf"), ValueError),
        (v.validate_seconds, "soon", ValueError),
        (v.validate_seconds, None, TypeError),
        (v.validate_seconds, True, TypeError),
        (v.validate_string, 5, TypeError),
        (v.validate_list_string, [1], TypeError),
        (v.validate_list_string, 8000, TypeError),
        (v.validate_dict, None, TypeError),
        (v.validate_string_to_addr_list, "10.0.0.1/8", ValueError),
        (v.validate_string_to_addr_list, "localhost", ValueError),
        (validate_proxy_protocol, "", ValueError),
        (validate_proxy_protocol, "on", ValueError),
        (validate_proxy_protocol, "v3", ValueError),
        (validate_proxy_protocol, 1, TypeError),
        (validate_proxy_protocol, [], TypeError),
        (v.validate_user, "no-such-user", ConfigError),
        (v.validate_user, 1.0, TypeError),
        (v.validate_group, "no-such-group", ConfigError),
        (v.validate_class, 3, TypeError),
        (v.validate_chdir, "no-such-directory", ConfigError),
        (v.validate_chdir, None, TypeError),
    ],
)
def test_refused(validator, given, error):
    with pytest.raises(error):
        validator(given)


def test_choice_takes_any_case_and_none_is_the_first():
    validate = v.validate_choice("drop", "refuse")
    assert validate(" Refuse ") == "refuse"
    assert validate(None) == "drop"
    with pytest.raises(ValueError, match="drop, refuse"):
        validate("keep")
    with pytest.raises(TypeError):
        validate(1)


def test_a_dict_is_copied():
    given = {"a": 1}
    found = v.validate_dict(given)
    assert found == given
    assert found is not given


@pytest.mark.parametrize(
    ("text", "number"), [("022", 18), ("0", 0), ("0o22", 18), ("0x12", 18), ("18", 18)]
)
def test_auto_int_reads_a_leading_zero_as_octal(text, number):
    assert v.auto_int(None, text) == number


class Hooks:
    def bound(self, server):
        """One parameter beside self."""

    def __call__(self, server):
        """Likewise."""


def one(server, /):
    """A hook."""


@pytest.mark.parametrize("hook", [one, Hooks().bound, Hooks(), lambda server, *rest: None])
def test_hook_with_the_right_number_of_parameters(hook):
    assert v.validate_callable(1)(hook) is hook


@pytest.mark.parametrize("hook", [lambda *args: None, lambda: None, lambda a, b=1: None, 5, None])
def test_hook_with_another_number_is_refused(hook):
    with pytest.raises(TypeError):
        v.validate_callable(1)(hook)


def test_hook_given_by_its_path():
    assert v.validate_callable(-1)("os.path.join") is os.path.join
    with pytest.raises(TypeError, match="no_such_name"):
        v.validate_callable(1)("os.path.no_such_name")
    with pytest.raises(TypeError, match="dotted path"):
        v.validate_callable(1)("nothing")


def test_hook_whose_module_fails_keeps_the_cause(launched_in):
    (launched_in / "failing_hooks.py").write_text("1 / 0\n")
    sys.path.insert(0, str(launched_in))
    with pytest.raises(ConfigError) as caught:
        v.validate_callable(1)("failing_hooks.hook")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_post_request_is_called_with_what_it_takes(count):
    got = []
    hooks = {
        2: lambda worker, req: got.append((worker, req)),
        3: lambda worker, req, environ: got.append((worker, req, environ)),
        4: lambda worker, req, environ, resp: got.append((worker, req, environ, resp)),
    }
    v.validate_post_request(hooks[count])(1, 2, 3, 4)
    assert got == [(1, 2, 3, 4)[:count]]


@pytest.mark.parametrize("hook", [lambda worker: None, lambda a, b, c, d, e: None])
def test_post_request_with_another_number_is_refused(hook):
    with pytest.raises(TypeError, match="2, 3 or 4"):
        v.validate_post_request(hook)
