"""Vehicles and what they show: states, frames, clocks."""

from stillwing.vehicle.v1 import vehicle_pb2
from stillwing_bridge.convert.commands import status_from_wire, status_to_wire
from stillwing_bridge.convert.stops import level_from_wire, level_to_wire
from stillwing_bridge.core.types import Camera, FrameUpdate, Limits, Telemetry, TimeSync, VehicleInfo
from stillwing_common.errors import InvalidInput
from stillwing_rpc.convert import (
    duration_from_wire,
    duration_to_wire,
    frame_from_wire,
    frame_to_wire,
    pose_from_wire,
    pose_to_wire,
    stamp_from_wire,
    stamp_to_wire,
    timestamp_from_wire,
    timestamp_to_wire,
    velocity_from_wire,
    velocity_to_wire,
)


def vehicle_to_wire(info: VehicleInfo) -> vehicle_pb2.Vehicle:
    """One vehicle and what it can do."""
    limits = info.limits
    return vehicle_pb2.Vehicle(
        vehicle_id=info.vehicle_id,
        cameras=[
            vehicle_pb2.Camera(
                camera_id=camera.camera_id,
                width_px=camera.width_px,
                height_px=camera.height_px,
                hfov_deg=camera.hfov_deg,
                has_depth=camera.has_depth,
            )
            for camera in info.cameras
        ],
        limits=vehicle_pb2.Limits(
            max_speed_m_s=limits.max_speed_m_s,
            max_step_m=limits.max_step_m,
            min_altitude_m=limits.min_altitude_m,
            max_altitude_m=limits.max_altitude_m,
            fence_radius_m=limits.fence_radius_m,
            max_velocity_ttl=duration_to_wire(limits.max_velocity_ttl_s),
            max_motion_ttl=duration_to_wire(limits.max_motion_ttl_s),
            max_observation_age=duration_to_wire(limits.max_observation_age_s),
            max_unseen_step_m=limits.max_unseen_step_m,
            max_unseen_speed_m_s=limits.max_unseen_speed_m_s,
            battery_floor_fraction=limits.battery_floor_fraction,
            battery_land_fraction=limits.battery_land_fraction,
        ),
        simulated=info.simulated,
    )


def vehicle_from_wire(message: vehicle_pb2.Vehicle) -> VehicleInfo:
    """One vehicle and what it can do."""
    cameras = tuple(
        Camera(camera.camera_id, camera.width_px, camera.height_px, camera.hfov_deg, camera.has_depth)
        for camera in message.cameras
    )
    return VehicleInfo(message.vehicle_id, cameras, _limits_from_wire(message.limits), message.simulated)


def _limits_from_wire(limits: vehicle_pb2.Limits) -> Limits:
    try:
        return Limits(
            max_speed_m_s=limits.max_speed_m_s,
            max_step_m=limits.max_step_m,
            min_altitude_m=limits.min_altitude_m,
            max_altitude_m=limits.max_altitude_m,
            fence_radius_m=limits.fence_radius_m,
            max_velocity_ttl_s=duration_from_wire(limits.max_velocity_ttl),
            max_motion_ttl_s=duration_from_wire(limits.max_motion_ttl),
            max_observation_age_s=duration_from_wire(limits.max_observation_age),
            max_unseen_step_m=limits.max_unseen_step_m,
            max_unseen_speed_m_s=limits.max_unseen_speed_m_s,
            battery_floor_fraction=limits.battery_floor_fraction,
            battery_land_fraction=limits.battery_land_fraction,
        )
    except ValueError as error:
        raise InvalidInput(f"limits: {error}", field="limits") from error


def telemetry_to_wire(telemetry: Telemetry) -> vehicle_pb2.WatchTelemetryResponse:
    """The newest state."""
    return vehicle_pb2.WatchTelemetryResponse(
        sequence=telemetry.sequence,
        stamp=stamp_to_wire(telemetry.stamp),
        pose=pose_to_wire(telemetry.pose),
        velocity=velocity_to_wire(telemetry.velocity),
        command=None if telemetry.command is None else status_to_wire(telemetry.command),
        armed=telemetry.armed,
        flying=telemetry.flying,
        collisions=telemetry.collisions,
        thinking=telemetry.thinking,
        emergency_stop=level_to_wire(telemetry.emergency_stop),
        last_collision_object=telemetry.last_collision_object,
        battery_fraction=telemetry.battery_fraction,
    )


def telemetry_from_wire(message: vehicle_pb2.WatchTelemetryResponse) -> Telemetry:
    """The newest state."""
    return Telemetry(
        sequence=message.sequence,
        stamp=stamp_from_wire(message.stamp),
        pose=pose_from_wire(message.pose),
        velocity=velocity_from_wire(message.velocity),
        command=status_from_wire(message.command) if message.HasField("command") else None,
        armed=message.armed,
        flying=message.flying,
        collisions=message.collisions,
        thinking=message.thinking,
        emergency_stop=level_from_wire(message.emergency_stop),
        last_collision_object=message.last_collision_object,
        battery_fraction=message.battery_fraction if message.HasField("battery_fraction") else None,
    )


def frame_update_to_wire(update: FrameUpdate) -> vehicle_pb2.WatchFramesResponse:
    """The newest frame."""
    return vehicle_pb2.WatchFramesResponse(
        sequence=update.sequence,
        frame=frame_to_wire(update.frame),
        receive_time=timestamp_to_wire(update.receive_time_ns),
        request_time=timestamp_to_wire(update.request_time_ns),
        offer_time=timestamp_to_wire(update.offer_time_ns),
    )


def frame_update_from_wire(message: vehicle_pb2.WatchFramesResponse) -> FrameUpdate:
    """The newest frame."""
    return FrameUpdate(
        message.sequence,
        frame_from_wire(message.frame),
        timestamp_from_wire(message.receive_time),
        timestamp_from_wire(message.request_time),
        timestamp_from_wire(message.offer_time),
    )


def time_sync_to_wire(sync: TimeSync) -> vehicle_pb2.TimeSyncResponse:
    """The second half of a round trip."""
    return vehicle_pb2.TimeSyncResponse(
        client_send_time=timestamp_to_wire(sync.client_send_time_ns),
        bridge_receive_time=timestamp_to_wire(sync.bridge_receive_time_ns),
        bridge_send_time=timestamp_to_wire(sync.bridge_send_time_ns),
        vehicle=None if sync.vehicle is None else stamp_to_wire(sync.vehicle),
    )


def time_sync_from_wire(message: vehicle_pb2.TimeSyncResponse) -> TimeSync:
    """The second half of a round trip."""
    return TimeSync(
        timestamp_from_wire(message.client_send_time),
        timestamp_from_wire(message.bridge_receive_time),
        timestamp_from_wire(message.bridge_send_time),
        stamp_from_wire(message.vehicle) if message.HasField("vehicle") else None,
    )
