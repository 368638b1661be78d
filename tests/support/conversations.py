"""A drone's conversation, and conversations at random, hostile and tame, with what writes them."""

import json
from datetime import datetime
from typing import Any

from chat_templates import tokenizer_with_tags
from hypothesis import strategies as st

from stillwing_vlm.core.conversation import (
    AssistantTurn,
    Briefing,
    Tool,
    ToolCall,
    ToolTurn,
    Turn,
    UserTurn,
)
from stillwing_vlm.core.inputs.chat import ModelChat
from stillwing_vlm.core.inputs.templates.choice import ChosenTemplates, choose_templates
from stillwing_vlm.core.inputs.templates.files import PublishedTemplate, TemplateFiles
from stillwing_vlm.core.inputs.text import ChatText

NOW = datetime(2026, 1, 31, 12)
TEXT = ChatText(tokenizer_with_tags())
RAW = tokenizer_with_tags()
FRAMES = "<|vision_start|><|video_pad|><|vision_end|>"
FRAME_IDS = [RAW.token_to_id(token) for token in ("<|vision_start|>", "<|video_pad|>", "<|vision_end|>")]

MOVE = Tool(
    "move",
    "Flies level.",
    json.dumps(
        {
            "type": "object",
            "properties": {
                "direction": {"type": "string", "enum": ["forward", "back"]},
                "distance_m": {"type": "number", "minimum": 0.5, "maximum": 5, "description": "How far, in metres."},
            },
            "required": ["direction", "distance_m"],
        }
    ),
)
LOOK = Tool("look", 'Asks "what is there?"', '{"type": "object", "properties": {"question": {"type": "string"}}}')
BRIEFING = Briefing("You fly a drone.", (MOVE, LOOK))
TURNS: tuple[Turn, ...] = (
    UserTurn("Find the red door."),
    AssistantTurn("A wall is ahead.", (ToolCall("look", '{"question":"What is left?"}'),)),
    ToolTurn("A door – rot, 红色.", "look"),
    AssistantTurn("", (ToolCall("move", '{"direction": "forward", "distance_m": 1.0}'), ToolCall("look"))),
    ToolTurn("LIMIT: at most 2 m", "move"),
    ToolTurn("Nothing new.", "look"),
    UserTurn("Battery 80 %."),
    AssistantTurn("I see it."),
    UserTurn("Next?"),
)


def choose(*sources: str) -> ChosenTemplates:
    listed = [PublishedTemplate("default", f"file {at}", source) for at, source in enumerate(sources)]
    return choose_templates(TemplateFiles(tuple(listed), {}), NOW)


def chat_of(*sources: str, text: ChatText = TEXT) -> ModelChat:
    return ModelChat(text, choose(*sources))


ADDED = {token.content: id for id, token in RAW.get_added_tokens_decoder().items()}
CONTROL = tuple(ADDED)
FRAGMENTS = st.sampled_from(
    [*CONTROL, "<|im_", "end|>", "<", "|>", "<tool", "_call>", "\n", '"', "\\", "{", "im_start", " "]
)
HOSTILE = st.lists(FRAGMENTS | st.text(max_size=4), max_size=6).map("".join)
ARGUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | HOSTILE,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(HOSTILE, inner, max_size=2),
    max_leaves=4,
)


@st.composite
def conversations(draw: Any, text: st.SearchStrategy[str]) -> tuple[Briefing, tuple[Turn, ...]]:
    values = st.dictionaries(text, ARGUMENTS if text is HOSTILE else text, max_size=2)
    tools = draw(
        st.lists(
            st.builds(
                lambda name, words, names: Tool(
                    name,
                    words,
                    json.dumps(
                        {"type": "object", "properties": {key: {"type": "string", "enum": [key]} for key in names}}
                    ),
                ),
                st.sampled_from(["move", "im_end", "tool_call", "turn-2"]),
                text,
                st.lists(text, max_size=2),
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda tool: tool.name,
        )
    )
    calls = st.builds(
        lambda name, value: ToolCall(name, json.dumps(value)), st.sampled_from(["move", "im_end"]), values
    )
    turns: list[Turn] = [UserTurn(draw(text))]
    for _ in range(draw(st.integers(0, 3))):
        called = draw(st.lists(calls, max_size=2))
        turns.append(AssistantTurn(draw(text) if called else draw(text) + "!", tuple(called)))
        turns += [ToolTurn(draw(text), "move") for _ in called] if called else []
        if not called or draw(st.booleans()):
            turns.append(UserTurn(draw(text)))
    return Briefing(draw(text), tuple(tools)), tuple(turns)


CONTROL_IDS = frozenset(ADDED.values())
TAME = st.text(st.characters(exclude_characters="<>|", exclude_categories=("Cs",)), max_size=12)
