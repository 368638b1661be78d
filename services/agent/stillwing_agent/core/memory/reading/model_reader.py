"""The reader that asks the model: which things does this instruction mention, and which of the known ones are they?

The answer is held to a JSON schema in which only numbers that exist can be matched. It knows nothing of sessions or
vehicles: whoever makes it says how a question is asked.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from stillwing_agent.core.memory.reading.noun_phrases import read_phrases
from stillwing_agent.core.memory.reading.registry import Known, Mention, Registry
from stillwing_common.errors import AnswerUnreadable

Ask = Callable[[str, str], Awaitable[str]]
"""Asks a prompt under a JSON schema (text) and returns the answer's text."""

MAX_ENTITIES = 8
MAX_ATTRS = 8
MAX_WORDS_CHARS = 60
MAX_KNOWN = 32
"""The things spoken of last are offered for matching; a prompt does not grow with the mission."""


class ModelReader:
    """An `InstructionReader` that asks; one question an instruction."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def read(self, text: str, instruction: int, registry: Registry) -> Sequence[Mention]:
        """See `InstructionReader`. Raises AnswerUnreadable for an answer that was cut off, and what asking raises."""
        offered = _offered(registry)
        answer = await self._ask(entities_prompt(text, offered), entities_schema(offered))
        return read_answer(answer, registry)


def _offered(registry: Registry) -> list[Known]:
    latest_first = sorted(registry.known.values(), key=lambda known: -known.mentioned)
    return sorted(latest_first[:MAX_KNOWN], key=lambda known: known.number)


def entities_prompt(text: str, known: Sequence[Known]) -> str:
    """The question: the instruction, and the known things with what holds of them."""
    lines = [f"{one.number}: {one.name}, also {', '.join(one.aliases)}; {', '.join(one.attrs)}" for one in known]
    return "\n".join(
        [
            f"Instruction: {text}",
            "Known things:" if known else "No things are known yet.",
            *lines,
            "Which things does the instruction mention? Give each its name, its attributes, and the number of the "
            "known thing it is, or null for another one.",
        ]
    )


def entities_schema(known: Sequence[Known]) -> str:
    """JSON Schema (text) of the answer."""
    words = {"type": "string", "minLength": 1, "maxLength": MAX_WORDS_CHARS}
    item = {
        "type": "object",
        "properties": {
            "entity": words,
            "attrs": {"type": "array", "items": words, "maxItems": MAX_ATTRS},
            "matched_id": {"enum": [None, *(one.number for one in known)]},
        },
        "required": ["entity", "attrs", "matched_id"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"entities": {"type": "array", "items": item, "maxItems": MAX_ENTITIES}},
        "required": ["entities"],
        "additionalProperties": False,
    }
    return json.dumps(schema, separators=(",", ":"))


def read_answer(answer: str, registry: Registry) -> list[Mention]:
    """Mentions from the model's answer. Raises AnswerUnreadable."""
    try:
        items: list[Mapping[str, Any]] = json.loads(answer)["entities"]
        mentions = []
        fresh = registry.next_number()
        for item in items:
            number = item["matched_id"]
            if number is None:
                number, fresh = fresh, fresh + 1
            elif number not in registry.known:
                raise ValueError(f"{number} is no known thing")
            entity = str(item["entity"]).strip()
            mentions.append(Mention(number, entity, tuple(map(str, item["attrs"])), kind_of(entity)))
    except (ValueError, KeyError, TypeError) as error:
        raise AnswerUnreadable(f"no list of things in {answer[:80]!r}", answer=answer[:200]) from error
    return mentions


def kind_of(entity: str) -> str:
    """The kind that a name is of: "young man" is a man; its last word where nothing is known of it."""
    phrases = read_phrases(f"the {entity}")
    last = entity.casefold().split()[-1:]
    return phrases[0].kind if phrases else "".join(last) or "thing"
