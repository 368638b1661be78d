"""A mission's log, read as what its model is told of it: calls with their outcomes, words in between, its notes.

It reads typed events and nothing else: no framework's memory, no text of a model's. It knows nothing of how it is
worded for a template or of how much of it there is room for.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
    Happening,
    Instructed,
    NoCall,
    QuestionAnswered,
    ThinkingFinished,
)
from stillwing_agent.core.prompting.base import Action, Entry, History, Told
from stillwing_common.errors import StillwingError

_IDS = ("command_id", "frame_id", "tool", "argument", "field")
"""Metadata of an error that say nothing to a model, or what its words say already."""


def history(happenings: Iterable[Happening]) -> History:
    """What happened so far; an action that is under way has no outcome yet and is left out."""
    entries: list[Entry] = []
    notes: list[str] = []
    seen, started = "", ActionStarted("", "", {})
    for happening in happenings:
        match happening:
            case ThinkingFinished(thought=thought) if thought:
                seen = thought
            case ActionStarted():
                started = happening
            case ActionFinished(error=None) if started.tool == "note":
                notes.append(str(started.arguments["text"]))
                seen = ""
            case ActionFinished(_, result, error):
                refused = error is not None
                outcome = result_words(result) if error is None else error_words(error)
                entries.append(Action(started.tool, started.arguments, outcome, seen, refused))
                seen = ""
            case Instructed(_, text):
                entries.append(Told(f"The operator gave you another instruction: {text}"))
            case NoCall(answer):
                entries.append(
                    Told(f"Your answer was no tool call, or was cut off: {answer[:200]!r}. Answer with one whole call.")
                )
                seen = ""
            case QuestionAnswered(question, answer):
                entries.append(
                    Told(f"The operator asked: {question} You said: {answer} The instruction stays as it is.")
                )
            case _:
                pass
    return History(tuple(entries), tuple(notes))


def result_words(result: Mapping[str, Any]) -> str:
    """What a call came to, for the model to read."""
    match result:
        case {"answer": str(answer)}:
            return answer
        case {"found": found}:
            said = [f"- {caption}" for caption in found if caption]
            return "\n".join(["Seen before:", *said]) if found else "Nothing was found."
        case {"seen": seen}:
            return "\n".join(f"Heading {one['heading_deg']:.0f}: {one['seen']}" for one in seen)
        case {"home_m": float(home_m)}:
            return f"Done: home is {home_m:.1f} m away."
        case {"flown": [*flown]}:
            return f"Flown: {', '.join(flown)}." if flown else "Nothing was flown."
        case {"state": str(state), **others} if not others:
            return "Done." if state in ("succeeded", "noted") else f"Done: {state}."
    return json.dumps(dict(result), ensure_ascii=False)


def error_words(error: StillwingError) -> str:
    """Why a call was not carried out, with the limit that it met."""
    limits = ", ".join(f"{name} {value}" for name, value in error.metadata.items() if name not in _IDS)
    return f"Refused, {error.reason}: {error}" + (f" ({limits})" if limits else "")
