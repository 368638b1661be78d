"""One pass through everything an engine does, so that the first caller does not pay for first times."""

import asyncio
import time

from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_vlm.core.base import AskRequest, ChoiceRequest, SessionConfig
from stillwing_vlm.core.engine import AsyncEngine

_SCHEMA = '{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"],"additionalProperties":false}'
_WIDTH_PX, _HEIGHT_PX = 320, 240


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
    finally:
        await session.close()
    return time.monotonic() - began_s
