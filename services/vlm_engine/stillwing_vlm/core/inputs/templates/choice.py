"""Which of a model's chat templates writes what: tools and turns, and what stands around pictures.

Some models publish one template that knows both, some one for each, some none that knows tools. Each is tried on a
conversation of our own; one that writes something else than it was given is not used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from stillwing_vlm.core.conversation import AssistantTurn, ToolCall, ToolTurn, UserTurn
from stillwing_vlm.core.inputs.templates.chat_template import ChatTemplate
from stillwing_vlm.core.inputs.templates.files import FOR_TOOLS, PublishedTemplate, TemplateFiles
from stillwing_vlm.core.inputs.templates.sandbox import SandboxedTemplate, TemplateFault
from stillwing_vlm.core.inputs.templates.tool_calls import PROBE_TOOL, CallForm, cut_call_form
from stillwing_vlm.core.inputs.templates.tool_forms import CommonToolForm, Conversation, TemplateToolForm

_AROUND_PICTURES = (
    ("image", "<|vision_start|><|image_pad|><|vision_end|>"),
    ("video", "<|vision_start|><|video_pad|><|vision_end|>"),
)
"""What the engine writes where pictures go, by the kind of a message's part."""

_CALL = ToolCall(PROBE_TOOL.name, '{"direction": "south", "height_m": 3}')
_PROBE = Conversation(
    "You probe the way.",
    (PROBE_TOOL,),
    (
        UserTurn("What is ahead?"),
        AssistantTurn("A wall stands there.", (_CALL,)),
        ToolTurn("It went well.", PROBE_TOOL.name),
        AssistantTurn("", (_CALL,)),
        ToolTurn("It went well again.", PROBE_TOOL.name),
        UserTurn("And behind?"),
        AssistantTurn("Open ground."),
        UserTurn("Then go there."),
    ),
)


@dataclass(frozen=True, slots=True)
class ChosenTemplates:
    """`template` writes tools and turns, `call_form` is how it writes a call; None where none can be used, and then
    `problem` says why. `pictures_place`: the template that says what stands around pictures, "" where none does.
    """

    places: tuple[str, ...]
    template: ChatTemplate | None = None
    call_form: CallForm | None = None
    pictures_place: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Tried:
    published: PublishedTemplate
    template: ChatTemplate | None = None
    call_form: CallForm | None = None
    knows_tools: bool = False
    knows_pictures: bool = False
    fault: str = ""


def choose_templates(files: TemplateFiles, now: datetime) -> ChosenTemplates:
    """Try all templates and choose. `now`: see `SandboxedTemplate`."""
    tried = [_try(published, files, now) for published in files.templates]
    places = tuple(each.published.place for each in tried)
    usable = [each for each in tried if each.template is not None]
    if any(each.knows_tools for each in tried):
        # What one template knows of tools is what the model was trained on: no other form takes its place.
        usable = [each for each in usable if each.knows_tools]
    if not usable:
        faults = "; ".join(f"{each.published.place} {each.fault}" for each in tried if each.fault)
        return ChosenTemplates(places, problem=faults or "its directory has none")
    chosen = max(usable, key=lambda each: (each.knows_pictures, each.published.name == FOR_TOOLS))
    pictures = [each.published.place for each in (chosen, *tried) if each.knows_pictures]
    return ChosenTemplates(places, chosen.template, chosen.call_form, pictures[0] if pictures else "")


def _try(published: PublishedTemplate, files: TemplateFiles, now: datetime) -> _Tried:
    names = files.token_names
    try:
        program = SandboxedTemplate(published.source, now)
        knows_tools = _knows_tools(program, names)
    except TemplateFault as fault:
        return _Tried(published, fault=str(fault))
    knows_pictures = _knows_pictures(program, names)
    template = ChatTemplate(published.place, program, TemplateToolForm() if knows_tools else CommonToolForm(), names)
    try:
        template.turns(_PROBE)
        call_form = cut_call_form(template)
    except TemplateFault as fault:
        return _Tried(published, None, None, knows_tools, knows_pictures, str(fault))
    return _Tried(published, template, call_form, knows_tools, knows_pictures)


def _knows_tools(program: SandboxedTemplate, names: Mapping[str, str]) -> bool:
    """Whether it writes anything of a tool that it is told."""
    messages = [{"role": "user", "content": "Go."}]
    signature = {"name": PROBE_TOOL.name, "description": "Probes.", "parameters": PROBE_TOOL.schema()}
    tools = [{"type": "function", "function": signature}]
    written = program.render({**names, "messages": messages, "tools": tools, "add_generation_prompt": False})
    return PROBE_TOOL.name in written


def _knows_pictures(program: SandboxedTemplate, names: Mapping[str, str]) -> bool:
    """Whether it writes pictures, videos or both as the engine does, before the text that follows them."""

    def rendered(content: str | Sequence[dict[str, str]]) -> str:
        messages = [{"role": "system", "content": "You see."}, {"role": "user", "content": content}]
        return program.render({**names, "messages": messages, "tools": None, "add_generation_prompt": True})

    question = "What is it?"
    try:
        bare = rendered(question)
        written = [
            (rendered([{"type": kind}, {"type": "text", "text": question}]), rendered(around + question))
            for kind, around in _AROUND_PICTURES
        ]
    except TemplateFault:
        return False
    known = [(theirs, ours) for theirs, ours in written if theirs != bare]
    return bool(known) and all(theirs == ours for theirs, ours in known)
