"""python -m pytest tests/contract/memory/test_memory_arguments.py

Any arguments at all, in process and through the client: each call answers or raises a domain error that is no fault of
ours; what is taken can be read again by everybody.
"""

import asyncio
import base64
import json
import math
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_profile import sized

from stillwing_common.errors import BadPageToken, InternalFault, InvalidInput, StillwingError
from stillwing_common.types import Frame, Image, ImageEncoding, Pose, PositionNed, Quaternion, Stamp
from stillwing_memory.core.entities import Attribute
from stillwing_memory.core.instructions import Chunk, ChunkFrame, Instruction, ThingMention
from stillwing_memory.core.keyframes import ByEntity, ByPlace, ByText, ByTime, Keyframe, Sighting
from stillwing_memory.core.protocol import MemoryBank

EXAMPLES = sized(ci=400, nightly=20_000)


def mostly(good: st.SearchStrategy[Any], *others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A call of many arguments gets past its first check only where most of them are good."""
    return st.integers(0, 11).flatmap(lambda die: st.one_of(*others) if die == 0 else good)


texts = mostly(
    st.sampled_from(["beacon", "drone/front/1", "mis_1", "clock_1", "red van", "赤い灯台", "crate C++"]),
    st.sampled_from(
        ["", "\0", "a\0b", "\ud83d", "\udcff x", "x" * 200, "x" * 201, "🔴" * 5000, "\u200b", "%", "'; --"]
    ),
    st.text(st.characters(), max_size=20),
)
numbers = mostly(
    st.integers(0, 5),
    st.sampled_from([-1, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 2**70, -(2**63), -(2**70), 10**30]),
    st.integers(),
)
reals = mostly(st.floats(0, 1), st.floats(), st.sampled_from([math.nan, math.inf, -1.0, 1e300, 5e-324]))
positions = st.builds(PositionNed, reals, reals, reals)
turns = mostly(st.just(Quaternion(1.0, 0.0, 0.0, 0.0)), st.builds(Quaternion, reals, reals, reals, reals))


def keyframes(picture: Image) -> st.SearchStrategy[Keyframe]:
    images = st.just(picture) | st.builds(
        Image, st.sampled_from(ImageEncoding), numbers, numbers, st.binary(max_size=9)
    )
    poses = st.none() | st.builds(Pose, positions, turns)
    stamps = st.builds(Stamp, numbers, texts)
    frames = st.builds(Frame, texts, texts, stamps, poses, images, st.none() | reals)
    boxes = st.none() | st.just((0.1, 0.2, 0.3, 0.4)) | st.tuples(reals, reals, reals, reals)
    ids = mostly(st.just(""), texts)
    sightings = st.builds(Sighting, texts, ids, texts, boxes, reals, st.none() | positions)
    return st.builds(
        Keyframe, frames, st.lists(sightings, max_size=2).map(tuple), texts, texts, reals, texts, numbers,
        numbers, numbers, numbers,
    )  # fmt: skip


def calls(picture: Image) -> st.SearchStrategy[Callable[[MemoryBank], Coroutine[Any, Any, object]]]:
    ids = mostly(st.just(""), texts)
    attributes = st.builds(Attribute, texts, texts, numbers, numbers)
    things = st.builds(ThingMention, texts, ids, st.booleans(), texts, st.lists(attributes, max_size=2).map(tuple))
    instructions = st.builds(Instruction, texts, numbers, texts, st.lists(things, max_size=2).map(tuple))
    chunks = st.builds(
        Chunk, texts, numbers, numbers, st.lists(st.builds(ChunkFrame, keyframes(picture)), max_size=2).map(tuple)
    )
    queries = st.one_of(
        st.builds(ByText, texts), st.builds(ByEntity, texts), st.builds(ByPlace, positions),
        st.builds(ByTime, texts, numbers, numbers),
    )  # fmt: skip

    def call(method: str, /, *parts: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        def bind(drawn: tuple[Any, ...], options: dict[str, Any]) -> Callable[[MemoryBank], Any]:
            return lambda bank: getattr(bank, method)(*drawn, **options)

        return st.builds(bind, st.tuples(*parts), st.fixed_dictionaries(named))

    page = {"page_size": numbers, "page_token": ids}
    return st.one_of(
        call("put_keyframe", keyframes(picture)),
        call("get_keyframe", texts, clock_id=texts, include_image=st.booleans()),
        call("list_keyframes", **page, mission_id=texts),
        call("search_keyframes", queries, limit=numbers, mission_id=texts, include_image=st.booleans()),
        call("list_entities", **page, name=texts),
        call("merge_entities", texts, texts),
        call("begin_instruction", instructions, include_image=st.booleans()),
        call("file_chunk", chunks),
        call("list_instructions", texts),
        call("watch_changes", numbers),
    )


async def answered(bank: MemoryBank, call: Callable[[MemoryBank], Any]) -> None:
    """The call ends in an answer or a domain error; of a stream, the first change is enough."""
    try:
        if hasattr(made := call(bank), "__anext__"):
            try:
                await asyncio.wait_for(anext(made, None), 0.05)
            finally:
                await made.aclose()
        else:
            await made
    except InternalFault as error:
        raise AssertionError(f"taken for our own fault: {error!r}") from error
    except (StillwingError, TimeoutError):
        return


async def test_any_arguments_end_in_an_answer_or_a_domain_error(
    bank: MemoryBank, make_jpeg: Callable[..., Image]
) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(calls(make_jpeg()))
    def try_out(call: Callable[[MemoryBank], Any]) -> None:
        asyncio.run_coroutine_threadsafe(answered(bank, call), loop).result(60)

    await asyncio.to_thread(try_out)
    # What was taken in all of this can be read.
    token = ""
    while True:
        page = await bank.list_keyframes(page_token=token)
        token = page.next_page_token
        if not token:
            break


REFUSED: dict[str, Callable[[MemoryBank], Any]] = {
    "negative page": lambda bank: bank.list_keyframes(page_size=-1),
    "negative limit": lambda bank: bank.search_keyframes(ByText("x"), limit=-1),
    "negative instruction": lambda bank: bank.begin_instruction(Instruction("mis_1", -1, "x")),
    "lone surrogate as name": lambda bank: bank.list_entities(name="\ud83d"),
    "lone surrogate as text": lambda bank: bank.search_keyframes(ByText("\udcff")),
    "lone surrogate as label": lambda bank: bank.begin_instruction(
        Instruction("mis_1", 1, "x", (ThingMention("a\ud83d"),))
    ),
    "NUL as mission": lambda bank: bank.list_instructions("a\0b"),
    "label of nothing to see": lambda bank: bank.begin_instruction(
        Instruction("mis_1", 1, "x", (ThingMention("\u200b\u00ad"),))
    ),
    "place that is none": lambda bank: bank.search_keyframes(ByPlace(PositionNed(math.nan, 0, 0))),
    "time that no clock shows": lambda bank: bank.search_keyframes(ByTime("clock_1", 0, 2**80)),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_be_meant_is_invalid_input(bank: MemoryBank, what: str) -> None:
    with pytest.raises(InvalidInput):
        await REFUSED[what](bank)


async def test_a_keyframe_with_numbers_that_are_none_is_refused(
    bank: MemoryBank, make_keyframe: Callable[..., Keyframe]
) -> None:
    for number in (-1, 2**31, 2**32, 2**70):
        for field in ("instruction", "chunk", "place"):
            keyframe = make_keyframe(1)
            object.__setattr__(keyframe, field, number)
            with pytest.raises(InvalidInput):
                await bank.put_keyframe(keyframe)


@pytest.mark.parametrize(
    "body", [5, [], ["keyframes", ""], ["keyframes", "", "9" * 30], ["keyframes", "", "\0"], "deep"]
)
async def test_a_page_token_with_a_right_checksum_and_nonsense_in_it_is_refused(bank: MemoryBank, body: object) -> None:
    raw = b"[" * 100_000 if body == "deep" else json.dumps(body).encode()
    token = base64.urlsafe_b64encode(zlib.crc32(raw).to_bytes(4, "big") + raw).decode().rstrip("=")
    for pages in (bank.list_keyframes, bank.list_entities):
        with pytest.raises(BadPageToken):
            await pages(page_token=token)
