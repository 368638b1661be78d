"""The mission loop: lease, takeoff, session, frame pump, policy; and at every end a vehicle that holds.

Whatever ends a mission (its goal, its limits, a cancel, the loss of engine or bridge), the vehicle is told to hold and
its lease is returned; where even that fails, the bridge's own silence rules hold it. The loop knows nothing of how a
policy decides. All methods run on one event loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from stillwing_agent.core.events import ActionFinished, ActionStarted, Briefed, FramesEvicted, ServiceLost, ToldOutside
from stillwing_agent.core.flight import Flight, FlightSettings
from stillwing_agent.core.held_asking import InstructionChanged
from stillwing_agent.core.lasting_session import LastingSession
from stillwing_agent.core.lease_keeper import LeaseKeeper, Life
from stillwing_agent.core.mission.assembly import Crew, ExportBin, Parts, assemble, session_config
from stillwing_agent.core.mission.engine_return import ENGINE, EngineReturn, needed_engine
from stillwing_agent.core.mission.speaking import profile_of
from stillwing_agent.core.mission_record import MissionRecord
from stillwing_agent.core.policy import Policy
from stillwing_agent.core.prompting.taught import Taught
from stillwing_agent.core.tools.cockpit import raise_unless_succeeded
from stillwing_agent.core.tools.instruments import read_telemetry
from stillwing_agent.core.types import Claim, Verification
from stillwing_bridge.core.commands import CommandState, Hold, Takeoff
from stillwing_bridge.core.protocol import Bridge
from stillwing_bridge.core.types import Lease, VehicleInfo
from stillwing_common.clock import Clock
from stillwing_common.errors import (
    AnswerTimeout,
    BridgeGone,
    DecisionsUsedUp,
    EngineAway,
    Expired,
    FramesStopped,
    InternalFault,
    LeaseHeld,
    LeaseWrongEpoch,
    StillwingError,
    TimeLimitReached,
    Unavailable,
    UnknownVehicle,
    Unsupported,
)
from stillwing_common.ids import new_id
from stillwing_vlm.core.protocol import VideoStream
from stillwing_vlm.core.results import ModelInfo

_log = logging.getLogger(__name__)

_LEASE_RETRY_S = 0.25

_OF_A_BRIDGE_GONE = (Unavailable, Expired, LeaseWrongEpoch)
"""These themselves, none of their kinds: what a call fails with that does not get through, or meets a new bridge."""

_EVICTED_AT_ONCE = 64
"""Evictions are logged in batches, so that the log's length follows the decisions and not the frames."""


