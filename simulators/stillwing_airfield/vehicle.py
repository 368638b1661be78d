"""The flying vehicle in its world: physics step by step under the autopilot's wrench, and what can be sensed of it.

One thread at a time. It knows nothing of real time, cameras or wires.
"""

import math
from dataclasses import dataclass, replace

from stillwing_airfield.axes import quaternion_from_euler, rotation_matrix
from stillwing_airfield.flight.autopilot import Autopilot
from stillwing_airfield.flight.controller import GRAVITY_M_S2, Goal, Quadruple, Triple, VehicleState
from stillwing_airfield.flight.tasks import COMMAND_PERIOD_S, TaskRunner
from stillwing_airfield.world import Contact, World


@dataclass(frozen=True, slots=True)
class Collision:
    """The latest time the vehicle came to touch something; `has_collided` stays until it is read."""

    has_collided: bool = False
    object_name: str = ""
    position_ned_m: Triple = (0.0, 0.0, 0.0)
    impact_point_ned_m: Triple = (0.0, 0.0, 0.0)
    normal_ned: Triple = (0.0, 0.0, 0.0)
    penetration_m: float = 0.0
    time_ns: int = 0


@dataclass(frozen=True, slots=True)
class Kinematics:
    """Everything about the vehicle's motion at one instant."""

    state: VehicleState
    acceleration_ned_m_s2: Triple
    angular_acceleration_body_rad_s2: Triple
    time_ns: int


