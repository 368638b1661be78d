"""Calls that read a vehicle: state, ground truth, collisions, rotors. Nothing here moves it, but for the teleports."""

from typing import Any

from stillwing_airfield import values, wire
from stillwing_airfield.calls.binding import CallFailed, Slot, bind
from stillwing_airfield.calls.segments import Segments
from stillwing_airfield.faults import Faults
from stillwing_airfield.flight.controller import GRAVITY_M_S2
from stillwing_airfield.sim import Airfield


class StateCalls:
    """Bound to one simulator."""

    def __init__(self, airfield: Airfield, segments: Segments, faults: Faults) -> None:
        self._airfield = airfield
        self._segments = segments
        self._faults = faults
        self._home = airfield.fleet.home

    @bind("getMultirotorState", Slot.VEHICLE)
    def get_multirotor_state(self, vehicle: str) -> dict[str, Any]:
        kinematics, landed = self._airfield.do(lambda v: (v.kinematics(), v.landed), vehicle)
        landed_state = self._faults.landed(vehicle, landed, kinematics.time_ns)
        return values.multirotor_state(kinematics, landed_state, self._home)

    @bind("getRotorStates", Slot.VEHICLE)
    def get_rotor_states(self, vehicle: str) -> dict[str, Any]:
        rotors, state, time_ns = self._airfield.do(lambda v: (v.autopilot.rotors, v.state(), v.time_ns), vehicle)
        return values.rotor_states(rotors, state, time_ns)

    @bind("simGetVehiclePose", Slot.SIM_VEHICLE)
    def get_vehicle_pose(self, vehicle: str) -> dict[str, Any]:
        state = self._airfield.do(lambda v: v.state(), vehicle)
        return values.pose(state.position_ned_m, state.orientation_wxyz)

    @bind("simSetVehiclePose", values.POSE, wire.boolean, Slot.SIM_VEHICLE)
    def set_vehicle_pose(self, pose: dict[str, Any], _ignore_collision: bool, vehicle: str) -> None:
        position = values.triple(pose["position"])
        turn = values.unit(position, values.quadruple(pose["orientation"]))
        self._faults.moved(vehicle)
        self._airfield.do(lambda v: v.place(position, turn), vehicle)

    @bind("simGetGroundTruthKinematics", Slot.SIM_VEHICLE)
    def get_kinematics(self, vehicle: str) -> dict[str, Any]:
        return values.kinematics(self._airfield.do(lambda v: v.kinematics(), vehicle))

    @bind("simSetKinematics", values.KINEMATICS, wire.boolean, Slot.SIM_VEHICLE)
    def set_kinematics(self, state: dict[str, Any], _ignore_collision: bool, vehicle: str) -> None:
        place = values.mount(state)
        velocity, rates = values.triple(state["linear_velocity"]), values.triple(state["angular_velocity"])
        if not all(abs(part) <= _FASTEST for part in (*velocity, *rates)):
            raise CallFailed(f"velocities and rates are finite and at most {_FASTEST:g}")
        self._airfield.do(
            lambda v: v.set_kinematics(place.offset_body_m, place.orientation_wxyz, velocity, rates), vehicle
        )

    @bind("simGetGroundTruthEnvironment", Slot.SIM_VEHICLE)
    def get_environment(self, vehicle: str) -> dict[str, Any]:
        position = self._airfield.do(lambda v: v.state(), vehicle).position_ned_m
        air = values.barometer(self._home.altitude_m - position[2], 0)
        return {
            "position": values.vector3r(position),
            "geo_point": values.geo_point(position, self._home),
            "gravity": values.vector3r((0.0, 0.0, GRAVITY_M_S2)),
            "air_pressure": air["pressure"],
            "temperature": 288.15 - 0.0065 * air["altitude"],
            "air_density": 1.225 * (1 - 2.25577e-5 * air["altitude"]) ** 4.25588,
        }

    @bind("simGetCollisionInfo", Slot.SIM_VEHICLE)
    def get_collision_info(self, vehicle: str) -> dict[str, Any]:
        collision = self._airfield.do(lambda v: v.take_collision(), vehicle)
        return values.collision(collision, self._segments.id_of(collision.object_name))

    @bind("getHomeGeoPoint", Slot.VEHICLE)
    def get_home_geo_point(self, _vehicle: str) -> dict[str, Any]:
        return values.geo_point((0.0, 0.0, 0.0), self._home)


_FASTEST = 100.0
