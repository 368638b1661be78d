"""Emergency stops in a file of JSON, written whole and flushed to the disk. Knows nothing of vehicles or commands."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from stillwing_bridge.core.types import EmergencyStop, StopLevel
from stillwing_common.durable import replace_durably
from stillwing_common.errors import InvalidInput


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    level: str
    reason: str
    latched_time_ns: int
    who: str = ""


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")
    emergency_stops: dict[str, _Entry]


class StopFile:
    """A `StopStore` in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, EmergencyStop]:
        """See `StopStore.load`; a file that is not there holds no stops."""
        try:
            content = _Content.model_validate_json(self.path.read_bytes())
            return {
                vehicle_id: EmergencyStop(StopLevel[entry.level], entry.reason, entry.latched_time_ns, entry.who)
                for vehicle_id, entry in content.emergency_stops.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError, KeyError) as error:
            raise InvalidInput(
                f"{self.path} may hold emergency stops and cannot be read: {error}; "
                "look at the vehicle, then delete the file to start without them",
                field="stop_file",
            ) from error

    def save(self, stops: Mapping[str, EmergencyStop]) -> None:
        """See `StopStore.save`."""
        content = {
            vehicle_id: {
                "level": stop.level.name,
                "reason": stop.reason,
                "latched_time_ns": stop.latched_time_ns,
                "who": stop.who,
            }
            for vehicle_id, stop in stops.items()
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".partial")
        partial.write_text(json.dumps({"emergency_stops": content}, indent=1), encoding="utf-8")
        replace_durably(partial, self.path)
