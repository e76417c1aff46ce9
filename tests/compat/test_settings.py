"""Every setting of the installed gunicorn is in cyserve: names, flags, defaults, what is accepted.

`settings_probe.py` looks at both, each in a process of its own. Two values are equal if they have
the same kind and content; of a refusal only the fact counts, as the words are cyserve's own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from differences import compare, difference
from programs import Program, server_environment

from cyserve.config import KNOWN_SETTINGS

pytestmark = pytest.mark.timeout(300)  # the first test waits for two probes of all values

PROBE = Path(__file__).with_name("settings_probe.py")
REFUSED = "refused"

#: Python expressions; every setting is given the value of each. `here`, `file.txt` exist.
VALUES = """
None
True
False
0
1
2
3
-1
5
16383
20000
2**24
2**31
1.5
b'x'
''
' '
'true'
'FALSE'
' True '
'yes'
'on'
'off'
'1'
' 5 '
'0x10'
'010'
'0o17'
'-1'
'1.5'
'1_000'
'\\u0663'
'None'
'abc'
' abc '
'\\xe9'
'a,b'
'A, b,'
'.'
'/no/such'
'/no/such/*'
'here'
' here '
'./here/../here'
'file.txt'
['here', 'f*.txt']
['/no/such']
[]
()
{}
set()
['']
['a', ' b ']
('a', 'b')
frozenset({'a'})
[1]
[None]
['a', 1]
{'a': 'b'}
'127.0.0.1'
'10.0.0.0/8'
'10.0.0.1/8'
'*'
'*,127.0.0.1'
'127.0.0.1,,::1'
' 10.0.0.1 , fe80::/10 '
'300.1.1.1'
'localhost'
','
['127.0.0.1', '::1']
('*',)
['10.0.0.1/8']
'h:1'
'H:1'
'h:x'
':80'
'[::1]:80'
'[::1]'
'[::1'
'::1'
'a:1:2'
'tcp://h:1'
'fd://3'
'unix:x'
'unix:12'
'unix:///run/x'
'root'
' root '
'no-such-user'
'65534'
'h1'
'h2'
'H2, h1'
'h1,h1'
'h3'
['h1']
'http'
'uwsgi'
'auto'
'AUTO'
' fast '
'python'
'poll'
'inotify'
'drop'
'Refuse'
'dangerous'
'v1'
'V2'
'both'
'upgrade'
'prior-knowledge'
'asyncio'
'uvloop'
len
print
Plain
Plain()
Plain.__init__
one
two
three
four
lambda: None
lambda: 'x'
lambda: Plain
lambda: 1
lambda: 1 / 0
lambda *a: 'x'
lambda **k: 'x'
lambda *, k: 'x'
lambda a, b=1: 'x'
functools.partial(two, 1)
functools.partial(two, b=1)
functools
'os.path.join'
'os.getcwd'
' os.getcwd '
'os.no'
'no.such'
'os:getcwd'
""".strip().splitlines()

#: Every flag is given each of these.
WORDS = [
    *("", "x", "0", "1", "-1", "08", "010", "0x10", "0o10", " 5 ", "1.5", "1_0", "true", "*"),
    *("10.0.0.1/8", "a,b", "h1", "AUTO", "poll", "here", "/no/such"),
]

#: Settings, and what a Config with these says about something derived from them.
DERIVED = [
    ("{'worker_class': 'sync', 'threads': 2}", "cfg.worker_class_str"),
    ("{'worker_class': 'x.SyncWorker', 'threads': 2}", "cfg.worker_class_str"),
    ("{'worker_class': 'x.Other', 'threads': 2}", "cfg.worker_class_str"),
    ("{'worker_class': Plain, 'threads': 2}", "cfg.worker_class_str"),
    ("{'worker_class': Plain}", "cfg.worker_class"),
    ("{'logger_class': Plain}", "cfg.logger_class"),
    ("{'worker_class': 'no.such'}", "cfg.worker_class"),
    ("{}", "cfg.worker_class"),
    ("{}", "cfg.logger_class"),
    ("{'bind': ['h:1', 'unix:/x', '[::1]']}", "cfg.address"),
    ("{'bind': ['h:x']}", "cfg.address"),
    ("{'user': 12, 'group': '13'}", "(cfg.uid, cfg.gid, cfg.user, cfg.group)"),
    ("{'default_proc_name': 'a'}", "cfg.proc_name"),
    ("{'default_proc_name': 'a', 'proc_name': 'b'}", "cfg.proc_name"),
    ("{}", "bool(cfg.is_ssl)"),
    ("{'keyfile': 'k'}", "cfg.is_ssl"),
    ("{'keyfile': 'k', 'certfile': 'c'}", "cfg.is_ssl"),
    ("{'ca_certs': 'c'}", "cfg.ssl_options"),
    ("{'raw_env': ['A=1', 'B=', 'C=x=y', ' D = z ']}", "cfg.env"),
    ("{'raw_env': ['A']}", "cfg.env"),
    ("{'sendfile': True}", "cfg.sendfile"),
    ("{'sendfile': False}", "cfg.sendfile"),
    ("{}", "cfg.reuse_port"),
    (
        r"{'raw_paste_global_conf': ['a=b=c', r'd\=e=f\=g', ' h = ', r'\\=']}",
        "cfg.paste_global_conf",
    ),
    ("{'raw_paste_global_conf': ['a']}", "cfg.paste_global_conf"),
    ("{'forwarded_allow_ips': '10.0.0.0/8,*'}", "list(map(str, cfg.forwarded_allow_networks()))"),
    ("{'proxy_allow_ips': '10.0.0.0/8,*'}", "list(map(str, cfg.proxy_allow_networks()))"),
    ("{}", "cfg.no_such_setting"),
    ("{}", "setattr(cfg, 'workers', 3)"),
    ("{'no_such_setting': 1}", "cfg"),
    ("{}", "(cfg.prog, cfg.usage, cfg.env_orig['PATH'] != '')"),
    ("{}", "cfg.parser().parse_args(['--no-send', 'a', '--worker-c', 'x', 'b']).args"),
    ("{}", "cfg.parser().parse_args(['--worker', '3'])"),
    ("{}", "len(config.make_settings()) - len(config.make_settings(ignore=['bind', 'nothing']))"),
    ("{}", "sorted(config.make_settings().values())[0].section"),
    ("{}", "config.AccessLogFormat.default"),
    ("{}", "config.Workers().copy().get()"),
    ("{}", "config.auto_int(None, '010')"),
    ("{}", "config.validate_file_exists('here')"),
    ("{}", "config.validate_file_exists('nowhere')"),
    ("{}", "config.get_default_config_file()"),
    ("{}", "config.KNOWN_SETTINGS[0].name"),
    ("{}", "issubclass(config.SettingMeta, type)"),
]

ENVIRONMENTS: dict[str, dict[str, str]] = {
    "none": {},
    "set": {
        "PORT": "5000",
        "WEB_CONCURRENCY": "3",
        "FORWARDED_ALLOW_IPS": "*,10.0.0.1",
        "SENDFILE": "no",
        "XDG_RUNTIME_DIR": "/run/nobody",
    },
    "odd": {"PORT": "0", "WEB_CONCURRENCY": " 2 ", "FORWARDED_ALLOW_IPS": "", "SENDFILE": "Yes"},
}

LISTS = ("bind", "raw_env", "raw_paste_global_conf", "dirty_apps")
ADDRESSES = ("forwarded_allow_ips", "proxy_allow_ips", "uwsgi_allow_ips")
CLASSES = ("worker_class", "logger_class")
NO_ADDRESSES = ("10.0.0.0/8", "10.0.0.1/8", "/no/such", "/no/such/*", "./here/../here", "a:1:2")

Change = dict[str, dict[str, Any]]

#: By difference and setting: what of it differs, and what cyserve has instead.
SETTINGS_DIFFERS: dict[str, Change] = {
    "keepalive-default": {"keepalive": {"default": 75}},
    "own-name": {
        "default_proc_name": {"default": "cyserve"},
        "logger_class": {"default": "cyserve.glogging.Logger"},
    },
    "later-features": {"control_socket": {"default": None}},
    "flag-hyphen": {
        "limit_request_field_size": {
            "cli": ["--limit-request-field_size", "--limit-request-field-size"]
        }
    },
    "access-json": {"access_log_format": {"cli": ["--access-logformat", "--access-log-format"]}},
    "list-items": {
        name: {f"values {text}": REFUSED for text in ("[None]", "{'a': 'b'}")} for name in LISTS
    },
    "lists-accepted": {
        **{
            name: {
                "values []": ["list"],
                "values ()": ["list"],
                "values ['']": ["list"],
                "values ['127.0.0.1', '::1']": ["list", "127.0.0.1", "::1"],
                "values ('*',)": ["list", "*"],
            }
            for name in ADDRESSES
        },
        "forwarder_headers": {
            "values []": ["list"],
            "values ()": ["list"],
            "values ['']": ["list"],
            "values ['a', ' b ']": ["list", "a", "b"],
            "values ('a', 'b')": ["list", "a", "b"],
            "values ['h1']": ["list", "h1"],
            "values ['here', 'f*.txt']": ["list", "here", "f*.txt"],
            "values ['/no/such']": ["list", "/no/such"],
            "values ['127.0.0.1', '::1']": ["list", "127.0.0.1", "::1"],
            "values ('*',)": ["list", "*"],
            "values ['10.0.0.1/8']": ["list", "10.0.0.1/8"],
        },
    },
    "statsd-address": {
        "statsd_host": {
            "values '::1'": ["tuple", "::1", 8125],
            "values 'fd://3'": REFUSED,
            "flags --statsd-host=10.0.0.1/8": REFUSED,
            "flags --statsd-host=/no/such": REFUSED,
            **{f"values {text!r}": REFUSED for text in NO_ADDRESSES},
        }
    },
    "checked-early": {
        **{
            name: {f"values {text}": REFUSED for text in ("None", "lambda: None")}
            for name in CLASSES
        },
        "chdir": {"values 'file.txt'": REFUSED},
        "cert_reqs": {
            **{f"values {text}": REFUSED for text in ("3", "5", "16383", "20000", "2**24")},
            **{f"values {text}": REFUSED for text in ("2**31", "' 5 '", "'0x10'", "'0o17'")},
            **{f"values {text}": REFUSED for text in ("'1_000'", r"'\u0663'", "'65534'")},
            **{f"flags --cert-reqs={text}": REFUSED for text in ("0x10", "0o10", " 5 ", "1_0")},
        },
    },
    "hook-names": {
        "post_request": {
            "values two": ["function", "two", 4],
            "values three": ["function", "three", 4],
            "values lambda a, b=1: 'x'": ["function", "<lambda>", 4],
        }
    },
}

Found = dict[str, Any]
Probe = Callable[..., Found]


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """Runs the probe on "gunicorn" or "cyserve"; what it found."""
    directory = tmp_path_factory.mktemp("probe")
    (directory / "here").mkdir()
    (directory / "file.txt").touch()

    def run(program: Program, env: dict[str, str], **table: Any) -> Found:
        python = sys.executable
        if program.is_oracle:
            python = str(Path(program.command[0]).with_name("python"))
        done = subprocess.run(
            [python, str(PROBE), program.name],
            input=json.dumps({"values": [], "words": [], "derived": []} | table),
            capture_output=True,
            text=True,
            check=False,
            cwd=directory,
            env=server_environment(
                {"XDG_RUNTIME_DIR": None, "HOME": "/nobody"} | env, None, program
            ),
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def cyserve() -> Program:
    return Program("cyserve", ())


@pytest.fixture(scope="module")
def found(probe: Probe, oracle: Program, cyserve: Program) -> tuple[Found, Found]:
    """What the probe finds in gunicorn and in cyserve."""
    table = {"values": VALUES, "words": WORDS, "derived": DERIVED}
    return probe(oracle, {}, **table), probe(cyserve, {}, **table)


def plain(outcome: dict[str, Any]) -> Any:
    return REFUSED if "refused" in outcome else outcome["value"]


def flat(row: Found) -> Found:
    """A setting as one dict; of a refusal only the fact is kept."""
    facts = {key: value for key, value in row.items() if key not in {"values", "flags"}}
    for kind in ("values", "flags"):
        facts |= {f"{kind} {text}": plain(outcome) for text, outcome in row[kind].items()}
    return facts


def changes(name: str, only: str = "") -> dict[str, Callable[[Found], Found]]:
    """The intended differences of a setting, as `compare` takes them."""
    return {
        row: lambda facts, new=new: {key: new.get(key, value) for key, value in facts.items()}
        for row, settings in SETTINGS_DIFFERS.items()
        if (new := settings.get(name)) and any(key.startswith(only) for key in new)
    }


def test_every_setting_of_gunicorn_is_there(found):
    gunicorn, cyserve = (side["settings"].keys() for side in found)
    assert gunicorn - cyserve == set()


@pytest.mark.parametrize("name", sorted(str(setting.name) for setting in KNOWN_SETTINGS))
def test_setting_is_gunicorns_or_listed(found, name):
    gunicorn, cyserve = (side["settings"].get(name) for side in found)
    if gunicorn is None:
        assert f"`{name}`" in difference("own-settings").cyserve
        return
    theirs, ours = flat(gunicorn), flat(cyserve)
    compare(theirs, {key: ours.get(key) for key in theirs}, differs=changes(name))


def test_every_listed_setting_exists(found):
    names = {name for settings in SETTINGS_DIFFERS.values() for name in settings}
    assert names <= found[0]["settings"].keys()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_defaults_follow_the_environment(probe, oracle, cyserve, environment):
    gunicorn, ours = (
        probe(program, ENVIRONMENTS[environment])["settings"] for program in (oracle, cyserve)
    )
    for name, row in gunicorn.items():
        theirs, our = ({"default": side["default"]} for side in (row, ours[name]))
        listed = changes(name, "default")
        compare(theirs, our, differs=listed)


@pytest.mark.parametrize(("settings", "look"), DERIVED)
def test_what_a_config_derives(found, settings, look):
    gunicorn, cyserve = (plain(side["derived"][f"{settings} {look}"]) for side in found)
    if look == "cfg.sendfile" and "True" in settings:
        compare(gunicorn, cyserve, differs={"sendfile-true": lambda _: True})
    else:
        compare(gunicorn, cyserve)


def test_public_names_of_the_module(found):
    gunicorn, cyserve = (set(side["names"]) for side in found)
    modules = sys.stdlib_module_names | {"util"}
    assert gunicorn - cyserve - modules == {"reloader_engines", "PLATFORM"}  # of no use to users
