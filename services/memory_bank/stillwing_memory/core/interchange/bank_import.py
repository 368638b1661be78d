"""Files into a bank: a folder of pictures with JSON lines, or one of the formats of other programs.

It goes through the bank's own protocol, so that a file may be imported twice and nothing is there twice. What an
instruction is about it does not read by itself; whoever imports says how. It knows no terminal.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from stillwing_common.errors import InvalidInput
from stillwing_common.types import Frame, Stamp
from stillwing_memory.core.instructions import Instruction, ThingMention
from stillwing_memory.core.interchange import formats
from stillwing_memory.core.interchange.bank_export import gather
from stillwing_memory.core.interchange.files import (
    AGENT,
    BANK,
    ENTITIES,
    KEYFRAMES,
    SCRIPTS,
    Count,
    Step,
    file_of,
    picture_beside,
    read_text,
)
from stillwing_memory.core.interchange.json_lines import EntityLine, read_entity, read_keyframe
from stillwing_memory.core.keyframes import Keyframe, Sighting
from stillwing_memory.core.protocol import MemoryBank

_THINGS_AT_ONCE = 32


class Reading(Protocol):
    """How the words of instructions are read."""

    def things(self, prompts: Sequence[str]) -> list[tuple[ThingMention, ...]]:
        """What each instruction of one mission is about; a thing has one id of the reader's own throughout."""

    def slot_of(self, attribute: str, /) -> str:
        """What an attribute is about, so that two of one slot contradict each other; "" contradicts nothing."""


async def import_path(bank: MemoryBank, path: Path, step: Step, reading: Reading) -> Count:
    """Import a folder of images with JSON lines, or one of the three formats by its name. Raises InvalidInput."""
    path = file_of(path)
    if path.name == KEYFRAMES:
        return await _import_folder(bank, path.parent, step)
    text = read_text(path)
    mission_id = f"import_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    scripts = formats.read_scripts(read_text(path.parent / SCRIPTS))
    prompts = scripts[0] if len(scripts) == 1 else ()
    if path.name == SCRIPTS:
        return await _import_scripts(bank, scripts, mission_id, step, reading)
    if path.name == AGENT:
        count = Count()
        await _begin_all(bank, formats.read_agent(text, mission_id, prompts), count, reading)
        return count
    if path.name == BANK:
        return await _import_bank(
            bank, formats.read_bank(text, mission_id, prompts), path.parent, mission_id, step, reading
        )
    raise InvalidInput(f"{path.name} is none of {KEYFRAMES}, {BANK}, {AGENT}, {SCRIPTS}", path=path)


async def _begin_all(
    bank: MemoryBank, instructions: Sequence[Instruction], count: Count, reading: Reading
) -> dict[str, str]:
    """Begin instructions whose things carry a file's global ids; returns the bank's id of each."""
    ids: dict[str, str] = {}
    for instruction in instructions:
        things = tuple(_known(one, ids, reading) for one in instruction.things)
        begun = await bank.begin_instruction(replace(instruction, things=things))
        for thing, entity in zip(instruction.things, begun.entities, strict=False):
            count.entities += thing.entity_id not in ids
            ids.setdefault(thing.entity_id, entity.entity_id)
        count.instructions += 1
    return ids


def _known(mention: ThingMention, ids: Mapping[str, str], reading: Reading) -> ThingMention:
    """A file's mention under the bank's id, or as a new thing."""
    attributes = tuple(replace(one, slot=reading.slot_of(one.text)) for one in mention.attributes)
    known = mention.entity_id in ids
    return replace(mention, entity_id=ids.get(mention.entity_id, ""), new=not known, attributes=attributes)


