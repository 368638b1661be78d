"""One pass through everything an engine does, so that the first caller does not pay for first times."""

import asyncio
import time

from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, Sampling, SessionConfig
from stillwing_vlm.core.serving.engine import AsyncEngine
from stillwing_vlm.core.serving.served_session import AsyncSession

_SCHEMA = '{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"],"additionalProperties":false}'
_WIDTH_PX, _HEIGHT_PX = 320, 240


async def _capture(session: AsyncSession, most_asks: int) -> None:
    """Steps are made when their size is first needed, which takes a while: those of free, forced and drawn answers, one
    and several at a time.
    """
    for count in (1, 2, 4, 8):
        for sampling in (None, Sampling(1.0)):
            requests = [AskRequest("Ready?", max_tokens=4, sampling=sampling)] * min(count, most_asks)
            await asyncio.gather(*(session.ask(request).done() for request in requests))


async def warm_up(engine: AsyncEngine) -> float:
    """Open a session, append, ask, choose and close; seconds it took. Raises what any of that raises."""
    began_s = time.monotonic()
    image = Image(ImageEncoding.RGB8, _WIDTH_PX, _HEIGHT_PX, bytes(_WIDTH_PX * _HEIGHT_PX * 3))
    session = await engine.open_session(SessionConfig(label="warm-up"))
    try:
        for index in range(2):
            await session.append(Frame(f"warm-up/{index}", "", Stamp(index, ""), None, image))
        answer = session.ask(AskRequest("Ready?", max_tokens=8, json_schema=_SCHEMA))
        await asyncio.gather(answer.done(), session.ask_choice(ChoiceRequest("Ready?", ("yes", "no"))))
        if engine.machinery.loaded.backend.looks_ahead:
            await _capture(session, engine.machinery.loaded.limits.max_asks)
    finally:
        await session.close()
    return time.monotonic() - began_s
