"""python -m pytest tests/unit/bridge/test_kept_stops.py -v

Emergency stops that are kept: what is written is what is latched, whatever happens in between.
"""

import asyncio
import logging
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from bridge_toys import ToyVehicle, toy_settings
from hypothesis import given
from hypothesis import strategies as st

from stillwing_bridge.core.bridge import LocalBridge
from stillwing_bridge.core.commands import Takeoff
from stillwing_bridge.core.types import EmergencyStop, StopLevel
from stillwing_bridge.settings import SimBridgeSettings
from stillwing_bridge.stop_file import StopFile
from stillwing_common.errors import EmergencyStopped, InvalidInput

LATCHED = st.sampled_from([level for level in StopLevel if level is not StopLevel.NONE])
STOPS = st.dictionaries(
    st.text(min_size=1), st.builds(EmergencyStop, LATCHED, st.text(), st.integers(0, 2**63), st.text())
)


@given(STOPS, STOPS)
def test_a_file_holds_what_was_saved_last(first: dict[str, EmergencyStop], last: dict[str, EmergencyStop]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = StopFile(Path(folder) / "new" / "stops.json")
        assert file.load() == {}
        file.save(first)
        file.save(last)
        assert StopFile(file.path).load() == last


async def test_stops_are_latched_again_before_anybody_is_served(tmp_path: Path) -> None:
    file = StopFile(tmp_path / "stops.json")
    file.save({"elsewhere": EmergencyStop(StopLevel.LAND, "wind", 1)})
    bridge = LocalBridge([ToyVehicle()], toy_settings(), stops=file)
    await bridge.start()
    await bridge.emergency_stop("drone", StopLevel.KILL, "a bird")
    # Read while the first bridge still runs, as one would find it after a loss of power.
    kept = file.load()
    assert (kept["drone"].level, kept["drone"].reason) == (StopLevel.KILL, "a bird")
    assert kept["elsewhere"] == EmergencyStop(StopLevel.LAND, "wind", 1)
    await bridge.close()

    bridge = LocalBridge([ToyVehicle()], toy_settings(), stops=file)
    await bridge.start()
    lease = (await bridge.acquire_lease("drone", "test")).lease
    with pytest.raises(EmergencyStopped):
        await bridge.command(lease, Takeoff(), ttl_s=10)
    assert await bridge.emergency_stop("drone", StopLevel.HOLD, "softer") is StopLevel.KILL
    await bridge.clear_emergency_stop("drone", "secret")
    assert set(file.load()) == {"elsewhere"}
    await bridge.close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"emergency_stops": {"drone": {"level": "STOP", "reason": "", "latched_time_ns": 0}}}',
        b"\xff",
    ],
)
async def test_a_file_that_cannot_be_read_keeps_the_bridge_from_starting(tmp_path: Path, content: bytes) -> None:
    file = StopFile(tmp_path / "stops.json")
    file.path.write_bytes(content)
    bridge = LocalBridge([ToyVehicle()], toy_settings(), stops=file)
    with pytest.raises(InvalidInput, match=r"stops\.json may hold emergency stops"):
        await bridge.start()
    await bridge.close()
    assert file.path.read_bytes() == content


class SlowStore:
    """Waits for leave before it writes; may also fail."""

    def __init__(self) -> None:
        self.leave = threading.Event()
        self.saved: list[dict[str, EmergencyStop]] = []
        self.fails = False

    def load(self) -> dict[str, EmergencyStop]:
        return {}

    def save(self, stops: Mapping[str, EmergencyStop]) -> None:
        assert self.leave.wait(30)
        if self.fails:
            raise OSError("no space left on device")
        self.saved.append(dict(stops))


