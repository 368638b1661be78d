"""python -m pytest tests/unit/vlm/test_vlm_random_use.py -v

Random sequences of everything a session can do, each step against the oracle: appends in several sizes, asks in every
view, asks left waiting while frames go on, recalls, snapshots and rewinds, with evictions and compactions on the way.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from stillwing_common.errors import SnapshotOverwritten
from stillwing_vlm.core.base import AskRequest, View

SIZES = st.sampled_from([(56, 84), (84, 84), (56, 112), (112, 56), (140, 84)])
TOLERANCE = 1e-4


def machine(make_pair: Any) -> type[RuleBasedStateMachine]:
    class Use(RuleBasedStateMachine):
        @initialize(budget=st.integers(110, 200), seed=st.integers(0, 99))
        def start(self, budget: int, seed: int) -> None:
            self.pair = make_pair(budget, seed)
            self.waiting: list[tuple[Any, Any]] = []
            self.snapshots: list[tuple[str, Any]] = []

        @rule(sizes=st.lists(SIZES, min_size=1, max_size=6))
        def append(self, sizes: list[tuple[int, int]]) -> None:
            for size in sizes:
                self.pair.append(self.pair.frame(*size))

        @rule(recent=st.one_of(st.none(), st.integers(1, 3)))
        def ask(self, recent: int | None) -> None:
            assert self.pair.logits_error("What is it?", self._recent(recent)) < TOLERANCE

        @rule(recent=st.one_of(st.none(), st.integers(1, 3)))
        def ask_and_wait(self, recent: int | None) -> None:
            if len(self.waiting) < 3:
                recent = self._recent(recent)
                branch = self.pair.session.fork(AskRequest("And this?", view=View(recent)))
                self.waiting.append((branch, self.pair.oracle.ask("And this?", recent)))

        @rule()
        def answer_the_oldest(self) -> None:
            if self.waiting:
                self._answer(*self.waiting.pop(0))

        @rule(sizes=st.lists(SIZES, max_size=2))
        def recall(self, sizes: list[tuple[int, int]]) -> None:
            if len(self.pair.oracle.sink) == 2:
                self.pair.recall(*[self.pair.frame(*size) for size in sizes])

        @rule()
        def snapshot(self) -> None:
            if len(self.snapshots) < 10:
                oracle = self.pair.oracle
                seen = (list(oracle.sink), list(oracle.memory), list(oracle.window), oracle.evicted)
                self.snapshots.append((self.pair.session.take_snapshot().snapshot_id, seen))

        @rule(which=st.integers(0, 20))
        def restore(self, which: int) -> None:
            if not self.snapshots:
                return
            snapshot_id, seen = self.snapshots[which % len(self.snapshots)]
            try:
                self.pair.session.restore_snapshot(snapshot_id)
            except SnapshotOverwritten:
                return
            oracle = self.pair.oracle
            oracle.sink, oracle.memory, oracle.window = (list(part) for part in seen[:3])
            assert oracle.evicted == seen[3]

        @invariant()
        def holds_together(self) -> None:
            if hasattr(self, "pair"):
                self.pair.session.video.trunk.check_integrity()
                assert self.pair.values_error() < TOLERANCE

        def teardown(self) -> None:
            while getattr(self, "waiting", []):
                self._answer(*self.waiting.pop())

        def _answer(self, branch: Any, wanted: Any) -> None:
            (logits,) = self.pair.session._engine.backend.step(branch.rows())
            self.pair.session.video.release(branch)
            assert float((logits - wanted).abs().max() / wanted.std()) < TOLERANCE

        def _recent(self, recent: int | None) -> int | None:
            return recent if recent is not None and recent <= len(self.pair.oracle.window) else None

    return Use


@pytest.mark.timeout(600)
def test_random_use_equals_the_oracle(make_pair: Any) -> None:
    run_state_machine_as_test(
        machine(make_pair),
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
