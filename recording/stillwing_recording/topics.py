"""Topics of a recording and what each holds. It knows neither files nor streams.

Own messages hold everything and are what is read back; `foxglove.*` messages repeat some of it for viewers. Pixels are
stored once: in the image topic, and the frame's own message has its image data left out.
"""

from stillwing_bridge.core.events import CommandEnded, CommandStarted, FlightEvent, Refused

PROFILE = "stillwing"

VEHICLE = "/vehicle"
TELEMETRY = "/telemetry"
COMMANDS = "/commands"
REFUSALS = "/refusals"
FLIGHT_LOG = "/flight_log"
MISSION = "/mission"
RECORDER = "/recorder"

POSE = "/pose"
TRANSFORMS = "/tf"
SCENE = "/scene"
WORDS = "/log"

FLIGHT_LOG_TOPICS = (COMMANDS, REFUSALS, FLIGHT_LOG)
"""The flight log in three parts; `log_seq` gives their common order."""


def frame_topic(camera_id: str) -> str:
    """Frames of a camera, without their pixels."""
    return f"/camera/{camera_id}/frame"


def image_topic(camera_id: str) -> str:
    """Pixels of a camera's frames; the message before a frame's own, with the same MCAP sequence."""
    return f"/camera/{camera_id}/image"


def calibration_topic(camera_id: str) -> str:
    """How a camera projects."""
    return f"/camera/{camera_id}/calibration"


def flight_log_topic(event: FlightEvent) -> str:
    """Which part of the flight log an event belongs to."""
    if isinstance(event, CommandStarted | CommandEnded):
        return COMMANDS
    return REFUSALS if isinstance(event, Refused) else FLIGHT_LOG