class Vehicle:
    """One vehicle of a world with its autopilot and tasks. Itself the `Flight` that tasks see.

    All its positions are local: NED metres from where it started.
    """

    def __init__(
        self,
        world: World,
        index: int = 0,
        origin_ned_m: Triple = (0.0, 0.0, 0.0),
        start_orientation_wxyz: Quadruple | None = None,
    ) -> None:
        """Vehicle `index` of `world`, at `origin_ned_m` of it; None turns it as the scene has it."""
        self._world = world
        self._index = index
        self.origin_ned_m = origin_ned_m
        self._start_orientation = start_orientation_wxyz
        body = world.body_id(index)
        inertia = [float(part) for part in world.model.body_inertia[body]]
        self.autopilot = Autopilot(float(world.model.body_mass[body]), (inertia[0], inertia[1], inertia[2]))
        self.tasks = TaskRunner()
        self._step_ns = round(world.timestep_s * 1e9)
        self._steps_per_command = round(COMMAND_PERIOD_S / world.timestep_s)
        self._steps = 0
        self._q, self._v = 7 * index, 6 * index
        self._collision = Collision()
        self._touching: frozenset[str] = frozenset()
        self._on_ground = False
        self._go_to_start()
        self._settle()

    def _go_to_start(self) -> None:
        turn = self._start_orientation
        if turn is None:
            w, x, y, z = quaternion_from_euler(yaw_deg=self._world.scene.start_yaw_deg).tolist()
            turn = (w, x, y, z)
        self._world.place_vehicle(self.origin_ned_m, turn, self._index)

    # What tasks see

    def state(self) -> VehicleState:
        """The vehicle now."""
        return self._state

    def time_s(self) -> float:
        """Simulated seconds; resets do not set it back."""
        return self._steps * self._step_ns * 1e-9

    @property
    def time_ns(self) -> int:
        """Simulated nanoseconds, exact."""
        return self._steps * self._step_ns

    def command(self, goal: Goal) -> None:
        """Send a setpoint to the autopilot."""
        self.autopilot.command(goal, self.time_s())

    # What moves it

    def step(self) -> None:
        """One physics step of a world in which this is the only vehicle."""
        self.before_step()
        self._world.step(1)
        self.after_step()

    def before_step(self) -> None:
        """Push as the autopilot wants; every fourth step begins with the next setpoint of the running task."""
        if self._steps % self._steps_per_command == 0:
            self.tasks.tick()
            if self._on_ground:
                self._look_at_contacts()
        wrench = self.autopilot.update(self._state, self.time_s(), self._on_ground)
        self._world.apply_body_wrench(wrench.force_ned_n, wrench.torque_body_nm, self._index)

    def after_step(self) -> None:
        """The world has made its step."""
        self._steps += 1
        self._before = self._state
        self._refresh()
        # Listing contacts costs more than a step: while standing it is done with the setpoints only.
        if self._world.data.ncon and not self._on_ground:
            self._look_at_contacts()
        elif not self._world.data.ncon:
            self._touching, self._on_ground = frozenset(), False

    def reset(self) -> None:
        """Back to the start: tasks cancelled, motors off, API control dropped, collision forgotten.

        The world itself is for its owner to reset, before.
        """
        self.tasks.cancel()
        self.autopilot.reset()
        self._go_to_start()
        self._collision = Collision()
        self._settle()

    def place(self, position_ned_m: Triple, orientation_wxyz: Quadruple) -> None:
        """Teleport, at rest; a component that is NaN keeps what it was. What it hovers at moves along."""
        now = self._state
        north, east, down = (
            old if math.isnan(new) else new for new, old in zip(position_ned_m, now.position_ned_m, strict=True)
        )
        turned = now.orientation_wxyz if any(map(math.isnan, orientation_wxyz)) else orientation_wxyz
        self._world.place_vehicle(self.world_position((north, east, down)), turned, self._index)
        self._settle()
        self.autopilot.place(self._state)

    def set_kinematics(
        self, position_ned_m: Triple, orientation_wxyz: Quadruple, velocity_ned_m_s: Triple, rates_body_rad_s: Triple
    ) -> None:
        """Teleport, and move and turn on from there."""
        self.place(position_ned_m, orientation_wxyz)
        self._world.set_velocity(velocity_ned_m_s, rates_body_rad_s, self._index)
        self._refresh()
        self._before = self._state

    def world_position(self, local_ned_m: Triple) -> Triple:
        """Where a local position is in the world's NED."""
        north, east, down = (here + start for here, start in zip(local_ned_m, self.origin_ned_m, strict=True))
        return north, east, down

    def _local(self, world_ned_m: Triple) -> Triple:
        north, east, down = (there - start for there, start in zip(world_ned_m, self.origin_ned_m, strict=True))
        return north, east, down

    def _settle(self) -> None:
        self._refresh()
        self._before = self._state
        self._touching, self._on_ground = frozenset(), False
        self._look_at_contacts()

    def _refresh(self) -> None:
        # Straight from MuJoCo's arrays: the readers of `World` cost as much as the step itself.
        x, y, z, qw, qx, qy, qz = self._world.data.qpos[self._q : self._q + 7].tolist()
        vx, vy, vz, p, q, r = self._world.data.qvel[self._v : self._v + 6].tolist()
        north, east, down = self.origin_ned_m
        self._state = VehicleState((x - north, -y - east, -z - down), (vx, -vy, -vz), (qw, qx, -qy, -qz), (p, -q, -r))

    def _look_at_contacts(self) -> None:
        contacts = self._world.contacts(self._index)
        was_touching = self._touching
        self._touching = frozenset(contact.object_name for contact in contacts)
        self._on_ground = any(contact.normal_ned[2] < -0.7 for contact in contacts)
        fresh = [contact for contact in contacts if contact.object_name not in was_touching]
        if fresh and self.autopilot.taken_off:
            self._collision = self._report(fresh[0])

    def _report(self, contact: Contact) -> Collision:
        return Collision(
            has_collided=True,
            object_name=contact.object_name,
            position_ned_m=self._state.position_ned_m,
            impact_point_ned_m=self._local(contact.position_ned_m),
            normal_ned=contact.normal_ned,
            penetration_m=contact.penetration_m,
            time_ns=self.time_ns,
        )

    # What can be sensed

    @property
    def landed(self) -> bool:
        """Standing with idle motors."""
        return self.autopilot.landed

    @property
    def collision(self) -> Collision:
        """The latest collision, without forgetting it."""
        return self._collision

    def take_collision(self) -> Collision:
        """The latest collision; `has_collided` is False from the next reading on, until it collides again."""
        collision = self._collision
        self._collision = replace(collision, has_collided=False)
        return collision

    def kinematics(self) -> Kinematics:
        """State and accelerations (differences over the last step)."""
        now, before, step_s = self._state, self._before, self._step_ns * 1e-9
        linear = [(a - b) / step_s for a, b in zip(now.velocity_ned_m_s, before.velocity_ned_m_s, strict=True)]
        angular = [(a - b) / step_s for a, b in zip(now.rates_body_rad_s, before.rates_body_rad_s, strict=True)]
        return Kinematics(now, (linear[0], linear[1], linear[2]), (angular[0], angular[1], angular[2]), self.time_ns)

    def distance_m(self, offset_body_m: Triple, direction_body: Triple, max_m: float) -> float | None:
        """To the first thing along a ray from a place on the vehicle, or None within `max_m`."""
        offset = to_world(self._state.orientation_wxyz, offset_body_m)
        north, east, down = (a + b for a, b in zip(self._state.position_ned_m, offset, strict=True))
        origin = self.world_position((north, east, down))
        return self._world.cast_ray(origin, to_world(self._state.orientation_wxyz, direction_body), max_m, self._index)

    def accelerometer_body_m_s2(self) -> Triple:
        """Specific force as an accelerometer feels it: body axes, (0, 0, -g) at rest."""
        north, east, down = self.kinematics().acceleration_ned_m_s2
        return to_body(self._state.orientation_wxyz, (north, east, down - GRAVITY_M_S2))


def to_body(orientation_wxyz: Quadruple, vector_ned: Triple) -> Triple:
    """A NED vector in body axes."""
    forward, right, down = (rotation_matrix(orientation_wxyz).T @ vector_ned).tolist()
    return forward, right, down


def to_world(orientation_wxyz: Quadruple, vector_body: Triple) -> Triple:
    """A body vector in NED."""
    north, east, down = (rotation_matrix(orientation_wxyz) @ vector_body).tolist()
    return north, east, down
