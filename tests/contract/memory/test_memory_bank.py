"""python -m pytest tests/contract/memory/test_memory_bank.py

What every `MemoryBank` owes its callers, asked of the bank in process and of the same bank over the wire.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from stillwing_common.errors import (
    BadPageToken,
    ImageEmpty,
    ImageTooLarge,
    ImageUndecodable,
    InvalidInput,
    StillwingError,
    TextTooLong,
    UnknownEntity,
    UnknownKeyframe,
)
from stillwing_common.types import Image, ImageEncoding, PositionNed, Stamp
from stillwing_memory.core.changes import Change, EntityChanged, KeyframePut
from stillwing_memory.core.entities import Entity
from stillwing_memory.core.keyframes import ByEntity, ByPlace, ByText, Keyframe, Sighting
from stillwing_memory.core.protocol import MemoryBank

Make = Callable[..., Keyframe]


async def changes_until(bank: MemoryBank, revision: int, after: int = 0) -> list[Change]:
    """The log from `after` to `revision`."""
    found = []
    stream = bank.watch_changes(after)
    async for change in stream:
        found.append(change)
        if change.revision >= revision:
            break
    await stream.aclose()
    return found


class TestKeyframes:
    async def test_what_is_put_is_read_back_whole(self, bank: MemoryBank, make_keyframe: Make) -> None:
        given = make_keyframe(
            3,
            Sighting("red beacon", "", "trk_9", (0.25, 0.5, 0.75, 1.0), 0.5, PositionNed(1.5, -2.5, 0.0)),
            caption="a beacon: rød, 赤",
            north_m=4.0,
        )
        put = await bank.put_keyframe(given)
        read = await bank.get_keyframe("drone/front/3", include_image=True)

        assert put.created
        assert put.keyframe.put_wall_ns > 0
        assert put.keyframe.frame.image.data == b""
        assert read.frame == given.frame
        assert read == replace(put.keyframe, frame=given.frame)
        (sighting,) = read.sightings
        assert sighting.entity_id.startswith("ent_")
        assert replace(sighting, entity_id="") == given.sightings[0]

    async def test_reads_leave_pixels_out_unless_asked(self, bank: MemoryBank, make_keyframe: Make) -> None:
        given = make_keyframe(1, caption="tree")
        await bank.put_keyframe(given)

        assert (await bank.get_keyframe("drone/front/1")).frame.image == replace(given.frame.image, data=b"")
        for include_image in (False, True):
            (match,) = await bank.search_keyframes(ByText("tree"), include_image=include_image)
            assert match.keyframe.frame.image.data == (given.frame.image.data if include_image else b"")

    async def test_the_same_frame_again_changes_nothing(self, bank: MemoryBank, make_keyframe: Make) -> None:
        first = await bank.put_keyframe(make_keyframe(1, "tree", caption="first"))
        again = await bank.put_keyframe(make_keyframe(1, "car", caption="second"))

        assert not again.created
        assert again.keyframe == first.keyframe
        assert again.revision == first.revision
        assert (await bank.get_bank()).keyframes == 1

    async def test_one_frame_put_by_many_at_once_is_created_once(self, bank: MemoryBank, make_keyframe: Make) -> None:
        results = await asyncio.gather(*(bank.put_keyframe(make_keyframe(1, "tree")) for _ in range(12)))

        assert [result.created for result in results].count(True) == 1
        assert len({result.keyframe.sightings for result in results}) == 1

    async def test_the_same_id_on_another_clock_is_another_frame(self, bank: MemoryBank, make_keyframe: Make) -> None:
        for clock_id in ("clock_1", "clock_2"):
            assert (await bank.put_keyframe(make_keyframe(1, clock_id=clock_id, caption=clock_id))).created

        assert (await bank.get_keyframe("drone/front/1")).caption == "clock_2"
        assert (await bank.get_keyframe("drone/front/1", clock_id="clock_1")).caption == "clock_1"

    async def test_a_frame_that_was_never_put_is_unknown(self, bank: MemoryBank, make_keyframe: Make) -> None:
        await bank.put_keyframe(make_keyframe(1))
        with pytest.raises(UnknownKeyframe) as caught:
            await bank.get_keyframe("drone/front/2")
        assert caught.value.metadata["frame_id"] == "drone/front/2"
        with pytest.raises(UnknownKeyframe):
            await bank.get_keyframe("drone/front/1", clock_id="clock_9")


class TestPages:
    async def test_pages_hold_everything_once_newest_first(self, bank: MemoryBank, make_keyframe: Make) -> None:
        for number in range(7):
            await bank.put_keyframe(make_keyframe(number, mission_id="mis_a" if number % 2 else "mis_b"))

        async def walk(mission_id: str, page_size: int) -> list[str]:
            seen, token = [], ""
            while True:
                page = await bank.list_keyframes(page_size=page_size, page_token=token, mission_id=mission_id)
                assert len(page.keyframes) <= page_size
                seen += [keyframe.frame.frame_id for keyframe in page.keyframes]
                token = page.next_page_token
                if not token:
                    return seen

        assert await walk("", 3) == [f"drone/front/{number}" for number in (6, 5, 4, 3, 2, 1, 0)]
        assert await walk("", 7) == await walk("", 1)
        assert await walk("mis_a", 2) == [f"drone/front/{number}" for number in (5, 3, 1)]
        assert await walk("mis_none", 2) == []

    async def test_what_is_put_between_two_pages_does_not_shift_them(
        self, bank: MemoryBank, make_keyframe: Make
    ) -> None:
        for number in range(4):
            await bank.put_keyframe(make_keyframe(number))
        first = await bank.list_keyframes(page_size=2)
        await bank.put_keyframe(make_keyframe(9))
        second = await bank.list_keyframes(page_size=2, page_token=first.next_page_token)

        ids = [keyframe.frame.frame_id for keyframe in (*first.keyframes, *second.keyframes)]
        assert ids == [f"drone/front/{number}" for number in (3, 2, 1, 0)]

    async def test_a_token_of_another_list_or_filter_is_refused(self, bank: MemoryBank, make_keyframe: Make) -> None:
        for number in range(3):
            await bank.put_keyframe(make_keyframe(number, f"thing {number}"))
        frames = (await bank.list_keyframes(page_size=1)).next_page_token
        things = (await bank.list_entities(page_size=1)).next_page_token

        for token, mission_id in ((things, ""), (frames, "mis_1"), ("nonsense", ""), (frames[:-2], ""), ("é", "")):
            with pytest.raises(BadPageToken):
                await bank.list_keyframes(page_token=token, mission_id=mission_id)
        with pytest.raises(BadPageToken):
            await bank.list_entities(page_token=frames)


class TestSearch:
    async def test_text_ranks_by_likeness(self, bank: MemoryBank, make_keyframe: Make) -> None:
        await bank.put_keyframe(make_keyframe(1, caption="a car on the road"))
        await bank.put_keyframe(make_keyframe(2, "tree", caption="The RED beacon, behind a tree"))
        await bank.put_keyframe(make_keyframe(3, "red beacon", mission_id="mis_2"))

        matches = await bank.search_keyframes(ByText("red beacon?"))
        assert [match.keyframe.frame.frame_id for match in matches] == ["drone/front/3", "drone/front/2"]
        assert matches[0].score > matches[1].score > 0
        assert len(await bank.search_keyframes(ByText("red beacon"), limit=1)) == 1
        (only,) = await bank.search_keyframes(ByText("red beacon"), mission_id="mis_1")
        assert only.keyframe.frame.frame_id == "drone/front/2"
        assert await bank.search_keyframes(ByText("submarine")) == ()

    async def test_a_part_of_a_word_is_not_the_word(self, bank: MemoryBank, make_keyframe: Make) -> None:
        await bank.put_keyframe(make_keyframe(1, caption="his mother waves"))
        assert await bank.search_keyframes(ByText("other")) == ()

    async def test_a_thing_is_found_where_it_was_seen_best(self, bank: MemoryBank, make_keyframe: Make) -> None:
        first = await bank.put_keyframe(make_keyframe(1, Sighting("van", confidence=0.5)))
        entity_id = first.keyframe.sightings[0].entity_id
        await bank.put_keyframe(make_keyframe(2, Sighting("van", entity_id, confidence=0.75)))
        await bank.put_keyframe(make_keyframe(3, "tree"))

        matches = await bank.search_keyframes(ByEntity(entity_id))
        assert [match.keyframe.frame.frame_id for match in matches] == ["drone/front/2", "drone/front/1"]
        assert [match.score for match in matches] == [0.75, 0.5]

    async def test_a_place_is_ranked_by_distance_of_the_camera(self, bank: MemoryBank, make_keyframe: Make) -> None:
        for number, north_m in enumerate((0.0, 30.0, 10.0)):
            await bank.put_keyframe(make_keyframe(number, north_m=north_m))
        await bank.put_keyframe(make_keyframe(9))

        matches = await bank.search_keyframes(ByPlace(PositionNed(12.0, 0.0, -2.0)))
        assert [match.keyframe.frame.frame_id for match in matches] == [f"drone/front/{n}" for n in (2, 0, 1)]
        assert matches[0].score == pytest.approx(1 / 3)

    async def test_queries_that_say_nothing_are_refused(self, bank: MemoryBank) -> None:
        places = (ByPlace(PositionNed(float("nan"), 0.0, 0.0)), ByPlace(PositionNed(0.0, 0.0, -1e300)))
        for query in (ByText(""), ByText(" ?! "), ByEntity(""), *places):
            with pytest.raises(InvalidInput):
                await bank.search_keyframes(query)
        with pytest.raises(UnknownEntity):
            await bank.search_keyframes(ByEntity("ent_nobody"))
        with pytest.raises(TextTooLong):
            await bank.search_keyframes(ByText("x" * 5000))


class TestEntities:
    async def test_one_name_is_one_thing_however_it_is_spelt(self, bank: MemoryBank, make_keyframe: Make) -> None:
        ids = [
            (await bank.put_keyframe(make_keyframe(number, label))).keyframe.sightings[0].entity_id
            for number, label in enumerate(("red beacon", "The Red  Beacon!", "blue beacon"))
        ]
        assert ids[0] == ids[1] != ids[2]
        (red, blue) = (await bank.list_entities()).entities
        assert (red.label, blue.label) == ("red beacon", "blue beacon")
        assert red.last_seen == Stamp(1_000_000_007, "clock_1")

    async def test_placed_things_of_one_name_far_apart_are_two(self, bank: MemoryBank, make_keyframe: Make) -> None:
        async def put(number: int, north_m: float) -> str:
            sighting = Sighting("tree", position_ned_m=PositionNed(north_m, 0.0, 0.0))
            return (await bank.put_keyframe(make_keyframe(number, sighting))).keyframe.sightings[0].entity_id

        near, far, near_again = await put(1, 0.0), await put(2, 20.0), await put(3, 2.0)
        assert near == near_again != far
        moved = (await bank.list_entities()).entities[0]
        assert moved.last_position_ned_m == PositionNed(2.0, 0.0, 0.0)

    async def test_one_frame_never_shows_one_thing_twice(self, bank: MemoryBank, make_keyframe: Make) -> None:
        put = await bank.put_keyframe(make_keyframe(1, "tree", "tree"))
        again = await bank.put_keyframe(make_keyframe(2, "tree", "tree", "tree"))

        first = {sighting.entity_id for sighting in put.keyframe.sightings}
        second = {sighting.entity_id for sighting in again.keyframe.sightings}
        assert len(first) == 2
        assert len(second) == 3
        assert first < second

    async def test_an_older_frame_does_not_move_a_thing_back(self, bank: MemoryBank, make_keyframe: Make) -> None:
        for number in (5, 2):
            await bank.put_keyframe(make_keyframe(number, "van"))
        (van,) = (await bank.list_entities()).entities
        assert van.last_seen.time_ns == 5_000_000_007

    async def test_merged_ids_keep_working_through_chains(self, bank: MemoryBank, make_keyframe: Make) -> None:
        ids = [
            (await bank.put_keyframe(make_keyframe(number, label))).keyframe.sightings[0].entity_id
            for number, label in enumerate(("man", "protagonist", "man in denim"))
        ]
        await bank.merge_entities(ids[1], ids[0])
        merged = await bank.merge_entities(ids[2], ids[0])

        assert merged.entity_id == ids[2]
        assert merged.label == "man in denim"
        assert set(merged.merged_ids) == {ids[0], ids[1]}
        assert set(merged.aliases) == {"man", "protagonist"}
        assert (await bank.list_entities()).entities == (merged,)
        for old in ids:
            assert len(await bank.search_keyframes(ByEntity(old))) == 3
        assert (await bank.get_keyframe("drone/front/0")).sightings[0].entity_id == ids[2]
        put = await bank.put_keyframe(make_keyframe(7, Sighting("him", ids[0]), "Protagonist"))
        assert put.keyframe.sightings[0].entity_id == ids[2]
        before = (await bank.get_bank()).revision
        await bank.merge_entities(ids[0], ids[1])
        assert (await bank.get_bank()).revision == before

    async def test_merging_needs_two_things_that_exist(self, bank: MemoryBank, make_keyframe: Make) -> None:
        put = await bank.put_keyframe(make_keyframe(1, "van"))
        entity_id = put.keyframe.sightings[0].entity_id
        for pair in ((entity_id, "ent_nobody"), ("ent_nobody", entity_id)):
            with pytest.raises(UnknownEntity):
                await bank.merge_entities(*pair)
        for pair in ((entity_id, entity_id), ("", entity_id), (entity_id, "")):
            with pytest.raises(InvalidInput):
                await bank.merge_entities(*pair)
        assert (await bank.get_bank()).revision == put.revision

    async def test_pages_hold_every_thing_once(self, bank: MemoryBank, make_keyframe: Make) -> None:
        await bank.put_keyframe(make_keyframe(1, *(f"thing {number}" for number in range(5))))
        seen, token = [], ""
        while True:
            page = await bank.list_entities(page_size=2, page_token=token)
            seen += [entity.label for entity in page.entities]
            token = page.next_page_token
            if not token:
                break
        assert sorted(seen) == [f"thing {number}" for number in range(5)]


class TestChanges:
    async def test_the_log_has_every_change_in_order(self, bank: MemoryBank, make_keyframe: Make) -> None:
        results = await asyncio.gather(*(bank.put_keyframe(make_keyframe(n, f"thing {n}")) for n in range(10)))
        last = max(result.revision for result in results)
        log = await changes_until(bank, last)

        assert [change.revision for change in log] == list(range(1, last + 1))
        put = {change.revision: change.keyframe for change in log if isinstance(change, KeyframePut)}
        assert put == {result.revision: result.keyframe for result in results}
        made = [change.entity.label for change in log if isinstance(change, EntityChanged)]
        assert sorted(made) == [f"thing {n}" for n in range(10)]

    async def test_a_reader_resumes_where_it_stopped(self, bank: MemoryBank, make_keyframe: Make) -> None:
        for number in range(4):
            await bank.put_keyframe(make_keyframe(number, "tree"))
        whole = await changes_until(bank, 8)
        for stop in range(8):
            assert await changes_until(bank, 8, after=stop) == whole[stop:]

    async def test_a_reader_that_waits_hears_what_comes(self, bank: MemoryBank, make_keyframe: Make) -> None:
        stream = bank.watch_changes()
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        put = await bank.put_keyframe(make_keyframe(1))
        assert await asyncio.wait_for(waiting, 5) == KeyframePut(put.revision, put.keyframe)
        await stream.aclose()

    @pytest.mark.parametrize("revision", [2, 2**63, 2**64 - 1])
    async def test_a_revision_of_another_bank_is_refused(
        self, bank: MemoryBank, make_keyframe: Make, revision: int
    ) -> None:
        await bank.put_keyframe(make_keyframe(1))
        with pytest.raises(InvalidInput):
            await anext(bank.watch_changes(revision))

    async def test_the_log_replayed_is_what_is_known(self, bank: MemoryBank, make_keyframe: Make) -> None:
        random = Random(7)
        ids: list[str] = []
        for number in range(60):
            if len(ids) > 3 and random.random() < 0.25:
                into, gone = random.sample(ids, 2)
                await bank.merge_entities(into, gone)
                continue
            labels: list[str | Sighting] = [f"thing {random.randrange(9)}" for _ in range(random.randrange(4))]
            if ids and random.random() < 0.3:
                labels.append(Sighting("that one", random.choice(ids)))
            put = await bank.put_keyframe(make_keyframe(number, *labels))
            ids += [one.entity_id for one in put.keyframe.sightings if one.entity_id not in ids]

        replayed: dict[str, Entity] = {}
        frames: dict[str, set[str]] = {}
        now: dict[str, str] = {entity_id: entity_id for entity_id in ids}
        for change in await changes_until(bank, (await bank.get_bank()).revision):
            if isinstance(change, EntityChanged):
                replayed[change.entity.entity_id] = change.entity
                for gone in change.entity.merged_ids:
                    replayed.pop(gone, None)
                    now[gone] = change.entity.entity_id
                continue
            for sighting in change.keyframe.sightings:
                frames.setdefault(sighting.entity_id, set()).add(change.keyframe.frame.frame_id)
        listed = (await bank.list_entities(page_size=500)).entities
        assert replayed == {entity.entity_id: entity for entity in listed}
        assert any(entity.merged_ids for entity in listed)
        for entity_id in ids:
            found = await bank.search_keyframes(ByEntity(entity_id), limit=500)
            assert {match.keyframe.frame.frame_id for match in found} == frames.get(now[entity_id], set())

    async def test_a_put_says_which_things_were_seen_again(self, bank: MemoryBank, make_keyframe: Make) -> None:
        await bank.put_keyframe(make_keyframe(1, "tree"))
        put = await bank.put_keyframe(make_keyframe(2, "Tree", "car"))
        log = await changes_until(bank, put.revision, after=2)
        assert [type(change) for change in log] == [EntityChanged, EntityChanged, KeyframePut]
        assert isinstance(log[0], EntityChanged)
        assert log[0].entity.last_seen.time_ns == 2_000_000_007


def _image(keyframe: Keyframe, image: Image) -> Keyframe:
    return replace(keyframe, frame=replace(keyframe.frame, image=image))


BAD: dict[str, tuple[type[StillwingError], Callable[[Keyframe], Keyframe]]] = {
    "no pixels": (ImageEmpty, lambda k: _image(k, replace(k.frame.image, data=b""))),
    "not a JPEG": (ImageUndecodable, lambda k: _image(k, replace(k.frame.image, data=b"GIF89a" * 9))),
    "PNG said to be": (ImageUndecodable, lambda k: _image(k, replace(k.frame.image, encoding=ImageEncoding.PNG))),
    "cut short": (ImageUndecodable, lambda k: _image(k, replace(k.frame.image, data=k.frame.image.data[:-200]))),
    "too many bytes": (ImageTooLarge, lambda k: _image(k, replace(k.frame.image, data=bytes(256 * 1024 + 1)))),
    "raw pixels": (InvalidInput, lambda k: _image(k, Image(ImageEncoding.RGB8, 2, 2, bytes(12)))),
    "wrong size": (InvalidInput, lambda k: _image(k, replace(k.frame.image, width_px=63))),
    "long caption": (TextTooLong, lambda k: replace(k, caption="x" * 4001)),
    "long mission": (TextTooLong, lambda k: replace(k, mission_id="m" * 201)),
    "NUL": (InvalidInput, lambda k: replace(k, caption="a\0b")),
    "no frame id": (InvalidInput, lambda k: replace(k, frame=replace(k.frame, frame_id=""))),
    "score": (InvalidInput, lambda k: replace(k, score=float("inf"))),
    "empty label": (InvalidInput, lambda k: replace(k, sightings=(Sighting(" "),))),
    "box": (InvalidInput, lambda k: replace(k, sightings=(Sighting("a", box=(0.5, 0.0, 0.25, 1.0)),))),
    "confidence": (InvalidInput, lambda k: replace(k, sightings=(Sighting("a", confidence=1.5),))),
    "too many sightings": (InvalidInput, lambda k: replace(k, sightings=(Sighting("a"),) * 65)),
    "unknown thing": (UnknownEntity, lambda k: replace(k, sightings=(Sighting("new"), Sighting("a", "ent_x")))),
}


class TestBadInput:
    @pytest.mark.parametrize("what", BAD)
    async def test_it_is_refused_by_name_and_changes_nothing(
        self, bank: MemoryBank, make_keyframe: Make, what: str
    ) -> None:
        error, spoil = BAD[what]
        with pytest.raises(StillwingError) as caught:
            await bank.put_keyframe(spoil(make_keyframe(1, "tree")))
        assert type(caught.value) is error
        info = await bank.get_bank()
        assert (info.keyframes, info.entities, info.revision) == (0, 0, 0)
        assert (await bank.put_keyframe(make_keyframe(1, "tree"))).created


async def test_the_bank_says_what_it_is(bank: MemoryBank, make_keyframe: Make) -> None:
    await bank.put_keyframe(make_keyframe(1, "tree", "car"))
    info = await bank.get_bank()
    assert (info.store, info.similarity) == ("dsn", "token_overlap")
    assert info.store_version.startswith("18")
    assert (info.keyframes, info.entities, info.revision) == (1, 2, 3)
