"""One mission in one unseen scene, faster than real time, judged by the simulator's truth.

What flies is the real thing: the agent's mission loop and policy, the bridge's commander, guards and AirSim code, the
airfield's physics and cameras, the engine's core. Only sockets and real time are left out.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from stillwing_agent.core.base import Mission, MissionState
from stillwing_agent.core.cockpit import FlightSettings
from stillwing_agent.core.loop import Crew, MissionLoop
from stillwing_agent.core.mission import MissionRecord
from stillwing_agent.core.policy import Policy
from stillwing_airfield.scenes.base import SceneSpec, build_scene
from stillwing_airfield.sim import Airfield
from stillwing_bridge.core.bridge import BridgeSettings, LocalBridge
from stillwing_common.clock import Clock
from stillwing_common.errors import StillwingError
from stillwing_common.ids import new_id
from stillwing_lab.evaluate.simulated_loop import SimulatedClock, SimulatedLoop
from stillwing_lab.evaluate.stepped_vehicle import VEHICLE_ID, SteppedVehicle
from stillwing_lab.pilot.config import SUCCESS_WITHIN_M
from stillwing_vlm.core.base import Engine

MAX_DECISIONS = 60
_TIME_LIMIT_S = 1200.0
_PATH_SAMPLE_S = 0.1

_AS_FLOWN = FlightSettings()


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """What came of one mission.

    `end` is "answered", or the reason it failed. Distances in metres on the level of flight: `distance_m` to the goal
    at the end, `path_m` flown, `shortest_m` from the start to within reach of the goal. Times: `simulated_s` flown,
    `think_s` of real time for each answer.
    """

    seed: int
    success: bool
    collided: bool
    end: str
    decisions: int
    refusals: int
    frames: int
    distance_m: float
    path_m: float
    shortest_m: float
    simulated_s: float
    think_s: tuple[float, ...]

    @property
    def spl(self) -> float:
        """Success weighted by path length: shortest over flown, 0 without success (Anderson et al. 2018)."""
        return self.shortest_m / max(self.path_m, self.shortest_m, 1e-9) if self.success else 0.0


def fly_episode(
    scene: str,
    seed: int,
    make_policy: Callable[[Airfield], Policy],
    engine: Engine,
    think_s: list[float],
    *,
    max_decisions: int = MAX_DECISIONS,
    flight: FlightSettings = _AS_FLOWN,
) -> EpisodeResult:
    """Fly `scene` drawn from `seed` once. `think_s` is where the engine notes real thinking times; it is emptied."""
    think_s.clear()
    spec = build_scene(scene, seed)
    with Airfield(spec) as airfield, asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SimulatedLoop)
        truth = _Truth(airfield, loop)
        mission, collisions = runner.run(_fly(airfield, loop, make_policy(airfield), engine, max_decisions, flight))
    distance_m = _level_distance_m(truth.position_m, spec)
    answered = mission.state is MissionState.SUCCEEDED
    collided = collisions > 0
    figures = mission.figures
    return EpisodeResult(
        seed=seed,
        success=answered and not collided and distance_m < SUCCESS_WITHIN_M and figures.decisions <= max_decisions,
        collided=collided,
        end="answered" if answered else mission.error.reason if mission.error else mission.state.value,
        decisions=figures.decisions,
        refusals=figures.refusals,
        frames=figures.frames_seen,
        distance_m=distance_m,
        path_m=truth.path_m,
        shortest_m=max(0.0, _level_distance_m(spec.start_position_ned_m[:2], spec) - SUCCESS_WITHIN_M),
        simulated_s=truth.simulated_s,
        think_s=tuple(think_s),
    )


async def _fly(
    airfield: Airfield, loop: SimulatedLoop, policy: Policy, engine: Engine, max_decisions: int, flight: FlightSettings
) -> tuple[Mission, int]:
    clock = SimulatedClock(loop)
    vehicle = SteppedVehicle(airfield)
    await vehicle.connect()
    bridge = LocalBridge([vehicle], BridgeSettings(), clock)
    await bridge.start()
    try:
        record = _record(airfield.scene, clock)
        mission_loop = MissionLoop(
            crew=Crew(bridge, engine, None),
            policy=policy,
            record=record,
            clock=clock,
            settings=flight,
            time_limit_s=_TIME_LIMIT_S,
            max_decisions=max_decisions,
        )
        record.change_state(MissionState.RUNNING)
        try:
            answer = await mission_loop.run()
        except StillwingError as error:
            record.change_state(MissionState.FAILED, error=error)
        else:
            record.change_state(MissionState.SUCCEEDED, answer=answer)
        return record.mission, bridge.driver(VEHICLE_ID).commander.collisions
    finally:
        await bridge.close()
        vehicle.end()


def _record(scene: SceneSpec, clock: Clock) -> MissionRecord:
    mission = Mission(
        mission_id=new_id("mis"),
        goal=scene.mission,
        vehicle_id=VEHICLE_ID,
        state=MissionState.PENDING,
        create_wall_ns=clock.wall_ns(),
    )
    return MissionRecord(mission, clock, max_events=100_000)


class _Truth:
    """Lets the airfield run with the loop's time, and measures the way that is flown."""

    def __init__(self, airfield: Airfield, loop: SimulatedLoop) -> None:
        self._airfield = airfield
        self._owed_s = 0.0
        self._unsampled_s = 0.0
        self.simulated_s = 0.0
        self.path_m = 0.0
        self.position_m = self._position_m()
        loop.advance = self.advance

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass in the world, in whole physics steps; what is left over is owed to the next call."""
        self._owed_s += seconds
        steps_s = math.floor(self._owed_s / 0.005 + 1e-9) * 0.005
        if steps_s <= 0:
            return
        self._owed_s -= steps_s
        self._airfield.advance(steps_s)
        self.simulated_s += steps_s
        self._unsampled_s += steps_s
        if self._unsampled_s >= _PATH_SAMPLE_S:
            self._unsampled_s = 0.0
            before, self.position_m = self.position_m, self._position_m()
            self.path_m += math.dist(before, self.position_m)

    def _position_m(self) -> tuple[float, float]:
        north_m, east_m, _ = self._airfield.do(lambda vehicle: vehicle.state()).position_ned_m
        return north_m, east_m


def _level_distance_m(position_m: tuple[float, ...], scene: SceneSpec) -> float:
    return math.dist(position_m, scene.goal().position_ned_m[:2])