async def _import_scripts(
    bank: MemoryBank, scripts: Sequence[Sequence[str]], mission_id: str, step: Step, reading: Reading
) -> Count:
    """Scripts hold no things: their words are read."""
    count = Count()
    for place, prompts in enumerate(scripts):
        instructions = [
            Instruction(f"{mission_id}_{place + 1}", number, text, things)
            for number, (text, things) in enumerate(zip(prompts, reading.things(prompts), strict=True), 1)
        ]
        await _begin_all(bank, instructions, count, reading)
        step(place + 1, len(scripts))
    return count


async def _import_bank(
    bank: MemoryBank, file: formats.MissionFile, folder: Path, mission_id: str, step: Step, reading: Reading
) -> Count:
    count = Count()
    ids = await _begin_all(bank, file.instructions, count, reading)
    labels = {thing.entity_id: thing.label for one in reversed(file.instructions) for thing in reversed(one.things)}
    for place, archived in enumerate(file.frames):
        image = picture_beside(folder, archived.frame_path)
        if isinstance(image, str):
            count.skipped.append(f"{archived.name}: {image}")
        else:
            stamp = Stamp(place, mission_id)
            sightings = tuple(
                Sighting(labels.get(one, file.names[one]), ids.get(one, "")) for one in dict.fromkeys(archived.entities)
            )
            keyframe = Keyframe(
                Frame(f"{mission_id}/{archived.name}", "", stamp, None, image),
                sightings,
                mission_id=mission_id,
                score=archived.score,
                instruction=archived.instruction,
                chunk=archived.chunk,
                place=archived.place,
            )
            count.keyframes += (await bank.put_keyframe(keyframe)).created
        step(place + 1, len(file.frames))
    return count


async def _import_folder(bank: MemoryBank, folder: Path, step: Step) -> Count:
    count = Count()
    ids = await _entity_ids(bank, folder, count)
    lines = _lines(folder / KEYFRAMES)
    for number, line in enumerate(lines, 1):
        with _named(KEYFRAMES, number):
            body = json.loads(line)
            image = picture_beside(folder, str(body["image"]))
            keyframe = image if isinstance(image, str) else read_keyframe(body, image, number, ids)
        if isinstance(keyframe, str):
            count.skipped.append(f"line {number}: {keyframe}")
            continue
        count.keyframes += (await bank.put_keyframe(keyframe)).created
        step(number, len(lines))
    return count


async def _entity_ids(bank: MemoryBank, folder: Path, count: Count) -> dict[str, str]:
    """The bank's id for each id of the file: itself where the bank has it, else a new one of the same name and kind."""
    told: list[EntityLine] = []
    for number, line in enumerate(_lines(folder / ENTITIES), 1):
        with _named(ENTITIES, number):
            told.append(read_entity(json.loads(line)))
    memory = await gather(bank, "import")
    known = {old: one.entity_id for one in memory.entities.values() for old in (one.entity_id, *one.merged_ids)}
    ids = {one.entity_id: known[one.entity_id] for one in told if one.entity_id in known}
    mission_id = f"import_{hashlib.sha256(read_text(folder / ENTITIES).encode()).hexdigest()[:12]}"
    missing = [one for one in told if one.entity_id not in ids]
    for place in range(0, len(missing), _THINGS_AT_ONCE):
        batch = missing[place : place + _THINGS_AT_ONCE]
        things = tuple(one.mention for one in batch)
        text = f"Import of {folder.name}"
        begun = await bank.begin_instruction(Instruction(mission_id, place // _THINGS_AT_ONCE + 1, text, things))
        ids |= {one.entity_id: entity.entity_id for one, entity in zip(batch, begun.entities, strict=True)}
        count.entities += len(batch)
    return ids | {old: ids[one.entity_id] for one in told for old in one.merged_ids}


def _lines(path: Path) -> list[str]:
    return [line for line in read_text(path).splitlines() if line.strip()]


@contextmanager
def _named(file: str, number: int) -> Iterator[None]:
    """What a line lacks, or has in another type, becomes InvalidInput that names the line."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"{file} line {number}: {type(error).__name__} {error}", line=number) from error
