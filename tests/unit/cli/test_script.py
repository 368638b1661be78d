"""python -m pytest tests/unit/cli/test_script.py

Scripts of timed commands, and keys: what is meant is what is given.
"""

import asyncio
import contextlib

import pytest
from bridge_toys import ToyVehicle, toy_settings
from hypothesis import given
from hypothesis import strategies as st

from stillwing_bridge.core.bridge import LocalBridge
from stillwing_bridge.core.commands import FlyTowards, GoTo, Hold, Land, SetVelocity, Step, Takeoff, Turn
from stillwing_bridge.core.events import CommandEnded, CommandStarted
from stillwing_cli.manual import ManualFlight
from stillwing_cli.script import parse_script
from stillwing_common.errors import InvalidInput
from stillwing_common.types import PositionNed

SCRIPT = """
# from the ground to the ground
0    takeoff altitude_m=1.5
+1   step forward_m=3 speed_m_s=1   # and on
12   set_velocity right_m_s=0.5 ttl_s=2
+0   turn angle_deg=90
+0   go_to north_m=1 east_m=2 down_m=-2 yaw_deg=45
20.5 fly_towards u=0.5 v=0.5 step_m=2
21   hold
+0   land ttl_s=60
"""


def test_a_script_is_read() -> None:
    commands = parse_script(SCRIPT)
    assert [each.command for each in commands] == [
        Takeoff(1.5), Step(forward_m=3, speed_m_s=1), SetVelocity(right_m_s=0.5), Turn(90),
        GoTo(PositionNed(1, 2, -2), yaw_deg=45), FlyTowards(0.5, 0.5, 2), Hold(), Land(),
    ]  # fmt: skip
    assert [(each.time_s, each.after_previous) for each in commands][:3] == [(0, False), (1, True), (12, False)]
    assert (commands[2].ttl_s, commands[7].ttl_s) == (2, 60)
    assert commands[0].line == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no command"),
        ("takeoff", "line 1: want a time"),
        ("0 fly", "one of takeoff"),
        ("soon takeoff", "line 1: time is a number"),
        ("-1 takeoff", "0 or above"),
        ("0 takeoff 2", "want name=value"),
        ("0 takeoff height=2", "height is none of altitude_m"),
        ("0 land speed_m_s=1", "no values at all"),
        ("0 turn", "needs angle_deg"),
        ("0 go_to north_m=1", "east_m, down_m"),
        ("0 step forward_m=nan", "finite"),
        ("0 step forward_m=1 ttl_s=0", "ttl_s is above 0"),
        ("5 takeoff\n4 land", "line 2: 4 s is before"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse_script(text)


@given(st.text(alphabet="0123456789+-. \n#=abcdefghijklmnopqrstuvwxyz_", max_size=80))
def test_no_text_crashes_it(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        parse_script(text)


@pytest.fixture
async def flown():  # type: ignore[no-untyped-def]
    vehicle = ToyVehicle()
    bridge = LocalBridge([vehicle], toy_settings())
    await bridge.start()
    said: list[str] = []
    lease = (await bridge.acquire_lease("drone", "test")).lease
    yield bridge, ManualFlight(bridge, lease, said.append), said, vehicle
    await bridge.close()


async def kinds(bridge: LocalBridge) -> list[str]:
    log = [entry.event async for entry in bridge.watch_flight_log("drone", until_now=True)]
    return [event.kind for event in log if isinstance(event, CommandStarted)]


async def test_a_script_is_flown(flown) -> None:  # type: ignore[no-untyped-def]
    bridge, flight, _, vehicle = flown
    script = (
        "0 takeoff\n+0 set_velocity forward_m_s=0.5 ttl_s=0.4\n+0 turn angle_deg=90\n+0 step forward_m=0.2\n+0 land"
    )
    assert await flight.fly_script(parse_script(script)) == 0
    assert await kinds(bridge) == ["takeoff", "set_velocity", "turn", "step", "land"]
    assert vehicle.yaw_deg == pytest.approx(90)
    assert not vehicle.armed


async def test_what_a_script_is_refused_counts(flown) -> None:  # type: ignore[no-untyped-def]
    _, flight, said, _ = flown
    assert await flight.fly_script(parse_script("0 step forward_m=1\n+0 takeoff")) == 1
    assert said[0].startswith("line 1: The vehicle is on the ground")


async def test_keys_fly_and_let_go(flown) -> None:  # type: ignore[no-untyped-def]
    bridge, flight, said, vehicle = flown
    flight.press("t")
    await flight.tick()
    while vehicle.position[2] > -1.9:
        await flight.tick()
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)
    flight.press("w")
    await flight.tick()
    while not vehicle.moving:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    while vehicle.moving:  # the key is released: within a second it stands
        await flight.tick()
        await asyncio.sleep(0.05)
    flight.press(" ")
    await flight.tick()
    flight.press("?")
    await flight.tick()
    assert set(await kinds(bridge)) == {"takeoff", "set_velocity", "hold"}
    assert not said
    flight.press("x")
    assert flight.ended
    log = [entry.event async for entry in bridge.watch_flight_log("drone", until_now=True)]
    assert all(event.status.state.value != "failed" for event in log if isinstance(event, CommandEnded))
