"""python -m pytest tests/unit/lab/test_check_model.py

`stillwing check-model`: what it draws and how it judges; all of it on a model of Qwen2.5-VL's shape with random weights
and its published chat templates, and on the pilot.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_templates import write_chat_model
from run_profile import sized
from typer.testing import CliRunner

from stillwing_cli.main import app
from stillwing_lab.model_check.library import Agreement
from stillwing_lab.model_check.pictures import KnownPicture, known_pictures
from stillwing_lab.model_check.probes import TEXT_PROBES, TOOL_PROBES
from stillwing_lab.model_check.report import ModelReport
from stillwing_lab.model_check.speeds import Speed, advice
from stillwing_vlm.core.conversation import ToolCall


@pytest.fixture(scope="module")
def pictures() -> list[KnownPicture]:
    return known_pictures()


def test_every_picture_shows_what_is_asked_for_and_not_in_its_middle(pictures: list[KnownPicture]) -> None:
    assert len(pictures) == 12 and len({picture.words for picture in pictures}) >= 2
    for picture in pictures:
        assert picture.pixels.shape == (480, 640, 3)
        colour = picture.pixels[picture.mask].mean(axis=0)
        strongest = {"green": 1, "blue": 2}.get(picture.words.split()[1], 0)
        assert colour.argmax() == strongest
        assert picture.miss(*picture.middle()) < 0.02
        assert picture.miss(0.5, 0.9) > 0 or picture.mask[432, 320]
    middles = np.array([picture.middle() for picture in pictures])
    assert (abs(middles[:, 0] - 0.5) > 0.1).all() and (middles[:, 0] < 0.5).any() and (middles[:, 0] > 0.5).any()


def test_a_miss_is_told_in_shares_of_the_width() -> None:
    mask = np.zeros((100, 200), bool)
    mask[40:60, 20:40] = True
    picture = KnownPicture(np.zeros((100, 200, 3), np.uint8), "a box", mask)
    assert picture.middle() == (0.15, 0.5)
    assert picture.miss(0.15, 0.5) == 0.0 == picture.miss(0.101, 0.59)
    assert picture.miss(0.7, 0.5) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("place", "right", "wrong"),
    [(0, "12", "It is 13."), (1, "Paris.", "London"), (3, "East", "east or west"), (6, "Red door!", "a door")],
)
def test_answers_are_judged_by_their_words(place: int, right: str, wrong: str) -> None:
    assert TEXT_PROBES[place].holds(right) and not TEXT_PROBES[place].holds(wrong)


def test_calls_are_judged_by_name_and_arguments() -> None:
    move, land, look = TOOL_PROBES
    assert len(TEXT_PROBES) + len(TOOL_PROBES) == 10
    assert move.holds(ToolCall("move", '{"direction": "forward", "distance_m": 3}'))
    assert not move.holds(ToolCall("move", '{"direction": "back", "distance_m": 3}'))
    assert land.holds(ToolCall("land")) and not land.holds(ToolCall("look")) and look.holds(ToolCall("look"))


def test_what_is_as_exact_and_clearly_faster_is_advised() -> None:
    def speed(way: str, decision_ms: float | None, *, rounds: bool = False) -> Speed:
        return Speed(way, f"--{way}", rounds, "", 1.0, 1.0, decision_ms, 100)

    assert advice([speed("plain", 100), speed("fast", 80), speed("8 bits", 10, rounds=True)]).way == "fast"
    assert advice([speed("plain", 100), speed("fast", 95), speed("left", None)]).way == "plain"


def test_one_that_does_not_agree_says_so() -> None:
    speed = Speed("plain", "--plain", False, "", 1.0, 1.0, 1.0, 100)
    report = ModelReport(
        {"model": "m", "device": "d"}, Agreement("transformers 5", 0.3, 1e-3, False), [speed], speed, [], {}
    )
    assert not report.held
    assert any("DOES NOT AGREE" in value for _, value in report.lines())


@pytest.mark.parametrize("model", sized(ci=["chat"], nightly=["chat", "pilot"]))
def test_all_of_it(model: str, tmp_path: Path) -> None:
    directory = "pilot"
    if model == "chat":
        directory = str(write_chat_model(tmp_path / "model", "qwen2_5_vl", initializer_range=0.05))
    told = CliRunner().invoke(
        app, ["check-model", directory, "--device", "cpu", "--out", str(tmp_path / "out"), "--json"]
    )
    assert told.exit_code == 0, told.output
    report: dict[str, Any] = json.loads(told.stdout)
    assert report["held"] and report["agreement"]["share"] < 1e-3 and report["agreement"]["same_token"]
    assert report["about"]["family"] == "qwen2_5_vl" and report["about"]["points in"] == "resized pixels"
    assert "<tool_call>" in report["about"]["tool calls"] and "free" in report["about"]["memory, why"]
    assert [speed["way"] for speed in report["speeds"]] == ["plain", "llvm", "llvm, static"]
    for speed in report["speeds"]:
        assert min(speed["append_ms"], speed["first_token_ms"]) > 0 and speed["decision_ms"] > speed["first_token_ms"]
        assert ("same tokens" in speed["reason"]) == (speed["way"] != "plain")
    assert {kind: each["of"] for kind, each in report["right"].items()} == {"text": 7, "tool": 3, "pointing": 12}
    for probe in report["probes"]:
        if probe["kind"] == "tool":
            assert probe["answer"].startswith("<tool_call>")
        if probe["kind"] == "pointing":
            assert 0 <= probe["place"][0] <= 1 and 0 <= probe["place"][1] <= 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Places" in page and len(list((tmp_path / "out" / "pictures").glob("*.jpg"))) == 12
    assert json.loads((tmp_path / "out" / "report.json").read_text())["take"] == report["take"]
    assert (
        f"stillwing-vlm{'' if model == 'pilot' else f' --model {directory}'} {report['take']['flags']}" in told.stderr
    )


@pytest.mark.parametrize("content", [None, {}, {"config.json": "{}"}, {"config.json": '{"model_type": "llama"}'}])
def test_a_directory_that_is_no_model_is_told_at_once(content: dict[str, str] | None, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    if content is not None:
        directory.mkdir()
        for name, text in content.items():
            (directory / name).write_text(text)
    told = CliRunner().invoke(app, ["check-model", str(directory)])
    assert told.exit_code == 1 and not told.stdout
    assert any(words in told.stderr for words in ("is no directory", "lacks config.json", "no model_type", "'llama'"))
