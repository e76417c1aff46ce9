"""The command line as a user meets it: exit codes and what goes to stdout and stderr.

What is expected here was compared with gunicorn 27.0.1; tests marked `differs` say where cyserve
does better on purpose.
"""

import re
import subprocess
import sys
from pathlib import Path
from signal import SIGHUP, SIGTERM

import pytest
from harness import TIMEOUT, command_under_test, differs, is_oracle, server_environment
from http_client import request

APP = """
import os
def application(environ, start_response):
    start_response("200 OK", [])
    return [os.environ.get("COLOR", "none").encode()]
def app(environ, start_response): ...
def factory(color, size=1): return app
def failing(): raise TypeError("from inside")
nothing = None
number = 3
"""


@pytest.fixture
def cli(tmp_path):
    """Runs one command line in a directory with the module `shop`; its output and exit code."""
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "needs_color.py").write_text("import os\napplication = os.environ['COLOR'].join\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/shelf.py").write_text("from shop import application\n")

    def run(*args, command=None, files=None, **env):
        for name, text in (files or {}).items():
            (tmp_path / name).write_text(text)
        return subprocess.run(
            [*(command or command_under_test()), *args],
            cwd=tmp_path,
            env=server_environment(env, None),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )

    run.directory = tmp_path
    return run


@pytest.mark.parametrize(
    "args",
    [
        ["shop"],
        ["shop:app"],
        ["shop:factory('red', size=2)"],
        ["shop:app", "ignored"],
        ["-c", "", "shop"],
        ["--chdir", "lib", "shelf"],  # shop is found in the launch directory
    ],
)
def test_good_command_line(cli, args):
    done = cli("--check-config", *args)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([], 1, "No application module specified."),
        (["--nope", "shop"], 2, "unrecognized arguments: --nope"),
        (["-w", "x", "shop"], 2, "argument -w/--workers: invalid int value: 'x'"),
        (["-w"], 2, "argument -w/--workers: expected one argument"),
        (["-w", "-1", "shop"], 1, "-1"),
        (["-c", "no.py", "shop"], 1, "'no.py' doesn't exist"),
        (["--chdir", "no", "shop"], 1, "can't chdir to"),
        (["-u", "no-such-user", "shop"], 1, "user"),
        (["-g", "no-such-group", "shop"], 1, "group"),
        (["--forwarded-allow-ips", "10.0.0.1/8", "shop"], 1, "10.0.0.1/8 has host bits set"),
        (["--header-map", "keep", "shop"], 1, "keep"),
        (["--http-parser", "quick", "shop"], 1, "auto, fast, python"),
    ],
)
def test_bad_command_line(cli, args, code, message):
    done = cli("--check-config", *args)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if not is_oracle():  # there: a blank line or a usage line before it
        assert re.fullmatch(r"Error: [^\n]+\n", done.stderr)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-k", "nosuch"], "worker_class = 'nosuch': cyserve has no worker class of this name"),
        (["-b", "h:x"], "bind = 'h:x': 'x' is not a valid port number."),
        (["-b", "/run/x"], "write unix:/run/x for a unix socket"),
        (["-e", "COLOR"], "environment setting 'COLOR' invalid"),
    ],
)
@differs("checked-early")
@pytest.mark.parametrize("check", [["--check-config"], []], ids=["check", "serve"])
def test_bad_setting_is_found_before_anything_starts(cli, args, message, check):
    done = cli(*check, *args, "shop")
    assert done.returncode == 1
    assert message in done.stderr
    assert re.fullmatch(r"Error: [^\n]+\n", done.stderr)


@pytest.mark.parametrize(
    ("args", "given", "message"),
    [
        (["-k", "asgi"], {}, "command line: worker_class = 'asgi'"),
        (["--protocol", "uwsgi"], {}, "command line: protocol = 'uwsgi'"),
        (["--control-socket", "c"], {}, "command line: control_socket = 'c'"),
        (["--dirty-app", "a:B", "--dirty-workers", "1"], {}, "command line: dirty_apps = ['a:B']"),
        (
            ["-c", "own.py"],
            {"files": {"own.py": "http2_cleartext = True"}},
            "config file own.py: http2_cleartext = 'prior-knowledge'",
        ),
        (
            [],
            {"GUNICORN_CMD_ARGS": "--http-protocols h2,h1"},
            "$GUNICORN_CMD_ARGS: http_protocols = ['h2', 'h1']",
        ),
    ],
)
@differs("later-features")
def test_a_feature_of_later_stops_the_start(cli, args, given, message):
    done = cli(*args, "shop", **given)
    assert done.returncode == 1
    assert re.fullmatch(
        rf"Error: {re.escape(message)}: this version of cyserve does not have [^\n]+\n", done.stderr
    )


