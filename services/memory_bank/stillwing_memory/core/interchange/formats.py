"""Memory as files of others' formats: scripts, what an instruction is about, and a whole bank. Pure: values and JSON.

    interactive_inference.jsonl  {"prompts": ["…", …]} a line, one line a mission
    llm_agent.json               a list of {"prompt_id", "entities": [{"entity", "attrs", "global_id"}]}
    memory_bank.json             {"global_registry", "frame_archive", "frame_active_memory"}

It knows no bank and no files but their texts. What a `frame_path` names is never opened as anything but an image.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stillwing_common.errors import InvalidInput
from stillwing_memory.core.entities import Attribute, Entity
from stillwing_memory.core.instructions import Instruction, InstructionRecord, ThingMention
from stillwing_memory.core.keyframes import Keyframe

_FRAME_NAME = re.compile(r"p(\d{1,6})_c(\d{1,6})_f(\d{1,6})")


@dataclass(frozen=True, slots=True)
class ArchivedFrame:
    """One frame of a bank's file: its place in its mission, where its image lies, and what is in it, by global id."""

    name: str
    frame_path: str
    instruction: int
    chunk: int
    place: int
    entities: tuple[str, ...]
    score: float


@dataclass(frozen=True, slots=True)
class MissionFile:
    """One mission as the formats hold it. `instructions` hold global ids where the bank has its own."""

    instructions: tuple[Instruction, ...]
    frames: tuple[ArchivedFrame, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)


# Out


def scripts_text(missions: Sequence[Sequence[InstructionRecord]]) -> str:
    """interactive_inference.jsonl."""
    lines = [json.dumps({"prompts": [one.text for one in records]}, ensure_ascii=False) for records in missions]
    return "".join(f"{line}\n" for line in lines)


def global_ids(records: Sequence[InstructionRecord], entities: Mapping[str, Entity]) -> dict[str, int]:
    """Numbers 1, 2, 3, … of a mission's things in the order in which they were first spoken of."""
    numbers: dict[str, int] = {}
    for record in records:
        for entity_id in record.entity_ids:
            numbers.setdefault(_now(entity_id, entities), len(numbers) + 1)
    return numbers


def agent_text(records: Sequence[InstructionRecord], entities: Mapping[str, Entity]) -> str:
    """llm_agent.json."""
    numbers = global_ids(records, entities)
    body = [
        {
            "prompt_id": record.number,
            "entities": [
                {
                    "entity": mention.label,
                    "attrs": [one.text for one in mention.attributes],
                    "global_id": numbers[_now(mention.entity_id, entities)],
                }
                for mention in record.mentions
            ],
        }
        for record in records
    ]
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def bank_text(
    records: Sequence[InstructionRecord],
    entities: Mapping[str, Entity],
    keyframes: Sequence[tuple[Keyframe, str]],
) -> str:
    """memory_bank.json of one mission; each keyframe comes with the path of its image."""
    numbers = global_ids(records, entities)
    for keyframe, _ in keyframes:
        for sighting in keyframe.sightings:
            numbers.setdefault(_now(sighting.entity_id, entities), len(numbers) + 1)
    ordinals: dict[str, int] = {}
    registry = {}
    for entity_id, number in numbers.items():
        entity = entities[entity_id]
        kind = entity.kind or "thing"
        ordinals[kind] = ordinals.get(kind, 0) + 1
        registry[str(number)] = {
            "name": f"{kind}_{ordinals[kind]}",
            "all_entities": [entity.label, *entity.aliases],
            "all_attrs": list(dict.fromkeys(one.text for one in entity.attributes)),
            "instances": [
                {
                    "prompt_id": record.number,
                    "entity": mention.label,
                    "attrs": [one.text for one in mention.attributes],
                }
                for record in records
                for mention in record.mentions
                if _now(mention.entity_id, entities) == entity_id
            ],
        }
    names = {}
    archive = {}
    for count, (keyframe, path) in enumerate(keyframes):
        # A frame put on its own has no chunk; chunk 0 holds those.
        place = keyframe.place if keyframe.chunk else count
        name = f"p{keyframe.instruction}_c{keyframe.chunk}_f{place}"
        names[keyframe.frame.frame_id] = name
        archive[name] = {
            "frame_path": path,
            "prompt_id": keyframe.instruction,
            "associated_entities": [str(numbers[_now(one.entity_id, entities)]) for one in keyframe.sightings],
            "score": keyframe.score,
        }
    active = [names[one] for one in records[-1].memory_frame_ids if one in names] if records else []
    body = {"global_registry": registry, "frame_archive": archive, "frame_active_memory": active}
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _now(entity_id: str, entities: Mapping[str, Entity]) -> str:
    if entity_id in entities:
        return entity_id
    return next((one.entity_id for one in entities.values() if entity_id in one.merged_ids), entity_id)


