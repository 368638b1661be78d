"""AirSim's settings.json: the part that means something here, read into a fleet; the rest is named, not passed over.

It knows AirSim's keys and conventions, and nothing of what is done with them.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stillwing_airfield.fleet import CameraPlan, DistanceSensor, Fleet, HomePoint, VehiclePlan
from stillwing_airfield.flight.controller import Quadruple, Triple
from stillwing_airfield.mounts import DEFAULT_CAMERA, DEFAULT_MOUNTS, Mount, camera_name, turned
from stillwing_airfield.rendering import Optics
from stillwing_common.errors import InvalidInput

_DISTANCE = 5
# Barometer, IMU, GPS and magnetometer: every vehicle has one.
_ALWAYS_THERE = (1, 2, 3, 4)
_SENSOR_TYPES = {6: "lidar"}
# About Unreal's window: leaving them alone changes nothing that a client could see.
_HARMLESS = frozenset({"SeeDocsAt", "ViewMode", "SettingsVersion", "RecordUIVisible", "LogMessagesVisible", "Comment"})
_PLACE = ("X", "Y", "Z", "Roll", "Pitch", "Yaw")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a settings.json says. `host` and `port` are None where it is silent; `unused` names keys without effect."""

    fleet: Fleet
    optics: Optics
    host: str | None = None
    port: int | None = None
    unused: tuple[str, ...] = ()


def load_settings(path: Path, optics: Optics) -> Settings:
    """Read a file; `optics` is what cameras are where it is silent.

    Raises `InvalidInput`, naming the key, for a file that is no settings.json or asks for what cannot be.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}", field="settings") from error
    return parse_settings(text, optics)


def parse_settings(text: str, optics: Optics) -> Settings:
    """The settings of a JSON text. Raises `InvalidInput`."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"settings.json is no JSON: {error}", field="settings") from error
    return _Reader(optics).settings(_Node("", found))


