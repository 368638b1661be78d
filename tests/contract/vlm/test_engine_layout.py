"""python -m pytest tests/contract/vlm/test_engine_layout.py -v

Sink, memory and window in frames, of the engine in this process and of the one behind the wire.
"""

from dataclasses import replace

import pytest
from vlm_frames import SMALL, frame

from stillwing_common.errors import BudgetTooSmall, InvalidInput
from stillwing_vlm.core.protocol import Engine
from stillwing_vlm.core.requests import FrameLayout

LAYOUT = FrameLayout(2, 1, 4)


class TestLayout:
    async def test_a_session_keeps_so_many_frames_of_each(self, engine: Engine) -> None:
        assert (await engine.model_info()).default_layout is None
        plain = await engine.open_session(SMALL)
        assert (await engine.get_session(plain.session_id)).layout is None
        session = await engine.open_session(replace(SMALL, layout=LAYOUT))
        for index in range(12):
            await session.append(frame(index))
        info = await engine.get_session(session.session_id)
        assert (info.layout, info.evicted_frames, info.oldest_frame_id) == (LAYOUT, 6, "v/c/8")
        recalled = await session.recall([frame(2)])
        assert recalled.frame_ids == ("v/c/2",)
        assert (await engine.get_session(session.session_id)).evicted_frames == 6
        with pytest.raises(InvalidInput, match="memory of layout"):
            await session.recall([frame(2), frame(3)])

    async def test_one_that_does_not_fit_is_told(self, engine: Engine) -> None:
        session = await engine.open_session(replace(SMALL, layout=FrameLayout(3, 2, 60)))
        with pytest.raises(BudgetTooSmall, match="3\\+2\\+60 needs"):
            await session.append(frame(0))
