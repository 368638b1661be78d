"""A model's own chat template, and what it writes of a conversation before and after the frames.

It knows no tokens, no files and no pictures: where the frames go is a place in the text.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from stillwing_vlm.core.inputs.templates.marked_text import CutText, MarkingWriter, PlainWriter, cut
from stillwing_vlm.core.inputs.templates.sandbox import SandboxedTemplate, TemplateFault
from stillwing_vlm.core.inputs.templates.tool_forms import Conversation, ToolForm
from stillwing_vlm.core.inputs.text import Piece

_KEPT_OPENINGS = 16
"""Of sessions under way; an ask compares with its session's."""


class ChatTemplate:
    """One template with the way in which conversations are told to it. Any thread may call it."""

    def __init__(self, name: str, program: SandboxedTemplate, form: ToolForm, token_names: Mapping[str, str]) -> None:
        """`token_names`: variables that every rendering is given, names of the tokenizer's special tokens."""
        self.name = name
        self.form = form
        self._program = program
        self._token_names = token_names
        self._opening = lru_cache(_KEPT_OPENINGS)(lambda briefing: self._cut(briefing, answer=False).before)

    def opening(self, conversation: Conversation) -> tuple[Piece, ...]:
        """What stands before the frames, whatever follows them. Raises TemplateFault."""
        return self._opening(Conversation(conversation.system_prompt, conversation.tools))

    def turns(self, conversation: Conversation, *, answer: bool = True) -> tuple[Piece, ...]:
        """What follows the frames, with `answer` up to where the answer begins.

        Raises TemplateFault, also where what stands before the frames is then another than `opening` gives.
        """
        written = self._cut(conversation, answer=answer)
        if _text(written.before) != _text(self.opening(conversation)):
            raise TemplateFault("writes another text before the frames when messages follow them")
        return written.after

    def _cut(self, conversation: Conversation, *, answer: bool) -> CutText:
        writer = MarkingWriter()
        marked = self.form.variables(conversation, writer)
        plain = self.form.variables(conversation, PlainWriter(writer.frames))
        return cut(self._render(marked, answer=answer), self._render(plain, answer=answer), writer)

    def _render(self, variables: Mapping[str, Any], *, answer: bool) -> str:
        return self._program.render({**self._token_names, "tools": None, **variables, "add_generation_prompt": answer})


def _text(pieces: tuple[Piece, ...]) -> str:
    return "".join(piece.text for piece in pieces)
