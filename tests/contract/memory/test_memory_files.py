"""python -m pytest tests/contract/memory/test_memory_files.py

A bank carried out to files and into another bank; files of others; files that are wrong.
"""

import json
import shutil
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import ExifTags
from PIL import Image as PilImage

from stillwing_cli.memory_page import page, shown
from stillwing_cli.memory_reading import ReadingByRule
from stillwing_common.errors import InvalidInput
from stillwing_common.types import Image, PositionNed
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.entities import Attribute
from stillwing_memory.core.instructions import Chunk, ChunkFrame, Instruction, RecalledBy, ThingMention
from stillwing_memory.core.interchange.bank_export import export, gather
from stillwing_memory.core.interchange.bank_import import import_path
from stillwing_memory.core.interchange.files import Count
from stillwing_memory.core.keyframes import ByText, Keyframe, Sighting
from stillwing_memory.core.protocol import MemoryBank

Make = Callable[..., Keyframe]
BY_RULE = ReadingByRule()


def nothing(done: int, total: int) -> None:
    assert done <= total


@pytest.fixture
async def other(fresh_dsn: str) -> AsyncIterator[StoredBank]:
    """An empty bank beside the first."""
    bank = await StoredBank.open(BankConfig(dsn=fresh_dsn, tenant="other", similarity="token_overlap"))
    yield bank
    await bank.close()


@pytest.fixture
async def filled(bank: MemoryBank, make_keyframe: Make) -> MemoryBank:
    """Two instructions about a man and a van, chunks of both, a decision beside them."""
    man = ThingMention("young man", kind="man", attributes=(Attribute("denim jacket", "outerwear"),))
    begun = await bank.begin_instruction(Instruction("mis_1", 1, "Follow the young man.", (man,)))
    for number, caption in enumerate(("young man", "a road", "young man in denim jacket"), 1):
        keyframe = make_keyframe(number, caption=caption, north_m=2.0 * number)
        await bank.file_chunk(Chunk("mis_1", 1, number, (ChunkFrame(keyframe),)))
    again = ThingMention("the man", begun.entities[0].entity_id, attributes=(Attribute("black coat", "outerwear"),))
    await bank.begin_instruction(Instruction("mis_1", 2, "The man and a <van>.", (again, ThingMention("red van"))))
    place = PositionNed(4.0, 5.0, 0.0)
    box = Sighting("red van", "", "trk_1", (0.25, 0.25, 0.75, 0.5), 0.75, place)
    await bank.put_keyframe(make_keyframe(9, box, caption="<b>van</b>", north_m=3.0))
    return bank


async def test_what_is_carried_out_is_carried_in(filled: MemoryBank, other: StoredBank, tmp_path: Path) -> None:
    out = await export(filled, tmp_path / "out", "", nothing)
    assert (out.keyframes, out.entities, out.instructions, out.skipped) == (4, 2, 2, [])
    come = await import_path(other, tmp_path / "out", nothing, BY_RULE)
    assert (come.keyframes, come.entities) == (4, 2)

    before, after = await gather(filled), await gather(other)
    for old, new in zip(before.keyframes, after.keyframes, strict=True):
        assert replace(new, put_wall_ns=0, sightings=()) == replace(old, put_wall_ns=0, sightings=())
        pairs = list(zip(old.sightings, new.sightings, strict=True))
        assert all(replace(b, entity_id="") == replace(a, entity_id="") for a, b in pairs)
        assert all(before.entities[a.entity_id].label == after.entities[b.entity_id].label for a, b in pairs)
    by_label = {one.label: one for one in after.entities.values()}
    assert {one.text for one in by_label["young man"].attributes} == {"denim jacket", "black coat"}
    again = await import_path(other, tmp_path / "out", nothing, BY_RULE)
    assert (again.keyframes, len((await gather(other)).entities)) == (0, 2)


