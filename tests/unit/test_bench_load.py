"""The load harness counts and reports correctly: its parts that need no server and no wrk.

A benchmark that is wrong misleads more than none, so: CPU of a tree never counts twice nor forgets
reaped children, errors are refused, ratios come from within rounds.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # behind everything: the installed cyserve stays the one under test
try:
    from benchmarks.load import (
        cases,
        instructions,
        lineup,
        measure,
        options,
        procs,
        report,
        running,
        wrk,
    )
    from benchmarks.load.running import BenchError
    from benchmarks.load.servers import SERVERS, Server
finally:
    sys.path.remove(str(ROOT))


def stat(pid, parent, session=1, cpu=(0, 0, 0, 0), started=5, state="S"):
    return procs.Stat(pid, state, parent, session, *cpu, started)


def one_round(cpu_us, **more):
    figures = {"rate": 10.0, "p50_us": 1000, "p99_us": 2000, "p999_us": 3000, "others": 0.1}
    figures["pss"] = 8_000_000
    return {"cpu_us": cpu_us, **figures, **more}


class TestProcesses:
    def test_stat_line_with_a_command_full_of_traps(self):
        line = (
            "42 (a) b) (c) S 7 42 40 0 -1 4194304 1 2 3 4 "
            "11 12 13 14 20 0 1 0 95304 3133440 384 18446744073709551615 1 2"
        )
        found = procs.parse_stat(line)
        assert found == procs.Stat(42, "S", 7, 40, 11, 12, 13, 14, 95304)
        assert found.cpu == 50

    def test_our_own_stat(self):
        found = procs.parse_stat(Path("/proc/self/stat").read_text())
        assert (found.pid, found.parent, found.session) == (os.getpid(), os.getppid(), os.getsid(0))

    def test_tree_is_descendants_and_session(self):
        stats = [
            stat(1, 0),
            stat(10, 1, session=10),
            stat(11, 10, session=10),
            stat(12, 11, session=99),  # a descendant that left the session
            stat(13, 1, session=10),  # an orphan that stayed in it
            stat(20, 1, session=20),
        ]
        assert [s.pid for s in procs.select_tree(stats, 10)] == [10, 11, 12, 13]

    def test_exact_use_while_no_thread_ends(self):
        def usage(ticks, **threads):
            return procs.Usage(ticks, {(1, int(name[1:])): used for name, used in threads.items()})

        before = usage(1.0, t1=1_000_000_000, t2=50)
        assert usage(2.01, t1=2_000_000_000, t2=50, t3=7).since(before) == 1.000000007
        # A thread that has ended took its share with it: the ticks have it.
        assert usage(2.01, t1=2_000_000_000).since(before) == pytest.approx(1.01)
        # So has one that was born and ended in between.
        assert usage(2.5, t1=2_000_000_000, t2=50).since(before) == 1.5

    def test_our_own_use(self):
        before = procs.usage(os.getpid())
        deadline = time.process_time() + 0.3
        while time.process_time() < deadline:
            pass
        assert 0.25 < procs.usage(os.getpid()).since(before) < 60

    def test_tree_of_a_root_that_is_gone(self):
        assert procs.select_tree([stat(1, 0)], 10) == []

    def test_cpu_of_reaped_children_counts(self):
        child = "t = __import__('time').process_time\nwhile t() < 0.3: pass"
        parent = (
            "import subprocess, sys\n"
            f"subprocess.run([sys.executable, '-c', {child!r}])\n"
            "print('done', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", parent],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdout.readline() == b"done\n"
            assert procs.tree_cpu(process.pid) >= 0.29
            process.stdin.close()

    def test_voluntary_switches_grow_by_sleeping(self):
        before = procs.switches(os.getpid())
        for _ in range(1000):  # a sleep that begins while the process is preempted does not count
            time.sleep(0.001)
            if procs.switches(os.getpid()) >= before + 5:
                return
        pytest.fail("a thousand naps were not counted")

    def test_what_a_tree_uses(self):
        code = "data = b'x' * 30_000_000; print(1, flush=True); import sys; sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdout.readline() == b"1\n"
            rss, pss = procs.memory(process.pid)
            assert 30_000_000 < pss <= rss
            assert procs.descriptors(process.pid) == 3
            assert 0 < procs.tree_run(process.pid) <= procs.tree_cpu(process.pid) + 0.1
            process.stdin.close()

    def test_stop_ends_a_tree_that_ignores_term(self):
        child = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)\n"
        parent = (
            "import subprocess, sys, time\n"
            f"child = subprocess.Popen([sys.executable, '-c', {child + 'time.sleep(60)'!r}])\n"
            "print(child.pid, flush=True); child.wait()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True
        ) as process:
            said = {process.stdout.readline(), process.stdout.readline()}
            assert b"1\n" in said
            (child_pid,) = (int(line) for line in said - {b"1\n"})
            procs.stop_tree(process.pid, patience=0.2)
            assert process.wait() == -signal.SIGTERM
        state = {s.pid: s.state for s in procs.all_stats()}
        assert state.get(child_pid, "Z") == "Z"


class TestWrk:
    COUNTS = {
        "requests": 5000,
        "duration_us": 2_000_000,
        "bytes": 1,
        "p50_us": 100,
        "p99_us": 200,
        "p999_us": 300,
    }
    NO_ERRORS = {"connect": 0, "read": 0, "write": 0, "status": 0, "timeout": 0}

    def output(self, errors=None, **changes):
        counts = {**self.COUNTS, **changes, "errors": {**self.NO_ERRORS, **(errors or {})}}
        return "Running 2s test\n  5000 requests\n" + json.dumps(counts) + "\n"

    def test_counts(self):
        assert wrk.parse(self.output()) == {**self.COUNTS, "rate": 2500.0, "late": 0}

    def test_late_answers_may_be_no_matter(self):
        assert wrk.parse(self.output(errors={"timeout": 3}), late=True)["late"] == 3
        with pytest.raises(BenchError, match="'read': 1"):
            wrk.parse(self.output(errors={"timeout": 3, "read": 1}), late=True)

    @pytest.mark.parametrize("kind", list(NO_ERRORS))
    def test_any_error_is_refused(self, kind):
        with pytest.raises(BenchError, match=f"'{kind}': 3"):
            wrk.parse(self.output(errors={kind: 3}))

    @pytest.mark.parametrize("text", ["", "unable to connect to 127.0.0.1\n"])
    def test_no_result_is_refused(self, text):
        with pytest.raises(BenchError, match="no result"):
            wrk.parse(text)

    def test_no_answer_is_refused(self):
        with pytest.raises(BenchError, match="no answer"):
            wrk.parse(self.output(requests=0))


class TestCases:
    def test_names_are_their_keys(self):
        assert all(name == case.name for name, case in cases.CASES.items())

    def test_request_bytes(self):
        case = cases.Case("x", "x", method="POST", path="/p", headers=(("A", "b"),), body=3)
        assert case.request("h:1") == (
            b"POST /p HTTP/1.1\r\nHost: h:1\r\nA: b\r\nContent-Length: 3\r\n\r\nxxx"
        )

    def test_script_quotes_what_lua_would_read(self):
        script = cases.Case("x", "x", headers=(("A", 'say "\\"'),), body=7).wrk_script()
        assert r'wrk.headers["A"] = "say \"\\\""' in script
        assert 'wrk.body = string.rep("x", 7)' in script

    def test_a_chunked_body(self):
        case = cases.Case("x", "x", method="POST", body=cases.CHUNK + 3, chunked=True)
        head, _, body = case.request("h").partition(b"\r\n\r\n")
        assert head.endswith(b"\r\nTransfer-Encoding: chunked")
        assert body == b"4000\r\n" + b"x" * cases.CHUNK + b"\r\n3\r\nxxx\r\n0\r\n\r\n"
        script = case.wrk_script()
        assert 'wrk.headers["Transfer-Encoding"] = "chunked"' in script
        assert "wrk.body" not in script
        assert 'string.rep("3\\r\\n" .. string.rep("x", 3) .. "\\r\\n", 1)' in script

    def test_pipelined_requests_leave_in_one_piece(self):
        script = cases.CASES["pipeline"].wrk_script()
        assert "init = function() raw = string.rep(wrk.format(), 16) end" in script
        assert "request = function() return raw end" in script

    def test_a_pause_is_the_scripts(self):
        assert "delay = function() return 20 end" in cases.Case("x", "x", pause=20).wrk_script()
        assert "delay" not in cases.Case("x", "x").wrk_script()

    def test_close_and_browser_are_what_they_say(self):
        assert b"\r\nConnection: close\r\n" in cases.CASES["hello-close"].request("h")
        assert 600 < len(cases.CASES["browser"].request("127.0.0.1:8000")) < 900
        assert cases.CASES["browser-close"].request("h").count(b"Connection: ") == 1


class TestServers:
    def test_command_line(self):
        server = Server("s", "v", ("{python}", "{app}:{port}"), access_log=("--log", "{log}"))
        values = {"python": "/py", "port": "80", "log": "/l"}
        plain, logged = cases.CASES["hello"], cases.CASES["hello-log"]
        assert server.command_line(plain, values) == ["/py", "hello:80"]
        assert server.command_line(logged, values) == ["/py", "hello:80", "--log", "/l"]

    def test_who_can_run_what(self):
        limit, bjoern = SERVERS["limit"], SERVERS["bjoern"]
        assert limit.can_run(cases.CASES["hello-close"])
        assert not limit.can_run(cases.CASES["out-100k"])
        assert not bjoern.can_run(cases.CASES["hello-log"])
        assert SERVERS["gunicorn-sync"].can_run(cases.CASES["hello-log"])
        assert not limit.can_run(cases.CASES["pipeline"])
        assert not bjoern.can_run(cases.CASES["two-workers"])
        assert not bjoern.can_run(cases.CASES["hello-tls"])
        assert SERVERS["freastal"].can_run(cases.CASES["hello-tls"])

    def test_every_word_in_braces_is_known(self):
        values = dict.fromkeys(("python", "bin", "port", "workers", "log", "tmp"), "1")
        for server in SERVERS.values():
            for case in filter(server.can_run, cases.CASES.values()):
                words = server.command_line(case, values)
                assert not [word for word in words if "{" in word]

    def test_what_a_case_adds(self):
        server = Server(
            "s", "v", ("run", "{module}:{app}{tls}"), quiet=("-q",), access_log=("-l",),
            tls_options=("--tls",), tls_inside=" at {tmp}",
        )  # fmt: skip
        hello, flask = cases.CASES["hello"], cases.CASES["flask"]
        assert server.command_line(hello, {"tmp": "/t"}) == ["run", "load_apps:hello", "-q"]
        assert server.command_line(flask, {"tmp": "/t"}) == ["run", "load_flask:app", "-q"]
        words = server.command_line(cases.CASES["hello-tls"], {"tmp": "/t"})
        assert words == ["run", "load_apps:hello at /t", "--tls", "-q"]
        words = server.command_line(cases.CASES["hello-log"], {"tmp": "/t"})
        assert words == ["run", "load_apps:hello", "-l"]

    def test_keeping_is_asked_for_where_it_is_wanted(self):
        server = Server("s", "v", ("run",), keeping=("--keep",), closing=("--close", "{port}"))
        assert server.command_line(cases.CASES["hello"], {}) == ["run", "--keep"]
        words = server.command_line(cases.CASES["hello-close"], {"port": "80"})
        assert words == ["run", "--close", "80"]

    def test_every_case_of_the_lineups_is_known(self):
        for usual in (lineup.LINEUP, lineup.QUICK):
            assert set(usual) <= set(cases.CASES)
            assert set(lineup.names(usual)) <= set(SERVERS)
            for case, servers in usual.items():
                able = [name for name in servers if SERVERS[name].can_run(cases.CASES[case])]
                assert able[0].startswith("cyserve")
                assert len(able) == len(set(able)) > 1

    def test_a_server_that_cannot_be_had_is_left_out(self, tmp_path):
        args = argparse.Namespace(cyserve=tmp_path, tree=[], venv=[("rivals", tmp_path)])
        found, missing = options.available(["limit", "bjoern", "cyserve-sync"], args)
        assert list(found) == ["limit"]
        assert "no bin/python" in missing["bjoern"]
        assert "neither" in missing["cyserve-sync"]

    @pytest.mark.parametrize("text", ["", "nobody", "bjoern,nobody@x"])
    def test_unknown_names_are_refused(self, text):
        with pytest.raises(BenchError, match="unknown"):
            options.names(text, SERVERS)

    def test_names(self):
        assert options.names("bjoern, cyserve-sync@base", SERVERS) == [
            "bjoern",
            "cyserve-sync@base",
        ]


class TestAnswers:
    def test_equal_answers_pass(self):
        measure.check_answers({"a": (200, "text/plain", b"x"), "b": (200, "text/plain", b"x")})

    def test_a_bad_status_is_refused(self):
        with pytest.raises(BenchError, match="b answers 500"):
            measure.check_answers({"a": (200, "t", b"x"), "b": (500, "t", b"x")})

    @pytest.mark.parametrize("other", [(200, "t", b"xy"), (200, "text/html", b"x")])
    def test_different_answers_are_refused(self, other):
        with pytest.raises(BenchError, match="answers differ: b"):
            measure.check_answers({"a": (200, "t", b"x"), "b": other})

    def test_a_connection_that_goes_on_is_seen(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(0.01)
            assert not running.has_ended(ours)
            theirs.close()
            assert running.has_ended(ours)


class TestReport:
    RESULT = {
        "case": "hello",
        "title": "hello, keep-alive",
        "base": "a",
        "rounds": {
            # The machine was slow in the second round: both suffer, the ratio does not.
            "a": [one_round(10.0), one_round(40.0), one_round(12.0)],
            "b": [one_round(5.0), one_round(20.0), one_round(5.5)],
        },
        "refused": {"c": "wrk saw errors: {'read': 1} in 5 requests\nmore"},
    }

    def test_medians_and_ratios_within_rounds(self):
        summary = report.summarise(self.RESULT, "a")
        assert summary["a"]["cpu_us"] == 12.0
        assert summary["a"]["ratio"] == 1.0
        assert summary["b"]["ratio"] == 0.5
        assert (summary["b"]["cpu_low"], summary["b"]["cpu_high"]) == (5.0, 20.0)

    def test_no_base_no_ratio(self):
        assert "ratio" not in report.summarise(self.RESULT, "c")["a"]

    def test_table(self):
        assert report.table(["server", "n"], [["a", "1"], ["long name", "1234"]]) == [
            "| server    |    n |",
            "| --------- | ---: |",
            "| a         |    1 |",
            "| long name | 1234 |",
        ]

    def test_markdown(self):
        text = report.markdown({"machine": "m"}, [self.RESULT])
        lines = [" ".join(line.split()) for line in text.splitlines()]
        assert lines[0] == "- machine: m"
        assert "| b | 5.50 | 5.00-20.0 | 0.50 | 10 | 1.00 | 2.00 | 3.00 | 8.0 |" in lines
        assert "c: no figure, wrk saw errors: {'read': 1} in 5 requests more" in lines
        assert "Other processes took 10% of the server's core meanwhile." in lines

    def test_overview(self):
        rounds = {
            "cyserve-sync": [one_round(5.0)],
            "limit": [one_round(1.0)],
            "bjoern": [one_round(4.0)],
            "gunicorn-sync": [one_round(50.0)],
            "gunicorn-gthread": [one_round(40.0)],
        }
        result = {**self.RESULT, "base": "cyserve-sync", "rounds": rounds}
        lines = [" ".join(line.split()) for line in report.overview([result])]
        assert lines[0] == "| case | cyserve | limit | bjoern | gunicorn |"
        assert lines[2] == "| hello, keep-alive | 5.00 | 1.00 | **4.00** | 50.0 |"

    def test_latencies_that_are_not_comparable_are_marked(self):
        result = {**self.RESULT, "rounds": {"uwsgi": [one_round(1.0)]}, "base": "uwsgi"}
        text = "\n".join(report.case_table(result))
        assert r"2.00 \*" in text
        assert report.ONE_AT_A_TIME in text

    def test_into_page(self):
        def page(one, two):
            marks = [mark.format(part=part) for part in "ab" for mark in (report.BEGIN, report.END)]
            return "{1}\n{0}{2}\nbetween\n{4}\n{3}{5}\n".format(one, *marks[:2], two, *marks[2:])

        assert report.into_page(page("old\n", "b\n"), "a", "new\n") == page("new\n", "b\n")
        assert report.into_page(page("a\n", "old\n"), "b", "new\n") == page("a\n", "new\n")
        with pytest.raises(ValueError, match="begin"):
            report.into_page(page("", ""), "c", "new\n")

    @pytest.mark.parametrize(
        ("value", "text"), [(0, "0.00"), (0.0123, "0.012"), (1.234, "1.23"), (12.34, "12.3")]
    )
    def test_numbers(self, value, text):
        assert report.number(value) == text

    def test_reasons_are_first_and_last_line(self):
        assert report.in_short("it ended:\n\na\nwhy\n") == "it ended: why"
        assert report.in_short("it ended") == "it ended"


def test_total_of_a_callgrind_part():
    assert instructions.part_total("fn=(1)\n0 5\n\ntotals: 265717\n") == 265717
    with pytest.raises(BenchError, match="without totals"):
        instructions.part_total("version: 1\n")
