"""What became of every command and request of one vehicle: statuses, first answers, entries in the flight log."""

from collections.abc import Callable

from stillwing_bridge.core.commands import Command, CommandState, CommandStatus, is_motion, kind_of
from stillwing_bridge.core.events import CommandEnded, CommandStarted, FlightEvent, Refused
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_bridge.core.recent import Recent
from stillwing_common.errors import StillwingError, UnknownCommand
from stillwing_common.types import Stamp


class CommandRecords:
    """Remembers the newest commands and answers; `now` reads the vehicle's clock for the log, None if it is unknown."""

    def __init__(self, log: FlightLog, now: Callable[[], Stamp | None]) -> None:
        self._log = log
        self._now = now
        self._statuses: Recent[CommandStatus] = Recent()
        self._answers: Recent[str | StillwingError] = Recent()
        self.newest: CommandStatus | None = None

    def note(self, event: FlightEvent) -> None:
        """Into the flight log."""
        self._log.append(event, self._now())

    def begin(
        self,
        command_id: str,
        command: Command,
        request_id: str,
        *,
        ttl_s: float | None = None,
        based_on_frame_id: str = "",
    ) -> None:
        """A command came into force, in answer to `request_id`."""
        kind = kind_of(command)
        self.newest = CommandStatus(command_id, kind, CommandState.RUNNING)
        self._statuses.put(command_id, self.newest)
        self._answers.put(request_id, command_id)
        self.note(CommandStarted(command_id, kind, is_motion(command), based_on_frame_id, command, ttl_s))

    def end(self, status: CommandStatus) -> None:
        """A command ended. A newer one stays the newest."""
        if self.newest is None or self.newest.command_id == status.command_id:
            self.newest = status
        self._statuses.put(status.command_id, status)
        self.note(CommandEnded(status))

    def refuse(self, command: Command, request_id: str, error: StillwingError) -> None:
        """A request was turned down."""
        self._answers.put(request_id, error)
        self.note(Refused(kind_of(command), error, command))

    def amend(self, request_id: str, error: StillwingError) -> None:
        """What was accepted could not be done after all: the same request again must not pass for done."""
        self._answers.put(request_id, error)

    def answer(self, request_id: str) -> str | None:
        """The first answer to `request_id`, None if there was none; raises it if it was an error."""
        known = self._answers.get(request_id)
        if isinstance(known, StillwingError):
            raise known
        return known

    def status(self, command_id: str) -> CommandStatus:
        """How a command stands; `UnknownCommand`."""
        status = self._statuses.get(command_id)
        if status is None:
            raise UnknownCommand(command_id=command_id)
        return status
