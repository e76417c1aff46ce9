"""The scenarios of the load harness: figures, aims, and what their clients take for an answer.

Nothing here runs a server. What counts is that a missed aim is told as missed, that a figure that
could not be measured is never silently left out, and that a server with an error has no figure.
"""

import argparse
import json
import os
import socket
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # behind everything: the installed cyserve stays the one under test
try:
    from benchmarks.load import __main__ as load
    from benchmarks.load import cases, client, figures, hey, lineup, measure, page, report
    from benchmarks.load.running import BenchError
    from benchmarks.load.scenarios import sharing, stage
    from benchmarks.load.scenarios.registry import BOOT, SCENARIOS
finally:
    sys.path.remove(str(ROOT))


class TestClient:
    HEAD = b"HTTP/1.1 200 OK\r\nContent-"

    def answer(self, *pieces):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for piece in pieces:
                theirs.sendall(piece)
            theirs.shutdown(socket.SHUT_WR)
            return client.read_answer(ours)

    def test_keep_alive_and_body(self):
        assert self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", b"c") == (
            True,
            b"abc",
        )

    def test_close_is_seen(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        assert self.answer(head) == (False, b"")

    @pytest.mark.parametrize(
        ("sent", "why"),
        [
            (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "503"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "before the whole answer"),
        ],
    )
    def test_anything_else_is_refused(self, sent, why):
        with pytest.raises(BenchError, match=why):
            self.answer(sent)


class TestHey:
    GOOD = "  Requests/sec:\t1383.45\n\nStatus code distribution:\n  [200]\t2774 responses\n\n"

    def test_counts(self):
        assert hey.parse(self.GOOD) == (2774, 1383.45)

    @pytest.mark.parametrize(
        "output",
        [
            "",
            GOOD.replace("[200]", "[500]"),
            GOOD + "Error distribution:\n  [3]\tGet: EOF\n",
            GOOD.replace("\n\n", "\n  [502]\t1 responses\n"),
        ],
    )
    def test_any_error_is_refused(self, output):
        with pytest.raises(BenchError, match="hey"):
            hey.parse(output)


class TestSheet:
    def sheet(self):
        sheet = figures.Sheet("s", "a scenario", "how it is measured")
        # As above: both suffer in the second round, the ratio does not.
        for mine, other in ((10, 5), (40, 20), (12, 5)):
            sheet.add("a", "CPU", mine, "µs")
            sheet.add("b", "CPU", other, "µs")
        return sheet

    def row(self, sheet, server, figure):
        (row,) = [r for r in sheet.rows() if (r.server, r.figure) == (server, figure)]
        return row

    def test_rows_are_medians_with_their_spread(self):
        row = self.row(self.sheet(), "a", "CPU")
        assert (row.value, row.low, row.high, row.unit) == (12, 10, 40, "µs")
        assert (row.aim, row.reached) == ("", None)

    @pytest.mark.parametrize(
        ("aim", "reached"),
        [
            (figures.Aim(at_most=2), True),
            (figures.Aim(at_most=1.99), False),
            (figures.Aim(at_least=2), True),
            (figures.Aim(at_least=2.01), False),
        ],
    )
    def test_ratios_within_rounds_are_judged(self, aim, reached):
        sheet = self.sheet()
        sheet.compare("to b", ("a", "CPU"), ("b", "CPU"), aim)
        row = self.row(sheet, "a", "to b")
        assert (row.value, row.aim, row.reached) == (2, str(aim), reached)

    def test_a_refused_server_keeps_no_figure_and_every_aim_a_row(self):
        sheet = self.sheet()
        with sheet.guard("b"):
            raise BenchError("it broke\nlast words")
        sheet.compare("to b", ("a", "CPU"), ("b", "CPU"), figures.Aim(at_most=9))
        sheet.aim("b", "CPU", figures.Aim(at_most=9))
        assert self.row(sheet, "a", "CPU").value == 12
        for row in (self.row(sheet, "a", "to b"), self.row(sheet, "b", "CPU")):
            assert (row.value, row.reached, row.why) == (None, False, "it broke\nlast words")

    def test_other_errors_are_bugs(self):
        with pytest.raises(ZeroDivisionError), self.sheet().guard("a"):
            _ = 1 / 0

    def test_tables(self):
        sheet = self.sheet()
        sheet.compare("to b", ("a", "CPU"), ("b", "CPU"), figures.Aim(at_most=1))
        sheet.aim("c", "CPU", figures.Aim(at_most=1))
        sheet.aim("b", "CPU", figures.Aim(at_most=5))
        sheet.refuse("c", "c ended at once:\nTraceback\nErrno 1")
        result = {**sheet.result(), "others": 0.2}
        lines = [" ".join(line.split()) for line in figures.aims_table([result])]
        assert "| s: to b | a | ≤ 1 | 2.00 | 2.00-2.40 | **no** | 20% |" in lines
        assert "| s: CPU | b | ≤ 5 | 5.00 µs | 5.00-20.0 | yes | 20% |" in lines
        assert "| s: CPU | c | ≤ 1 | | | not measured | 20% |" in lines
        text = figures.markdown({"machine": "m"}, [result])
        lines = [" ".join(line.split()) for line in text.splitlines()]
        assert "| server | CPU µs | to b |" in lines
        assert "| a | 12.0 | 2.00 |" in lines
        assert "| b | 5.00 | |" in lines
        assert "c: no figure, c ended at once: Errno 1" in lines
        assert "Other processes took 20% of the server's core meanwhile." in lines

    def test_result_is_plain_data(self):
        result = self.sheet().result()
        assert json.loads(json.dumps(result)) == result
        assert {"server": "b", "figure": "CPU", "unit": "µs", "samples": [5, 20, 5]} in result[
            "samples"
        ]


class TestScenarios:
    @pytest.mark.parametrize("name", list(SCENARIOS))
    def test_without_a_server_every_aim_is_still_told(self, name, tmp_path):
        plan = measure.Plan(1, 1, 1, *([min(os.sched_getaffinity(0))] * 2))
        args = argparse.Namespace(servers="limit")  # which no scenario starts
        result = SCENARIOS[name](stage.Stage(args, plan, tmp_path)).result()
        assert result["scenario"] == name
        assert result["title"]
        assert result["how"]
        assert all(row["aim"] and row["reached"] is False for row in result["rows"])

    def test_servers_are_those_wanted(self, tmp_path):
        plan = measure.Plan(1, 1, 1, 0, 0)
        chosen = stage.Stage(argparse.Namespace(servers="bjoern,limit@x,openssl"), plan, tmp_path)
        assert chosen.wanted(["limit", "bjoern"]) == ["bjoern", "limit@x"]
        free = stage.Stage(argparse.Namespace(servers=None), plan, tmp_path)
        assert free.wanted(["limit", "bjoern"]) == ["limit", "bjoern"]

    def test_turns_are_interleaved_and_leave_out_the_refused(self, tmp_path):
        sheet = figures.Sheet("s", "", "")
        plays = stage.Stage(argparse.Namespace(), measure.Plan(2, 1, 1, 0, 0), tmp_path)
        seen = []
        ourselves = argparse.Namespace(pid=os.getpid())
        for name, _ in plays.turns(sheet, dict.fromkeys("abc", ourselves)):
            seen.append(name)
            if len(seen) == 2:
                sheet.refuse("b", "why")
        assert seen == ["a", "b", "c", "a", "c"]
        assert len(plays.others) == 5
        assert all(0 <= share for share in plays.others)

    def test_descriptors_are_allowed_up_to_the_hard_limit(self, monkeypatch):
        made = []
        monkeypatch.setattr(stage.resource, "getrlimit", lambda _: (100, 200))
        monkeypatch.setattr(stage.resource, "setrlimit", lambda _, limits: made.append(limits))
        stage.allow_descriptors(100)
        stage.allow_descriptors(200)
        assert made == [(200, 200)]
        with pytest.raises(BenchError, match="201 descriptors .* 200"):
            stage.allow_descriptors(201)

    def test_a_worker_without_a_connection_is_the_emptiest(self):
        assert sharing.extremes([b"1", b"1", b"2"], 2) == (2, 1)
        assert sharing.extremes([b"1", b"1", b"2"], 3) == (2, 0)


class TestCommandLine:
    def chosen(self, *words):
        return load.chosen(load.parser().parse_args(words))

    def test_what_is_measured(self):
        assert self.chosen() == ({c: list(s) for c, s in lineup.LINEUP.items()}, list(BOOT))
        quick, none = self.chosen("--quick")
        assert (list(quick), none) == (list(lineup.QUICK), [])
        assert self.chosen("--scenarios", "tls,idle") == ({}, ["tls", "idle"])
        everything = self.chosen("--cases", "all", "--scenarios", "all")
        assert (list(everything[0]), everything[1]) == (list(cases.CASES), list(SCENARIOS))
        assert self.chosen("--all") == (self.chosen()[0], list(SCENARIOS))
        some, none = self.chosen("--cases", "hello,post-1m", "--servers", "limit,bjoern")
        assert none == []
        assert some == {"hello": ["limit", "bjoern"], "post-1m": ["limit", "bjoern"]}
        assert self.chosen("--cases", "hello-close-log")[0] == {"hello-close-log": list(load.BOTH)}

    def test_an_earlier_run_is_completed(self):
        def part(machine, **results):
            named = [{"case": name, "figure": value} for name, value in results.items()]
            return {"about": {machine: "m"}, "commands": {}, "base": machine, "results": named}

        both = load.merged(part("old", a=1, c=1), part("new", b=2, a=2), ["a", "b", "c"])
        assert [(r["case"], r["figure"]) for r in both["results"]] == [("a", 2), ("b", 2), ("c", 1)]
        assert both["about"] == {"old": "m", "new": "m"}
        assert both["base"] == "new"

    def test_parts_of_the_page(self, monkeypatch, tmp_path):
        monkeypatch.setattr(page, "INSTRUCTIONS", tmp_path / "none.json")
        sheet = figures.Sheet("s", "a scenario", "how")
        sheet.aim("a", "CPU", figures.Aim(at_most=1))
        scenarios = {"about": {}, "commands": {}, "results": [sheet.result()]}
        parts = page.parts({"scenarios": scenarios})
        assert list(parts) == ["aims", "scenarios"]
        assert "not measured" in parts["aims"]
        assert "### a scenario (`s`)" in parts["scenarios"]
        known = {
            "about": {"machine": "m"},
            "left_out": {"b": "pip could not\nmore"},
            "results": [{"case": "c", "title": "t", "base": "a", "rounds": {}, "refused": {}}],
        }
        parts = page.parts({"cases": known})
        assert list(parts) == ["must", "behind", "figure", "short", "cases"]
        assert "b: not measured, pip could not more" in parts["cases"]

    def test_the_pages_have_a_place_for_every_part(self):
        texts = [file.read_text() for file in page.PAGES]
        for part in ("aims", "must", "behind", "figure", "short", "cases", "boot", "scenarios"):
            mark = report.BEGIN.format(part=part)
            assert sum(text.count(mark) for text in texts) == 1
        assert page.instructions.__name__ in texts[0]

    def test_saved_results_come_back(self, tmp_path):
        saved = {"cases": {"results": [{"rounds": {"a": [{"x": 1.5}, {"x": 2}]}, "refused": {}}]}}
        file = tmp_path / "new" / "results.json"
        page.save(saved, file)
        assert json.loads(file.read_text()) == saved
        assert '{ "x": 1.5 }' in file.read_text()
