"""python -m pytest tests/unit/vlm/test_vlm_frame_layout.py

The video memory divided in units of frames: `[sink | memory | window]`, as in 3+3+6.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwing_agent.settings import AgentSettings
from stillwing_common.errors import BudgetTooSmall, InvalidInput
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.memory.chunks import Chunk
from stillwing_vlm.core.memory.trunk import Trunk
from stillwing_vlm.core.requests import FrameLayout
from stillwing_vlm.settings import VlmSettings

ORIGINAL = FrameLayout(3, 3, 6)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 56, 84, 3), dtype=np.uint8)


def parts(session: LocalSession) -> tuple[list[str], list[str], list[str]]:
    """Frames of sink, memory and window, as numbers."""
    trunk = session.video.trunk
    trunk.check_integrity()
    sink, memory, window = (
        [name.split("/")[1] for chunk in part for name in chunk.frame_ids]
        for part in (trunk.sink, trunk.memory, trunk.window)
    )
    return sink, memory, window


def test_the_original_layout_fills_and_slides_as_it_should(engine: LocalEngine) -> None:
    session = engine.open("You fly.", layout=ORIGINAL)
    sizes = []
    for picture in pictures(30):
        session.append(picture)
        sink, memory, window = parts(session)
        sizes.append((len(sink), len(memory), len(window)))
    assert sizes[:10] == [(min(n, 3), 0, min(max(n - 3, 0), 6)) for n in range(1, 11)]
    assert set(sizes[9:]) == {(3, 0, 6)}
    assert parts(session) == (["0", "1", "2"], [], [str(n) for n in range(24, 30)])
    assert [name for gone in session.evicted for name in gone.frame_ids] == [f"local/{n}" for n in range(3, 24)]
    session.recall(*pictures(3, 1))
    assert [len(part) for part in parts(session)] == [3, 3, 6]
    session.append(pictures(1, 2)[0])
    assert [len(part) for part in parts(session)] == [3, 3, 6]
    assert session.info().layout == ORIGINAL


def test_more_frames_than_the_memory_holds_are_refused(engine: LocalEngine) -> None:
    session = engine.open("You fly.", layout=FrameLayout(1, 1, 4))
    session.append(pictures(1)[0])
    with pytest.raises(InvalidInput, match=r"memory of layout 1\+1\+4"):
        session.recall(*pictures(2))
    assert session.recall(*pictures(1)).frame_ids
    with pytest.raises(InvalidInput, match="larger than the window"):
        session.append(*pictures(5))
    with pytest.raises(InvalidInput, match="this engine allows"):
        engine.open(layout=FrameLayout(1, 9, 4))


def test_a_budget_that_cannot_hold_the_layout_is_told_with_the_first_frame(engine: LocalEngine) -> None:
    session = engine.open("You fly.", 100, layout=ORIGINAL)
    with pytest.raises(BudgetTooSmall, match="raise max_context_tokens"):
        session.append(pictures(1)[0])


def test_an_answer_sees_what_the_same_frames_alone_give(engine: LocalEngine) -> None:
    """What was evicted leaves no trace but in what later frames saw: a stream of sink and window is the same."""
    wide = engine.open("You fly.", layout=FrameLayout(3, 0, 100))
    tight = engine.open("You fly.", layout=FrameLayout(3, 0, 6))
    for picture in pictures(9):
        wide.append(picture)
        tight.append(picture)
    assert wide.video.slab.digest() == tight.video.slab.digest()


def test_a_session_goes_on_with_its_layout(engine: LocalEngine, tmp_path: Path) -> None:
    session = engine.open("You fly.", layout=ORIGINAL)
    for count in (2, 9):
        for picture in pictures(count):
            session.append(picture)
        session.export(tmp_path / "kept.safetensors")
        again = engine.open_export(tmp_path / "kept.safetensors")
        assert again.info().layout == ORIGINAL
        again.append(pictures(1)[0])
        assert len(parts(again)[0]) == 3
        assert len(parts(again)[2]) == (0 if count == 2 else 6)


@given(
    layout=st.builds(FrameLayout, st.integers(1, 5), st.just(0), st.integers(2, 9)),
    chunks=st.lists(st.integers(1, 2), max_size=40),
)
@settings(max_examples=100, deadline=None)
def test_whole_chunks_fill_the_sink_and_never_more_than_the_window_stays(
    layout: FrameLayout, chunks: list[int]
) -> None:
    trunk = Trunk(10_000, layout=layout)
    trunk.append(Chunk((), 5, 5))
    for number, frames in enumerate(chunks):
        trunk.evict_for(10 * frames, frames)
        trunk.append(Chunk(tuple(f"{number}/{place}" for place in range(frames)), 10 * frames, 10 * frames))
        trunk.check_integrity()
        sink = sum(len(chunk.frame_ids) for chunk in trunk.sink)
        window = sum(len(chunk.frame_ids) for chunk in trunk.window)
        assert sink <= layout.sink + 1
        assert window <= layout.window
        assert not trunk.window or sink >= layout.sink


@pytest.mark.parametrize("text", ["3+3", "3+3+6+1", "a+b+c", "0+3+6", "3+3+0", "-1+3+6", "3+3+999999", "3,3,6", "+"])
def test_a_layout_that_is_none_is_refused_by_both_settings(text: str) -> None:
    with pytest.raises(InvalidInput):
        FrameLayout.parse(text)
    with pytest.raises(ValueError, match="layout"):
        VlmSettings(layout=text)
    with pytest.raises(ValueError, match="layout"):
        AgentSettings(memory_layout=text)


def test_one_way_of_writing_it_for_engine_and_agent() -> None:
    assert VlmSettings(layout=" 3+3+6 ").frame_layout() == ORIGINAL
    assert AgentSettings(memory_layout="3+3+6").core().flight.layout == ORIGINAL
    assert VlmSettings().frame_layout() is None
    assert FrameLayout.parse(str(ORIGINAL)) == ORIGINAL