def test_settings_of_later_features_that_ask_for_nothing(cli):
    args = ["--http-protocols", "h1", "--dirty-app", "a:B", "--asgi-loop", "uvloop"]
    done = cli("--check-config", *args, "--no-control-socket", "--control-socket", "c", "shop")
    assert (done.returncode, done.stderr) == (0, "")


@differs("misspelt")
def test_a_misspelt_name_is_pointed_out(cli):
    text = "wokers = 2\ndef postfork(server, worker): ...\nport = 1"
    done = cli("--check-config", "-c", "own.py", "shop", files={"own.py": text})
    assert done.returncode == 0
    assert done.stderr == (
        "Warning: config file own.py: there is no setting 'wokers'; did you mean 'workers'?\n"
        "Warning: config file own.py: there is no setting 'postfork'; did you mean 'post_fork'?\n"
    )


@pytest.mark.parametrize(
    ("env", "code", "message"),
    [
        ({"GUNICORN_CMD_ARGS": "--nope"}, 2, "unrecognized arguments: --nope"),
        ({"GUNICORN_CMD_ARGS": "-w 'x"}, 1, "No closing quotation"),
        ({"WEB_CONCURRENCY": "abc"}, 1, "abc"),
    ],
)
def test_bad_environment(cli, env, code, message):
    done = cli("--check-config", "shop", **env)
    assert done.returncode == code
    assert message in done.stderr
    if not is_oracle():
        assert re.fullmatch(rf"Error: [^\n]*\b{next(iter(env))}[^\n]+\n", done.stderr)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shop:missing", "Failed to find attribute 'missing' in 'shop'."),
        ("shop:nothing", "Failed to find application object: 'nothing'"),
        ("shop:number", "Application object must be callable."),
        ("shop:a.b()", "Function reference must be a simple name: 'a.b()'"),
        ("shop:factory(x)", "Failed to parse arguments as literal values: 'factory(x)'"),
        ("shop:factory()", "TypeError: factory() missing 1 required positional argument: 'color'"),
        ("shop.py", "Failed to find application, did you mean 'shop:application'?"),
        ("no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("shop:failing()", "TypeError: from inside"),
    ],
)
def test_application_that_cannot_be_loaded(cli, name, message):
    done = cli("--check-config", name)
    assert done.returncode == 1
    assert done.stderr.lstrip().startswith("Error while loading the application:")
    assert message in done.stderr
    if not is_oracle():  # only frames of the user's own code
        assert str(Path(sys.modules["cyserve"].__file__).parent) not in done.stderr
        assert ("Traceback" in done.stderr) is name.endswith("failing()")


@differs("check-as-worker")
def test_check_loads_the_application_as_a_worker_would(cli):
    done = cli("--check-config", "-e", "COLOR=red", "--pythonpath", "lib", "needs_color")
    assert (done.returncode, done.stderr) == (0, "")
    assert cli("--check-config", "--pythonpath", "lib", "shelf").returncode == 0


def test_failing_config_file(cli):
    done = cli("--check-config", "-c", "own.py", "shop", files={"own.py": "\n1 / 0\n"})
    assert done.returncode == 1
    assert "Failed to read config file: own.py" in done.stderr
    assert 'own.py", line 2, in <module>' in done.stderr
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "workers = 'x'",
            "config file own.py: workers = 'x': allowed is a whole number, 0 or more",
        ),
        ("def on_exit(): ...", "allowed is a function with 1 positional parameters, this has 0"),
    ],
)
@differs("error-words")
def test_bad_value_in_a_config_file(cli, text, message):
    done = cli("--check-config", "-c", "own.py", "shop", files={"own.py": text})
    assert done.returncode == 1
    assert message in done.stderr
    assert re.fullmatch(r"Error: config file own\.py: [^\n]+\n", done.stderr)


def test_print_config(cli):
    done = cli("--print-config", "-w", "3", "-b", "127.0.0.1:1", "-m", "022", "shop")
    assert (done.returncode, done.stderr) == (0, "")
    printed = re.sub(r"  # .*$", "", done.stdout, flags=re.MULTILINE)
    lines = dict(re.fullmatch(r"(\w+) +=(.*)", line).groups() for line in printed.splitlines())
    assert list(lines) == sorted(lines)
    assert lines["workers"] == " 3"
    assert lines["bind"] == " ['127.0.0.1:1']"
    assert lines["umask"] == " 18"
    assert lines["wsgi_app"] == " None"
    assert lines["pre_fork"] == " <Prefork.pre_fork()>"
    assert lines["default_proc_name"] == " shop"
    assert cli("--print-config", "no_such_module").returncode == 1


