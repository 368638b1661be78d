"""One mission in one unseen scene, faster than real time, judged by the simulator's truth.

What flies is the real thing: the agent's mission loop and policy, the bridge's commander, guards and AirSim code, the
airfield's physics and cameras, the engine's core. Only sockets and real time are left out.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass

from stillwing_agent.core.events import FramesRecalled, Happening, MotionRefused
from stillwing_agent.core.flight import FlightSettings
from stillwing_agent.core.lasting_session import MissionSession
from stillwing_agent.core.mission.assembly import Crew
from stillwing_agent.core.mission.loop import MissionLoop
from stillwing_agent.core.mission_record import MissionRecord
from stillwing_agent.core.policy import Policy
from stillwing_agent.core.types import Mission, MissionState, Verification
from stillwing_airfield.scenes.base import SceneSpec, build_scene
from stillwing_airfield.sim import Airfield
from stillwing_bridge.core.bridge import BridgeSettings, LocalBridge
from stillwing_common.clock import Clock
from stillwing_common.errors import StillwingError
from stillwing_common.ids import new_id
from stillwing_lab.evaluate.bank import episode_bank
from stillwing_lab.evaluate.simulated_loop import SimulatedClock, SimulatedLoop
from stillwing_lab.evaluate.stepped_vehicle import VEHICLE_ID, SteppedVehicle
from stillwing_training.pilot.config import SUCCESS_WITHIN_M
from stillwing_vlm.core.protocol import SessionSource

MAX_DECISIONS = 60
_TIME_LIMIT_S = 1200.0
_PATH_SAMPLE_S = 0.1
_TRACK_S = 0.25

_AS_FLOWN = FlightSettings()


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """What came of one mission.

    `end` is "answered", or the reason it failed. Distances in metres on the level of flight: `distance_m` to the goal
    at the end, `nearest_m` the least ever, `path_m` flown, `shortest_m` from the start to within reach of the goal,
    `drift_m` the farthest the vehicle strayed within one stretch of thinking. Times: `simulated_s` flown, of those
    `thinking_s` spent thinking, `think_s` of real time for each answer. `track` is where the vehicle was every quarter
    of a second of it: seconds, north, east, degrees clockwise from north, and 1 where it thought. `recalls` counts how
    often frames from the memory bank were put before the model, `interventions` the refusals of motions that were
    being flown already. `claimed`: the policy said that it had achieved its goal; `verified_probability`: of yes, where
    the model was then asked whether that is so.
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
    collisions: int = 0
    nearest_m: float = math.inf
    thinking_s: float = 0.0
    drift_m: float = 0.0
    track: tuple[tuple[float, float, float, float, int], ...] = ()
    recalls: int = 0
    interventions: int = 0
    claimed: bool = False
    verified_probability: float | None = None

    @property
    def is_there(self) -> bool:
        """Whether it truly ended within reach of the goal: what a claim says."""
        return self.distance_m < SUCCESS_WITHIN_M

    @property
    def verified(self) -> bool | None:
        """What the question made of the claim; None where none was asked."""
        asked = self.verified_probability
        return None if asked is None else Verification("", asked).holds

    @property
    def oracle_success(self) -> bool:
        """Whether it was ever within reach of the goal, wherever it ended (oracle success of Anderson et al. 2018)."""
        return self.nearest_m < SUCCESS_WITHIN_M

    @property
    def spl(self) -> float:
        """Success weighted by path length: shortest over flown, 0 without success (Anderson et al. 2018)."""
        return self.shortest_m / max(self.path_m, self.shortest_m, 1e-9) if self.success else 0.0


def fly_episode(
    scene: str,
    seed: int,
    make_policy: Callable[[Airfield], Policy],
    engine: SessionSource[MissionSession],
    think_s: list[float],
    *,
    max_decisions: int = MAX_DECISIONS,
    flight: FlightSettings = _AS_FLOWN,
    before: Callable[[Airfield], AbstractContextManager[object]] = lambda airfield: nullcontext(),
) -> EpisodeResult:
    """Fly `scene` drawn from `seed` once. `think_s` is where the engine notes real thinking times; it is emptied.

    A flight whose settings say who reads its instruction has a memory bank, an empty one. `before` is entered with the
    airfield before the flight and left after it.
    """
    think_s.clear()
    spec = build_scene(scene, seed)
    with (
        Airfield(spec) as airfield,
        before(airfield),
        asyncio.Runner(loop_factory=SimulatedLoop) as runner,
    ):
        loop = runner.get_loop()
        assert isinstance(loop, SimulatedLoop)
        truth = _Truth(airfield, loop)
        mission, collisions, happenings = runner.run(
            _fly(airfield, loop, make_policy(airfield), engine, max_decisions, flight, truth)
        )
    distance_m = _level_distance_m(truth.position_m, spec)
    achieved = mission.state is MissionState.ACHIEVED
    answered = mission.state in (MissionState.ACHIEVED, MissionState.NOT_ACHIEVED)
    collided = collisions > 0
    figures = mission.figures
    return EpisodeResult(
        seed=seed,
        success=achieved and not collided and distance_m < SUCCESS_WITHIN_M and figures.decisions <= max_decisions,
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
        collisions=collisions,
        nearest_m=truth.nearest_m,
        thinking_s=truth.thinking_s,
        drift_m=truth.drift_m,
        track=tuple(truth.track),
        recalls=sum(isinstance(one, FramesRecalled) for one in happenings),
        # What was accepted and ended by the bridge has a command's id; what was never begun has none.
        interventions=sum(isinstance(one, MotionRefused) and "command_id" in one.error.metadata for one in happenings),
        claimed=achieved,
        verified_probability=None if (asked := mission.verification) is None else asked.probability,
    )


