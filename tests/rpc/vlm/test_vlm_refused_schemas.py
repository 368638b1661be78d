"""python -m pytest tests/rpc/vlm/test_vlm_refused_schemas.py

A schema that no answer can be held to is refused as such, in process and over the wire; all else goes on.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from refused_schemas import REFUSED
from vlm_frames import SMALL, frame

from stillwing_common.errors import BadGrammar
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.conversation import JsonFormat
from stillwing_vlm.core.protocol import Engine
from stillwing_vlm.core.requests import AskRequest


@pytest.fixture(params=["in_process", "over_the_wire"])
async def engine(request: pytest.FixtureRequest, served: Any) -> AsyncIterator[Engine]:
    if request.param == "in_process":
        yield served.engine
        return
    remote = await RemoteEngine.connect(f"127.0.0.1:{served.port}")
    yield remote
    await remote.close()


async def test_each_is_refused_alone(engine: Engine) -> None:
    session, beside = await engine.open_session(SMALL), await engine.open_session(SMALL)
    await session.append(frame(0))
    await beside.append(frame(0))
    question = AskRequest("What is it?", max_tokens=8)
    alone = await beside.ask(question).done()
    for what, schema in REFUSED.items():
        answer = beside.ask(question)
        with pytest.raises(BadGrammar):
            await session.ask(AskRequest("a", json_schema=schema)).done()
        with pytest.raises(BadGrammar):
            await session.ask(AskRequest("a", answer_format=JsonFormat(schema, max_thought_tokens=5))).done()
        assert (await answer.done()).text == alone.text, what
    held = AskRequest("a", max_tokens=64, json_schema='{"enum": ["left", "right"]}')
    assert (await session.ask(held).done()).text in ('"left"', '"right"')


async def test_answers_that_begin_together_share_a_schema(engine: Engine) -> None:
    session = await engine.open_session(SMALL)
    await session.append(frame(0))
    large = AskRequest("a", max_tokens=64, json_schema='{"enum": [' + ", ".join(map(str, range(2000))) + "]}")
    answers = await asyncio.gather(*(session.ask(large).done() for _ in range(3)))
    assert len({answer.text for answer in answers}) == 1
    assert 0 <= int(answers[0].text) < 2000
