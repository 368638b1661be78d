"""A mission's history as turns of a conversation, within a budget of tokens.

What there is no room for is folded, oldest first, into one line that counts it; what the model said it saw then stays a
while longer. What came of the newest call is always told, cut where it is too long: a model that did not read what its
call brought back would make it again. It knows nothing of templates: the engine writes turns as the model's own does.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillwing_agent.core.prompting.base import Action, Entry, Told
from stillwing_vlm.core.conversation import AssistantTurn, ToolCall, ToolTurn, Turn, UserTurn

_BYTES_A_TOKEN = 3
"""Of UTF-8, fewer than tokenizers of pretrained models need for a token: a budget is rather not used up than passed."""
_TURN_TOKENS = 12
"""What a template writes around a turn."""
_SEEN_SHARE = 4
"""One part in so many of the budget is for what was seen in actions that are folded."""
_NOTES_SHARE = 4
_LEAST_PART_BYTES = 12


@dataclass(frozen=True, slots=True)
class Room:
    """What a conversation may take up: tokens of its history, and messages in all."""

    tokens: int
    messages: int


def conversation(
    instruction: str, entries: Sequence[Entry], notes: Sequence[str], closing: str, room: Room
) -> tuple[Turn, ...]:
    """The instruction, what was folded, notes, the newest entries as turns, and `closing` as the user's last words."""
    notes = newest_within(notes, room.tokens // _NOTES_SHARE)
    left = room.tokens - sum(map(tokens, notes))
    kept = _newest(entries, left, room.messages - 2)
    shown = list(entries[len(entries) - kept :]) or _cut_to(entries[-1:], left, room.messages - 2)
    folded = entries[: len(entries) - len(shown)]
    opening = [f"Instruction: {instruction}"]
    if folded:
        opening.append(fold(folded, (left - sum(map(_cost, shown)) if len(shown) > kept else left) // _SEEN_SHARE))
    if notes:
        opening.append("Your notes:\n" + "\n".join(f"- {note}" for note in notes))
    turns: list[Turn] = [UserTurn("\n".join(opening))]
    for entry in shown:
        _add(turns, entry)
    if isinstance(turns[-1], UserTurn):
        turns[-1] = UserTurn(f"{turns[-1].text}\n\n{closing}")
    else:
        turns.append(UserTurn(closing))
    return tuple(turns)


def fold(entries: Sequence[Entry], seen_tokens: int) -> str:
    """One line that counts entries, and below it what was said to be seen in them, the newest of it."""
    actions = [entry for entry in entries if isinstance(entry, Action)]
    counts = Counter(action.tool for action in actions)
    parts = [f"{tool} {count} times" if count > 1 else f"{tool} once" for tool, count in counts.most_common()]
    refused = sum(action.refused for action in actions)
    parts += [f"{refused} of them refused"] if refused else []
    lines = [f"{len(actions)} earlier actions: {', '.join(parts)}."] if actions else []
    said = [entry.seen if isinstance(entry, Action) else entry.text for entry in entries]
    kept = newest_within([each for each in said if each], seen_tokens)
    if kept:
        lines.append("Of that time:\n" + "\n".join(f"- {each}" for each in kept))
    return "\n".join(lines)


def newest_within(texts: Sequence[str], room_tokens: int) -> list[str]:
    """The newest texts that fit, in order; where not even the newest does, what fits of it."""
    kept: list[str] = []
    left = room_tokens
    for text in reversed(texts):
        left -= tokens(text)
        if left < 0:
            break
        kept.insert(0, text)
    return kept or [part for text in texts[-1:] if (part := cut(text, room_tokens))]


def cut(text: str, room_tokens: int) -> str:
    """As much of a text as fits, with a sign that there was more; "" where that would say nothing."""
    if tokens(text) <= room_tokens:
        return text
    ended = " …"
    room_bytes = (room_tokens - 1) * _BYTES_A_TOKEN - len(ended.encode())
    return text.encode()[:room_bytes].decode(errors="ignore") + ended if room_bytes >= _LEAST_PART_BYTES else ""


def tokens(text: str) -> int:
    """How many tokens a text takes at most, about."""
    return len(text.encode()) // _BYTES_A_TOKEN + 1


def _newest(entries: Sequence[Entry], room_tokens: int, room_messages: int) -> int:
    """How many of the newest entries there is room for, with a part kept for those that are folded."""
    if sum(map(_cost, entries)) > room_tokens:
        room_tokens -= room_tokens // _SEEN_SHARE + _TURN_TOKENS * 4
    kept = 0
    for entry in reversed(entries):
        room_tokens -= _cost(entry)
        room_messages -= 2
        if room_tokens < 0 or room_messages < 0:
            break
        kept += 1
    return kept


def _cut_to(newest: Sequence[Entry], room_tokens: int, room_messages: int) -> list[Entry]:
    """The newest entry with as much of its words as there is room for; none where there is room for next to nothing."""
    for entry in newest:
        if isinstance(entry, Told):
            text = cut(entry.text, room_tokens - _TURN_TOKENS)
            return [replace(entry, text=text)] if text and room_messages >= 2 else []
        bare = replace(entry, outcome="", seen="")
        outcome = cut(entry.outcome, room_tokens - _cost(bare))
        return [replace(bare, outcome=outcome)] if outcome and room_messages >= 2 else []
    return []


def _cost(entry: Entry) -> int:
    if isinstance(entry, Told):
        return tokens(entry.text) + _TURN_TOKENS
    call = tokens(_arguments(entry)) + tokens(entry.tool) + _TURN_TOKENS
    return call + tokens(entry.seen) + tokens(entry.outcome) + 2 * _TURN_TOKENS


def _add(turns: list[Turn], entry: Entry) -> None:
    if isinstance(entry, Told):
        if isinstance(turns[-1], UserTurn):
            turns[-1] = UserTurn(f"{turns[-1].text}\n{entry.text}")
        else:
            turns.append(UserTurn(entry.text))
        return
    turns.append(AssistantTurn(entry.seen, (ToolCall(entry.tool, _arguments(entry)),)))
    turns.append(ToolTurn(entry.outcome, entry.tool))


def _arguments(action: Action) -> str:
    return json.dumps(dict(action.arguments), ensure_ascii=False)
