"""Which profile a model is spoken to with, by what the engine says of it."""

import json

from stillwing_agent.core.prompting.base import ProfileName
from stillwing_common.errors import ModelNotUsable
from stillwing_vlm.core.chat_format import ChatFormat


def chosen(wanted: ProfileName, chat: ChatFormat) -> ProfileName:
    """The profile that is wanted; under AUTO the one that the model's directory names in its stillwing.json, else
    NATIVE where it has a chat template that can be used.

    Raises ModelNotUsable where NATIVE is wanted and the model has no such template.
    """
    if wanted is ProfileName.NATIVE and not chat.template:
        raise ModelNotUsable(f"the native prompts need a chat template: {chat.problem or 'the engine knows of none'}")
    if wanted is not ProfileName.AUTO:
        return wanted
    if named_by_model(chat.training_range) is ProfileName.COMPACT or not chat.template:
        return ProfileName.COMPACT
    return ProfileName.NATIVE


def named_by_model(training_range: str) -> ProfileName:
    """What `prompt_profile` in a stillwing.json says; AUTO where it says nothing that is known."""
    try:
        said = json.loads(training_range or "{}")
        return ProfileName(said.get("prompt_profile", "auto"))
    except (ValueError, AttributeError, TypeError):
        return ProfileName.AUTO
