"""What bridges answered to an emergency stop, told to people and to programs. A terminal that fails stops no stop."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TextIO

from stillwing_bridge.core.types import EmergencyStop
from stillwing_cli.told_stop import stop_words

BOLD_RED, YELLOW, DIM = "1;31", "33", "2"
_BOLD_CYAN = "1;36"


@dataclass(frozen=True, slots=True)
class Stopped:
    """One vehicle's answer: the stop in force, or why there is none; `unconfirmed` by the vehicle, and why."""

    vehicle_id: str
    stop: EmergencyStop | None
    unconfirmed: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One bridge's answer; `error` where it gave none."""

    address: str
    vehicles: tuple[Stopped, ...] = ()
    error: str = ""


class Say:
    """Prints to people. Whether they can read it keeps no vehicle from being stopped."""

    def __init__(self, stream: TextIO | None) -> None:
        """`stream` is None where the process has none."""
        self._stream = stream
        self._coloured = stream is not None and stream.isatty() and "NO_COLOR" not in os.environ

    def __call__(self, text: str, style: str = "") -> None:
        if self._stream is None:
            return
        text = text.encode("utf-8", "replace").decode()
        encoding = self._stream.encoding or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
        try:
            print(f"\x1b[{style}m{text}\x1b[0m" if self._coloured and style else text, file=self._stream, flush=True)
        except (OSError, ValueError):
            # Nobody reads it, or its disk is full: what is left in the buffer must not fail once more at the end.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def next_step(self, command: str, why: str) -> None:
        """The line every command ends with."""
        command = f"\x1b[{_BOLD_CYAN}m{command}\x1b[0m" if self._coloured else command
        self(f"Next: {command}   {why}")


def tell(answer: Answer, who: str, say: Say) -> None:
    """One bridge's answer to `who` stopped."""
    if not answer.vehicles:
        say(f"{answer.address}: {answer.error or 'a bridge without a vehicle'}", DIM)
    for each in answer.vehicles:
        if each.stop is None:
            say(f"{each.vehicle_id}: NOT STOPPED: {each.error}   ({answer.address})", BOLD_RED)
            continue
        say(f"{each.vehicle_id}: emergency stop {each.stop.level.name}, latched   ({answer.address})", BOLD_RED)
        if each.stop.who != who:
            say(f"  in force already: {stop_words(each.vehicle_id, each.stop)}")
        if each.unconfirmed or each.error:
            say(f"  NOT CONFIRMED by the vehicle: {each.unconfirmed or each.error}", BOLD_RED)
        if each.stop.not_on_disk:
            say(
                f"  NOT ON DISK; a bridge that is started anew would not know of it: {each.stop.not_on_disk}",
                YELLOW,
            )


def as_json(answers: Sequence[Answer]) -> dict[str, object]:
    """All bridges' answers; `latched` is the level by vehicle."""
    stopped = [each for answer in answers for each in answer.vehicles]
    return {
        "latched": {each.vehicle_id: each.stop.level.name for each in stopped if each.stop is not None},
        "bridges": [
            {
                "address": answer.address,
                "error": answer.error,
                "vehicles": [
                    asdict(each) | {"stop": each.stop and asdict(each.stop) | {"level": each.stop.level.name}}
                    for each in answer.vehicles
                ],
            }
            for answer in answers
        ],
    }
