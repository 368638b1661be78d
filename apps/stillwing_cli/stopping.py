"""What `stillwing stop` does. It needs a bridge and nothing else: supervisor, agent, engine and memory may be dead.

Whatever it is given, it stops: words that are no option are the reason, and an option that is not understood is told
and left aside. It imports little, so that it stops at once on a machine that has no time: no typer, no rich.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import NoReturn, TypeAlias, TypeVar

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # every way is tried, and those that fail are told by us

from stillwing.vehicle.v1 import vehicle_pb2, vehicle_pb2_grpc
from stillwing_bridge.convert.names import VEHICLE_SERVICE
from stillwing_bridge.convert.stops import level_from_wire, stop_from_wire, stop_request
from stillwing_bridge.core.types import MAX_WHO_CHARS, EmergencyStop, StopLevel
from stillwing_cli.bridges import bridge_address, known_bridges, known_channels
from stillwing_cli.state import STOP_FILE, default_state, is_up, known_state
from stillwing_cli.stop_answers import BOLD_RED, YELLOW, Answer, Say, Stopped, as_json, tell
from stillwing_cli.told_stop import CLEAR_COMMAND
from stillwing_common.errors import StillwingError, StopUnconfirmed, Unavailable
from stillwing_common.told_text import told_text
from stillwing_rpc.channel import open_channel
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.errors import domain_errors

_LIST_LIMIT_S = 3.0
_STOP_LIMIT_S = 8.0

T = TypeVar("T")
_Stub: TypeAlias = "vehicle_pb2_grpc.VehicleServiceAsyncStub"  # as text, because only the stubs have it


class _NotUnderstood(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _NotUnderstood(message)

    def format_usage(self) -> str:
        return super().format_usage().replace("usage: ", "Usage: ", 1)

    def format_help(self) -> str:
        return super().format_help().replace("usage: ", "Usage: ", 1)


def parser() -> argparse.ArgumentParser:
    """The arguments of the command. An option without its value is one without effect."""
    told = _Parser(
        prog="stillwing stop",
        allow_abbrev=False,
        description="Emergency stop: every vehicle holds, lands or stops its motors, and refuses motion until it is "
        "cleared. Every bridge that can be known is asked: --bridge, this folder's stack, the default port. "
        "Exit code 0 if any took it.",
    )
    add = told.add_argument
    add("words", nargs="*", metavar="WORDS", help="Why, for the flight log.")
    add("--level", nargs="?", const="", default="hold", help="hold in the air, land, or kill: stop the motors at once.")
    add("--reason", nargs="?", const="", default="", help="Why, for the flight log.")
    add("--who", nargs="?", const="", default="", help="Who stops; else user and host.")
    add("--bridge", nargs="?", const="", default="", help="One more bridge, host:port; with --clear the only one.")
    add("--clear", action="store_true", help="Clear the stop instead; for the operator.")
    add("--operator-token", nargs="?", const="", default="", help="Token of the bridge; known for this folder's stack.")
    add("--json", action="store_true", help="Print JSON for programs; what is for people goes to stderr.")
    return told


def run_stop(arguments: Sequence[str]) -> int:
    """Stop, or clear; returns the exit code."""
    options, left_aside = _read(arguments)
    say, fail = Say(sys.stderr if options.json else sys.stdout), Say(sys.stderr)
    if options.clear:
        if left_aside:
            fail(f"stillwing: not understood: {' '.join(left_aside)}; nothing was cleared", BOLD_RED)
            return 2
        return asyncio.run(_clear(options, say))
    level = StopLevel.__members__.get(options.level.upper(), StopLevel.NONE)
    if level is StopLevel.NONE:
        level = StopLevel.HOLD
        left_aside = ["--level", options.level, *left_aside]
    if left_aside:
        say(f"not understood, and stopping all the same, at level {level.name}: {' '.join(left_aside)}", YELLOW)
    return asyncio.run(_stop(options, level, say))


def _read(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    try:
        return parser().parse_known_args(arguments)
    except _NotUnderstood:  # such as a value for a flag
        plain = [word for word in arguments if not word.startswith("-")]
        options = parser().parse_args(["--", *plain])
        options.clear = any(word.startswith("--clear") for word in arguments)
        return options, list(arguments)


async def _stop(options: argparse.Namespace, level: StopLevel, say: Say) -> int:
    reason = " ".join([*([options.reason] if options.reason else []), *options.words]) or "stillwing stop"
    who = told_text(options.who or _user(), MAX_WHO_CHARS)

    async def stop_all(stub: _Stub) -> tuple[Stopped, ...]:
        vehicles = (await stub.ListVehicles(vehicle_pb2.ListVehiclesRequest(), timeout=_LIST_LIMIT_S)).vehicles
        stops = (_stop_one(stub, vehicle.vehicle_id, level, reason, who) for vehicle in vehicles)
        return tuple(await asyncio.gather(*stops))

    answers = []
    asked = [_ask(address, known_channels(), stop_all) for address in known_bridges(options.bridge)]
    for next_answer in asyncio.as_completed(asked):
        answers.append(await next_answer)
        tell(answers[-1], who, say)
    stopped = [each for answer in answers for each in answer.vehicles if each.stop is not None]
    if options.json:
        Say(sys.stdout)(json.dumps(as_json(answers)))
    if stopped:
        say.next_step(CLEAR_COMMAND, "when it is safe; until then nothing moves")
        return 0
    fail = Say(sys.stderr)
    fail("stillwing: NOTHING WAS STOPPED: no bridge that is known here took it", BOLD_RED)
    fail.next_step("stillwing stop --bridge HOST:PORT", "where the bridge listens, if it runs; else: stillwing up")
    return 1


async def _stop_one(stub: _Stub, vehicle_id: str, level: StopLevel, reason: str, who: str) -> Stopped:
    try:
        with domain_errors():
            request = stop_request(vehicle_id, level, reason, who)
            answer = await stub.EmergencyStop(request, timeout=_STOP_LIMIT_S)
        if answer.HasField("stop"):
            return Stopped(vehicle_id, stop_from_wire(answer.stop))
        silent = "the bridge does not say whether it is"  # one of an earlier version
        return Stopped(vehicle_id, EmergencyStop(level_from_wire(answer.level), reason, 0, who, silent))
    except StopUnconfirmed as error:
        return replace(await _in_force(stub, vehicle_id, str(error)), unconfirmed=str(error))
    except StillwingError as error:
        return await _in_force(stub, vehicle_id, str(error))


async def _in_force(stub: _Stub, vehicle_id: str, error: str) -> Stopped:
    # The answer may be lost where the stop is not.
    try:
        with domain_errors():
            request = vehicle_pb2.GetEmergencyStopRequest(vehicle_id=vehicle_id)
            answer = await stub.GetEmergencyStop(request, timeout=_LIST_LIMIT_S)
        return Stopped(vehicle_id, stop_from_wire(answer.stop) if answer.HasField("stop") else None, error=error)
    except StillwingError:
        return Stopped(vehicle_id, None, error=error)


async def _ask(
    address: str,
    ways: Sequence[ChannelSettings],
    work: Callable[[_Stub], Awaitable[tuple[Stopped, ...]]],
) -> Answer:
    """Do `work` with the bridge at an address by the first way that it answers to; all are tried at once."""
    tasks = [asyncio.ensure_future(_by_way(address, settings, work)) for settings in ways]
    errors: list[Exception] = []
    try:
        for next_done in asyncio.as_completed(tasks):
            try:
                return Answer(address, await next_done)
            except Exception as error:  # whatever is wrong with one place keeps no other from being asked
                errors.append(error)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    # A bridge that refuses says more than a way that leads nowhere.
    told = next((error for error in errors if not isinstance(error, Unavailable)), errors[-1])
    return Answer(address, error=_words(told))


def _words(error: Exception) -> str:
    if isinstance(error, Unavailable) and "Connection refused" in str(error):
        return "nobody listens there"
    return str(error) or type(error).__name__


async def _by_way(
    address: str,
    settings: ChannelSettings,
    work: Callable[[_Stub], Awaitable[T]],
) -> T:
    async with _stub(address, settings) as stub:
        with domain_errors():
            return await work(stub)


@contextlib.asynccontextmanager
async def _stub(address: str, settings: ChannelSettings) -> AsyncIterator[_Stub]:
    channel = open_channel(address, VEHICLE_SERVICE, replace(settings, max_attempts=2))
    try:
        stub: _Stub = vehicle_pb2_grpc.VehicleServiceStub(channel)
        yield stub
    finally:
        await channel.close()


async def _clear(options: argparse.Namespace, say: Say) -> int:
    """Clear at one place alone: the bridge that is named, or this folder's, or else the one on the default port."""
    last = known_state() or default_state()
    address = bridge_address(options.bridge) if options.bridge else last.address("sim_bridge")
    token = options.operator_token or last.operator_token

    async def clear_all(stub: _Stub) -> tuple[Stopped, ...]:
        vehicles = (await stub.ListVehicles(vehicle_pb2.ListVehiclesRequest(), timeout=_LIST_LIMIT_S)).vehicles
        cleared = []
        for vehicle in vehicles:
            request = vehicle_pb2.ClearEmergencyStopRequest(vehicle_id=vehicle.vehicle_id, operator_token=token)
            try:
                with domain_errors():
                    answer = await stub.ClearEmergencyStop(request, timeout=_STOP_LIMIT_S)
                cleared.append(Stopped(vehicle.vehicle_id, None, unconfirmed=answer.not_on_disk))
            except StillwingError as error:
                cleared.append(Stopped(vehicle.vehicle_id, None, error=str(error)))
        return tuple(cleared)

    answer = await _ask(address, known_channels(), clear_all)
    failed = [each for each in answer.vehicles if each.error]
    fail = Say(sys.stderr)
    for each in answer.vehicles:
        if each.error:
            fail(f"stillwing: {each.vehicle_id}: NOT CLEARED: {each.error}", BOLD_RED)
        else:
            say(f"{each.vehicle_id}: emergency stop cleared", BOLD_RED)
        if each.unconfirmed:
            say(f"  its disk holds it still, and a bridge started anew will stop again: {each.unconfirmed}", YELLOW)
    kept = not answer.vehicles and not options.bridge and not is_up() and _forget_kept(say)
    if options.json:
        cleared = {each.vehicle_id: "NONE" for each in answer.vehicles if not each.error}
        Say(sys.stdout)(json.dumps({"latched": cleared}))
    if answer.error and not kept:
        fail(f"stillwing: {answer.error}", BOLD_RED)
    if failed or (answer.error and not kept):
        fail.next_step("stillwing status", "what is in force")
        return 1
    say.next_step("stillwing fly", "motion is allowed again")
    return 0


def _forget_kept(say: Say) -> bool:
    """Clear what this folder's stack, which is down, would stop again. Who may write the file is the operator."""
    try:
        names = ", ".join(json.loads(STOP_FILE.read_bytes())["emergency_stops"])
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError, KeyError):
        names = "emergency stops that cannot be read"
    if not names:
        return False
    try:
        STOP_FILE.unlink()
    except OSError as error:
        Say(sys.stderr)(f"stillwing: {STOP_FILE}: {error.strerror}", BOLD_RED)
        return False
    say(f"{names}: emergency stop cleared, for the next start of this folder's stack", BOLD_RED)
    return True


def _user() -> str:
    name = os.environ.get("USER") or os.environ.get("LOGNAME") or os.environ.get("USERNAME") or ""
    if not name and hasattr(os, "getuid"):
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"