async def test_stopping_waits_for_no_disk_and_its_answer_does() -> None:
    store, vehicle = SlowStore(), ToyVehicle()
    bridge = LocalBridge([vehicle], toy_settings(), stops=store)
    await bridge.start()
    lease = (await bridge.acquire_lease("drone", "test")).lease
    await bridge.wait_command(await bridge.command(lease, Takeoff(), ttl_s=10), 10)
    assert vehicle.armed

    async def open_once_stopped() -> None:
        async for telemetry in bridge.watch_telemetry("drone"):
            if telemetry.emergency_stop is StopLevel.KILL and not vehicle.armed:
                break
        assert store.saved == []
        store.leave.set()

    opening = open_once_stopped()
    stopping = bridge.emergency_stop("drone", StopLevel.KILL, "a bird")
    _, latched = await asyncio.gather(opening, stopping)
    assert latched is StopLevel.KILL
    assert [list(stops) for stops in store.saved] == [["drone"]]
    await bridge.close()


async def test_a_full_disk_stops_no_stop_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    store = SlowStore()
    store.fails = True
    store.leave.set()
    bridge = LocalBridge([ToyVehicle()], toy_settings(), stops=store)
    await bridge.start()
    with caplog.at_level(logging.ERROR):
        assert await bridge.emergency_stop("drone", StopLevel.HOLD, "a bird") is StopLevel.HOLD
    assert "would not survive a restart" in caplog.text
    assert await not_on_disk(bridge) == "no space left on device"
    store.fails = False
    assert await bridge.emergency_stop("drone", StopLevel.HOLD, "again") is StopLevel.HOLD
    assert [stops["drone"].reason for stops in store.saved] == ["a bird"]
    assert await not_on_disk(bridge) == ""
    store.fails = True
    assert await bridge.clear_emergency_stop("drone", "secret") == "no space left on device"
    store.fails = False
    assert await bridge.clear_emergency_stop("drone", "secret") == ""
    await bridge.close()


async def not_on_disk(bridge: LocalBridge) -> str:
    stop = await bridge.get_emergency_stop("drone")
    assert stop is not None
    return stop.not_on_disk


@pytest.mark.serial
async def test_a_disk_that_hangs_is_said_and_keeps_no_answer_back() -> None:
    store = SlowStore()
    bridge = LocalBridge([ToyVehicle()], toy_settings(), stops=store)
    await bridge.start()
    try:
        async with asyncio.timeout(5):
            assert await bridge.emergency_stop("drone", StopLevel.HOLD, "a bird") is StopLevel.HOLD
        assert "has not taken it" in await not_on_disk(bridge)
    finally:
        store.leave.set()
    async with asyncio.timeout(5):
        while await not_on_disk(bridge):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert [stops["drone"].reason for stops in store.saved] == ["a bird"]
    await bridge.close()


@pytest.mark.parametrize("words", ["a\0b\ud83d\x1b[2J" + "x" * 2000, ""])
async def test_a_stop_of_any_words_is_kept_and_latched_again(tmp_path: Path, words: str) -> None:
    file = StopFile(tmp_path / "stops.json")
    bridge = LocalBridge([ToyVehicle()], toy_settings(), stops=file)
    await bridge.start()
    await bridge.emergency_stop("drone", StopLevel.HOLD, words, who=words)
    told = await bridge.get_emergency_stop("drone")
    assert told is not None and told.not_on_disk == ""
    bridge_after = LocalBridge([ToyVehicle()], toy_settings(), stops=StopFile(file.path))
    await bridge_after.start()
    assert await bridge_after.get_emergency_stop("drone") == told, "as it was, with its own time"
    await bridge.close()
    await bridge_after.close()


async def test_a_vehicle_that_cannot_be_held_is_latched_all_the_same(tmp_path: Path) -> None:
    file, vehicle = StopFile(tmp_path / "stops.json"), ToyVehicle()
    file.save({"drone": EmergencyStop(StopLevel.HOLD, "a bird", 1)})
    vehicle.fail.add("hold")
    bridge = LocalBridge([vehicle], toy_settings(), stops=file)
    await bridge.start()
    assert bridge.driver("drone").commander.stop_level is StopLevel.HOLD
    await bridge.close()


def test_stops_that_nobody_could_clear_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="operator_token"):
        SimBridgeSettings(stop_file=tmp_path / "stops.json").stops()
    assert SimBridgeSettings().stops() is None