async def _fly(
    airfield: Airfield,
    loop: SimulatedLoop,
    policy: Policy,
    engine: SessionSource[MissionSession],
    max_decisions: int,
    flight: FlightSettings,
    truth: "_Truth",
) -> tuple[Mission, int, list[Happening]]:
    clock = SimulatedClock(loop)
    vehicle = SteppedVehicle(airfield)
    await vehicle.connect()
    bridge = LocalBridge([vehicle], BridgeSettings(), clock)
    await bridge.start()
    truth.is_thinking = lambda: bridge.driver(VEHICLE_ID).commander.thinking is not None
    record = _record(airfield.scene, clock)
    try:
        async with AsyncExitStack() as stack:
            bank = await stack.enter_async_context(episode_bank(loop)) if flight.memory_reader else None
            mission_loop = MissionLoop(
                crew=Crew(bridge, engine, bank),
                policy=policy,
                record=record,
                clock=clock,
                settings=flight,
                time_limit_s=_TIME_LIMIT_S,
                max_decisions=max_decisions,
            )
            await _to_the_end(mission_loop, record)
        happenings = [event.happening async for event in record.watch()]
        return record.mission, bridge.driver(VEHICLE_ID).commander.collisions, happenings
    finally:
        await bridge.close()
        vehicle.end()


async def _to_the_end(mission_loop: MissionLoop, record: MissionRecord) -> None:
    record.change_state(MissionState.RUNNING)
    try:
        claim = await mission_loop.run()
    except StillwingError as error:
        record.change_state(MissionState.FAILED, error=error)
    else:
        record.change_state(claim.state, answer=claim.answer, verification=claim.verification)


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
    """Lets the airfield run with the loop's time, and measures the way that is flown and what thinking costs."""

    def __init__(self, airfield: Airfield, loop: SimulatedLoop) -> None:
        self._airfield = airfield
        self._owed_s = 0.0
        self._unsampled_s = 0.0
        self.simulated_s = 0.0
        self.path_m = 0.0
        self.thinking_s = self.drift_m = 0.0
        self.is_thinking: Callable[[], bool] = lambda: False
        self.track: list[tuple[float, float, float, float, int]] = []
        self._next_point_s = 0.0
        self._thinking_at_m: tuple[float, float] | None = None
        self.position_m = self._position_m()
        self.nearest_m = _level_distance_m(self.position_m, airfield.scene)
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
        self._watch_thinking(steps_s)
        self._unsampled_s += steps_s
        if self._unsampled_s >= _PATH_SAMPLE_S:
            self._unsampled_s = 0.0
            before, self.position_m = self.position_m, self._position_m()
            self.path_m += math.dist(before, self.position_m)
            self.nearest_m = min(self.nearest_m, _level_distance_m(self.position_m, self._airfield.scene))
        if self.simulated_s >= self._next_point_s:
            self._next_point_s = self.simulated_s + _TRACK_S
            self.track.append(self._point())

    def _watch_thinking(self, passed_s: float) -> None:
        if not self.is_thinking():
            self._thinking_at_m = None
            return
        self.thinking_s += passed_s
        here_m = self._position_m()
        if self._thinking_at_m is None:
            self._thinking_at_m = here_m
        self.drift_m = max(self.drift_m, math.dist(here_m, self._thinking_at_m))

    def _point(self) -> tuple[float, float, float, float, int]:
        state = self._airfield.do(lambda vehicle: vehicle.state())
        north_m, east_m, _ = state.position_ned_m
        yaw_deg = math.degrees(state.yaw_rad)
        thinks = int(self._thinking_at_m is not None)
        return round(self.simulated_s, 2), round(north_m, 3), round(east_m, 3), round(yaw_deg, 1), thinks

    def _position_m(self) -> tuple[float, float]:
        north_m, east_m, _ = self._airfield.do(lambda vehicle: vehicle.state()).position_ned_m
        return north_m, east_m


def _level_distance_m(position_m: tuple[float, ...], scene: SceneSpec) -> float:
    return math.dist(position_m, scene.goal().position_ned_m[:2])
