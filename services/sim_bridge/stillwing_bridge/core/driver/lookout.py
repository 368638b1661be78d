"""Looks before a vehicle flies and while it does: turns commands into plans, and has cameras show that the way is free.

It asks cameras for depth and leaves the geometry to `guards` and `depth`; it knows nothing of leases, lifetimes or who
commands.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from stillwing_bridge.core.commands import FlyTowards
from stillwing_bridge.core.judge import guards
from stillwing_bridge.core.judge.effects import Draft
from stillwing_bridge.core.judge.seen_frames import FrameRegistry
from stillwing_bridge.core.sight import depth
from stillwing_bridge.core.types import Limits
from stillwing_bridge.core.vehicle import FlyTo, FlyVelocity, Plan, Vehicle, VehicleState, View
from stillwing_common.errors import SimulatorError

_NEAR_M = 0.2
# On the way itself the corridor is a little narrower and the margin shorter than at its beginning: what was just free
# enough then must not be taken for an obstacle that came since.
_UNDERWAY_CORRIDOR = 0.8
_UNDERWAY_MARGIN = 0.5


class Lookout:
    """Guards one vehicle's ways; `state` reads the newest state, or raises."""

    def __init__(
        self,
        vehicle: Vehicle,
        frames: FrameRegistry,
        limits: Limits,
        settings: guards.GuardSettings,
        state: Callable[[], VehicleState],
    ) -> None:
        self._vehicle = vehicle
        self._frames = frames
        self._limits = limits
        self._settings = settings
        self._state = state
        self._underway = replace(
            settings,
            corridor_radius_m=settings.corridor_radius_m * _UNDERWAY_CORRIDOR,
            margin_m=settings.margin_m * _UNDERWAY_MARGIN,
        )
        self._seen: tuple[Plan, str] | None = None

    async def plan(self, draft: Draft) -> Plan:
        """What the draft's command means from here, its way looked at.

        Raises what `guards.plan_of` does, `Obstructed`, `WayUnseen`, `ObservationStale`, `SimulatorError`, `LinkLost`.
        """
        self._seen = None
        command = draft.command
        if isinstance(command, FlyTowards):
            frame = self._frames.check(draft.based_on_frame_id, self._state().stamp, self._limits.max_observation_age_s)
            view = await self._depth(frame.camera_id)
            lifted = depth.lift(command, frame, self._state(), view, self._limits, self._settings)
            self._seen = (lifted, frame.camera_id)
            return lifted
        plan = guards.plan_of(command, self._state(), self._limits, self._settings)
        way = guards.way_of(plan, self._state(), self._settings)
        if way is None:
            return plan
        assert isinstance(plan, FlyTo | FlyVelocity)
        for camera_id in self._depth_cameras():
            view = await self._depth(camera_id)
            if depth.in_view(way, view, self._settings.margin_m):
                depth.check_way(way, view, self._settings)
                self._seen = (plan, camera_id)
                return plan
        guards.check_unseen(plan, way, draft.ttl_s, self._limits)
        return plan

    async def until_obstructed(self, plan: Plan) -> None:
        """Look again and again at what is left of the plan's way; returns once something is in it.

        Waits indefinitely where no camera sees the way. Raises `SimulatorError`, `LinkLost` when a velocity was flown
        without a look for too long.
        """
        camera_id = self._camera_for(plan)
        if camera_id is None:
            await asyncio.get_running_loop().create_future()
        assert camera_id is not None
        while True:
            await asyncio.sleep(self._settings.look_period_s)
            way = guards.way_of(plan, self._state(), self._settings)
            if way is None or way.length_m < _NEAR_M:
                continue
            view = await self._look(camera_id, self._settings.blind_limit_s if isinstance(plan, FlyVelocity) else None)
            if depth.in_view(way, view, self._underway.margin_m) and (
                depth.free_length_m(way, view, self._underway) < way.length_m
            ):
                return

    def _camera_for(self, plan: Plan) -> str | None:
        if self._seen is not None and self._seen[0] is plan:
            return self._seen[1]
        turns = isinstance(plan, FlyVelocity) and plan.yaw_rate_deg_s != 0
        return next(iter(self._depth_cameras()), None) if turns else None

    def _depth_cameras(self) -> tuple[str, ...]:
        return tuple(camera.camera_id for camera in self._vehicle.spec.cameras if camera.has_depth)

    async def _look(self, camera_id: str, limit_s: float | None) -> depth.DepthView:
        try:
            async with asyncio.timeout(limit_s):
                return await self._depth(camera_id)
        except TimeoutError:
            raise SimulatorError(f"no depth picture of the way for {limit_s:g} s", camera_id=camera_id) from None

    async def _depth(self, camera_id: str) -> depth.DepthView:
        capture = await self._vehicle.capture(camera_id, (View.DEPTH,))
        if capture.depth_m is None or capture.camera_pose is None:
            raise SimulatorError("the camera gave no depth", camera_id=camera_id)
        camera = next(camera for camera in self._vehicle.spec.cameras if camera.camera_id == camera_id)
        return depth.DepthView(capture.depth_m, capture.camera_pose, camera.hfov_deg)
