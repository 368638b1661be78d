"""Puts one mission's parts together: each is whole when it is made, from the parts it needs.

It knows nothing of how a mission begins, ends, or goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stillwing_agent.core.flight import Flight, FlightSettings
from stillwing_agent.core.frame_pump import FramePump
from stillwing_agent.core.held_asking import HeldAsking
from stillwing_agent.core.lasting_session import MissionSession
from stillwing_agent.core.memory.keyframe_filer import KeyframeFiler
from stillwing_agent.core.memory.mission_memory import MissionMemory
from stillwing_agent.core.memory.reading.readers import make_reader
from stillwing_agent.core.prompting.base import Profile
from stillwing_agent.core.tools.cockpit import Cockpit
from stillwing_agent.core.tools.execution import Toolbox
from stillwing_agent.core.tools.instruments import Instruments
from stillwing_agent.core.tools.own_tools import OwnTool
from stillwing_bridge.core.protocol import Bridge
from stillwing_bridge.core.types import VehicleInfo
from stillwing_memory.core.protocol import MemoryBank
from stillwing_vlm.core.conversation import Briefing
from stillwing_vlm.core.protocol import SessionSource
from stillwing_vlm.core.requests import MAX_DEADLINE_S, FramePolicy, PeriodicExport, SessionConfig
from stillwing_vlm.core.results import ModelInfo

_MOST_RECALLED = 3
"""Frames of the engine's memory segment where no layout says."""


class ExportBin(Protocol):
    """Where a mission's exports are taken out at its end."""

    async def delete_export(self, name: str) -> None:
        """See `Engine`."""


@dataclass(frozen=True, slots=True)
class Crew:
    """The three services a mission needs; `memory` None flies without a memory bank, `exports` None makes none.

    `own_tools` are those of the user's own that a model which converses may call.
    """

    bridge: Bridge
    engine: SessionSource[MissionSession]
    memory: MemoryBank | None
    exports: ExportBin | None = None
    own_tools: tuple[OwnTool, ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """What flies one mission. `filer` and `memory` are None where the mission has no memory bank, or no reader."""

    pump: FramePump
    asking: HeldAsking
    cockpit: Cockpit
    toolbox: Toolbox
    filer: KeyframeFiler | None
    memory: MissionMemory | None


def session_config(
    briefing: Briefing, settings: FlightSettings, label: str, scored_layers: tuple[int, ...], *, exports: bool = False
) -> SessionConfig:
    """What a mission opens its session with; `scored_layers` are those whose attention the memory bank scores by.

    `exports`: it is kept in a file of the engine's, by its label.

    Where its frames come at a rate, the engine is told, so that of several missions' frames the most urgent go first.
    """
    return SessionConfig(
        briefing.system_prompt,
        settings.max_context_tokens,
        tools=briefing.tools,
        label=label,
        frame_policy=FramePolicy.NEWEST_WINS,
        frame_period_s=min(1 / settings.frame_rate_hz, MAX_DEADLINE_S) if settings.frame_rate_hz else 0.0,
        pooled_layers=scored_layers,
        layout=settings.layout,
        periodic_export=PeriodicExport(label, settings.export_every_chunks) if exports else None,
    )


def assemble(
    flight: Flight,
    bank: MemoryBank | None,
    model: ModelInfo,
    profile: Profile,
    vehicle: VehicleInfo,
    *,
    own_tools: tuple[OwnTool, ...],
    scores_attention: bool,
    max_decisions: int,
    on_taken: Callable[[int], None],
) -> Parts:
    """The parts of one mission. `on_taken(frames)` is called after each append."""
    settings = flight.settings
    layout = settings.layout or model.default_layout
    most_recalled = (_MOST_RECALLED if layout is None else layout.memory) if model.can_recall else 0
    pump = FramePump(
        flight.bridge,
        flight.lease.vehicle_id,
        flight.session,
        camera_id=settings.camera_id,
        max_rate_hz=settings.frame_rate_hz,
        kept_frames=settings.kept_frames,
        on_taken=on_taken,
    )
    asking = HeldAsking(flight)
    filer = memory = None
    if bank is not None:
        filer = KeyframeFiler(
            bank, flight.record, queue_size=settings.keyframe_queue, put_timeout_s=settings.put_timeout_s
        )
        if settings.memory_reader:
            memory = MissionMemory(
                bank,
                make_reader(settings.memory_reader, asking.ask_text),
                flight.session,
                pump,
                flight.record,
                filer,
                settings.memory,
                most_recalled,
                scores_attention,
            )
    cockpit = Cockpit(flight, asking, pump, filer, memory, profile, Instruments(flight, pump), max_decisions)
    toolbox = Toolbox(cockpit, bank, most_recalled, vehicle, model.chat.pointing, own_tools)
    return Parts(pump, asking, cockpit, toolbox, filer, memory)
