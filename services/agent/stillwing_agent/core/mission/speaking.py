"""Which profile a mission speaks with, made from what engine and bridge say of model and vehicle."""

import logging

from stillwing_agent.core.flight import FlightSettings
from stillwing_agent.core.prompting.base import Profile, ProfileName
from stillwing_agent.core.prompting.choosing import chosen
from stillwing_agent.core.prompting.compact import CompactProfile
from stillwing_agent.core.prompting.conversation import Room
from stillwing_agent.core.prompting.native import NativeProfile
from stillwing_agent.core.prompting.native_tools import ToolLimits
from stillwing_agent.core.prompting.prompts import ToolSpec
from stillwing_bridge.core.types import VehicleInfo
from stillwing_vlm.core.results import ModelInfo

_LEAST_TOKENS, _MOST_TOKENS = 600, 2000
_log = logging.getLogger(__name__)

_SHARE_OF_MEMORY = 4


def profile_of(
    wanted: ProfileName | None,
    settings: FlightSettings,
    model: ModelInfo,
    vehicle: VehicleInfo,
    *,
    has_memory: bool,
    own_tools: tuple[ToolSpec, ...] = (),
) -> Profile:
    """The profile of a mission; `wanted` None: as the settings say. Raises ModelNotUsable."""
    if chosen(wanted or settings.prompt_profile, model.chat) is ProfileName.COMPACT:
        if own_tools:
            _log.warning("the pilot knows no tools but those it was taught: %s", ", ".join(t.name for t in own_tools))
        return CompactProfile(settings.tool_style)
    return NativeProfile(
        ToolLimits(vehicle.limits, model.chat.pointing, has_memory),
        room_for(settings, model),
        settings.max_thought_tokens,
        own_tools=own_tools,
    )


def room_for(settings: FlightSettings, model: ModelInfo) -> Room:
    """What the conversation of an ask may take up: what is set, else a share of the video memory's budget.

    With less than some hundred tokens a model would forget its notes and what its calls brought back.
    """
    budget = settings.max_context_tokens or model.default_max_context_tokens
    tokens = settings.conversation_tokens or min(_MOST_TOKENS, max(_LEAST_TOKENS, budget // _SHARE_OF_MEMORY))
    # What comes after the history, the state and advice, and the template's own words, take the rest.
    return Room(min(tokens, model.limits.max_question_tokens * 3 // 4), model.limits.max_messages)
