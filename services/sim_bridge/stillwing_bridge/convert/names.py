"""Full names of the bridge's services, and the texts and ids that their requests carry."""

from stillwing_common.errors import InvalidInput, TextTooLong

VEHICLE_SERVICE = "stillwing.vehicle.v1.VehicleService"
LEASE_SERVICE = "stillwing.vehicle.v1.LeaseService"
SIM_SERVICE = "stillwing.sim.v1.SimService"

MAX_TEXT_CHARS = 1000
_MAX_ID_CHARS = 200


def text_from_wire(field: str, text: str) -> str:
    """A text for people; `TextTooLong`."""
    if len(text) > MAX_TEXT_CHARS:
        raise TextTooLong(f"{field} has {len(text)} characters, at most {MAX_TEXT_CHARS}", field=field)
    return text


def id_from_wire(field: str, value: str) -> str:
    """A required id; `InvalidInput` if it is empty or no id of ours could be so long."""
    if not value or len(value) > _MAX_ID_CHARS:
        raise InvalidInput(f"{field} has 1 to {_MAX_ID_CHARS} characters", field=field)
    return value
