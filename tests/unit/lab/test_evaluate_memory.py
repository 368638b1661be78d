"""python -m pytest tests/unit/lab/test_evaluate_memory.py -v

Memory in evaluations: a real bank on simulated time, frames that lie, streams that were long before the flight began.
"""

import asyncio
import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage

from stillwing_airfield.contact_sheet import level_pose
from stillwing_airfield.scenes.base import build_scene
from stillwing_airfield.sim import Airfield
from stillwing_common.errors import InvalidInput
from stillwing_common.types import Frame, Image, ImageEncoding, Pose, PositionNed, Quaternion, Stamp
from stillwing_lab.evaluate.bank import episode_bank
from stillwing_lab.evaluate.inline_engine import InlineEngine, MemoryMode
from stillwing_lab.evaluate.jobs import Job, fly
from stillwing_lab.evaluate.simulated_loop import SimulatedLoop
from stillwing_lab.evaluate.ways import MEMORIES, MODES, POLICIES, RECALLS, STYLES, Way, ways
from stillwing_lab.evaluate.wrong_frames import WrongFrames, with_other_sign
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_memory.core.keyframes import ByText, Keyframe
from stillwing_vlm.core.catalog import LoadedEngine, ModelSource, load_engine
from stillwing_vlm.core.requests import FULL_VIEW, AskRequest, ChoiceRequest, SessionConfig, View
from stillwing_vlm.core.results import Provenance

SEED = 1_000_004


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedEngine:
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_model(folder)
    return load_engine(ModelSource(str(folder), random_weights=True, device="cpu", threads=1))


def picture(shade: int, number: int = 0, camera_pose: Pose | None = None) -> Frame:
    buffer = io.BytesIO()
    PilImage.new("RGB", (64, 48), (shade, shade, shade)).save(buffer, "JPEG")
    image = Image(ImageEncoding.JPEG, 64, 48, buffer.getvalue())
    return Frame(f"drone/front/{number}", "front", Stamp(number * 10**9, "clock"), camera_pose, image)


def test_a_bank_answers_while_simulated_time_stands_still_and_forgets_between_episodes() -> None:
    async def episode(loop: SimulatedLoop) -> tuple[int, int, float]:
        async with episode_bank(loop) as bank:
            began_s = loop.time()
            # Less than any database takes: real time spent in it must not count.
            async with asyncio.timeout(1e-4):
                before = await bank.search_keyframes(ByText("sign"))
                await bank.put_keyframe(Keyframe(picture(40), caption="the sign"))
                after = await bank.search_keyframes(ByText("sign"))
            return len(before), len(after), loop.time() - began_s

    for _ in range(2):
        with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
            loop = runner.get_loop()
            assert isinstance(loop, SimulatedLoop)
            before, after, passed_s = runner.run(episode(loop))
        assert (before, after) == (0, 1)
        assert passed_s < 1e-4


def test_a_flight_with_a_bank_is_the_same_every_time_and_however_frames_come_back() -> None:
    job = Job("choice", "meadow", SEED - 1, memory="bank", max_decisions=12)
    first, again, kept = fly(job), fly(job), fly(replace(job, recall="kept"))
    assert first.recalls > 0, "what left the window came back"
    assert (first.track, first.recalls, first.end) == (again.track, again.recalls, again.end)
    assert kept.recalls > 0


@pytest.fixture(scope="module")
def maze() -> Iterator[Airfield]:
    with Airfield(build_scene("maze", SEED)) as airfield:
        yield airfield


def seen_from(airfield: Airfield, yaw_deg: float) -> Frame:
    pose = level_pose((0.0, 0.0, -2.0), yaw_deg=yaw_deg)
    return picture(0, 0, Pose(PositionNed(*pose.position_ned_m), Quaternion(*pose.orientation_wxyz_ned)))


def test_a_wrong_frame_is_the_same_view_of_a_sign_in_the_other_colour(maze: Airfield) -> None:
    (sign,) = maze.scene.of_kind("sign")
    north_m, east_m, _ = sign.position_ned_m
    frame = seen_from(maze, float(np.degrees(np.arctan2(east_m, north_m))))
    with closing(WrongFrames(maze)) as redrawn:
        lied = redrawn(frame)
    assert (lied.frame_id, lied.capture, lied.camera_pose) == (frame.frame_id, frame.capture, frame.camera_pose)
    shot = np.asarray(PilImage.open(io.BytesIO(lied.image.data)), np.int16)
    redness = shot[..., 0] - shot[..., 2]
    red, blue = int((redness > 80).sum()), int((redness < -80).sum())
    assert (red > 500, blue > 500) == ((True, False) if sign.colour == "blue" else (False, True))


