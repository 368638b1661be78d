"""Flights with everything the engine was given and what it answered, to be replayed under other settings."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import track

from stillwing_common.types import Frame
from stillwing_lab.evaluate.episode import fly_episode
from stillwing_lab.evaluate.inline_engine import InlineEngine, InlineSession
from stillwing_lab.evaluate.policies import MODEL_POLICIES, MakePolicy
from stillwing_training.pilot.config import FIRST_UNSEEN_SEED
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.local import LocalSession
from stillwing_vlm.core.requests import AskRequest, SessionConfig


@dataclass
class Flight:
    """What came in, in order: chunks of frames, and questions with the answers given."""

    config: SessionConfig
    events: list[tuple[str, Any]] = field(default_factory=list)


class RecordedSession(InlineSession):
    """Keeps what it was given."""

    def __init__(self, session: LocalSession, engine: "RecordedEngine", flight: Flight) -> None:
        super().__init__(session, 0.05, engine.think_s)
        self._flight = flight

    def append(self, *frames: Frame, **placing: Any) -> Any:
        self._flight.events.append(("frames", frames))
        return super().append(*frames, **placing)

    def ask(self, request: AskRequest) -> Any:
        answer = super().ask(request)
        self._flight.events.append(("ask", (request, answer._done.text)))
        return answer


class RecordedEngine(InlineEngine):
    """Keeps what its sessions were given."""

    def __init__(self, loaded: LoadedEngine) -> None:
        super().__init__(loaded)
        self.flights: list[Flight] = []

    async def open_session(self, config: SessionConfig) -> RecordedSession:
        self.flights.append(Flight(config))
        return RecordedSession(LocalSession(self._loaded, config), self, self.flights[-1])


def fly(
    loaded: LoadedEngine,
    episodes: int,
    title: str,
    policy: MakePolicy = MODEL_POLICIES["tool_calling"],
    decisions: int = 60,
) -> tuple[list[Flight], int]:
    """Flights, and how many missions succeeded."""
    engine, reached = RecordedEngine(loaded), 0
    for seed in track(range(FIRST_UNSEEN_SEED, FIRST_UNSEEN_SEED + episodes), title, console=Console(stderr=True)):
        reached += fly_episode("meadow", seed, policy, engine, engine.think_s, max_decisions=decisions).success
    return engine.flights, reached
