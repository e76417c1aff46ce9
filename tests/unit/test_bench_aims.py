"""What must be reached is judged from the rounds, and the budget of instructions from its file.

The rules that make a verdict: the best rival counts, ratios come from within rounds, a figure that
is missing is told and never passes; on an unknown machine the reference's figures are divided out.
"""

import argparse
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # behind everything: the installed cyserve stays the one under test
try:
    from benchmarks import instructions
    from benchmarks.load import aims, lineup, plot
    from benchmarks.load.cases import CASES
    from benchmarks.load.figures import Aim
    from benchmarks.load.running import BenchError
    from benchmarks.load.servers import SERVERS
finally:
    sys.path.remove(str(ROOT))

OURS = "cyserve-gthread"


def result(case="hello", refused=None, **cpu):
    """A case with these CPU figures, a round each; the other figures follow from them."""
    rounds = {
        name.replace("_", "-"): [
            {"cpu_us": us, "rate": 1e6 / us, "p99_us": us * 10, "pss": 5_000_000} for us in series
        ]
        for name, series in cpu.items()
    }
    base = next(iter(rounds), "")
    return {"case": case, "title": case, "base": base, "rounds": rounds, "refused": refused or {}}


def goal(at_most=1.0, rivals=("bjoern", "fastwsgi"), cases=("hello",), **more):
    return aims.Goal("what", cases, OURS, rivals, Aim(at_most=at_most), **more)


class TestJudging:
    RESULT = result(cyserve_gthread=[5, 20, 6], bjoern=[4, 30, 8], fastwsgi=[10, 40, 9])

    def test_the_best_rival_counts_within_rounds(self):
        verdict = aims.judge(goal(), [self.RESULT], {})
        assert verdict.rival == "bjoern"
        assert verdict.value == pytest.approx(0.75)  # of 1.25, 0.67, 0.75; the medians give 0.75
        assert (verdict.low, verdict.high) == (pytest.approx(20 / 30), 1.25)
        assert verdict.reached
        assert not aims.judge(goal(at_most=0.7), [self.RESULT], {}).reached

    def test_how_many_times_ours(self):
        times = aims.Goal("what", ("hello",), OURS, ("fastwsgi",), Aim(at_least=2))
        verdict = aims.judge(times, [self.RESULT], {})
        assert (verdict.value, verdict.reached) == (2.0, True)

    def test_another_figure_and_the_worst_case(self):
        other = result("flask", cyserve_gthread=[9], bjoern=[3])
        both = goal(cases=("hello", "flask"), rivals=("bjoern",), figure="p99_us")
        verdict = aims.judge(both, [self.RESULT, other], {})
        assert (verdict.case, verdict.value) == ("flask", 3)
        assert aims.judge(both, [self.RESULT], {}).case == "hello"

    @pytest.mark.parametrize(
        ("results", "why"),
        [
            ([], "not measured"),
            ([result(bjoern=[1])], "cyserve-gthread not measured"),
            ([result(cyserve_gthread=[1])], "bjoern not measured"),
            ([result(refused={OURS: "it broke"}, bjoern=[1])], "it broke"),
        ],
    )
    def test_what_is_missing_is_told_and_not_reached(self, results, why):
        verdict = aims.judge(goal(), results, {})
        assert (verdict.value, verdict.why, verdict.reached) == (None, why, False)

    def test_a_rival_that_failed_leaves_the_others(self):
        left = result(cyserve_gthread=[2], fastwsgi=[4], refused={"bjoern": "it broke"})
        assert aims.judge(goal(), [left], {}).rival == "fastwsgi"

    def test_instructions(self):
        counts = {OURS: {"hello": 80}, "fastwsgi": {"hello": 100}}
        counted = goal(rivals=("fastwsgi",), figure="instructions")
        assert aims.judge(counted, [], counts).value == 0.8
        assert aims.judge(counted, [], {OURS: {"hello": 80}}).why == "not counted"

    def test_table_has_a_line_for_each_goal(self):
        lines = aims.goals_table([self.RESULT], {})
        assert len(lines) == len(aims.GOALS) + 2
        assert "**no**" not in lines[2]
        assert "not measured" in lines[-1]

    def test_goals_are_of_known_cases_and_of_servers_measured_there(self):
        for one in aims.GOALS:
            assert set(one.cases) <= set(CASES)
            assert {one.ours, *one.rivals} <= set(SERVERS)
            if one.figure != "instructions":
                for case in one.cases:
                    assert {one.ours, *one.rivals} <= set(lineup.LINEUP[case])


