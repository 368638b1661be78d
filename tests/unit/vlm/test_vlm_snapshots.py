"""python -m pytest tests/unit/vlm/test_vlm_snapshots.py -v

What the contract tests cannot wait for: snapshots that end by the clock, and any order of names.
"""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from stillwing_common.clock import FakeClock
from stillwing_common.errors import Exhausted, InvalidInput, UnknownSnapshot
from stillwing_vlm.core.memory.chunks import Chunk
from stillwing_vlm.core.memory.snapshots import Snapshots
from stillwing_vlm.core.memory.trunk import Trunk

MOST = 3


def begun() -> tuple[Trunk, FakeClock, Snapshots]:
    trunk, clock = Trunk(1000), FakeClock()
    trunk.append(Chunk((), 1, 1))
    return trunk, clock, Snapshots(trunk, clock, MOST)


def show(trunk: Trunk, frame_id: str) -> None:
    trunk.append(Chunk((frame_id,), 3, 2))


def test_it_lives_for_its_ttl_after_its_last_use() -> None:
    trunk, clock, snapshots = begun()
    show(trunk, "0")
    taken = snapshots.take(10.0, "home")
    clock.advance(9.0)
    snapshots.restore("home")
    clock.advance(9.0)
    assert snapshots.infos() == (taken,)
    clock.advance(1.0)
    assert snapshots.infos() == ()
    for which in ("home", taken.snapshot_id):
        with pytest.raises(UnknownSnapshot):
            snapshots.restore(which)


def test_one_that_is_over_leaves_its_name_and_its_place() -> None:
    _, clock, snapshots = begun()
    for name in ("", "a", "b"):
        snapshots.take(10.0, name)
    with pytest.raises(Exhausted):
        snapshots.take(None, "c")
    clock.advance(10.0)
    kept = [snapshots.take(None, name) for name in ("c", "a", "")]
    assert snapshots.infos() == tuple(kept)


def test_the_trunk_keeps_no_mark_of_what_was_replaced_or_deleted() -> None:
    """Else a session that takes one a chunk would grow for ever."""
    trunk, _, snapshots = begun()
    for index in range(50):
        show(trunk, f"{index}")
        snapshots.take(None, "newest")
        snapshots.delete(snapshots.take(None, "").snapshot_id)
    assert len(trunk._marks._marks) == len(snapshots.infos()) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["show", "take", "refuse", "restore", "delete"]), st.sampled_from(["", "a", "b", "c", "d"])
        )
    )
)
def test_a_name_stands_for_what_was_last_taken_under_it(steps: list[tuple[str, str]]) -> None:
    trunk, _, snapshots = begun()
    named: dict[str, str] = {}
    unnamed: list[str] = []
    seen: list[str] = []
    for count, (what, name) in enumerate(steps):
        if what == "show":
            # Not after a rewind: writing over what others cover is the trunk's matter and tested there.
            if trunk.last_frame_id == (seen[-1] if seen else ""):
                seen.append(f"{count}")
                show(trunk, f"{count}")
        elif what == "take":
            if len(named) + len(unnamed) == MOST and name not in named:
                with pytest.raises(Exhausted):
                    snapshots.take(None, name)
                continue
            taken = snapshots.take(None, name)
            assert taken.last_frame_id == trunk.last_frame_id
            if name:
                named[name] = taken.last_frame_id
            else:
                unnamed.append(taken.last_frame_id)
        elif what == "refuse":
            with pytest.raises(InvalidInput):
                snapshots.take(0.0, name)
        elif what == "restore" and name in named:
            snapshots.restore(name)
            assert trunk.last_frame_id == named[name]
        elif what == "restore":
            with pytest.raises(UnknownSnapshot):
                snapshots.restore(name)
        else:
            assert snapshots.delete(name) == (named.pop(name, None) is not None)
        infos = snapshots.infos()
        assert {info.name: info.last_frame_id for info in infos if info.name} == named
        assert [info.last_frame_id for info in infos if not info.name] == unnamed
        assert all(info.is_restorable for info in infos)
