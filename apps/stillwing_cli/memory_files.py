"""A memory bank out to a folder and in from files: pages of keyframes, images beside JSON. It knows no terminal.

Everything goes through the bank's own protocol, so a file may be imported twice and nothing is there twice.
"""

import hashlib
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from stillwing_agent.core.memory.reading.noun_phrase_reader import read_instruction
from stillwing_agent.core.memory.reading.noun_phrases import slot_of
from stillwing_agent.core.memory.reading.registry import Registry
from stillwing_common.errors import InvalidInput
from stillwing_common.types import Frame, Image, ImageEncoding, Pose, PositionNed, Quaternion, Stamp
from stillwing_memory.core import interchange
from stillwing_memory.core.entities import Attribute, Entity
from stillwing_memory.core.instructions import Instruction, InstructionRecord, ThingMention
from stillwing_memory.core.keyframes import Keyframe, Sighting
from stillwing_memory.core.protocol import MemoryBank

SCRIPTS = "interactive_inference.jsonl"
AGENT = "llm_agent.json"
BANK = "memory_bank.json"
KEYFRAMES = "keyframes.jsonl"
ENTITIES = "entities.jsonl"

_PAGE = 100
_THINGS_AT_ONCE = 32
_SUFFIX = {ImageEncoding.JPEG: "jpg", ImageEncoding.PNG: "png"}
_ENCODING = {"JPEG": ImageEncoding.JPEG, "PNG": ImageEncoding.PNG}

Step = Callable[[int, int], None]
"""Told how much of how many is done."""


@dataclass(slots=True)
class Memory:
    """What of a bank was asked for: keyframes oldest first without pixels, all things, instructions by mission."""

    keyframes: list[Keyframe]
    entities: dict[str, Entity]
    instructions: dict[str, tuple[InstructionRecord, ...]]


@dataclass(slots=True)
class Count:
    """What an export or import came to; `skipped` says why for each frame that was left out."""

    keyframes: int = 0
    entities: int = 0
    instructions: int = 0
    skipped: list[str] = field(default_factory=list)


# Out


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
    _begin_folder(folder)
    memory = await gather(bank, mission_id)
    count = Count(entities=len(memory.entities), instructions=sum(map(len, memory.instructions.values())))
    paths: dict[int, str] = {}
    with (folder / KEYFRAMES).open("w", encoding="utf-8") as lines:
        for place, keyframe in enumerate(memory.keyframes):
            if keyframe.forgotten:
                count.skipped.append(f"{keyframe.frame.frame_id}: its pixels are forgotten")
            else:
                image = (await with_pixels(bank, keyframe)).frame.image
                paths[place] = f"images/{hashlib.sha256(image.data).hexdigest()[:24]}.{_SUFFIX[image.encoding]}"
                (folder / paths[place]).write_bytes(image.data)
                lines.write(json.dumps(_keyframe_line(keyframe, paths[place]), ensure_ascii=False) + "\n")
                count.keyframes += 1
            step(place + 1, len(memory.keyframes))
    with (folder / ENTITIES).open("w", encoding="utf-8") as lines:
        for entity in memory.entities.values():
            lines.write(json.dumps(_entity_line(entity), ensure_ascii=False) + "\n")
    (folder / SCRIPTS).write_text(interchange.scripts_text(list(memory.instructions.values())), encoding="utf-8")
    for name, records in memory.instructions.items():
        own = folder / "missions" / _file_name(name)
        own.mkdir(parents=True)
        frames = [
            (one, f"../../{paths[place]}")
            for place, one in enumerate(memory.keyframes)
            if one.mission_id == name and place in paths
        ]
        (own / SCRIPTS).write_text(interchange.scripts_text([records]), encoding="utf-8")
        (own / AGENT).write_text(interchange.agent_text(records, memory.entities), encoding="utf-8")
        (own / BANK).write_text(interchange.bank_text(records, memory.entities, frames), encoding="utf-8")
    return count


