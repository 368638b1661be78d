"""`stillwing status`: one table of what runs where, how it is, and what it is doing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from stillwing_agent.client import RemoteAgent
from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.types import EmergencyStop
from stillwing_cli.plan import AGENT, AIRFIELD, BRIDGE, ENGINE, MEMORY
from stillwing_cli.ready import ping
from stillwing_cli.state import StackState, default_state, known_state, read_state
from stillwing_cli.terminal import AsJson, err, next_step, out, print_json, run
from stillwing_cli.told_stop import CLEAR_COMMAND, stop_words, stops_in_force
from stillwing_common.errors import StillwingError
from stillwing_memory.client import RemoteMemoryBank
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.results import SessionInfo

_WAIT_S = 1.0

Ask = Callable[[str, ChannelSettings], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Row:
    """One part as it stands; `health` is "serving" or why not; `restarts`: how often `up` started it again."""

    part: str
    address: str
    health: str
    doing: str
    restarts: int = 0


def status(as_json: AsJson = False) -> None:
    """Show every service: address, health, model, sessions, vehicle, lease holder, missions."""
    run(_status(as_json))


async def _status(as_json: bool) -> None:
    present = read_state()
    left_over = None if present is not None else known_state()
    state = present or left_over or default_state()
    rows = await look(state)
    if left_over is not None and all(row.health != "serving" for row in rows):
        state, left_over = default_state(), None
        rows = await look(state)
    stops = await _stops(state)
    console = err if as_json else out
    if as_json:
        told = [{"vehicle_id": name} | asdict(stop) | {"level": stop.level.name} for name, stop in stops.items()]
        print_json({"managed": present is not None, "parts": [asdict(row) for row in rows], "emergency_stops": told})
    else:
        out.print(_table(rows))
    if left_over is not None:
        console.print(f"process {left_over.pid}, which kept these up, is gone; the next stillwing up ends them")
    for name, stop in stops.items():
        console.print(Text(stop_words(name, stop), "bold red"), soft_wrap=True)
    if stops:
        next_step(console, CLEAR_COMMAND, "when it is safe; until then nothing moves")
    elif all(row.health != "serving" for row in rows):
        next_step(console, "stillwing up", "nothing is up here")
    else:
        next_step(
            console,
            "stillwing fly" if present else "stillwing fly --attach",
            "fly one mission" if present else "these were not started by stillwing up",
        )


async def look(state: StackState) -> list[Row]:
    """Ask every part at once."""
    asks: dict[str, Ask] = {
        AIRFIELD: _airfield,
        BRIDGE: _bridge,
        MEMORY: _memory,
        ENGINE: _engine,
        AGENT: _agent,
    }
    names = [name for name in asks if name in state.ports]
    channel = state.channel
    return list(await asyncio.gather(*(_row(state, name, channel, asks[name]) for name in names)))


async def _row(state: StackState, name: str, channel: ChannelSettings, ask: Ask) -> Row:
    address, restarts = state.address(name), state.restarts.get(name, 0)
    try:
        return Row(name, address, "serving", await ask(address, channel), restarts)
    except StillwingError as error:
        return Row(name, address, f"{error.reason.lower()}", str(error.detail or error), restarts)


async def _airfield(address: str, channel: ChannelSettings) -> str:
    await ping(address)
    return "answers pings"


async def _bridge(address: str, channel: ChannelSettings) -> str:
    bridge = await RemoteBridge.connect(address, channel, wait_s=_WAIT_S)
    try:
        lines = []
        for vehicle in await bridge.list_vehicles():
            lease = await bridge.get_lease(vehicle.vehicle_id)
            holder = "nobody" if lease is None or lease.stale else lease.holder
            kind = "simulated" if vehicle.simulated else "real"
            lines.append(f"{vehicle.vehicle_id} ({kind}), held by {holder}")
        return "; ".join(lines) or "no vehicle"
    finally:
        await bridge.close()


async def _stops(state: StackState) -> dict[str, EmergencyStop]:
    try:
        bridge = await RemoteBridge.connect(state.address(BRIDGE), state.channel, wait_s=_WAIT_S)
    except StillwingError:
        return {}  # its row says so
    try:
        return await stops_in_force(bridge)
    except StillwingError as error:
        err.print(f"whether an emergency stop is in force is not known: {error}", style="yellow")
        return {}
    finally:
        await bridge.close()


async def _memory(address: str, channel: ChannelSettings) -> str:
    bank = await RemoteMemoryBank.connect(address, channel, wait_s=_WAIT_S)
    try:
        info = await bank.get_bank()
        return f"{info.keyframes} keyframes, {info.entities} entities, {info.store} {info.store_version}"
    finally:
        await bank.close()


async def _engine(address: str, channel: ChannelSettings) -> str:
    engine = await RemoteEngine.connect(address, channel, wait_s=_WAIT_S)
    try:
        info = await engine.model_info()
        sessions = await engine.list_sessions()
        seen = "".join(f"; {session_text(each)}" for each in sessions)
        kept = f", {info.weight_dtype} weights" if info.weight_dtype not in ("", info.dtype) else ""
        left = "".join(
            f"; {proof.setting} {proof.wanted} left: {proof.reason}" for proof in info.path_proofs if not proof.is_taken
        )
        kept += f", {info.kv_cache_dtype} cache" if info.kv_cache_dtype not in ("", info.dtype) else ""
        return f"{info.model} on {info.device} {info.dtype}{kept}, {len(sessions)} sessions{left}{seen}"
    finally:
        await engine.close()


def session_text(info: SessionInfo) -> str:
    """A session of the engine in a few words: frames so far, and its snapshots by name or id."""
    text = f"{info.label or info.session_id}: {info.appended_frames} frames"
    kept = [
        f"{snapshot.name or snapshot.snapshot_id}{'' if snapshot.is_restorable else ' (overwritten)'}"
        for snapshot in info.snapshots
    ]
    return f"{text}, snapshots {' '.join(kept)}" if kept else text


async def _agent(address: str, channel: ChannelSettings) -> str:
    agent = await RemoteAgent.connect(address, channel, wait_s=_WAIT_S)
    try:
        info = await agent.agent_info()
        missions = (await agent.list_missions(20)).missions
        flying = [mission for mission in missions if not mission.state.ended]
        newest = f"; newest {missions[0].mission_id}: {missions[0].state.value}" if missions else ""
        return f"{info.implementation}, {len(flying)} missions under way{newest}"
    finally:
        await agent.close()


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("part", "address", "health", "restarts", ""):
        table.add_column(title, overflow="fold")
    for row in rows:
        style = "green" if row.health == "serving" else "red"
        table.add_row(row.part, row.address, Text(row.health, style), _restarts(row), Text(row.doing))
    return table


def _restarts(row: Row) -> Text:
    return Text(str(row.restarts) if row.restarts else "", "yellow")
