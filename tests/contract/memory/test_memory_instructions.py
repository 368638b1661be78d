"""python -m pytest tests/contract/memory/test_memory_instructions.py

What a bank files of a mission and recalls for an instruction, asked of the bank in process and over the wire.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from stillwing_common.errors import ImageUndecodable, InvalidInput, StillwingError, UnknownEntity, UnknownInstruction
from stillwing_memory.core.entities import Attribute
from stillwing_memory.core.instructions import Chunk, ChunkFiled, ChunkFrame, Instruction, RecalledBy, ThingMention
from stillwing_memory.core.keyframes import ByTime, Keyframe, Sighting
from stillwing_memory.core.protocol import MemoryBank

Make = Callable[..., Keyframe]

MAN = ThingMention("young man", kind="man", attributes=(Attribute("denim jacket", "outerwear"),))


def chunk(make: Make, number: int, *captions: str, instruction: int = 1, mission_id: str = "mis_1") -> Chunk:
    """A chunk of frames with these captions; frame numbers do not repeat within a mission."""
    first = 1000 * instruction + 10 * number
    frames = tuple(
        ChunkFrame(make(first + place, caption=caption, mission_id=mission_id))
        for place, caption in enumerate(captions)
    )
    return Chunk(mission_id, instruction, number, frames)


class TestInstructions:
    async def test_things_get_ids_kinds_and_attributes(self, bank: MemoryBank) -> None:
        begun = await bank.begin_instruction(Instruction("mis_1", 1, "Follow the young man.", (MAN,)))
        (man,) = begun.entities
        assert begun.created and begun.memory == () and begun.recalled_by is RecalledBy.NOTHING
        assert man.entity_id.startswith("ent_") and (man.label, man.kind) == ("young man", "man")
        assert man.last_seen.clock_id == ""
        assert [(one.text, one.slot, one.until_wall_ns) for one in man.attributes] == [("denim jacket", "outerwear", 0)]
        assert man.attributes[0].from_wall_ns > 0
        assert (await bank.list_entities(name="Young Man!")).entities == (man,)
        assert (await bank.list_entities(name="man")).entities == ()

    async def test_what_contradicts_ends_and_what_is_known_is_said_once(self, bank: MemoryBank) -> None:
        begun = await bank.begin_instruction(Instruction("mis_1", 1, "a", (MAN,)))
        entity_id = begun.entities[0].entity_id
        again = ThingMention(
            "protagonist", entity_id, attributes=(Attribute("denim jacket", "outerwear"), Attribute("glasses"))
        )
        changed = ThingMention("protagonist", entity_id, attributes=(Attribute("black coat", "outerwear"),))
        await bank.begin_instruction(Instruction("mis_1", 2, "b", (again,)))
        (man,) = (await bank.begin_instruction(Instruction("mis_1", 3, "c", (changed,)))).entities

        assert man.aliases == ("protagonist",)
        held = {one.text: (one.from_wall_ns, one.until_wall_ns) for one in man.attributes}
        assert list(held) == ["denim jacket", "glasses", "black coat"]
        assert held["denim jacket"][1] == held["black coat"][0] > held["denim jacket"][0]
        assert held["glasses"][1] == held["black coat"][1] == 0

    async def test_a_name_is_matched_unless_it_is_said_to_be_new(self, bank: MemoryBank) -> None:
        first = await bank.begin_instruction(Instruction("mis_1", 1, "a", (MAN,)))
        same = await bank.begin_instruction(Instruction("mis_2", 1, "b", (ThingMention("Young  Man"),)))
        other = await bank.begin_instruction(Instruction("mis_3", 1, "c", (ThingMention("young man", new=True),)))
        assert same.entities[0].entity_id == first.entities[0].entity_id != other.entities[0].entity_id

    async def test_the_same_instruction_again_changes_nothing(self, bank: MemoryBank) -> None:
        first = await bank.begin_instruction(Instruction("mis_1", 1, "a", (MAN,)))
        revision = (await bank.get_bank()).revision
        again = await bank.begin_instruction(Instruction("mis_1", 1, "other", (ThingMention("van"),)))
        assert again == replace(first, created=False)
        assert (await bank.get_bank()).revision == revision

    async def test_vehicles_that_speak_of_one_thing_at_once_get_one_id(self, bank: MemoryBank) -> None:
        beacon = (ThingMention("red beacon"),)
        instructions = [Instruction(f"mis_{n}", 1, "Fly to the red beacon.", beacon) for n in range(8)]
        begun = await asyncio.gather(*(bank.begin_instruction(one) for one in instructions))
        assert len({one.entities[0].entity_id for one in begun}) == 1

    @pytest.mark.parametrize(
        ("error", "instruction"),
        [
            (InvalidInput, Instruction("", 1, "a")),
            (InvalidInput, Instruction("mis_1", 0, "a")),
            (InvalidInput, Instruction("mis_1", -1, "a")),
            (InvalidInput, Instruction("mis_1", 1, "a", (ThingMention(" "),))),
            (InvalidInput, Instruction("mis_1", 1, "a", (ThingMention("van", "ent_1", new=True),))),
            (UnknownEntity, Instruction("mis_1", 1, "a", (ThingMention("new"), ThingMention("van", "ent_nobody")))),
        ],
    )
    async def test_bad_ones_change_nothing(
        self, bank: MemoryBank, error: type[StillwingError], instruction: Instruction
    ) -> None:
        with pytest.raises(error):
            await bank.begin_instruction(instruction)
        assert (await bank.get_bank()).entities == 0
        assert await bank.list_instructions("mis_1") == ()


class TestChunks:
    async def test_the_best_frame_is_filed_and_tagged(self, bank: MemoryBank, make_keyframe: Make) -> None:
        begun = await bank.begin_instruction(Instruction("mis_1", 1, "Follow the young man.", (MAN,)))
        filed = await bank.file_chunk(chunk(make_keyframe, 1, "a road", "young man in denim jacket", "a man"))
        assert filed.created
        assert (filed.keyframe.instruction, filed.keyframe.chunk, filed.keyframe.place) == (1, 1, 1)
        assert filed.keyframe.frame.frame_id == "drone/front/1011"
        assert filed.memory_frame_ids == ("drone/front/1011",)
        assert [(one.entity_id, one.confidence) for one in filed.keyframe.sightings] == [
            (begun.entities[0].entity_id, 1.0)
        ]
        assert (await bank.get_keyframe("drone/front/1011", include_image=True)).frame.image.data
        assert (await bank.get_bank()).keyframes == 1

    async def test_three_stay_in_sight_and_a_better_one_replaces_the_lowest(
        self, bank: MemoryBank, make_keyframe: Make
    ) -> None:
        await bank.begin_instruction(Instruction("mis_1", 1, "a", (ThingMention("red van"),)))
        captions = ("red", "red van and a tree", "red van", "a tree", "van red and tree beside house")
        filed = [await bank.file_chunk(chunk(make_keyframe, n, text)) for n, text in enumerate(captions, 1)]
        ids = {text: f"drone/front/{1000 + 10 * n}" for n, text in enumerate(captions, 1)}
        assert [len(one.memory_frame_ids) for one in filed] == [1, 2, 3, 3, 3]
        assert ids["a tree"] not in filed[4].memory_frame_ids
        scores = {one.keyframe.frame.frame_id: one.keyframe.score for one in filed}
        best = sorted(scores, key=lambda name: -scores[name])[:3]
        assert sorted(filed[4].memory_frame_ids) == sorted(best)
        assert list(filed[4].memory_frame_ids) == sorted(filed[4].memory_frame_ids, key=lambda name: -scores[name])

    async def test_a_chunk_is_filed_once_however_often_it_is_sent(self, bank: MemoryBank, make_keyframe: Make) -> None:
        await bank.begin_instruction(Instruction("mis_1", 1, "a", (MAN,)))
        one = chunk(make_keyframe, 1, "young man", "road")
        results: list[ChunkFiled] = list(await asyncio.gather(*(bank.file_chunk(one) for _ in range(6))))
        assert sorted(result.created for result in results) == [False] * 5 + [True]
        assert len({result.keyframe for result in results}) == 1
        assert (await bank.get_bank()).keyframes == 1

    async def test_a_frame_that_was_put_before_joins_the_memory(self, bank: MemoryBank, make_keyframe: Make) -> None:
        await bank.begin_instruction(Instruction("mis_1", 1, "a", (MAN,)))
        one = chunk(make_keyframe, 1, "young man")
        put = await bank.put_keyframe(one.frames[0].keyframe)
        filed = await bank.file_chunk(one)
        assert put.created and filed.created
        assert filed.memory_frame_ids == (put.keyframe.frame.frame_id,)
        assert (await bank.get_bank()).keyframes == 1

    async def test_what_cannot_be_filed_is_refused_whole(self, bank: MemoryBank, make_keyframe: Make) -> None:
        with pytest.raises(UnknownInstruction):
            await bank.file_chunk(chunk(make_keyframe, 1, "young man"))
        await bank.begin_instruction(Instruction("mis_1", 1, "a", (MAN,)))
        good = chunk(make_keyframe, 1, "young man")
        image = replace(good.frames[0].keyframe.frame.image, data=b"GIF89a" * 9)
        keyframe = good.frames[0].keyframe
        spoilt = replace(keyframe, frame=replace(keyframe.frame, image=image))
        for error, bad in (
            (InvalidInput, replace(good, frames=())),
            (InvalidInput, replace(good, number=0)),
            (InvalidInput, replace(good, mission_id="mis_2")),
            (ImageUndecodable, replace(good, frames=(ChunkFrame(spoilt),))),
        ):
            with pytest.raises(error):
                await bank.file_chunk(bad)
        assert (await bank.get_bank()).keyframes == 0
        assert (await bank.file_chunk(good)).created


class TestRecall:
    async def test_an_objects_life_from_first_sight_to_recall(self, bank: MemoryBank, make_keyframe: Make) -> None:
        van, gate = ThingMention("red van"), ThingMention("gate")
        first = await bank.begin_instruction(Instruction("mis_1", 1, "Look at the red van and the gate.", (van, gate)))
        for number, caption in enumerate(("red van beside a gate", "red van", "gate", "road"), 1):
            await bank.file_chunk(chunk(make_keyframe, number, caption))
        # Another vehicle, another mission, months later.
        begun = await bank.begin_instruction(
            Instruction("mis_2", 1, "Go back to the red van.", (ThingMention("Red Van"),)), include_image=True
        )
        assert begun.recalled_by is RecalledBy.THINGS
        assert begun.entities[0].entity_id == first.entities[0].entity_id
        assert {one.caption for one in begun.memory} == {"red van beside a gate", "red van"}
        assert all(one.frame.image.data for one in begun.memory)
        both = await bank.begin_instruction(Instruction("mis_3", 1, "b", (van, gate)))
        (record,) = await bank.list_instructions("mis_3")
        assert (record.text, record.recalled_by) == ("b", RecalledBy.THINGS)
        assert record.recalled_frame_ids[0] == "drone/front/1010"
        assert set(record.recalled_frame_ids) == {one.frame.frame_id for one in both.memory}
        assert both.memory[0].frame.image.data == b""

    async def test_recall_goes_by_share_of_things_then_by_score(self, bank: MemoryBank, make_keyframe: Make) -> None:
        things = tuple(ThingMention(label) for label in ("van", "gate", "boat"))
        begun = await bank.begin_instruction(Instruction("mis_1", 1, "a", things))
        van, gate, boat = (one.entity_id for one in begun.entities)
        shown = {"a": (0.9, van), "b": (0.2, van, gate), "c": (0.5, gate), "d": (0.99, boat)}
        for number, (caption, (score, *ids)) in enumerate(shown.items(), 1):
            sightings = [Sighting("thing", str(one)) for one in ids]
            await bank.put_keyframe(replace(make_keyframe(number, *sightings, caption=caption), score=score))
        names = {f"drone/front/{number}": caption for number, caption in enumerate(shown, 1)}
        for wanted, recalled in (((van, gate), ["b", "a", "c"]), ((boat,), ["d"])):
            mission_id = f"mis_{recalled[0]}"
            mentions = tuple(ThingMention("it", one) for one in wanted)
            await bank.begin_instruction(Instruction(mission_id, 1, "b", mentions))
            (record,) = await bank.list_instructions(mission_id)
            assert [names[one] for one in record.recalled_frame_ids] == recalled
        nothing = await bank.begin_instruction(Instruction("mis_x", 1, "b", (ThingMention("kite"),)))
        assert (nothing.recalled_by, nothing.memory) == (RecalledBy.NOTHING, ())

    async def test_an_instruction_that_has_begun_is_answered_by_what_it_has_in_sight_now(
        self, bank: MemoryBank, make_keyframe: Make
    ) -> None:
        instruction = Instruction("mis_1", 1, "a", (MAN,))
        assert (await bank.begin_instruction(instruction)).memory == ()
        filed = [await bank.file_chunk(chunk(make_keyframe, number, "young man")) for number in (1, 2)]
        begun = await bank.begin_instruction(instruction, include_image=True)
        assert {one.frame.frame_id for one in begun.memory} == set(filed[-1].memory_frame_ids)
        assert len(begun.memory) == 2 and all(one.frame.image.data for one in begun.memory)

    async def test_without_a_known_thing_the_most_alike_instruction_is_recalled(
        self, bank: MemoryBank, make_keyframe: Make
    ) -> None:
        texts = ("Count the boats in the harbour.", "Look at the trees on the hill.")
        for number, text in enumerate(texts, 1):
            await bank.begin_instruction(Instruction("mis_1", number, text))
            await bank.file_chunk(chunk(make_keyframe, 1, f"view {number}", instruction=number))
        begun = await bank.begin_instruction(Instruction("mis_1", 3, "Count the boats in the harbour again."))
        assert begun.recalled_by is RecalledBy.SIMILARITY
        assert [one.caption for one in begun.memory] == ["view 1"]
        nothing = await bank.begin_instruction(Instruction("mis_1", 4, "Land."))
        assert (nothing.recalled_by, nothing.memory) == (RecalledBy.NOTHING, ())

    async def test_a_merge_is_recalled_under_every_name(self, bank: MemoryBank, make_keyframe: Make) -> None:
        ids = []
        for number, label in enumerate(("man", "driver"), 1):
            begun = await bank.begin_instruction(Instruction("mis_1", number, "a", (ThingMention(label, new=True),)))
            ids.append(begun.entities[0].entity_id)
            await bank.file_chunk(chunk(make_keyframe, 1, label, instruction=number))
        await bank.merge_entities(ids[0], ids[1])
        begun = await bank.begin_instruction(Instruction("mis_2", 1, "b", (ThingMention("him", ids[1]),)))
        assert begun.entities[0].entity_id == ids[0]
        assert {one.caption for one in begun.memory} == {"man", "driver"}


async def test_a_stretch_of_time_is_searched_newest_first(bank: MemoryBank, make_keyframe: Make) -> None:
    for number in (1, 2, 3, 4):
        await bank.put_keyframe(make_keyframe(number))
    await bank.put_keyframe(make_keyframe(2, clock_id="clock_2"))
    found = await bank.search_keyframes(ByTime("clock_1", 2_000_000_007, 4_000_000_007))
    assert [one.keyframe.frame.frame_id for one in found] == ["drone/front/3", "drone/front/2"]
    assert found[0].score > found[1].score > 0
    assert await bank.search_keyframes(ByTime("clock_9", 0, 2**62)) == ()
    with pytest.raises(InvalidInput):
        await bank.search_keyframes(ByTime("clock_1", 5, 5))


async def test_a_tracker_outranks_the_words(bank: MemoryBank, make_keyframe: Make) -> None:
    begun = await bank.begin_instruction(Instruction("mis_1", 1, "a", (ThingMention("van"),)))
    sighting = Sighting("van", begun.entities[0].entity_id, "trk_1", (0.125, 0.25, 0.5, 0.5), 0.75)
    keyframe = make_keyframe(1, sighting, mission_id="mis_1")
    filed = await bank.file_chunk(Chunk("mis_1", 1, 1, (ChunkFrame(keyframe),)))
    assert filed.keyframe.sightings == (sighting,)