class _Node:
    """One object of the file: values are taken by key and type, and what nobody took is known in the end."""

    def __init__(self, path: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise InvalidInput(f"{path or 'settings.json'} is no object", field="settings")
        self.path = path
        self._value: Mapping[str, Any] = value
        self._taken: set[str] = set()
        self._children: list[_Node] = []

    def name(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str, kind: type | tuple[type, ...], default: Any) -> Any:
        """The value of `key`, which must be of a kind. Raises `InvalidInput`."""
        self._taken.add(key)
        value = self._value.get(key, default)
        if value is default:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InvalidInput(f"{self.name(key)} cannot be {json.dumps(value)[:60]}", field="settings")
        return value

    def number(self, key: str, default: float, least: float = -1e6, most: float = 1e6) -> float:
        """A finite number within bounds; AirSim writes NaN for one that is not given."""
        value = float(self.take(key, (int, float), default))
        if math.isnan(value):
            return default
        if not least <= value <= most:
            raise InvalidInput(f"{self.name(key)} is {least:g} to {most:g}, not {value:g}", field="settings")
        return value

    def has(self, key: str) -> bool:
        """Whether the key is given, and not as NaN."""
        value = self._value.get(key)
        return value is not None and not (isinstance(value, float) and math.isnan(value))

    def child(self, key: str) -> "_Node":
        """The object at `key`, empty if it is not given."""
        node = _Node(self.name(key), self.take(key, dict, {}))
        self._children.append(node)
        return node

    def children(self) -> list[tuple[str, "_Node"]]:
        """Every key as an object."""
        return [(key, self.child(key)) for key in self._value]

    def items(self, key: str) -> list["_Node"]:
        """The objects of the list at `key`."""
        values = self.take(key, list, [])
        nodes = [_Node(f"{self.name(key)}[{index}]", value) for index, value in enumerate(values)]
        self._children.extend(nodes)
        return nodes

    def unused(self) -> list[str]:
        """Names of all keys below here that nobody took."""
        own = [self.name(key) for key in self._value if key not in self._taken and key not in _HARMLESS]
        return own + [name for node in self._children for name in node.unused()]


class _Reader:
    def __init__(self, optics: Optics) -> None:
        self._optics = optics
        self._unused: list[str] = []

    def settings(self, root: _Node) -> Settings:
        mode = root.take("SimMode", str, "Multirotor")
        if mode not in ("Multirotor", ""):
            raise InvalidInput(f"SimMode is Multirotor here, not {mode!r}", field="settings")
        defaults = self._captures(root.child("CameraDefaults"), {})
        vehicles = tuple(self._vehicle(name, node, defaults) for name, node in root.child("Vehicles").children())
        flown = tuple(vehicle for vehicle in vehicles if vehicle is not None)
        wind = root.child("Wind")
        home = root.child("OriginGeopoint")
        fleet = Fleet(
            vehicles=flown or (VehiclePlan(cameras=self._cameras(_Node("", {}), defaults)),),
            wind_ned_m_s=(wind.number("X", 0.0), wind.number("Y", 0.0), wind.number("Z", 0.0)),
            home=HomePoint(
                home.number("Latitude", HomePoint().latitude_deg, -90, 90),
                home.number("Longitude", HomePoint().longitude_deg, -180, 180),
                home.number("Altitude", HomePoint().altitude_m),
            ),
            clock_speed=root.number("ClockSpeed", 1.0, 0.01, 100.0),
        )
        host, port = root.take("LocalHostIp", str, None), root.take("ApiServerPort", int, None)
        return Settings(
            fleet, defaults.get(0, self._optics), host or None, port, tuple(sorted([*root.unused(), *self._unused]))
        )

    def _vehicle(self, name: str, node: _Node, defaults: Mapping[int, Optics]) -> VehiclePlan | None:
        kind = node.take("VehicleType", str, "SimpleFlight")
        if kind.lower() != "simpleflight":
            raise InvalidInput(f"{node.name('VehicleType')} is SimpleFlight here, not {kind!r}", field="settings")
        if not node.take("AutoCreate", bool, True):
            self._unused.append(node.path)
            return None
        placed = any(node.has(key) for key in ("X", "Y", "Z"))
        is_turned = any(node.has(key) for key in ("Roll", "Pitch", "Yaw"))
        position, orientation = _place(node)
        return VehiclePlan(
            name=name,
            origin_ned_m=position if placed else None,
            orientation_wxyz=orientation if is_turned else None,
            cameras=self._cameras(node.child("Cameras"), defaults),
            distance_sensors=self._sensors(node.child("Sensors")),
        )

    def _cameras(self, node: _Node, defaults: Mapping[int, Optics]) -> dict[str, CameraPlan]:
        cameras = {name: CameraPlan(mount, defaults) for name, mount in DEFAULT_MOUNTS.items()}
        for name, camera in node.children():
            full = camera_name(name) or name
            mount = DEFAULT_MOUNTS.get(full, DEFAULT_MOUNTS[DEFAULT_CAMERA])
            if any(camera.has(key) for key in _PLACE):
                mount = Mount(*_place(camera))
            cameras[full] = CameraPlan(mount, self._captures(camera, defaults))
        return cameras

    def _captures(self, node: _Node, defaults: Mapping[int, Optics]) -> dict[int, Optics]:
        """Optics by image type, of which type 0 is what the others are where nothing is said of them."""
        found = dict(defaults)
        for capture in node.items("CaptureSettings"):
            kind = capture.take("ImageType", int, 0)
            old = found.get(kind, found.get(0, self._optics))
            found[kind] = replace(
                old,
                width_px=round(capture.number("Width", old.width_px, 16, 1920)),
                height_px=round(capture.number("Height", old.height_px, 16, 1080)),
                hfov_deg=capture.number("FOV_Degrees", old.hfov_deg, 1, 170),
            )
        return found

    def _sensors(self, node: _Node) -> dict[str, DistanceSensor]:
        sensors: dict[str, DistanceSensor] = {}
        for name, sensor in node.children():
            kind, enabled = sensor.take("SensorType", int, 0), sensor.take("Enabled", bool, True)
            if kind in _ALWAYS_THERE and enabled:
                continue
            if kind != _DISTANCE:
                what = _SENSOR_TYPES.get(kind, f"SensorType {kind}")
                self._unused.append(f"{sensor.path} ({what}{'' if enabled else ' switched off'})")
                continue
            if enabled:
                least, most = sensor.number("MinDistance", 0.2, 0), sensor.number("MaxDistance", 40.0, 0.01)
                sensors[name] = DistanceSensor(Mount(*_place(sensor)), least, most)
        return sensors


def _place(node: _Node) -> tuple[Triple, Quadruple]:
    """Metres in the frame of what it is part of, and the orientation from AirSim's degrees."""
    position = node.number("X", 0.0), node.number("Y", 0.0), node.number("Z", 0.0)
    return position, turned(node.number("Roll", 0.0), node.number("Pitch", 0.0), node.number("Yaw", 0.0))