# In


def read_scripts(text: str) -> list[list[str]]:
    """interactive_inference.jsonl. Raises InvalidInput that names the line."""
    scripts = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        body = _json(line, f"line {number}")
        prompts = body.get("prompts") if isinstance(body, dict) else None
        if not isinstance(prompts, list) or not all(isinstance(one, str) and one.strip() for one in prompts):
            raise InvalidInput(f'line {number} is not {{"prompts": ["…", …]}}', line=number)
        scripts.append(prompts)
    return scripts


def read_agent(text: str, mission_id: str, prompts: Sequence[str] = ()) -> list[Instruction]:
    """llm_agent.json as instructions whose things carry their global ids. Raises InvalidInput."""
    body = _json(text, "llm_agent.json")
    if not isinstance(body, list):
        raise InvalidInput("llm_agent.json is a list with one object a prompt")
    found = []
    for item in body:
        try:
            number = int(item["prompt_id"])
            things = tuple(_mention(str(one["global_id"]), one["entity"], one["attrs"]) for one in item["entities"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidInput(f"llm_agent.json: {error!r} in {str(item)[:80]}") from error
        said = prompts[number - 1] if 0 < number <= len(prompts) else "; ".join(one.label for one in things)
        found.append(Instruction(mission_id, number, said, things))
    return sorted(found, key=lambda one: one.number)


def read_bank(text: str, mission_id: str, prompts: Sequence[str] = ()) -> MissionFile:
    """memory_bank.json. Raises InvalidInput that says what is wrong and where."""
    body = _json(text, "memory_bank.json")
    try:
        said: dict[int, list[ThingMention]] = {}
        names: dict[str, str] = {}
        for number, entry in body["global_registry"].items():
            names[str(number)] = str(entry["name"])
            for instance in entry["instances"]:
                mention = _mention(str(number), instance["entity"], instance["attrs"], _kind(entry["name"]))
                said.setdefault(int(instance["prompt_id"]), []).append(mention)
        frames = tuple(_frame(name, entry, names) for name, entry in body["frame_archive"].items())
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"memory_bank.json: {type(error).__name__} {error}") from error
    for frame in frames:
        if frame.instruction:
            said.setdefault(frame.instruction, [])
    instructions = tuple(
        Instruction(
            mission_id,
            number,
            prompts[number - 1] if 0 < number <= len(prompts) else "; ".join(one.label for one in things) or "-",
            tuple(things),
        )
        for number, things in sorted(said.items())
    )
    return MissionFile(instructions, frames, names)


def _frame(name: str, entry: Mapping[str, Any], names: Mapping[str, str]) -> ArchivedFrame:
    found = _FRAME_NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} is no p…_c…_f…")
    entities = tuple(str(one) for one in entry["associated_entities"])
    if strangers := [one for one in entities if one not in names]:
        raise ValueError(f"{name}: {strangers[0]} is not in the registry")
    instruction, chunk, place = map(int, found.groups())
    return ArchivedFrame(
        name, str(entry.get("frame_path", "")), instruction, chunk, place, entities, float(entry["score"])
    )


def _mention(number: str, label: object, attrs: object, kind: str = "") -> ThingMention:
    if not isinstance(label, str) or not label.strip() or not isinstance(attrs, list):
        raise ValueError("an entity has a name and a list of attributes")
    return ThingMention(label, number, kind=kind, attributes=tuple(Attribute(str(one)) for one in attrs))


def _kind(name: str) -> str:
    return name.rpartition("_")[0] or name


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{where} is no JSON: {error}") from error
