"""How a mission is flown, and what the parts of one that is under way share.

It knows nothing of what those parts do.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum

from stillwing_agent.core.lasting_session import LastingSession
from stillwing_agent.core.lease_keeper import Life
from stillwing_agent.core.mission_record import MissionRecord
from stillwing_agent.core.prompting.base import ProfileName
from stillwing_agent.core.prompting.prompts import ToolStyle
from stillwing_bridge.core.protocol import Bridge
from stillwing_bridge.core.types import Lease
from stillwing_common.clock import Clock
from stillwing_vlm.core.requests import FrameLayout


class RecallBy(Enum):
    """What goes into the engine's memory segment."""

    PIXELS = "pixels"
    """Pictures, encoded again."""
    KEPT = "kept"
    """The keys and values the engine kept as they were; pictures where it kept none."""


@dataclass(frozen=True, slots=True)
class MissionMemorySettings:
    """How a mission remembers.

    `chunk_frames`: frames that left the model's sight, of which the best is filed. `recall` puts what was filed of an
    instruction's things before the model, by `recall_by`; only for a model that was trained with a memory segment, as
    the shipped pilot was. `tag` asks the model at every decision where each thing of the instruction is, and tags what
    it sees; `max_tagged` bounds the questions. `timeout_s` bounds every wait for the bank. `layers`: those of the model
    whose attention a bank with that scorer is given; () takes one two thirds up.
    """

    chunk_frames: int = 3
    recall: bool = False
    recall_by: RecallBy = RecallBy.PIXELS
    tag: bool = True
    max_tagged: int = 3
    timeout_s: float = 5.0
    layers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FlightSettings:
    """How a mission is flown; seconds, metres and degrees as the names say.

    `frame_rate_hz` 0 takes every frame the bridge has. Two a second put two to four between decisions: with more, the
    video memory reaches back fewer decisions. `lease_wait_s` is longer than a lease takes to go stale, so that a
    mission can follow one whose agent died. `memory_reader` says who reads what an instruction is about:
    "noun_phrases", "model", or "" for nobody: then decisions are filed, and nothing is recalled unless the model asks.
    `layout` divides the video memory; None is as the engine does.
    `tool_style` says how the pilot tells a step. `prompt_profile`: how the model is spoken to; a model that converses
    is told what happened in `conversation_tokens`, 0: a quarter of its video memory, at most 2000, and may say a
    sentence of `max_thought_tokens` before a call. A question to the operator is waited for `operator_wait_s`, a tool
    of the user's own `tool_timeout_s`.
    `export_every_chunks`: so often the session is kept in a file of the engine's, to go on from should it die; 0 never.
    A dead engine is waited for `engine_wait_s`, asked first after `engine_retry_s`, which doubles each time.
    """

    takeoff_altitude_m: float = 2.0
    camera_id: str = ""
    frame_rate_hz: float = 2.0
    motion_ttl_s: float = 15.0
    takeoff_ttl_s: float = 30.0
    land_ttl_s: float = 60.0
    settle_s: float = 0.1
    frame_timeout_s: float = 10.0
    answer_timeout_s: float = 120.0
    expected_thinking_s: float = 1.0
    wait_step_s: float = 0.5
    retain_interval_s: float = 1.0
    max_answer_tokens: int = 256
    max_context_tokens: int = 0
    layout: FrameLayout | None = None
    kept_frames: int = 256
    keyframe_queue: int = 16
    put_timeout_s: float = 5.0
    leave_timeout_s: float = 3.0
    lease_wait_s: float = 4.0
    memory_reader: str = ""
    tool_style: ToolStyle = ToolStyle.MOVES
    prompt_profile: ProfileName = ProfileName.AUTO
    conversation_tokens: int = 0
    max_thought_tokens: int = 48
    operator_wait_s: float = 120.0
    tool_timeout_s: float = 30.0
    export_every_chunks: int = 30
    engine_wait_s: float = 120.0
    engine_retry_s: float = 0.25
    memory: MissionMemorySettings = field(default_factory=MissionMemorySettings)

    def __post_init__(self) -> None:
        for name in ("motion_ttl_s", "takeoff_ttl_s", "land_ttl_s", "answer_timeout_s", "wait_step_s", "kept_frames"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is above 0")
        if self.retain_interval_s > 1.0:
            raise ValueError("a lease is retained at least once a second")


@dataclass(frozen=True, slots=True)
class Flight:
    """One mission under way: the vehicle and the lease on it, the session that sees for it, its record and its life."""

    bridge: Bridge
    lease: Lease
    session: LastingSession
    record: MissionRecord
    life: Life
    clock: Clock
    settings: FlightSettings
    deadline_s: float = math.inf
    """When the mission's time is over, on `clock`'s monotonic time."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


def parse_layout(text: str) -> FrameLayout | None:
    """Sink, memory and window in frames from "3+3+6"; None for "". Raises InvalidInput."""
    return FrameLayout.parse(text)