def test_only_the_sign_differs_in_a_scene_that_lies() -> None:
    scene = build_scene("maze", SEED)
    lying = with_other_sign(scene)
    assert lying.mission == scene.mission and lying.goal() == scene.goal()
    differing = [(a, b) for a, b in zip(scene.mjcf.split("\n"), lying.mjcf.split("\n"), strict=True) if a != b]
    assert len(differing) == 1 and "sign/box" in differing[0][0]
    assert with_other_sign(lying).mjcf == scene.mjcf


def test_a_scene_without_a_sign_cannot_lie() -> None:
    with pytest.raises(InvalidInput, match="no sign"):
        with_other_sign(build_scene("meadow", SEED))


@pytest.mark.parametrize("memory", ["window", "gap"])
def test_a_stream_may_be_long_before_the_flight_begins(memory: str, tiny: LoadedEngine) -> None:
    def seen_after(idle_chunks: int) -> Provenance:
        async def asked() -> Provenance:
            engine = InlineEngine(tiny, 0.0, MemoryMode.named(memory), idle_chunks=idle_chunks)
            session = await engine.open_session(SessionConfig("You fly.", max_context_tokens=200))
            for number in range(3):
                await session.append(picture(40 * number, number))
            return (await session.ask(AskRequest("Where?", 1)).done()).provenance

        return asyncio.run(asked())

    fresh, long_after = seen_after(0), seen_after(60)
    assert fresh.evicted_frames == 0
    assert long_after.evicted_frames >= 25
    assert long_after.last_frame_id == fresh.last_frame_id


def test_who_asks_about_the_newest_frame_alone_is_shown_no_other(tiny: LoadedEngine) -> None:
    async def asked(view: View) -> Provenance:
        session = await InlineEngine(tiny, 0.0, MemoryMode.named("bank")).open_session(SessionConfig("You fly."))
        for number in range(5):
            await session.append(picture(40 * number, number))
        return (await session.ask_choice(ChoiceRequest("Where is it?", ("ahead", "none"), view))).provenance

    alone, everything = asyncio.run(asked(View(recent_chunks=1))), asyncio.run(asked(FULL_VIEW))
    assert alone.oldest_frame_id == alone.last_frame_id == everything.last_frame_id
    assert everything.oldest_frame_id != everything.last_frame_id


def test_positions_with_gaps_run_away_from_the_sink_and_contiguous_ones_do_not(tiny: LoadedEngine) -> None:
    async def offset(memory: str) -> int:
        engine = InlineEngine(tiny, 0.0, MemoryMode.named(memory), idle_chunks=60)
        session = await engine.open_session(SessionConfig("You fly.", max_context_tokens=200))
        for number in range(3):
            await session.append(picture(40, number))
        trunk = session._session.video.trunk
        return trunk.window_position - trunk.sink_offset - trunk.sink_span

    assert asyncio.run(offset("window")) == 0
    assert asyncio.run(offset("gap")) > 60


@given(
    st.lists(st.sampled_from(POLICIES), min_size=1, unique=True),
    st.lists(st.sampled_from(MODES), min_size=1, unique=True),
    st.lists(st.sampled_from(MEMORIES), min_size=1, unique=True),
    st.lists(st.sampled_from(RECALLS), min_size=1, unique=True),
    st.lists(st.sampled_from(STYLES), min_size=1, unique=True),
)
def test_ways_differ_in_what_matters_and_in_name(
    policies: list[str], modes: list[str], memories: list[str], recalls: list[str], styles: list[str]
) -> None:
    found = ways(policies, modes, memories, recalls, styles)
    assert {way.policy for way in found} == set(policies)
    assert len({way.name for way in found}) == len(found) == len(set(found))
    for way in found:
        way.check()
        assert way.recall == "pixels" or way.memory == "bank"
        assert way.style == "moves" or way.policy != "choice"
        assert way.asks_a_model or way == Way(way.policy, modes[0])
