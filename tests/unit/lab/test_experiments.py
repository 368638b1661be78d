"""python -m pytest tests/unit/lab/test_experiments.py -v

The experiments hold on the real engine, and say so when they do not.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PilImage
from typer.testing import CliRunner

from stillwing_cli.main import app
from stillwing_common.errors import InvalidInput
from stillwing_lab.experiments import answers, endless, sink
from stillwing_lab.experiments.footage import FrameLoop, folder_frames, video_frames
from stillwing_lab.experiments.report import Check
from stillwing_lab.experiments.subject import REFERENCE_CHUNK_TOKENS, Subject, load_subject
from stillwing_vlm.core.local import LocalSession


@pytest.fixture(scope="module")
def pilot(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return load_subject("pilot", tmp_path_factory.mktemp("work"), device="cpu")


@pytest.fixture(scope="module")
def noise() -> FrameLoop:
    rng = np.random.default_rng(0)
    return FrameLoop("noise", [rng.integers(0, 256, (120, 160, 3), dtype=np.uint8) for _ in range(5)])


def test_a_loop_of_frames_never_jumps(noise: FrameLoop) -> None:
    shown = [next(i for i, frame in enumerate(noise.frames) if frame is noise(index)) for index in range(12)]
    assert shown == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3]


def test_budgets_carry_over_by_the_number_of_chunks(pilot: Subject) -> None:
    opening = pilot.budget(0, 42)
    assert pilot.budget(REFERENCE_CHUNK_TOKENS * 10, 42) == opening + 420


def test_experiment_a_finds_the_sink(pilot: Subject, noise: FrameLoop) -> None:
    report = sink.run_sink(pilot, noise, sizes_px=((160, 120), (240, 80)))
    assert report.held, report.text()
    assert len(report.numbers["rows"]) == 4


def test_experiment_b_runs_three_hundred_frames_on_the_pilot(pilot: Subject, noise: FrameLoop, tmp_path: Path) -> None:
    report = endless.run_endless(pilot, noise, chunks=80, budgets=(100_000,))
    # Memory of a process that other tests share is told, not judged, here.
    held = [check for check in report.checks if "process" not in check.claim]
    assert len(held) == 4 and all(check.held for check in held), report.text()
    assert report.numbers["runs"][0]["points"][-1]["frames"] == 320
    report.save(tmp_path, endless.draw_endless)
    assert json.loads((tmp_path / "report.json").read_text())["experiment"] == "eviction-b"
    with PilImage.open(tmp_path / "plot.png") as plot:
        assert plot.size[0] > 500


def test_experiment_b_says_where_nothing_was_evicted(pilot: Subject, noise: FrameLoop) -> None:
    report = endless.run_endless(pilot, noise, chunks=10, budgets=(100_000,), every=5)
    assert not report.held
    assert "[NO]" in report.text() and "never full" in report.text()


def test_experiment_c_restores_every_byte(pilot: Subject, noise: FrameLoop) -> None:
    report = answers.run_answers(pilot, noise, chunks=40, every=20)
    assert [check.held for check in report.checks] == [True] * 3, report.text()


def test_experiment_c_judges_answers_that_can_be_judged(tmp_path: Path, noise: FrameLoop) -> None:
    subject = load_subject("recall", tmp_path, device="cpu")
    report = answers.run_answers(subject, noise, chunks=60, every=10)
    assert report.held and len(report.checks) == 4, report.text()


def test_experiment_c_catches_a_cache_that_changed(
    pilot: Subject, noise: FrameLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LocalSession.ask

    def leaky(session: LocalSession, *args: Any, **kwargs: Any) -> Any:
        found = real(session, *args, **kwargs)
        with torch.inference_mode():
            session.video.slab.store.values[0, 0, session.video.trunk.tail - 1, 0] += 1e-3
        return found

    monkeypatch.setattr(LocalSession, "ask", leaky)
    report = answers.run_answers(pilot, noise, chunks=20, every=20)
    assert not report.held and "0 of 1 digests equal" in report.text()


def test_frames_come_from_a_folder_or_a_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    for index in range(3):
        PilImage.new("RGB", (64, 48), (80 * index, 0, 0)).save(tmp_path / f"{index}.png")
    assert [int(frame[0, 0, 0]) for frame in folder_frames(tmp_path).frames] == [0, 80, 160]
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        folder_frames(tmp_path / "nothing")
    video = tmp_path / "clip.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(6):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 120, np.uint8), "rgb24")))
        container.mux(stream.encode(None))
    assert len(video_frames(video).frames) == 6
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(InvalidInput, match="cannot be read as a video"):
        video_frames(tmp_path / "broken.mp4")


def test_the_command_tells_checks_that_fail_by_its_exit_code(tmp_path: Path) -> None:
    for index in range(3):
        PilImage.new("RGB", (64, 48), (80 * index, 0, 0)).save(tmp_path / f"{index}.png")
    options = ["lab", "eviction-b", "--frames", str(tmp_path), "--chunks", "10", "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(app, [*options, "--json"])
    assert found.exit_code == 1
    assert json.loads(found.stdout)["held"] is False
    assert CliRunner().invoke(app, ["lab", "eviction-a", "--model", "nothing"]).exit_code == 1


def test_a_check_reads_as_a_sentence() -> None:
    assert Check("the sink stays", True, "48 tokens").line() == "[ok] the sink stays: 48 tokens"
