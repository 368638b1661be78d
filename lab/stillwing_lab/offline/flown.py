"""What a recording says was decided or commanded, and the frame each was based on. It knows nothing of models."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from stillwing_agent.core.events import ActionStarted, MissionEvent, MotionRefused, ThinkingFinished, ThinkingStarted
from stillwing_agent.core.prompting.prompts import call_text
from stillwing_bridge.core.commands import Command, kind_of
from stillwing_bridge.core.events import CommandStarted, FlightLogEntry
from stillwing_bridge.core.types import FrameUpdate
from stillwing_lab.offline.manoeuvres import GO_TO, of_call, of_command
from stillwing_recording.base import Recording


@dataclass(slots=True)
class Flown:
    """One decision of the recorded flight.

    `frame_id`: the frame it was based on, or where the recording lacks that, the newest before it (`exact` False);
    `prompt`: the question in the recorded words, "" where nobody was asked (flown by hand).
    """

    frame_id: str
    exact: bool
    manoeuvre: str
    words: str
    prompt: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class FlownDecisions:
    """All of them, oldest first; `source`: "mission", "commands" or "nothing".

    `first_frame_id`: the first frame that the recorded mission's model was shown, "" where that is not known.
    """

    source: str
    decisions: tuple[Flown, ...] = ()
    first_frame_id: str = ""

    def by_frame(self) -> Mapping[str, Flown]:
        """The decision based on each frame; of several on one the first, before which nothing else was seen."""
        found: dict[str, Flown] = {}
        for decision in self.decisions:
            found.setdefault(decision.frame_id, decision)
        return found


def read_flown(recording: Recording, camera_id: str = "") -> FlownDecisions:
    """One pass over the recording. A mission's own decisions count before the commands they led to."""
    camera = camera_id or recording.vehicle.cameras[0].camera_id
    mission, commands = _MissionReader(), _CommandReader()
    seen: dict[str, str] = {}
    newest = ""
    for entry in recording.entries():
        match entry.value:
            case FrameUpdate(frame=frame) if frame.camera_id == camera:
                seen.setdefault(frame.frame_id, newest)
                newest = frame.frame_id
            case MissionEvent() as event:
                mission.take(event, newest, seen)
            case FlightLogEntry() as logged:
                commands.take(logged, newest, seen)
            case _:
                pass
    if mission.found:
        return FlownDecisions("mission", tuple(mission.found), mission.first_frame_id)
    return FlownDecisions("commands" if commands.found else "nothing", tuple(commands.found))


class _MissionReader:
    """Pairs each answer with the tool call that came of it. `seen`: recorded frames, and the one before each."""

    def __init__(self) -> None:
        self.found: list[Flown] = []
        self.first_frame_id = ""
        self._prompt = ""
        self._newest = ""
        self._answered_frame: tuple[str, bool] | None = None
        self._action_of: dict[str, Flown] = {}

    def take(self, event: MissionEvent, newest: str, seen: Mapping[str, str]) -> None:
        match event.happening:
            case ThinkingStarted(_, prompt):
                self._prompt, self._newest = prompt, newest
                self._answered_frame = None
            case ThinkingFinished(last_frame_id=frame_id, oldest_frame_id=oldest):
                if not self.found:
                    # The very first is in the sink, which the oldest leaves out.
                    alone = frame_id if frame_id in seen else ""
                    self.first_frame_id = seen.get(oldest, "") if oldest else alone
                exact = frame_id in seen
                self._answered_frame = (frame_id if exact else self._newest, exact)
            case ActionStarted(action_id, tool, arguments) if self._answered_frame is not None:
                frame_id, exact = self._answered_frame
                # What a tool asks or does after this is not the answer's.
                self._answered_frame = None
                if frame_id:
                    words = call_text(tool, arguments)
                    flown = Flown(frame_id, exact, of_call(tool, arguments), words, self._prompt)
                    self.found.append(flown)
                    self._action_of[action_id] = flown
            case MotionRefused(action_id) if action_id in self._action_of:
                self._action_of[action_id].refused = True
            case _:
                pass


class _CommandReader:
    """Motions of the flight log that were based on a frame."""

    def __init__(self) -> None:
        self.found: list[Flown] = []

    def take(self, entry: FlightLogEntry, newest: str, seen: Mapping[str, str]) -> None:
        match entry.event:
            case CommandStarted(motion=True, based_on_frame_id=based_on, command=command) if based_on and command:
                exact = based_on in seen
                frame_id, manoeuvre = (based_on if exact else newest), of_command(command)
                if frame_id and manoeuvre != GO_TO:
                    self.found.append(Flown(frame_id, exact, manoeuvre, _command_text(command)))
            case _:
                pass


def _command_text(command: Command) -> str:
    return call_text(kind_of(command), {name: value for name, value in asdict(command).items() if value})
