"""Conversations as token ids: by a model's chat template, or in the compact form of a system prompt and questions.

A session with tools is written by the template, from its first token on. One without opens in the compact form, which
every model of these families reads; messages then go on from it where the template writes the same opening.
"""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Self, TypeVar

from stillwing_common.errors import InvalidInput, ModelNotUsable
from stillwing_vlm.core.chat_format import GREEDY, ChatFormat, Pointing, SamplingDefaults
from stillwing_vlm.core.conversation import Briefing, Turn, UserTurn
from stillwing_vlm.core.inputs.generation import read_generation
from stillwing_vlm.core.inputs.templates.chat_template import ChatTemplate
from stillwing_vlm.core.inputs.templates.choice import ChosenTemplates, choose_templates
from stillwing_vlm.core.inputs.templates.files import read_json, read_templates
from stillwing_vlm.core.inputs.templates.sandbox import TemplateFault
from stillwing_vlm.core.inputs.templates.tool_calls import CallForm
from stillwing_vlm.core.inputs.templates.tool_forms import Conversation
from stillwing_vlm.core.inputs.text import ChatText, Piece

_TRAINING_RANGE = "stillwing.json"
_MAX_RANGE_CHARS = 100_000
"""It is told to whoever asks for the model."""

_Written = TypeVar("_Written")


class ModelChat:
    """Writes conversations for one model. Any thread may call it."""

    def __init__(
        self,
        text: ChatText,
        templates: ChosenTemplates,
        sampling: SamplingDefaults = GREEDY,
        training_range: str = "",
    ) -> None:
        """`sampling`: the model's own; `training_range`: see `ChatFormat`."""
        self._text = text
        self._training_range = training_range
        self.templates = templates
        self.sampling = sampling

    @classmethod
    def from_directory(cls, directory: Path, text: ChatText, now: datetime) -> Self:
        """From a model's files. `now`: the time that its templates are told. Raises ModelNotUsable."""
        templates = choose_templates(read_templates(directory), now)
        trained = read_json(directory / _TRAINING_RANGE)
        told = json.dumps(trained, ensure_ascii=False) if trained else ""
        if len(told) > _MAX_RANGE_CHARS:
            raise ModelNotUsable(f"its {_TRAINING_RANGE} has {len(told)} characters, at most {_MAX_RANGE_CHARS}")
        return cls(text, templates, read_generation(directory).sampling, told)

    def format(self, pointing: Pointing | None) -> ChatFormat:
        """What callers have to know. `pointing`: of the model's family."""
        chosen, form = self.templates, self.templates.call_form
        return ChatFormat(
            templates=chosen.places,
            template=chosen.template.name if chosen.template else "",
            pictures_template=chosen.pictures_place,
            tools=chosen.template.form.name if chosen.template else "",
            call_opening=form.opening if form else "",
            call_closing=form.closing if form else "",
            problem=chosen.problem,
            end_tokens=tuple(self._text.token(id) for id in sorted(self._text.end_ids)),
            sampling=self.sampling,
            pointing=pointing,
            training_range=self._training_range,
        )

    def opening(self, briefing: Briefing) -> list[int]:
        """Ids before the first frame. Raises ModelNotUsable, InvalidInput."""
        if not briefing.tools:
            return self._text.opening(briefing.system_prompt)
        return self._text.encode_pieces(self._opening(briefing))

    def question(self, briefing: Briefing, prompt: str) -> list[int]:
        """Ids of one ask that is a text of the user's. Raises ModelNotUsable, InvalidInput."""
        if not briefing.tools:
            return self._text.question(prompt)
        return self.messages(briefing, (UserTurn(prompt),))

    def messages(self, briefing: Briefing, turns: tuple[Turn, ...]) -> list[int]:
        """Ids of one ask that is a conversation, up to where the answer begins. Raises ModelNotUsable, InvalidInput."""
        conversation = _conversation(briefing, turns)
        pieces = self._render(lambda template: template.turns(conversation))
        if not briefing.tools and self._text.encode_pieces(self._opening(briefing)) != self.opening(briefing):
            raise InvalidInput(
                "the model's chat template opens another session than one without tools; open it with tools, or ask "
                "with a prompt",
                field="messages",
            )
        return self._text.encode_pieces(pieces)

    def call_form(self) -> CallForm:
        """How the model's template writes calls. Raises ModelNotUsable."""
        if self.templates.call_form is None:
            raise self._unusable()
        return self.templates.call_form

    def json_separators(self) -> tuple[str, str]:
        """Between items and behind keys where the model writes JSON; as Python's where no template says."""
        form = self.templates.call_form
        return (", ", ": ") if form is None else (form.item_separator, form.key_separator)

    def _opening(self, briefing: Briefing) -> tuple[Piece, ...]:
        return self._render(lambda template: template.opening(_conversation(briefing)))

    def _render(self, render: Callable[[ChatTemplate], _Written]) -> _Written:
        template = self.templates.template
        if template is None:
            raise self._unusable()
        try:
            return render(template)
        except TemplateFault as fault:
            place = template.name
            raise InvalidInput(f"the model's chat template ({place}) {fault}", template=place) from fault

    def _unusable(self) -> ModelNotUsable:
        return ModelNotUsable(f"no chat template of its can be used: {self.templates.problem}")


def _conversation(briefing: Briefing, turns: tuple[Turn, ...] = ()) -> Conversation:
    # With tools, the template's own system text stands where the caller has none.
    system_prompt = briefing.system_prompt if briefing.system_prompt or not briefing.tools else None
    return Conversation(system_prompt, briefing.tools, turns)
