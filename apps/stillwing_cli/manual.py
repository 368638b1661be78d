"""A flight by hand: keys or a script into commands under a lease. Knows nothing of recordings and terminals.

Its loops are the sign of life: if the terminal hangs or is closed, no call reaches the bridge, and the vehicle holds.
"""

import asyncio
import time
from collections.abc import Callable

from stillwing_bridge.core.commands import Command, CommandStatus, Hold, Land, SetVelocity, Takeoff, needs_observation
from stillwing_bridge.core.protocol import Bridge
from stillwing_bridge.core.types import Lease
from stillwing_cli.script import TimedCommand
from stillwing_common.errors import StillwingError

SPEED_M_S = 1.0
CLIMB_M_S = 0.5
YAW_RATE_DEG_S = 45.0
TICK_S = 0.1
_PRESSED_S = 0.5
_KEY_TTL_S = 0.6
_RETAIN_S = 0.1
_TAKEOFF_TTL_S = 30.0
_LAND_TTL_S = 60.0

VELOCITY_KEYS = {
    "w": SetVelocity(forward_m_s=SPEED_M_S),
    "s": SetVelocity(forward_m_s=-SPEED_M_S),
    "a": SetVelocity(right_m_s=-SPEED_M_S),
    "d": SetVelocity(right_m_s=SPEED_M_S),
    "r": SetVelocity(down_m_s=-CLIMB_M_S),
    "f": SetVelocity(down_m_s=CLIMB_M_S),
    "q": SetVelocity(yaw_rate_deg_s=-YAW_RATE_DEG_S),
    "e": SetVelocity(yaw_rate_deg_s=YAW_RATE_DEG_S),
}
"""Flown while the key is pressed."""

ONCE_KEYS: dict[str, Command] = {"t": Takeoff(), "l": Land(), " ": Hold()}
"""Given once for each press."""

KEYS_HELP = "t takeoff · w a s d fly · r f up, down · q e turn · space hold · l land · x end"

Say = Callable[[str], None]


class ManualFlight:
    """Commands of one person for one vehicle, under `lease`; refusals are said and change nothing."""

    def __init__(self, bridge: Bridge, lease: Lease, say: Say) -> None:
        self._bridge = bridge
        self._lease = lease
        self._say = say
        self._pressed: Command | None = None
        self._pressed_until_s = 0.0
        self.ended = False

    def press(self, key: str) -> None:
        """Take one key; what it asks for is given at the next `tick`."""
        if key in VELOCITY_KEYS:
            self._pressed, self._pressed_until_s = VELOCITY_KEYS[key], time.monotonic() + _PRESSED_S
        elif key in ONCE_KEYS:
            self._pressed = ONCE_KEYS[key]
        elif key in ("x", "\x03", "\x04", "\x1b"):
            self.ended = True

    async def tick(self) -> None:
        """Give what is pressed, or a sign of life; call it every `TICK_S`."""
        command = self._pressed
        if isinstance(command, SetVelocity) and time.monotonic() > self._pressed_until_s:
            command = self._pressed = None  # released: the velocity lapses by itself
        if command is None:
            await self._bridge.retain_lease(self._lease)
            return
        if not isinstance(command, SetVelocity):
            self._pressed = None
        ttl_s = {Takeoff: _TAKEOFF_TTL_S, Land: _LAND_TTL_S}.get(type(command), _KEY_TTL_S)
        if await self._give(command, ttl_s) is None and isinstance(command, SetVelocity):
            self._pressed = None  # what was refused is not asked for again until the key is

    async def fly_script(self, commands: list[TimedCommand]) -> int:
        """Fly a script to its end; returns how many commands were refused or did not end as they were meant to."""
        began_s = time.monotonic()
        failed = 0
        running: asyncio.Task[CommandStatus] | None = None
        for each in commands:
            if each.after_previous:
                failed += await self._end_of(running)
                running = None
                await self._wait(each.time_s)
            else:
                await self._wait(began_s + each.time_s - time.monotonic())
            failed += await self._end_of(running, now=True)
            command_id = await self._give(each.command, each.ttl_s, f"line {each.line}: ")
            running = None
            if command_id is None:
                failed += 1
            else:
                running = asyncio.create_task(self._bridge.wait_command(command_id, each.ttl_s + 5))
        return failed + await self._end_of(running)

    async def _end_of(self, running: "asyncio.Task[CommandStatus] | None", *, now: bool = False) -> int:
        """1 if the command has ended badly, else 0; waits for its end, or with `now` lets it be replaced."""
        if running is None:
            return 0
        if now and not running.done():
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return 0
        status = await running
        # A velocity ends with its ttl, as it was meant to.
        meant = status.state.value == "succeeded" or (status.kind == "set_velocity" and status.state.value == "timeout")
        self._say(f"{status.kind} {status.state.value}" + (f": {status.error}" if status.error else ""))
        return 0 if meant else 1

    async def _wait(self, seconds: float) -> None:
        """Let time pass, giving signs of life."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            await asyncio.sleep(min(left_s, _RETAIN_S))
            await self._bridge.retain_lease(self._lease)

    async def _give(self, command: Command, ttl_s: float, where: str = "") -> str | None:
        """Give one command; None, and the reason said, if it is refused."""
        try:
            frame_id = ""
            if needs_observation(command):
                frame_id = (await self._bridge.capture_frame(self._lease.vehicle_id)).frame_id
            return await self._bridge.command(
                self._lease, command, ttl_s=None if isinstance(command, Hold) else ttl_s, based_on_frame_id=frame_id
            )
        except StillwingError as error:
            self._say(f"{where}{error}")
            return None