class TestNotFirst:
    def test_who_is_ahead(self):
        ours = result(cyserve_gthread=[5], limit=[1], bjoern=[4])
        found = aims.not_first([ours])
        assert [row[1:4] for row in found] == [
            ("CPU/request", "bjoern", OURS),
            ("requests/s", "bjoern", OURS),
            ("p99", "bjoern", OURS),
        ]
        assert found[0][4] == 1.25
        (_, _, line) = aims.not_first_table([ours])
        assert (
            " ".join(line.split()) == "| hello | bjoern (1.25) | bjoern (0.80) | bjoern (1.25) | |"
        )

    def test_nobody_is(self):
        table = aims.not_first_table([result(cyserve_gthread=[5], limit=[1], bjoern=[6])])
        assert table == ["In no case measured is another server first."]

    def test_latency_of_one_at_a_time_is_not_compared(self):
        found = aims.not_first([result(cyserve_gthread=[5], uwsgi=[4])])
        assert [row[1] for row in found] == ["CPU/request", "requests/s"]


class TestBudget:
    STORED = {
        "cyserve-gthread": {"hello": 1000.0, "browser": 2000.0},
        "cyserve-sync": {"hello-close": 3000.0},
        "fastwsgi": {"hello": 500.0, "browser": 500.0, "hello-close": 500.0},
    }

    def counted(self, times, reference):
        times_of = {"fastwsgi": reference}
        return {
            name: {case: figure * times_of.get(name, times) for case, figure in row.items()}
            for name, row in self.STORED.items()
        }

    @pytest.mark.parametrize(
        ("times", "reference", "same_key", "kept"),
        [
            (1.03, 1, True, True),
            (1.031, 1, True, False),
            (0.5, 1, True, True),
            (1.031, 9, True, False),  # with the key known the reference has no say
            (1.5, 1.5, False, True),  # another interpreter: everything takes more
            (1.6, 1.5, False, True),
            (1.7, 1.5, False, False),
        ],
    )
    def test_growth(self, times, reference, same_key, kept):
        found = instructions.verdicts(self.STORED, self.counted(times, reference), same_key)
        assert [(one.server, one.case) for one in found] == list(instructions.BUDGET)
        assert [one.kept for one in found] == [kept] * 3

    @pytest.mark.parametrize("missing", ["cyserve-sync", "fastwsgi"])
    def test_a_missing_figure_is_no_pass(self, missing):
        counted = self.counted(1, 1)
        del counted[missing]
        with pytest.raises(BenchError, match="no figure"):
            instructions.verdicts(self.STORED, counted, same_key=False)

    @pytest.mark.parametrize(
        ("key", "times", "code", "said"),
        [
            ("here", 1.0, 0, "+0.0%"),
            ("here", 1.05, 1, "more instructions"),
            ("here", 0.9, 0, "keeps the gain"),
            ("elsewhere", 1.05, 0, "ratios to fastwsgi"),
            ("elsewhere", 1.2, 1, "more instructions"),
        ],
    )
    def test_check(self, key, times, code, said, monkeypatch, tmp_path, capsys):
        file = tmp_path / "instructions.json"
        file.write_text(json.dumps({"key": key, "figures": self.STORED}))
        monkeypatch.setattr(instructions, "INSTRUCTIONS", file)
        monkeypatch.setattr(instructions, "key", lambda python: "here")
        asked = []

        def counted(pairs, args):
            asked.extend(pairs)
            return self.counted(times, 1)

        monkeypatch.setattr(instructions, "counted", counted)
        args = argparse.Namespace(cyserve=ROOT, tree=[], venv=[])
        assert instructions.check(args) == code
        assert said in capsys.readouterr().out
        assert (("fastwsgi", "hello") in asked) == (key == "elsewhere")

    def test_the_stored_figures_are_whole(self):
        stored = json.loads(instructions.INSTRUCTIONS.read_text())
        assert stored["key"]
        assert instructions.verdicts(stored["figures"], stored["figures"], same_key=False)

    def test_the_key_names_interpreter_and_compiler(self):
        version = ".".join(map(str, sys.version_info[:3]))
        assert version in instructions.key(Path(sys.executable))


class TestPlot:
    def test_bars_are_ours_and_the_others_that_were_measured(self):
        shown = plot.bars(
            result(
                cyserve_sync=[5], limit=[1], bjoern=[4], gunicorn_sync=[50], gunicorn_gthread=[9]
            )
        )
        assert shown == [("cyserve", 5), ("bjoern", 4), ("gunicorn", 50)]

    def test_nothing_to_show(self, tmp_path):
        assert plot.bars(result()) == []
        assert not plot.draw([result("hello")], tmp_path / "x.svg")