async def test_the_three_formats(filled: MemoryBank, other: StoredBank, tmp_path: Path) -> None:
    await export(filled, tmp_path / "out", "mis_1", nothing)
    own = tmp_path / "out" / "missions" / "mis_1"
    assert json.loads((tmp_path / "out" / "interactive_inference.jsonl").read_text()) == {
        "prompts": ["Follow the young man.", "The man and a <van>."]
    }
    agent = json.loads((own / "llm_agent.json").read_text())
    assert agent[0] == {
        "prompt_id": 1,
        "entities": [{"entity": "young man", "attrs": ["denim jacket"], "global_id": 1}],
    }
    assert [one["global_id"] for one in agent[1]["entities"]] == [1, 2]
    bank = json.loads((own / "memory_bank.json").read_text())
    assert bank["global_registry"]["1"]["name"] == "man_1"
    assert bank["global_registry"]["1"]["all_entities"] == ["young man", "the man"]
    said = bank["global_registry"]["1"]["instances"][1]
    assert said == {"prompt_id": 2, "entity": "the man", "attrs": ["black coat"]}
    assert set(bank["frame_archive"]) == {"p1_c1_f0", "p1_c2_f0", "p1_c3_f0", "p0_c0_f3"}
    assert bank["frame_archive"]["p1_c1_f0"]["associated_entities"] == ["1"]
    assert bank["frame_active_memory"]

    count = await import_path(other, own / "memory_bank.json", nothing, BY_RULE)
    assert (count.keyframes, count.entities, count.instructions, count.skipped) == (4, 2, 2, [])
    (match, *_) = await other.search_keyframes(ByText("young man"))
    begun = await other.begin_instruction(
        Instruction("mis_new", 1, "b", (ThingMention("him", match.keyframe.sightings[0].entity_id),))
    )
    assert begun.recalled_by is RecalledBy.THINGS and len(begun.memory) == 2
    assert await import_path(other, own / "llm_agent.json", nothing, BY_RULE) == Count(entities=2, instructions=2)


async def test_scripts_are_read_by_rule(other: StoredBank, tmp_path: Path) -> None:
    path = tmp_path / "interactive_inference.jsonl"
    path.write_text('{"prompts": ["A young man waits.", "The man meets a woman."]}\n\n{"prompts": ["Fly on."]}\n')
    count = await import_path(other, path, nothing, BY_RULE)
    assert (count.instructions, count.entities) == (3, 2)
    assert {one.label for one in (await gather(other)).entities.values()} == {"young man", "woman"}


async def test_a_plain_folder_needs_images_and_little_else(
    other: StoredBank, tmp_path: Path, make_jpeg: Callable[..., Image]
) -> None:
    (tmp_path / "a.jpg").write_bytes(make_jpeg().data)
    lines = ['{"image": "a.jpg", "caption": "a van", "labels": ["red van"]}', '{"image": "missing.jpg"}']
    (tmp_path / "keyframes.jsonl").write_text("\n".join(lines))
    count = await import_path(other, tmp_path, nothing, BY_RULE)
    assert count.keyframes == 1 and count.skipped == ["line 2: no JPEG or PNG at missing.jpg"]
    (match,) = await other.search_keyframes(ByText("red van"), include_image=True)
    assert match.keyframe.frame.image == make_jpeg()


async def test_nothing_outside_is_read_and_nothing_is_unpickled(
    other: StoredBank, tmp_path: Path, make_jpeg: Callable[..., Image]
) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(make_jpeg().data)
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    (inner / "evil.pt").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    (inner / "fake.jpg").write_bytes(b"cos\nsystem")
    archive = {
        f"p1_c{n}_f0": {"frame_path": path, "prompt_id": 1, "associated_entities": [], "score": 1}
        for n, path in enumerate(("../../../../" + secret.name, str(secret), "evil.pt", "fake.jpg", "/etc/passwd"), 1)
    }
    (inner / "memory_bank.json").write_text(json.dumps({"global_registry": {}, "frame_archive": archive}))
    count = await import_path(other, inner, nothing, BY_RULE)
    assert count.keyframes == 0 and len(count.skipped) == 5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("memory_bank.json", "no"),
        ("memory_bank.json", "[]"),
        ("memory_bank.json", '{"global_registry": {"1": {}}, "frame_archive": {}}'),
        ("memory_bank.json", '{"global_registry": {}, "frame_archive": {"../x": {}}}'),
        ("llm_agent.json", "{}"),
        ("llm_agent.json", '[{"prompt_id": 1, "entities": [{"entity": "x"}]}]'),
        ("interactive_inference.jsonl", '{"prompts": [1]}'),
        ("keyframes.jsonl", '{"caption": "no image"}'),
        ("keyframes.jsonl", "not json"),
        ("other.json", "{}"),
    ],
)
async def test_files_that_are_wrong_are_refused_by_name(
    other: StoredBank, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput) as caught:
        await import_path(other, tmp_path / name, nothing, BY_RULE)
    assert name in str(caught.value) or "line" in str(caught.value)
    assert (await other.get_bank()).keyframes == 0