@dataclass(slots=True)
class MissionLoop:
    """Flies one mission with one policy and writes all of it to `record`."""

    crew: Crew
    policy: Policy
    record: MissionRecord
    clock: Clock
    settings: FlightSettings
    time_limit_s: float
    max_decisions: int
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _life: Life = field(default_factory=Life)
    _evicted: list[str] = field(default_factory=list)

    async def run(self) -> Claim:
        """Fly; returns the policy's claim. Raises what ended the mission otherwise; the vehicle holds either way."""
        mission = self.record.mission
        lease = await self._acquire_lease(mission.vehicle_id)
        limit = asyncio.timeout(self.time_limit_s)
        deadline_s = self.clock.monotonic_s() + self.time_limit_s
        try:
            async with limit:
                return await self._beside(
                    self._fly(lease, deadline_s),
                    LeaseKeeper(self.crew.bridge, lease, self._life, self.settings.retain_interval_s).run(),
                )
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeLimitReached(f"{self.time_limit_s:g} s", time_limit_s=self.time_limit_s) from error
        except _OF_A_BRIDGE_GONE as error:
            # The engine's say EngineGone, and the memory bank's end no mission.
            if type(error) in _OF_A_BRIDGE_GONE:
                raise BridgeGone(str(error.detail or error)) from error
            raise
        finally:
            await self._leave_holding(lease)

    async def _acquire_lease(self, vehicle_id: str) -> Lease:
        give_up_s = self.clock.monotonic_s() + self.settings.lease_wait_s
        while True:
            try:
                state = await self.crew.bridge.acquire_lease(vehicle_id, f"agent {self.record.mission.mission_id}")
            except LeaseHeld:
                if self.clock.monotonic_s() >= give_up_s:
                    raise
                await self.pause(_LEASE_RETRY_S)
            else:
                return state.lease

    async def _fly(self, lease: Lease, deadline_s: float) -> Claim:
        with needed_engine():
            model = await self.crew.engine.model_info()
        taught = Taught.read(model.chat.training_range)
        self._tell_outside(taught, self.record.mission.goal)
        await self._take_off(lease)
        layers = await self._scored_layers(model)
        vehicle = await self._vehicle(lease.vehicle_id)
        profile = profile_of(
            self.policy.prompt_profile,
            self.settings,
            model,
            vehicle,
            has_memory=self.crew.memory is not None,
            own_tools=tuple(tool.spec for tool in self.crew.own_tools),
        )
        briefing = profile.briefing()
        self.record.add(Briefed(profile.name.value, briefing.system_prompt, briefing.tools))
        exports = self.crew.exports if model.can_export and self.settings.export_every_chunks else None
        mission_id = self.record.mission.mission_id
        config = session_config(briefing, self.settings, mission_id, layers, exports=exports is not None)
        async with AsyncExitStack() as stack:
            with needed_engine():
                session = await LastingSession.open(self.crew.engine, model, config, self._engine_lost)
            if exports is not None:
                stack.push_async_callback(self._delete_export, exports, mission_id)
            stack.push_async_callback(self._close, session)
            flight = Flight(
                self.crew.bridge,
                lease,
                session,
                self.record,
                self._life,
                self.clock,
                self.settings,
                deadline_s,
                self.pause,
            )
            parts = assemble(
                flight,
                self.crew.memory,
                model,
                profile,
                vehicle,
                own_tools=self.crew.own_tools,
                scores_attention=bool(layers),
                max_decisions=self.max_decisions,
                on_taken=self._frames_taken,
            )
            returning = EngineReturn(flight, parts.asking, parts.pump)
            beside = [parts.pump.run(), self._watch_evictions(session, parts), returning.hold_when_lost()]
            if parts.filer is not None:
                beside.append(parts.filer.run())
            try:
                return await self._beside(self._decide(parts, returning, taught), *beside)
            finally:
                self._log_evicted()

    async def _decide(self, parts: Parts, returning: EngineReturn, taught: Taught) -> Claim:
        """Follow the goal and then each further instruction; the claim of the last. The vehicle holds between two."""
        toolbox, memory, claim = parts.toolbox, parts.memory, Claim("", achieved=False)
        await self._look(parts, returning)
        while True:
            try:
                number = self.record.mission.instruction_number
                if memory is not None and not memory.follows(number):
                    with self._life.waiting():
                        await memory.begin(toolbox.goal, number)
                claim = await self.policy.fly(toolbox)
                if claim.achieved and not self.record.mission.waiting_instructions:
                    claim = replace(claim, verification=await self._verify(parts))
            except EngineAway:
                # What was under way is broken off, and decided anew by what the model sees then.
                await self._look(parts, returning)
                continue
            except InstructionChanged:
                _log.info("mission %s: broken off for another instruction", self.record.mission.mission_id)
            except DecisionsUsedUp:
                await self._drain(parts)
                raise
            turned = self.record.turn()
            if turned is None:
                await self._drain(parts)
                return claim
            self._tell_outside(taught, turned.text)
            await parts.asking.hold()
            toolbox.turned()
            if memory is not None:
                await memory.flush()

    async def _look(self, parts: Parts, returning: EngineReturn) -> None:
        """Wait until the engine, which may have to come back, has a frame of the present."""
        while True:
            try:
                await returning.wait()
                return await parts.cockpit.wait_fresh_frame()
            except EngineAway:
                _log.info("mission %s: the engine died again", self.record.mission.mission_id)

    async def _verify(self, parts: Parts) -> Verification | None:
        """What the model says of the claim it has just made; a claim stands where it cannot be asked."""
        try:
            return await parts.cockpit.verify(parts.toolbox.goal)
        except (AnswerTimeout, EngineAway, FramesStopped, Unsupported) as error:
            _log.warning("mission %s: its claim is not verified: %s", self.record.mission.mission_id, error)
            return None

    async def _scored_layers(self, info: ModelInfo) -> tuple[int, ...]:
        """Layers whose attention the memory bank scores by; none where it does not, or does not answer."""
        if self.crew.memory is None or not self.settings.memory_reader or not info.layers:
            return ()
        try:
            async with asyncio.timeout(self.settings.memory.timeout_s):
                scorer = (await self.crew.memory.get_bank()).scorer
        except (TimeoutError, StillwingError) as error:
            _log.warning("the memory bank does not say how it scores: %s", error or type(error).__name__)
            return ()
        return (self.settings.memory.layers or (2 * info.layers // 3,)) if scorer == "attention" else ()

    async def _vehicle(self, vehicle_id: str) -> VehicleInfo:
        vehicles = await self.crew.bridge.list_vehicles()
        known = next((vehicle for vehicle in vehicles if vehicle.vehicle_id == vehicle_id), None)
        if known is None:
            raise UnknownVehicle("the bridge has it no more", vehicle_id=vehicle_id)
        return known

    async def _drain(self, parts: Parts) -> None:
        if parts.memory is not None:
            await parts.memory.end()
        # Only after ends at which the vehicle holds already: after any other, telling it to hold comes first.
        if parts.filer is not None:
            await parts.filer.drain(self.settings.put_timeout_s)

    async def _take_off(self, lease: Lease) -> None:
        bridge, settings = self.crew.bridge, self.settings
        if await self._is_flying(lease.vehicle_id):
            return
        action_id = new_id("act")
        self.record.add(ActionStarted(action_id, "takeoff", {"altitude_m": settings.takeoff_altitude_m}))
        try:
            command_id = await bridge.command(
                lease, Takeoff(settings.takeoff_altitude_m), ttl_s=settings.takeoff_ttl_s, request_id=action_id
            )
            while True:
                status = await bridge.wait_command(command_id, settings.wait_step_s)
                self._life.beat()
                if status.state is not CommandState.RUNNING:
                    break
            raise_unless_succeeded(status)
        except StillwingError as error:
            self.record.add(ActionFinished(action_id, error=error))
            raise
        self.record.add(ActionFinished(action_id, {"state": status.state.value}))

    async def _is_flying(self, vehicle_id: str) -> bool:
        telemetry = await read_telemetry(self.crew.bridge, vehicle_id, self.settings.frame_timeout_s)
        return telemetry.flying

    async def _watch_evictions(self, session: VideoStream, parts: Parts) -> None:
        async for evicted in session.evictions():
            parts.pump.evicted(evicted.oldest_frame_id)
            if parts.memory is not None:
                parts.memory.evicted(evicted.frame_ids, evicted.frame_keys)
            self._evicted.extend(evicted.frame_ids)
            if len(self._evicted) >= _EVICTED_AT_ONCE:
                self._log_evicted()

    def _log_evicted(self) -> None:
        if self._evicted:
            self.record.add(FramesEvicted(tuple(self._evicted)))
            self._evicted.clear()

    def _tell_outside(self, taught: Taught, instruction: str) -> None:
        outside = taught.outside(instruction)
        if outside is not None:
            _log.warning("mission %s: not taught: %s", self.record.mission.mission_id, "; ".join(outside.reasons))
            self.record.add(ToldOutside(outside))

    def _engine_lost(self, error: EngineAway) -> None:
        _log.warning("mission %s: %s", self.record.mission.mission_id, error)
        self.record.add(ServiceLost(ENGINE, error))

    def _frames_taken(self, frames: int) -> None:
        self.record.count_frames_seen(frames)
        self._life.frame_taken()

    async def _beside(self, main: Awaitable[Claim], *others: Awaitable[None]) -> Claim:
        """Run `main`; the first of `others` to end ends it too, with that one's error."""
        task = asyncio.ensure_future(main)
        tasks = [task, *(asyncio.ensure_future(other) for other in others)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if task in done and task.exception() is None:
                return task.result()
            # What the mission itself failed with is often only the echo of what failed beside it.
            for ended in done - {task}:
                ended.result()
            if task in done:
                return task.result()
            raise InternalFault("a part of the mission ended before the mission")
        finally:
            for running in tasks:
                running.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _close(self, session: VideoStream) -> None:
        await self._try("close the engine session", session.close())

    async def _delete_export(self, exports: ExportBin, name: str) -> None:
        await self._try("delete the session's export", exports.delete_export(name))

    async def _leave_holding(self, lease: Lease) -> None:
        bridge = self.crew.bridge
        await asyncio.shield(self._leave_holding_steps(bridge, lease))

    async def _leave_holding_steps(self, bridge: Bridge, lease: Lease) -> None:
        await self._try("hold", bridge.command(lease, Hold(), request_id=new_id("req")))
        await self._try("end thinking", bridge.end_thinking(lease))
        await self._try("return the lease", bridge.return_lease(lease))

    async def _try(self, what: str, step: Awaitable[object]) -> None:
        """One step of leaving: a failure is logged, never in the way of the next step."""
        try:
            async with asyncio.timeout(self.settings.leave_timeout_s):
                await step
        except (StillwingError, TimeoutError) as error:
            mission_id = self.record.mission.mission_id
            _log.warning("mission %s: could not %s: %s", mission_id, what, error or type(error).__name__)
