"""Whose turn it is: the promises of workers/turns.py, kept in simulated time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from turns_simulation import simulate

from cyserve.workers.turns import ACTIVE, BLOCKED, GONE, GUARD, LONG, PARK, STREAK, WAIT, Turns

HELLO = {}
NAP_OR_SO = 0.004


class Clients:
    """What some of a worker's clients have seen."""

    def __init__(self, worker, **kind):
        chosen = [
            client
            for client in worker.clients
            if all(getattr(client, name) == value for name, value in kind.items())
        ]
        self.latencies = sorted(latency for c in chosen for latency in c.latencies)
        self.answers = len(self.latencies)
        self.threads = set().union(*(client.by for client in chosen))

    def percentile(self, percent):
        return self.latencies[self.answers * percent // 100]


class TestSimulated:
    def test_quick_requests_are_served_by_one_thread(self):
        one, four = (Clients(simulate(n, 0.03, [HELLO] * 8)) for n in (1, 4))
        assert len(four.threads) == 1
        assert four.answers >= 0.99 * one.answers
        assert four.percentile(99) <= 1.01 * one.percentile(99)

    @pytest.mark.parametrize(
        ("threads", "clients", "seconds"),
        [(4, 4, 0.001), (4, 32, 0.001), (8, 8, 0.005), (32, 128, 0.02), (16, 16, 1)],
    )
    def test_blocking_requests_soon_run_on_all_threads(self, threads, clients, seconds):
        elapsed = max(0.3, 4 * seconds)
        seen = Clients(simulate(threads, elapsed, [{"sleeps": seconds}] * clients))
        assert len(seen.threads) == threads
        assert seen.answers >= 0.9 * threads * (elapsed / seconds - clients / threads)
        assert seen.latencies[-1] <= 1.1 * seconds * clients / threads + 2 * NAP_OR_SO

    @pytest.mark.parametrize("stuck", [1, 2, 3])
    def test_stuck_threads_delay_nobody_by_more_than_a_nap(self, stuck):
        worker = simulate(4, 0.1, [{"sleeps": 100}] * stuck + [HELLO] * 8)
        seen = Clients(worker, sleeps=0.0)
        assert seen.latencies[-1] <= stuck * NAP_OR_SO
        assert seen.percentile(99) < 0.0002

    def test_where_most_block_nobody_waits_for_a_nap(self):
        seen = Clients(simulate(8, 1, [{"sleeps": 0.002, "think": 0.003}] * 4))
        assert seen.percentile(50) < 0.002 + 0.0002

    @pytest.mark.parametrize("threads", [2, 4])
    def test_quick_beside_blocking_requests(self, threads):
        worker = simulate(threads, 0.3, [HELLO] * 8 + [{"sleeps": 0.001}] * 8)
        seen = Clients(worker, sleeps=0.001)
        assert seen.answers >= 0.85 * threads * 0.3 / 0.001
        assert Clients(worker, sleeps=0.0).answers >= seen.answers

    @pytest.mark.parametrize("seconds", [0.001, 0.005, 0.05])
    def test_computing_gets_its_share_and_quick_requests_do_not_wait_for_it(self, seconds):
        clients = [{"computes": seconds}] * 3 + [HELLO] * 8
        one, four = (simulate(threads, 0.6, clients) for threads in (1, 4))
        computing = [Clients(worker, computes=seconds) for worker in (one, four)]
        assert computing[1].answers >= 0.9 * computing[0].answers
        quick = [Clients(worker, computes=0.000004) for worker in (one, four)]
        assert quick[1].answers > 2 * quick[0].answers
        assert quick[1].percentile(99) <= 0.025

    @pytest.mark.parametrize("starts", [0, 0.02])
    def test_a_pipeline_behind_a_stuck_request(self, starts):
        pipelined = {"starts": 0, "pipelined": 50, "computes": 0.0001}
        clients = [pipelined, {"starts": starts, "sleeps": 100}]
        worker = simulate(2, 0.2, clients)
        pipeline = Clients(worker, pipelined=50)
        assert len(pipeline.threads) == 2
        assert pipeline.latencies[-1] < 0.025

    @settings(max_examples=60)
    @given(
        st.integers(1, 5),
        st.lists(
            st.fixed_dictionaries(
                {
                    "starts": st.sampled_from([0, 0.0001, 0.001, 0.007]),
                    "computes": st.sampled_from([0.000004, 0.000004, 0.0003, 0.002, 0.02]),
                    "sleeps": st.sampled_from([0, 0, 0.0001, 0.001, 0.02, 100]),
                    "think": st.sampled_from([0.00005, 0.0007, 0.01]),
                    "pipelined": st.sampled_from([1, 3]),
                }
            ),
            min_size=1,
            max_size=6,
        ),
    )
    def test_whatever_comes_somebody_takes_it(self, threads, clients):
        simulate(threads, 0.04, clients)  # the simulation looks at its invariants all the time


class TestRules:
    def test_first_one_waits_then_one_guards_then_all_park(self):
        turns = Turns(4)
        assert turns.role == [GONE] * 4
        assert [turns.rest(thread, 0.0) for thread in range(4)] == [WAIT, GUARD, PARK, PARK]

    def test_who_wakes_wants_a_guard_from_the_parked(self):
        turns = Turns(3)
        for thread in range(3):
            turns.rest(thread, 0.0)
        assert not turns.wake(0, 1.0)  # there is one
        assert turns.wake(1, 1.0)  # it was this one
        assert turns.rest(2, 1.0) == GUARD
        assert turns.active == 2

    def test_a_thread_that_is_long_in_the_application_is_not_counted_on(self):
        turns = Turns(3)
        turns.rest(0, 0.0)
        turns.wake(0, 0.0)
        turns.enter(0, 0.0)
        assert turns.rest(1, BLOCKED / 2) == GUARD
        assert turns.rest(1, BLOCKED) == WAIT
        assert turns.rest(2, BLOCKED) == PARK  # the one that waits will call it
        assert turns.running() == 1

    def test_a_thread_with_short_requests_leaves_another_that_is_at_work(self):
        turns = Turns(2)
        for thread in range(2):
            turns.rest(thread, 0.0)
            turns.wake(thread, 0.0)
        for _ in range(STREAK):
            assert not turns.superfluous(0, 0.0)
            turns.enter(0, 0.0)
            turns.leave(0, LONG / 2)
        assert turns.superfluous(0, 0.0)
        turns.enter(1, 0.0)
        assert not turns.superfluous(0, BLOCKED)  # the other one is held up
        turns.gone(1)
        assert not turns.superfluous(0, 0.0)
        assert turns.role == [ACTIVE, GONE]
