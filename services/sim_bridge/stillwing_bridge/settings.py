"""The bridge's settings: the one place that reads its environment, STILLWING_BRIDGE_…"""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from stillwing_bridge.core.bridge import BridgeSettings
from stillwing_bridge.core.judge.effects import WatchdogSettings
from stillwing_bridge.core.judge.guards import GuardSettings
from stillwing_bridge.core.sight.camera_hub import FrameSettings
from stillwing_bridge.core.types import Limits
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.stop_file import StopFile
from stillwing_common.errors import InvalidInput
from stillwing_rpc.settings import ServerSettings

DEFAULT_PORT = 50061
_LIMITS, _GUARDS, _WATCHDOG, _FRAMES = Limits(), GuardSettings(), WatchdogSettings(), FrameSettings()


class SimBridgeSettings(ServerSettings):
    """How the bridge listens, which simulator it flies in, and what it enforces."""

    model_config = SettingsConfigDict(env_prefix="STILLWING_BRIDGE_", extra="ignore")

    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    airsim_address: str = Field(default="127.0.0.1:41451", description="The simulator's AirSim port, host:port.")
    vehicle_id: str = Field(default="drone", min_length=1, description="What the vehicle is called here.")
    vehicle_name: str = Field(default="", description="Its name in the simulator's settings; empty for the only one.")
    cameras: str = Field(default="front_center", description="Its cameras by name, comma-separated; the first leads.")
    simulated: bool = Field(default=True, description="Serve the world's controls; real vehicles have none.")
    wait_s: float = Field(default=600.0, ge=0, description="Longest wait for the simulator at the start.")
    operator_token: SecretStr = Field(
        default=SecretStr(""), description="Clears emergency stops; without one they last until the bridge restarts."
    )
    stop_file: Path | None = Field(
        default=None, description="File that keeps emergency stops over a restart; needs an operator token."
    )
    record: Path | None = Field(default=None, description="Folder that gets a flight log as lines of JSON.")

    max_speed_m_s: float = Field(default=_LIMITS.max_speed_m_s, gt=0, description="Fastest flight.")
    max_step_m: float = Field(default=_LIMITS.max_step_m, gt=0, description="Longest way of one command.")
    min_altitude_m: float = Field(default=_LIMITS.min_altitude_m, gt=0, description="Lowest flight above home.")
    max_altitude_m: float = Field(default=_LIMITS.max_altitude_m, gt=0, description="Highest flight above home.")
    fence_radius_m: float = Field(default=_LIMITS.fence_radius_m, gt=0, description="Fence round home.")
    max_velocity_ttl_s: float = Field(default=_LIMITS.max_velocity_ttl_s, gt=0, description="Longest velocity.")
    max_motion_ttl_s: float = Field(default=_LIMITS.max_motion_ttl_s, gt=0, description="Longest other motion.")
    max_observation_age_s: float = Field(
        default=_LIMITS.max_observation_age_s, gt=0, description="Oldest frame a motion may be based on."
    )
    max_unseen_step_m: float = Field(
        default=_LIMITS.max_unseen_step_m, ge=0, description="Longest way that no camera sees; 0 forbids all."
    )
    max_unseen_speed_m_s: float = Field(
        default=_LIMITS.max_unseen_speed_m_s, ge=0, description="Fastest flight along a way that no camera sees."
    )
    battery_floor_fraction: float = Field(
        default=_LIMITS.battery_floor_fraction, ge=0, lt=1, description="Charge below which only landing is flown."
    )
    battery_land_fraction: float = Field(
        default=_LIMITS.battery_land_fraction, ge=0, lt=1, description="Charge below which the bridge lands."
    )
    battery_endurance_s: float = Field(
        default=0.0, ge=0, description="Simulated battery: seconds with turning motors; 0 for none, as AirSim has none."
    )

    default_speed_m_s: float = Field(default=_GUARDS.default_speed_m_s, gt=0, description="Speed of commands.")
    takeoff_altitude_m: float = Field(default=_GUARDS.takeoff_altitude_m, gt=0, description="Height of a takeoff.")
    corridor_radius_m: float = Field(
        default=_GUARDS.corridor_radius_m, gt=0, description="What has to be free round the vehicle's way."
    )
    look_ahead_s: float = Field(default=_GUARDS.look_ahead_s, gt=0, description="How far a velocity looks ahead.")
    look_period_s: float = Field(
        default=_GUARDS.look_period_s, gt=0, description="How often the way is looked at again while it is flown."
    )
    blind_limit_s: float = Field(
        default=_GUARDS.blind_limit_s, gt=0, description="Longest flight of a velocity without a look at its way."
    )
    margin_m: float = Field(default=_GUARDS.margin_m, ge=0, description="What has to be free beyond its end.")

    notice_after_s: float = Field(default=_WATCHDOG.notice_after_s, gt=0, description="Silence that is logged.")
    hold_after_s: float = Field(default=_WATCHDOG.hold_after_s, gt=0, description="Silence that ends a motion.")
    descend_after_s: float = Field(default=_WATCHDOG.descend_after_s, gt=0, description="Silence that ends height.")
    land_after_s: float = Field(default=_WATCHDOG.land_after_s, gt=0, description="Silence that ends the flight.")
    lease_stale_after_s: float = Field(default=3.0, gt=0, le=30, description="Silence that ends a lease.")

    frame_rate_hz: float = Field(
        default=_FRAMES.rate_hz, gt=0, description="Frames a second for readers that name no rate."
    )
    max_frame_rate_hz: float = Field(default=_FRAMES.max_rate_hz, gt=0, description="Most frames a second.")
    jpeg_quality: int = Field(default=_FRAMES.jpeg_quality, ge=1, le=95, description="Quality of JPEG frames.")
    state_rate_hz: float = Field(default=20.0, gt=0, le=200, description="How often the vehicle's state is read.")
    flight_log_capacity: int = Field(default=20_000, ge=100, description="Entries of the flight log kept in memory.")

    def stops(self) -> StopFile | None:
        """Where emergency stops are kept; `InvalidInput` where none could ever be cleared again."""
        if self.stop_file is None:
            return None
        if not self.operator_token.get_secret_value():
            raise InvalidInput(
                "a stop_file keeps emergency stops until an operator clears them: set an operator_token too",
                field="stop_file",
            )
        return StopFile(self.stop_file)

    def airsim(self) -> AirSimSettings:
        """Where and what the simulator is; `InvalidInput` for an address that is none."""
        host, _, port = self.airsim_address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise InvalidInput(f"{self.airsim_address!r} is not host:port", field="airsim_address")
        cameras = tuple(name.strip() for name in self.cameras.split(",") if name.strip())
        if not cameras:
            raise InvalidInput("at least one camera is needed", field="cameras")
        return AirSimSettings(
            host.strip("[]"),
            int(port),
            self.vehicle_name,
            self.vehicle_id,
            cameras,
            battery_endurance_s=self.battery_endurance_s,
        )

    def bridge(self) -> BridgeSettings:
        """What the bridge enforces; `InvalidInput` for values that do not fit each other."""
        try:
            return BridgeSettings(
                limits=Limits(
                    self.max_speed_m_s,
                    self.max_step_m,
                    self.min_altitude_m,
                    self.max_altitude_m,
                    self.fence_radius_m,
                    self.max_velocity_ttl_s,
                    self.max_motion_ttl_s,
                    self.max_observation_age_s,
                    self.max_unseen_step_m,
                    self.max_unseen_speed_m_s,
                    self.battery_floor_fraction,
                    self.battery_land_fraction,
                ),
                guards=GuardSettings(
                    default_speed_m_s=self.default_speed_m_s,
                    takeoff_altitude_m=self.takeoff_altitude_m,
                    corridor_radius_m=self.corridor_radius_m,
                    margin_m=self.margin_m,
                    look_ahead_s=self.look_ahead_s,
                    look_period_s=self.look_period_s,
                    blind_limit_s=self.blind_limit_s,
                ),
                watchdog=WatchdogSettings(
                    self.notice_after_s, self.hold_after_s, self.descend_after_s, self.land_after_s
                ),
                frames=FrameSettings(self.frame_rate_hz, self.max_frame_rate_hz, self.jpeg_quality),
                simulated=self.simulated,
                operator_token=self._operator_token(),
                lease_stale_after_s=self.lease_stale_after_s,
                state_rate_hz=self.state_rate_hz,
                flight_log_capacity=self.flight_log_capacity,
            )
        except ValueError as error:
            raise InvalidInput(str(error)) from error

    def _operator_token(self) -> str:
        token = self.operator_token.get_secret_value()
        if "operator_token" in self.model_fields_set and not token.strip():
            raise InvalidInput(
                "STILLWING_BRIDGE_OPERATOR_TOKEN is empty; give it a token or leave it unset", field="operator_token"
            )
        return token
