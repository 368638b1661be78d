"""What the bridge needs of a vehicle: read its state, hold it, keep it on a plan, look through its cameras.

A `Vehicle` is mechanism without judgement: leases, lifetimes, guards and ends of commands are decided by `commander`
and `driver`. This module knows no simulator.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stillwing_bridge.core.types import Camera
from stillwing_common.types import Pose, PositionNed, Stamp, VelocityNed


@dataclass(frozen=True, slots=True)
class VehicleState:
    """One reading. `collided_with` names what was hit since the reading before, except the ground; None if nothing.

    `controlled` says whether the vehicle takes commands from here; `battery_fraction` is None where none is reported.
    """

    stamp: Stamp
    pose: Pose
    velocity: VelocityNed
    flying: bool
    armed: bool
    collided_with: str | None = None
    controlled: bool = True
    battery_fraction: float | None = None


# Plans: a command after the guards, in absolute terms


@dataclass(frozen=True, slots=True)
class ClimbTo:
    """Arm if need be and climb to `altitude_m` above home."""

    altitude_m: float


@dataclass(frozen=True, slots=True)
class Descend:
    """Land and disarm; `speed_m_s` down until close to the ground."""

    speed_m_s: float


@dataclass(frozen=True, slots=True)
class FlyTo:
    """Fly straight to `goal`; `yaw_deg` None keeps the heading."""

    goal: PositionNed
    speed_m_s: float
    yaw_deg: float | None = None


@dataclass(frozen=True, slots=True)
class FlyVelocity:
    """Fly at a velocity in the body's level frame."""

    forward_m_s: float
    right_m_s: float
    down_m_s: float
    yaw_rate_deg_s: float


@dataclass(frozen=True, slots=True)
class TurnTo:
    """Turn on the spot to a heading, degrees clockwise from north."""

    yaw_deg: float


Plan = ClimbTo | Descend | FlyTo | FlyVelocity | TurnTo


class View(Enum):
    """What a camera can deliver."""

    COLOUR = "colour"
    DEPTH = "depth"


@dataclass(frozen=True, slots=True)
class Capture:
    """Pictures of one instant: `rgb` (H, W, 3) uint8, `depth_m` (H, W) float32 planar metres; None if not asked for."""

    stamp: Stamp
    camera_pose: Pose | None
    rgb: NDArray[np.uint8] | None = None
    depth_m: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class VehicleSpec:
    """What a vehicle is called and which cameras it has; the first is the default."""

    vehicle_id: str
    cameras: tuple[Camera, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if not self.vehicle_id or not self.cameras:
            raise ValueError("a vehicle has an id and at least one camera")


class Vehicle(Protocol):
    """One vehicle behind a link. Every coroutine raises `LinkLost` when the link is down or its own deadline passes.

    `hold` never waits for a picture, however slow; a cancelled coroutine sends nothing after its cancellation.
    """

    spec: VehicleSpec

    async def connect(self) -> None:
        """Open or reopen the link once; `LinkLost` says why it cannot."""

    async def close(self) -> None:
        """Close the link; the vehicle holds by itself or is held before."""

    async def state(self) -> VehicleState:
        """Read the state now."""

    async def hold(self) -> None:
        """Stop where it is; in force when this returns."""

    async def fly(self, plan: Plan, ttl_s: float) -> None:
        """Keep the vehicle on `plan` until cancelled, sending nothing once `ttl_s` seconds have passed.

        `Descend` returns when the vehicle stands disarmed on the ground; other plans may return or go on until
        cancelled: the caller judges by `state` when they are done.
        """

    async def kill(self) -> None:
        """Stop the motors now; raises unless they stand. May be called while anything else is under way."""

    async def capture(self, camera_id: str, views: Collection[View]) -> Capture:
        """Take all `views` at one instant."""
