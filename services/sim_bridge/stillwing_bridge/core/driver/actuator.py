"""Carries out what the commander decides: one task executes its effects strictly in order.

So a hold that was asked for first is in force first. What is flown runs beside that task and is ended before anything
else is sent; only motors that are to stop wait for nothing. It reads no state and lets no time pass: `driver` does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from stillwing_bridge.core.commands import CommandState
from stillwing_bridge.core.driver.lookout import Lookout
from stillwing_bridge.core.driver.progress import Progress
from stillwing_bridge.core.judge.commander import Commander
from stillwing_bridge.core.judge.effects import DescendNow, Effect, HoldNow, KillNow, LandNow, StartMotion
from stillwing_bridge.core.types import Limits, StopLevel
from stillwing_bridge.core.vehicle import Descend, FlyTo, FlyVelocity, Plan, Vehicle, VehicleState
from stillwing_common.errors import LinkLost, StillwingError
from stillwing_common.types import PositionNed

_log = logging.getLogger(__name__)

_UNATTENDED_TTL_S = 300.0
_RETRY_S = 1.0


class Actuator:
    """One vehicle's hands. `state` gives the newest state or raises, `refresh` reads one and has it judged.

    `changed` is set whenever the commander may have changed its mind about when to be asked again.
    """

    def __init__(
        self,
        vehicle: Vehicle,
        commander: Commander,
        lookout: Lookout,
        limits: Limits,
        land_speed_m_s: float,
        *,
        state: Callable[[], VehicleState],
        refresh: Callable[[], Awaitable[VehicleState]],
    ) -> None:
        self._vehicle = vehicle
        self._commander = commander
        self._lookout = lookout
        self._limits = limits
        self._land_speed_m_s = land_speed_m_s
        self._state = state
        self._refresh = refresh
        self._effects: asyncio.Queue[Effect] = asyncio.Queue()
        self._holds: dict[int, asyncio.Future[None]] = {}
        self._flying: asyncio.Task[None] | None = None
        self._killing: asyncio.Task[None] | None = None
        self._progress: tuple[str, Progress] | None = None
        self.changed = asyncio.Event()

    def pump(self) -> None:
        """Take what the commander has decided; call after every call on the commander."""
        for effect in self._commander.take_effects():
            if isinstance(effect, HoldNow):
                self._holds[effect.hold_id] = asyncio.get_running_loop().create_future()
            elif isinstance(effect, KillNow):
                self._kill_at_once()
            self._effects.put_nowait(effect)
        self.changed.set()

    async def run(self) -> None:
        """Execute effects until cancelled."""
        while True:
            effect = await self._effects.get()
            try:
                await self._carry_out(effect)
            except StillwingError as error:
                _log.warning("%s failed: %s", type(effect).__name__, error)
            self.pump()

    async def hold_in_force(self, hold_id: int) -> None:
        """Return when a hold that the commander asked for is in force; raises why it is not."""
        self.pump()
        # Shielded: the hold goes on even if nobody waits for it any more.
        await asyncio.shield(self._holds[hold_id])

    def outcome_of_stop(self, hold_id: int | None) -> asyncio.Future[None] | None:
        """Done when an emergency stop that the commander asked for is in force, by a hold or by stopped motors.

        Its error says why it is not. None for a landing, whose end nobody waits for.
        """
        self.pump()
        return self._killing if hold_id is None else self._holds[hold_id]

    def judge_progress(self, state: VehicleState) -> None:
        """End the motion in force where this reading shows that it is done, or will not be."""
        if self._progress is None:
            return
        command_id, progress = self._progress
        end = progress.judge(state)
        if end is not None:
            self._progress = None
            self._commander.motion_ended(command_id, end, progress.error)

    async def stop_flying(self) -> None:
        """End what is flown; nothing is sent for it after this returns."""
        self._progress = None
        task, self._flying = self._flying, None
        # Nothing else is sent before this task has ended: what it sent last is then older than the hold that follows.
        while task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)

    async def close(self) -> None:
        """End what is flown and wait for motors that are being stopped; `run` is cancelled before."""
        await self.stop_flying()
        if self._killing is not None:
            await asyncio.wait({self._killing})

    def _kill_at_once(self) -> None:
        # Motors that are to stop wait for nothing, not even for a hold under way; the queued effect stops them once
        # more when whatever was before it has been sent.
        if self._flying is not None:
            self._flying.cancel()
        self._killing = asyncio.create_task(self._vehicle.kill())
        self._killing.add_done_callback(self._on_killed)

    def _on_killed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the motors of %s could not be stopped: %s", self._vehicle.spec.vehicle_id, error)

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case HoldNow(hold_id, cause):
                await self._hold(hold_id, cause)
            case StartMotion(command_id, plan, ttl_s):
                await self.stop_flying()
                if self._commander.moving and self._commander.motion_id == command_id:
                    self._progress = (command_id, Progress(plan, self._limits))
                    self._flying = asyncio.create_task(self._fly(command_id, plan, ttl_s))
            case DescendNow() | LandNow() if self._commander.stop_level is StopLevel.KILL:
                return
            case DescendNow():
                here = self._state().pose.position
                goal = PositionNed(here.north_m, here.east_m, -self._limits.min_altitude_m)
                await self._fly_unattended(FlyTo(goal, self._land_speed_m_s))
            case LandNow():
                await self._fly_unattended(Descend(self._land_speed_m_s))
            case KillNow():
                await self.stop_flying()
                await self._vehicle.kill()

    async def _hold(self, hold_id: int, cause: str) -> None:
        await self.stop_flying()
        in_force = self._holds.pop(hold_id)
        try:
            await self._vehicle.hold()
        except StillwingError as error:
            _log.warning("hold (%s) failed: %s", cause, error)
            self._commander.hold_failed(hold_id, error)
            # A link that cannot hold is none: reading the state finds it closed, opens another and holds through that.
            await self._vehicle.close()
            if not in_force.done():
                in_force.set_exception(error)
                in_force.exception()  # nobody may be waiting for it
        else:
            self._commander.hold_in_force(hold_id)
            if not in_force.done():
                in_force.set_result(None)

    async def _fly_unattended(self, plan: Plan) -> None:
        await self.stop_flying()
        self._flying = asyncio.create_task(self._insist(plan))

    async def _insist(self, plan: Plan) -> None:
        # Under nobody's command nobody can be told of a failure: again, until it is done or something else is flown.
        while True:
            try:
                await self._vehicle.fly(plan, _UNATTENDED_TTL_S)
                return
            except StillwingError as error:
                _log.warning("%s under nobody's command failed: %s", type(plan).__name__, error)
                await asyncio.sleep(_RETRY_S)

    async def _fly(self, command_id: str, plan: Plan, ttl_s: float) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                watched = isinstance(plan, FlyTo | FlyVelocity)
                watch = group.create_task(self._watch_way(command_id, plan)) if watched else None
                await self._vehicle.fly(plan, ttl_s)
                if watch is not None:
                    watch.cancel()
                if isinstance(plan, Descend):
                    await self._refresh()  # whoever learns that it has landed must not find it armed
        except* StillwingError as errors:
            error = cast(StillwingError, errors.exceptions[0])
            _log.warning("%s failed: %s", type(plan).__name__, error)
            self._end_motion(
                command_id, CommandState.LINK_LOST if isinstance(error, LinkLost) else CommandState.FAILED, error
            )
        else:
            if isinstance(plan, Descend):
                self._end_motion(command_id, CommandState.SUCCEEDED)

    async def _watch_way(self, command_id: str, plan: Plan) -> None:
        await self._lookout.until_obstructed(plan)
        self._end_motion(command_id, CommandState.OBSTRUCTED)

    def _end_motion(self, command_id: str, state: CommandState, error: StillwingError | None = None) -> None:
        self._commander.motion_ended(command_id, state, error)
        self.pump()
