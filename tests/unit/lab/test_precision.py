"""python -m pytest tests/unit/lab/test_precision.py -v

What 8 bits cost is measured between real engines: nothing beside oneself, something beside 8 bits.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from typer.testing import CliRunner

from stillwing_cli.main import app
from stillwing_lab.experiments.footage import FrameLoop
from stillwing_lab.experiments.precision import WAYS, run_precision, watched
from stillwing_lab.experiments.subject import Subject, load_subject
from stillwing_lab.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (60, 90, 3), dtype=np.uint8) for _ in range(count)]


def loaded(directory: Path, way: str) -> Subject:
    return load_subject(str(directory), directory, device="cpu", **WAYS.get(way, {}))


def test_nothing_is_lost_beside_oneself_and_something_in_8_bits(directory: Path) -> None:
    own = loaded(directory, "")
    flight = watched(own, FrameLoop("noise", pictures(5)), 44)
    asked: list[int] = []
    others = {"none": loaded(directory, ""), "both": loaded(directory, "both")}
    report = run_precision(own, others, [flight], "noise", on_ask=lambda: asked.append(1))
    assert len(asked) == 3 * 11 and report.held, report.text()
    none, both = (report.numbers["ways"][name] for name in ("none", "both"))
    assert none["asks"] == both["asks"] == 11 and none["tokens"] > 40
    assert none["max_difference"] == none["kl_mean"] == none["changed_tokens"] == none["changed_answers"] == 0
    assert both["max_difference"] > 0 < both["kl_mean"] and 0 < both["rms_share"] < 0.5
    cached = report.numbers["bytes_per_token"]
    assert cached["own type"] == cached["none"] > 3 * cached["both"]
    assert report.numbers["rows"]["both"][-1]["evicted_frames"] > 0


def test_the_command_leaves_text_numbers_and_a_plot(directory: Path, tmp_path: Path) -> None:
    for index, picture in enumerate(pictures(4)):
        PilImage.fromarray(picture).save(tmp_path / f"{index}.png")
    out = tmp_path / "found"
    command = ["lab", "precision", "--model", str(directory), "--frames", str(tmp_path), "--chunks", "8"]
    result = CliRunner().invoke(app, [*command, "--device", "cpu", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "weights: logits off by" in result.output and "Next:" in result.output
    assert set(json.loads((out / "report.json").read_text())["numbers"]["ways"]) == set(WAYS)
    assert "hardware:" in (out / "report.txt").read_text()
    with PilImage.open(out / "plot.png") as plot:
        assert plot.width > 500