@differs("print-config-sources")
def test_print_config_says_where_each_value_came_from(cli):
    done = cli(
        *("--print-config", "-c", "own.py", "--backlog", "5", "shop"),
        GUNICORN_CMD_ARGS="--timeout 7 --backlog 4",
        WEB_CONCURRENCY="2",
        files={"own.py": "timeout = 6\nthreads = 3\n"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = dict(re.findall(r"^(\w+) += .*?  # (.*)$", done.stdout, re.MULTILINE))
    expected = {
        "backlog": "command line",
        "config": "command line",
        "default_proc_name": "command line",
        "print_config": "command line",
        "threads": "config file own.py",
        "timeout": "$GUNICORN_CMD_ARGS",
        "workers": "environment variable WEB_CONCURRENCY",
    }
    assert {name: source for name, source in said.items() if source != "default"} == expected


def test_help(cli):
    done = cli("--help")
    assert (done.returncode, done.stderr) == (0, "")
    usage = "[OPTIONS] [APP_MODULE]"
    assert done.stdout.startswith("usage: ")
    assert usage in done.stdout.splitlines()[0]
    for flag in ("-b ADDRESS, --bind ADDRESS", "-D, --daemon", "--no-sendfile", "-w INT"):
        assert flag in done.stdout


@differs("kernels")
@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version_says_which_kernel_runs(cli, kernel, flag):
    forced = {"pure": ("1", "0"), "compiled": ("0", "1"), None: (None, None)}[kernel]
    done = cli(flag, CYSERVE_NO_EXTENSIONS=forced[0], CYSERVE_REQUIRE_EXTENSIONS=forced[1])
    assert done.returncode == 0
    assert re.fullmatch(rf"cyserve \(version [\d.]+, {kernel}\)\n", done.stdout)


@differs("kernels")
@pytest.mark.parametrize(
    ("args", "env", "message"),
    [
        (["--http-parser", "fast"], {"CYSERVE_NO_EXTENSIONS": "1"}, "http_parser = 'fast': "),
        (["--http-parser", "python"], {"CYSERVE_REQUIRE_EXTENSIONS": "1"}, "EXTENSIONS"),
        ([], {"CYSERVE_NO_EXTENSIONS": "1", "CYSERVE_REQUIRE_EXTENSIONS": "1"}, "both set"),
        ([], {"CYSERVE_NO_EXTENSIONS": "yes"}, "CYSERVE_NO_EXTENSIONS='yes': allowed are 0 and 1"),
    ],
)
def test_kernel_that_cannot_be_had(cli, args, env, message):
    switches = {"CYSERVE_NO_EXTENSIONS": None, "CYSERVE_REQUIRE_EXTENSIONS": None} | env
    done = cli("--check-config", *args, "shop", **switches)
    assert done.returncode == 1
    assert message in done.stderr
    assert re.fullmatch(r"Error: [^\n]+\n", done.stderr)


@differs("own-name")
def test_other_ways_to_start_it(cli):
    for module in ("cyserve", "cyserve.app.wsgiapp"):
        done = cli("--version", command=[sys.executable, "-m", module])
        assert done.stdout.startswith("cyserve (version ")
        assert done.stderr == ""


def test_settings_of_all_sources_reach_the_server(start_server):
    server = start_server(
        "shop",
        "--graceful-timeout",
        "5",
        config="raw_env = ['COLOR=blue']\nworkers = 7\ntimeout = 20\n",
        files={"shop.py": APP},
        env={"GUNICORN_CMD_ARGS": "--env COLOR=green --timeout 40"},
    )
    assert request(server.address, "/").body == b"green"
    assert server.stop(SIGTERM) == 0


@differs("worker-tmp-dir")
def test_worker_tmp_dir_is_not_needed_and_no_matter_for_concern(start_server):
    args = ("--worker-tmp-dir", "/no/such/dir", "--log-level", "debug")
    server = start_server("shop", *args, files={"shop.py": APP})
    server.wait_log(r"\[DEBUG\] worker_tmp_dir is not needed")


@differs("reload-broken")
def test_reload_with_a_bad_config_file_keeps_serving(start_server):
    server = start_server("shop", config="workers = 1", files={"shop.py": APP})
    server.write_config("workers = 'x'")
    server.signal(SIGHUP)
    server.wait_log(r"server\.conf\.py: workers = 'x': allowed is a whole number")
    assert request(server.address, "/").status == 200
    assert server.stop(SIGTERM) == 0
