"""python -m pytest tests/unit/vlm/test_vlm_random_use.py -v

Random sequences of everything a session can do, each step against the oracle: frames and chunks in several sizes, asks
in every view, asks left waiting while frames go on, asks cancelled, both ways to recall, snapshots and rewinds, a
session closed and gone on with from its export; for every way to let chunks go, with evictions, compactions and new
beginnings of positions on the way.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from run_profile import sized

from stillwing_common.errors import FrameNotKept, InvalidInput, SnapshotOverwritten
from stillwing_vlm.core.local import LocalSession
from stillwing_vlm.core.requests import AskRequest, Eviction, EvictionLevel, EvictionPositions, View
from stillwing_vlm.core.results import DoneReason

SIZES = st.sampled_from([(56, 84), (84, 84), (56, 112), (112, 56), (140, 84)])
VIEWS = st.one_of(st.none(), st.integers(1, 3))
TOLERANCE = 1e-4


@dataclass(eq=False)
class Kept:
    """A snapshot, what the oracle was then, and whether it has to come back."""

    snapshot_id: str
    tokens: int
    oracle: tuple[Any, ...]
    restorable: bool = True


@dataclass(eq=False)
class Waiting:
    """A question that was asked and not answered, of the session it was asked, and the logits it must find."""

    session: LocalSession
    branch: Any
    wanted: torch.Tensor = field(repr=False)


def machine(make_pair: Any, folder: Path) -> type[RuleBasedStateMachine]:
    class Use(RuleBasedStateMachine):
        pair: Any = None

        @initialize(
            budget=st.integers(110, 200),
            seed=st.integers(0, 99),
            level=st.sampled_from(EvictionLevel),
            positions=st.sampled_from(EvictionPositions),
            short=st.booleans(),
            keeps=st.booleans(),
        )
        def start(
            self, budget: int, seed: int, level: EvictionLevel, positions: EvictionPositions, short: bool, keeps: bool
        ) -> None:
            eviction = Eviction(level, positions)
            self.pair = make_pair(budget, seed, eviction, short=short, kept_kv_bytes=(1 << 20) if keeps else 0)
            self.waiting: list[Waiting] = []
            self.snapshots: list[Kept] = []
            self.keeps = keeps
            self.carried: set[str] = set()

        # Frames

        @rule(sizes=st.lists(SIZES, min_size=1, max_size=6))
        def append(self, sizes: list[tuple[int, int]]) -> None:
            for size in sizes:
                self._append(self.pair.frame(*size))

        @rule(size=SIZES)
        def append_chunk(self, size: tuple[int, int]) -> None:
            self._append(self.pair.frame(*size), self.pair.frame(*size))

        @rule(sizes=st.lists(SIZES, max_size=2))
        def recall(self, sizes: list[tuple[int, int]]) -> None:
            frames = [self.pair.frame(*size) for size in sizes]
            if len(self.pair.oracle.sink) == 2:
                self.pair.recall(*frames)
                self._lost()
                return
            with pytest.raises(InvalidInput):
                self.pair.session.recall(*frames)

        @rule(back=st.lists(st.integers(0, 12), max_size=2))
        def recall_kept(self, back: list[int]) -> None:
            gone = [frame_id for evicted in self.pair.session.evicted for frame_id in evicted.frame_ids]
            there = [frame_id for frame_id in gone if self.keeps and frame_id not in self.carried]
            wanted = [there[-1 - place] for place in back if place < len(there)]
            chunks = {id(self.pair.arrived[frame_id]): self.pair.arrived[frame_id] for frame_id in wanted}
            # Two chunks of two frames are one frame too many.
            if sum(2 if piece.double else 1 for piece in chunks.values()) > 3:
                with pytest.raises(InvalidInput):
                    self.pair.session.recall_kept(*wanted)
                return
            self.pair.recall_kept(*wanted)
            self._lost()

        @rule()
        def recall_what_is_not_kept(self) -> None:
            newest = self.pair.session.video.trunk.last_frame_id
            with pytest.raises(FrameNotKept):
                self.pair.session.recall_kept(newest or "none")

        # Questions

        @rule(recent=VIEWS)
        def ask(self, recent: int | None) -> None:
            digest = self.pair.session.video.slab.digest()
            assert self.pair.logits_error("What is it?", self._recent(recent)) < TOLERANCE
            assert self.pair.session.video.slab.digest() == digest

        @rule(recent=VIEWS)
        def ask_and_wait(self, recent: int | None) -> None:
            if len(self.waiting) < 3:
                recent, session = self._recent(recent), self.pair.session
                branch = session.fork(AskRequest("And this?", view=View(recent)))
                self.waiting.append(Waiting(session, branch, self.pair.oracle.ask("And this?", recent)))

        @precondition(lambda self: self.pair is not None and self.waiting)
        @rule()
        def answer_the_oldest(self) -> None:
            self._answer(self.waiting.pop(0))

        @rule(recent=VIEWS)
        def cancel(self, recent: int | None) -> None:
            session = self.pair.session
            digest, asks = session.video.slab.digest(), session.info().live_asks
            branch = session.fork(AskRequest("Tell me all.", max_tokens=50, view=View(self._recent(recent))))
            branch.accept(session._engine.backend.advance(branch.rows()))
            branch.cancel()
            session.video.release(branch)
            assert branch.done is not None and branch.done.reason in (DoneReason.CANCELLED, DoneReason.STOP)
            assert session.info().live_asks == asks
            assert session.video.slab.digest() == digest

        # Snapshots and exports

        @rule()
        def snapshot(self) -> None:
            if len(self.snapshots) < 10:
                oracle, session = self.pair.oracle, self.pair.session
                seen = tuple(list(part) for part in (oracle.sink, oracle.memory, oracle.window, oracle.history))
                snapshot_id = session.take_snapshot().snapshot_id
                self.snapshots.append(Kept(snapshot_id, session.info().context_tokens, (seen, oracle.evicted)))

        @precondition(lambda self: self.pair is not None and self.snapshots)
        @rule(which=st.integers(0, 20))
        def restore(self, which: int) -> None:
            self._restore(self.snapshots[which % len(self.snapshots)])

        @rule(which=st.integers(0, 20), later=st.integers(0, 20), size=SIZES)
        def restore_and_write_over(self, which: int, later: int, size: tuple[int, int]) -> None:
            """What seldom comes about by chance: snapshots that a later frame writes over, or just does not reach."""
            self.snapshot()
            there = [kept for kept in self.snapshots if kept.restorable]
            if there:
                self._restore(there[which % len(there)])
                self._append(self.pair.frame(*size))
                self._restore(self.snapshots[-1 - later % len(self.snapshots)])

        def _restore(self, kept: Kept) -> None:
            if not kept.restorable:
                with pytest.raises(SnapshotOverwritten):
                    self.pair.session.restore_snapshot(kept.snapshot_id)
                return
            self.pair.session.restore_snapshot(kept.snapshot_id)
            oracle, (seen, evicted) = self.pair.oracle, kept.oracle
            oracle.sink, oracle.memory, oracle.window, oracle.history = (list(part) for part in seen)
            assert oracle.evicted == evicted

        @rule()
        def close_and_go_on(self) -> None:
            path = folder / "session.safetensors"
            gone = {frame_id for evicted in self.pair.session.evicted for frame_id in evicted.frame_ids}
            self.pair.reopen(path)
            self.snapshots.clear()
            # What the window brought along has no un-rotated keys unless it has to be written anew anyway.
            self.carried = set(self.pair.arrived)
            if self.pair.session.video.trunk.eviction.level is not EvictionLevel.OLDEST:
                self.carried = gone

        @invariant()
        def holds_together(self) -> None:
            if self.pair is None:
                return
            self.pair.session.video.trunk.check_integrity()
            assert self.pair.values_error() < TOLERANCE
            assert self.pair.session.info().evicted_frames == self.pair.evicted_frames

        def teardown(self) -> None:
            for waiting in self.waiting if self.pair is not None else ():
                self._answer(waiting)

        def _append(self, *frames: Any) -> None:
            before = self.pair.oracle.evicted
            self.pair.append_chunk(*frames)
            if self.pair.oracle.evicted > before:
                self._lost()
            live = self.pair.appended.context_tokens - self.pair.appended.chunk_tokens
            for kept in self.snapshots:
                kept.restorable = kept.restorable and kept.tokens <= live

        def _lost(self) -> None:
            for kept in self.snapshots:
                kept.restorable = False

        def _answer(self, waiting: Waiting) -> None:
            (logits,) = waiting.session._engine.backend.step(waiting.branch.rows())
            waiting.session.video.release(waiting.branch)
            assert float((logits - waiting.wanted).abs().max() / waiting.wanted.std()) < TOLERANCE

        def _recent(self, recent: int | None) -> int | None:
            return recent if recent is not None and recent <= len(self.pair.oracle.window) else None

    return Use


@pytest.mark.timeout(1800)
def test_random_use_equals_the_oracle(make_pair: Any, tmp_path: Path) -> None:
    run_state_machine_as_test(
        machine(make_pair, tmp_path),
        settings=settings(
            max_examples=sized(ci=40, nightly=400),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