def _begin_folder(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is not an empty folder; name another one", folder=folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)


def _file_name(mission_id: str) -> str:
    return "".join(char if char.isalnum() or char in "-_" else "_" for char in mission_id)


def _place(position: PositionNed | None) -> list[float] | None:
    return None if position is None else [position.north_m, position.east_m, position.down_m]


def _keyframe_line(keyframe: Keyframe, image: str) -> dict[str, Any]:
    frame, pose = keyframe.frame, keyframe.frame.camera_pose
    turn = pose.orientation if pose else None
    return {
        "image": image,
        "frame_id": frame.frame_id,
        "camera_id": frame.camera_id,
        "vehicle_id": keyframe.vehicle_id,
        "mission_id": keyframe.mission_id,
        "clock_id": frame.capture.clock_id,
        "time_ns": str(frame.capture.time_ns),
        "position_ned_m": _place(pose.position if pose else None),
        "orientation_wxyz": [turn.w, turn.x, turn.y, turn.z] if turn else None,
        "hfov_deg": frame.hfov_deg,
        "caption": keyframe.caption,
        "score": keyframe.score,
        "instruction": keyframe.instruction,
        "chunk": keyframe.chunk,
        "place": keyframe.place,
        "sightings": [
            {
                "label": one.label,
                "entity_id": one.entity_id,
                "track_id": one.track_id,
                "box": list(one.box) if one.box else None,
                "confidence": one.confidence,
                "position_ned_m": _place(one.position_ned_m),
            }
            for one in keyframe.sightings
        ],
    }


def _entity_line(entity: Entity) -> dict[str, Any]:
    return {
        "entity_id": entity.entity_id,
        "label": entity.label,
        "kind": entity.kind,
        "aliases": list(entity.aliases),
        "merged_ids": list(entity.merged_ids),
        "attributes": [
            {
                "text": one.text,
                "slot": one.slot,
                "from_wall_ns": str(one.from_wall_ns),
                "until_wall_ns": str(one.until_wall_ns),
            }
            for one in entity.attributes
        ],
        "last_position_ned_m": _place(entity.last_position_ned_m),
    }


# In


async def import_path(bank: MemoryBank, path: Path, step: Step) -> Count:
    """Import a folder of images with JSON lines, or one of the three formats by its name. Raises InvalidInput."""
    path = _file_of(path)
    if path.name == KEYFRAMES:
        return await _import_folder(bank, path.parent, step)
    text = _read(path)
    mission_id = f"import_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    scripts = interchange.read_scripts(_read(path.parent / SCRIPTS))
    prompts = scripts[0] if len(scripts) == 1 else ()
    if path.name == SCRIPTS:
        return await _import_scripts(bank, scripts, mission_id, step)
    if path.name == AGENT:
        count = Count()
        await _begin_all(bank, interchange.read_agent(text, mission_id, prompts), count)
        return count
    if path.name == BANK:
        return await _import_bank(bank, interchange.read_bank(text, mission_id, prompts), path.parent, mission_id, step)
    raise InvalidInput(f"{path.name} is none of {KEYFRAMES}, {BANK}, {AGENT}, {SCRIPTS}", path=path)


def _file_of(path: Path) -> Path:
    if path.is_dir():
        known = next((path / name for name in (KEYFRAMES, BANK, AGENT, SCRIPTS) if (path / name).is_file()), None)
        if known is None:
            raise InvalidInput(f"{path} holds none of {KEYFRAMES}, {BANK}, {AGENT}, {SCRIPTS}", path=path)
        return known
    if not path.is_file():
        raise InvalidInput(f"there is no {path}", path=path)
    return path


def _read(path: Path) -> str:
    """The text of a file; "" where there is none. Raises InvalidInput for what is no text."""
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is no UTF-8 text", path=path) from error


async def _begin_all(bank: MemoryBank, instructions: Sequence[Instruction], count: Count) -> dict[str, str]:
    """Begin instructions whose things carry a file's global ids; returns the bank's id of each."""
    ids: dict[str, str] = {}
    for instruction in instructions:
        things = [
            replace(one, entity_id=ids.get(one.entity_id, ""), new=one.entity_id not in ids, attributes=_slotted(one))
            for one in instruction.things
        ]
        begun = await bank.begin_instruction(replace(instruction, things=tuple(things)))
        for thing, entity in zip(instruction.things, begun.entities, strict=False):
            count.entities += thing.entity_id not in ids
            ids.setdefault(thing.entity_id, entity.entity_id)
        count.instructions += 1
    return ids


def _slotted(mention: ThingMention) -> tuple[Attribute, ...]:
    return tuple(replace(one, slot=slot_of(one.text)) for one in mention.attributes)


async def _import_scripts(bank: MemoryBank, scripts: Sequence[Sequence[str]], mission_id: str, step: Step) -> Count:
    """Scripts hold no things: they are read by rule."""
    count = Count()
    for place, prompts in enumerate(scripts):
        registry = Registry()
        instructions = []
        for number, text in enumerate(prompts, 1):
            said: dict[int, ThingMention] = {}
            for mention in read_instruction(text, number, registry):
                thing = registry.add(number, mention, slot_of)
                label = mention.entity or thing.aliases[0]
                attributes = tuple(Attribute(one) for one in mention.attrs)
                old = said.get(mention.number, ThingMention(label, str(mention.number), kind=thing.kind))
                said[mention.number] = replace(old, attributes=(*old.attributes, *attributes))
            instructions.append(Instruction(f"{mission_id}_{place + 1}", number, text, tuple(said.values())))
        await _begin_all(bank, instructions, count)
        step(place + 1, len(scripts))
    return count


async def _import_bank(
    bank: MemoryBank, file: interchange.MissionFile, folder: Path, mission_id: str, step: Step
) -> Count:
    count = Count()
    ids = await _begin_all(bank, file.instructions, count)
    labels = {thing.entity_id: thing.label for one in reversed(file.instructions) for thing in reversed(one.things)}
    for place, archived in enumerate(file.frames):
        image = _image_beside(folder, archived.frame_path)
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


def _image_beside(folder: Path, name: str) -> Image | str:
    """The picture a file names, or the one of that name with a picture's ending; else why not. Nothing is unpickled."""
    named = folder / name
    # An export keeps its images two folders above its missions; nothing above that is read.
    if not named.resolve().is_relative_to(folder.resolve().parents[min(1, len(folder.resolve().parents) - 1)]):
        return f"{name} lies outside the folder"
    for path in (named, *(named.with_suffix(suffix) for suffix in (".jpg", ".jpeg", ".png"))):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png") and path.is_file():
            return read_image(path)
    return f"no JPEG or PNG at {name}"


def read_image(path: Path) -> Image | str:
    """A JPEG or PNG as it is, or why it is none."""
    data = path.read_bytes()
    try:
        with PilImage.open(io.BytesIO(data), formats=list(_ENCODING)) as picture:
            return Image(_ENCODING[str(picture.format)], picture.width, picture.height, data)
    except (UnidentifiedImageError, OSError):
        return f"{path.name} is no JPEG or PNG"


async def _import_folder(bank: MemoryBank, folder: Path, step: Step) -> Count:
    count = Count()
    ids = await _entity_ids(bank, folder, count)
    lines = [line for line in _read(folder / KEYFRAMES).splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        try:
            body = json.loads(line)
            image = _image_beside(folder, str(body["image"]))
            if isinstance(image, str):
                count.skipped.append(f"line {number}: {image}")
                continue
            keyframe = _line_keyframe(body, image, number, ids)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(f"{KEYFRAMES} line {number}: {type(error).__name__} {error}", line=number) from error
        count.keyframes += (await bank.put_keyframe(keyframe)).created
        step(number, len(lines))
    return count


async def _entity_ids(bank: MemoryBank, folder: Path, count: Count) -> dict[str, str]:
    """The bank's id for each id of the file: itself where the bank has it, else a new one of the same name and kind."""
    text = _read(folder / ENTITIES)
    bodies: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines() if line.strip()]
    memory = await gather(bank, "import")
    known = {old: one.entity_id for one in memory.entities.values() for old in (one.entity_id, *one.merged_ids)}
    ids = {str(body["entity_id"]): known[body["entity_id"]] for body in bodies if body["entity_id"] in known}
    mission_id = f"import_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    missing = [body for body in bodies if body["entity_id"] not in ids]
    for place in range(0, len(missing), _THINGS_AT_ONCE):
        batch = missing[place : place + _THINGS_AT_ONCE]
        things = tuple(
            ThingMention(
                str(body["label"]),
                new=True,
                kind=str(body.get("kind", "")),
                attributes=tuple(
                    Attribute(one["text"], one["slot"], int(one["from_wall_ns"]), int(one["until_wall_ns"]))
                    for one in body.get("attributes", [])
                ),
            )
            for body in batch
        )
        text = f"Import of {folder.name}"
        begun = await bank.begin_instruction(Instruction(mission_id, place // _THINGS_AT_ONCE + 1, text, things))
        ids |= {str(body["entity_id"]): one.entity_id for body, one in zip(batch, begun.entities, strict=True)}
        count.entities += len(batch)
    merged = {old: ids[str(body["entity_id"])] for body in bodies for old in body.get("merged_ids", [])}
    return ids | merged


def _line_keyframe(body: Mapping[str, Any], image: Image, number: int, ids: Mapping[str, str]) -> Keyframe:
    """One line; only `image` is needed, `labels` is short for sightings without anything else."""
    pose = None
    if body.get("position_ned_m") is not None:
        turn = body.get("orientation_wxyz") or [1.0, 0.0, 0.0, 0.0]
        pose = Pose(PositionNed(*map(float, body["position_ned_m"])), Quaternion(*map(float, turn)))
    sightings = [Sighting(str(label)) for label in body.get("labels", [])]
    for one in body.get("sightings", []):
        box, place = one.get("box"), one.get("position_ned_m")
        left, top, right, bottom = map(float, box) if box else (0.0,) * 4
        sightings.append(
            Sighting(
                str(one["label"]),
                ids.get(one.get("entity_id", ""), ""),
                str(one.get("track_id", "")),
                (left, top, right, bottom) if box else None,
                float(one.get("confidence", 1.0)),
                PositionNed(*map(float, place)) if place else None,
            )
        )
    stamp = Stamp(int(body.get("time_ns", number)), str(body.get("clock_id", "import")))
    hfov = body.get("hfov_deg")
    return Keyframe(
        Frame(
            str(body.get("frame_id") or body["image"]),
            str(body.get("camera_id", "")),
            stamp,
            pose,
            image,
            None if hfov is None else float(hfov),
        ),
        tuple(sightings),
        str(body.get("caption", "")),
        str(body.get("mission_id", "")),
        float(body.get("score", 0.0)),
        str(body.get("vehicle_id", "")),
        instruction=int(body.get("instruction", 0)),
        chunk=int(body.get("chunk", 0)),
        place=int(body.get("place", 0)),
    )
