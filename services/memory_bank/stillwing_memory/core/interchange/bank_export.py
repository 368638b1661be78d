"""A bank, or one mission of it, out to a folder: pictures, JSON lines, and the formats of other programs.

It goes through the bank's own protocol and knows no terminal.
"""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from stillwing_memory.core.entities import Entity
from stillwing_memory.core.instructions import InstructionRecord
from stillwing_memory.core.interchange import formats
from stillwing_memory.core.interchange.files import (
    AGENT,
    BANK,
    ENTITIES,
    KEYFRAMES,
    SCRIPTS,
    SUFFIX,
    Count,
    Step,
    begin_folder,
    file_name,
)
from stillwing_memory.core.interchange.json_lines import entity_line, keyframe_line
from stillwing_memory.core.keyframes import Keyframe
from stillwing_memory.core.protocol import MemoryBank

_PAGE = 100


@dataclass(slots=True)
class Memory:
    """What of a bank was asked for: keyframes oldest first without pixels, all things, instructions by mission."""

    keyframes: list[Keyframe]
    entities: dict[str, Entity]
    instructions: dict[str, tuple[InstructionRecord, ...]]


async def gather(bank: MemoryBank, mission_id: str = "") -> Memory:
    """Everything of one mission, or of all for ""."""
    keyframes = [one async for one in _keyframes(bank, mission_id)]
    entities: dict[str, Entity] = {}
    token = ""
    while True:
        page = await bank.list_entities(page_size=_PAGE, page_token=token)
        entities |= {one.entity_id: one for one in page.entities}
        token = page.next_page_token
        if not token:
            break
    missions = dict.fromkeys(one.mission_id for one in reversed(keyframes) if one.mission_id)
    if mission_id:
        missions[mission_id] = None
    told = {one: await bank.list_instructions(one) for one in missions}
    return Memory(keyframes[::-1], entities, {name: records for name, records in told.items() if records})


async def _keyframes(bank: MemoryBank, mission_id: str) -> AsyncIterator[Keyframe]:
    token = ""
    while True:
        page = await bank.list_keyframes(page_size=_PAGE, page_token=token, mission_id=mission_id)
        for keyframe in page.keyframes:
            yield keyframe
        token = page.next_page_token
        if not token:
            return


async def with_pixels(bank: MemoryBank, keyframe: Keyframe) -> Keyframe:
    """The same keyframe with its image."""
    frame = keyframe.frame
    return await bank.get_keyframe(frame.frame_id, clock_id=frame.capture.clock_id, include_image=True)


async def export(bank: MemoryBank, folder: Path, mission_id: str, step: Step) -> Count:
    """Write images, JSON lines and the three formats into `folder`, which is made or is empty. Raises InvalidInput."""
    begin_folder(folder)
    memory = await gather(bank, mission_id)
    count = Count(entities=len(memory.entities), instructions=sum(map(len, memory.instructions.values())))
    paths: dict[int, str] = {}
    with (folder / KEYFRAMES).open("w", encoding="utf-8") as lines:
        for place, keyframe in enumerate(memory.keyframes):
            if keyframe.forgotten:
                count.skipped.append(f"{keyframe.frame.frame_id}: its pixels are forgotten")
            else:
                image = (await with_pixels(bank, keyframe)).frame.image
                paths[place] = f"images/{hashlib.sha256(image.data).hexdigest()[:24]}.{SUFFIX[image.encoding]}"
                (folder / paths[place]).write_bytes(image.data)
                lines.write(json.dumps(keyframe_line(keyframe, paths[place]), ensure_ascii=False) + "\n")
                count.keyframes += 1
            step(place + 1, len(memory.keyframes))
    with (folder / ENTITIES).open("w", encoding="utf-8") as lines:
        for entity in memory.entities.values():
            lines.write(json.dumps(entity_line(entity), ensure_ascii=False) + "\n")
    (folder / SCRIPTS).write_text(formats.scripts_text(list(memory.instructions.values())), encoding="utf-8")
    for name, records in memory.instructions.items():
        own = folder / "missions" / file_name(name)
        own.mkdir(parents=True)
        frames = [
            (one, f"../../{paths[place]}")
            for place, one in enumerate(memory.keyframes)
            if one.mission_id == name and place in paths
        ]
        (own / SCRIPTS).write_text(formats.scripts_text([records]), encoding="utf-8")
        (own / AGENT).write_text(formats.agent_text(records, memory.entities), encoding="utf-8")
        (own / BANK).write_text(formats.bank_text(records, memory.entities, frames), encoding="utf-8")
    return count