@pytest.mark.parametrize(
    "line", ["no", "[]", '{"label": "van"}', '{"entity_id": "ent_1", "label": "van", "attributes": [1]}']
)
async def test_things_that_are_wrong_are_refused_by_line(other: StoredBank, tmp_path: Path, line: str) -> None:
    (tmp_path / "keyframes.jsonl").write_text('{"image": "a.jpg"}')
    (tmp_path / "entities.jsonl").write_text(f'{{"entity_id": "ent_0", "label": "gate"}}\n{line}\n')
    with pytest.raises(InvalidInput, match=r"entities\.jsonl line 2"):
        await import_path(other, tmp_path, nothing, BY_RULE)
    assert (await other.get_bank()).entities == 0


async def test_a_turned_picture_is_imported_by_its_upright_size(other: StoredBank, tmp_path: Path) -> None:
    picture = PilImage.new("RGB", (60, 40), "red")
    exif = picture.getexif()
    exif[ExifTags.Base.Orientation] = 6
    picture.save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "keyframes.jsonl").write_text('{"image": "a.jpg"}')
    assert (await import_path(other, tmp_path, nothing, BY_RULE)).keyframes == 1
    (keyframe,) = (await other.list_keyframes()).keyframes
    assert (keyframe.frame.image.width_px, keyframe.frame.image.height_px) == (40, 60)


async def test_an_export_never_mixes_with_what_is_there(filled: MemoryBank, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InvalidInput):
        await export(filled, tmp_path, "", nothing)
    shutil.rmtree(tmp_path)


async def test_the_page_shows_things_boxes_places_and_recalls(filled: MemoryBank) -> None:
    memory = await gather(filled)
    frames = shown(memory)
    text = page(await filled.get_bank(), memory, {one.frame.frame_id: b"jpg" for one in frames})
    assert {one.frame.frame_id for one in frames} == {one.frame.frame_id for one in memory.keyframes}
    for part in (
        "young man",
        "denim jacket",
        "red van",
        "visible 0.75",
        "<rect x='25.00'",
        "<svg class='map'",
        "by things",
    ):
        assert part in text, part
    assert "chip past" in text
    assert "<van>" not in text and "<b>van" not in text and "&lt;van&gt;" in text
    assert "http" not in text.replace("http-equiv", "")


NAMES = ["a\0.jpg", "\ud83d.jpg", "x" * 5000 + ".jpg", "", ".", "/", "bomb.png", "folder.jpg", "huge.jpg"]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:16])
async def test_a_picture_that_is_none_is_left_out_and_told(stored: StoredBank, tmp_path: Path, name: str) -> None:
    side = struct.pack(">II", 20_000, 20_000)  # 400 megapixels in a few bytes
    header = b"IHDR" + side + bytes([8, 0, 0, 0, 0])
    body = b"IDAT" + zlib.compress(bytes(1000))
    chunks = b"".join(
        struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in (header, body)
    )
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    (tmp_path / "folder.jpg").mkdir()
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "keyframes.jsonl").write_text(json.dumps({"image": name}) + "\n", encoding="utf-8-sig")
    count = await import_path(stored, tmp_path, nothing, BY_RULE)
    assert count.keyframes == 0 and len(count.skipped) == 1 and len(count.skipped[0]) < 6000
    (tmp_path / "keyframes.jsonl").unlink()
    frame = {"frame_path": name, "associated_entities": [], "score": 1}
    (tmp_path / "memory_bank.json").write_text(
        json.dumps({"global_registry": {}, "frame_archive": {"p1_c1_f1": frame}, "frame_active_memory": []})
    )
    count = await import_path(stored, tmp_path, nothing, BY_RULE)
    assert count.keyframes == 0 and len(count.skipped) == 1


@pytest.mark.parametrize("line", ['{"image": "a.jpg", "time_ns": Infinity}', "[" * 100_000, "NaN", "[]"])
async def test_a_line_of_what_is_no_keyframe_is_named(
    stored: StoredBank, tmp_path: Path, line: str, make_jpeg: Callable[..., Image]
) -> None:
    (tmp_path / "a.jpg").write_bytes(make_jpeg().data)
    (tmp_path / "keyframes.jsonl").write_text(line)
    with pytest.raises(InvalidInput, match="line 1"):
        await import_path(stored, tmp_path, nothing, BY_RULE)
