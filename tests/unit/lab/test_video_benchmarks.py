"""python -m pytest tests/unit/lab/test_video_benchmarks.py -v

Both benchmarks run over rendered videos with known answers, in the formats of their real annotation files, on a model
that was trained to answer them: what the scores must be is known.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sign_videos import colour_question, dump, signs_of, write_ovo_set, write_streaming_set, write_video
from typer.testing import CliRunner

from stillwing_cli.main import app
from stillwing_common.clock import WallClock
from stillwing_common.errors import Exhausted, InvalidInput, NotFound
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_lab.video_benchmarks import run
from stillwing_lab.video_benchmarks.play import MODES, play
from stillwing_lab.video_benchmarks.probes import NO, YES, Answer, Probe, ProbeKind
from stillwing_lab.video_benchmarks.prompts import FreeAnswers, OptionAnswers, OwnWording, Phrased
from stillwing_lab.video_benchmarks.run import OVO, STREAMING, Asking, main
from stillwing_lab.video_benchmarks.watching import Playing, tokens_of
from stillwing_recording.opening import open_recording
from stillwing_recording.pictures import PictureOptions
from stillwing_training.recall.catalog import recall_directory
from stillwing_training.recall.signs import COLOUR_NAMES, NOT_SEEN, SYSTEM_TEXT
from stillwing_vlm.core.catalog import ModelSource
from stillwing_vlm.core.engines.qwen.families import FAMILIES
from stillwing_vlm.core.local import LocalEngine

MODEL = str(recall_directory())
# One frame of each sign; in mode evict the sink and five signs are kept.
SIGN_TOKENS, WINDOW_SIGNS = 6, 5


@dataclass(frozen=True)
class SignPhrasing:
    """Asks the recall model in the words it knows: a colour named is a yes, "none" a no; counting it cannot do."""

    def ask(self, probe: Probe) -> Phrased:
        match probe.kind:
            case ProbeKind.CHOICE:
                return OptionAnswers(OwnWording()).ask(replace(probe, context=None))
            case ProbeKind.COUNT:
                return Phrased(OwnWording().words(probe))
        return Phrased(probe.question, (*COLOUR_NAMES, NOT_SEEN), (*[YES] * len(COLOUR_NAMES), NO))

    def say(self, probe: Probe) -> str:
        return probe.question


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine.load(ModelSource(MODEL, device="cpu", threads=1))


@pytest.fixture(scope="module")
def evict_tokens(engine: LocalEngine) -> int:
    return len(engine.loaded.preparer.opening(SYSTEM_TEXT)) + (1 + WINDOW_SIGNS) * SIGN_TOKENS


@pytest.fixture(scope="module")
def ovo(tmp_path_factory: pytest.TempPathFactory, evict_tokens: int) -> tuple[Path, dict[str, Any]]:
    """The set, and what running it came to."""
    folder = tmp_path_factory.mktemp("ovo")
    annotations = write_ovo_set(folder, 2)
    playing = Playing(0.5, 1, SYSTEM_TEXT, 4, evict_tokens)
    out = main(
        OVO, [annotations], folder / "videos", asking=Asking(MODEL, device="cpu"), playing=playing,
        phrasing=SignPhrasing(), out=folder / "out",
    )  # fmt: skip
    return folder, json.loads((out / "report.json").read_text())


def mode_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(mode for mode in report["modes"] if mode["mode"] == name)
    return found


def stored(folder: Path) -> dict[tuple[str, str], Answer]:
    """Answers of a run, by mode and probe."""
    lines = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()[1:]]
    return {
        (line["mode"], answer["probe_id"]): Answer.from_json(answer) for line in lines for answer in line["answers"]
    }


def test_what_the_model_can_answer_is_scored_as_answered(ovo: tuple[Path, dict[str, Any]]) -> None:
    _, report = ovo
    assert report["videos"] == 2 and [mode["mode"] for mode in report["modes"]] == ["refill", "stream", "evict"]
    for name in ("refill", "stream"):
        mode = mode_of(report, name)
        right = {task: score["official"]["value"] for task, score in mode["tasks"].items()}
        # It cannot count, and was trained for the rest.
        assert right.pop("REC") == 0.0
        assert sum(right.values()) / len(right) > 0.9
        assert mode["categories"]["backward"] > 0.8 and mode["categories"]["realtime"] > 0.9
        assert mode["categories"]["forward"] == pytest.approx(
            (mode["tasks"]["CRR"]["official"]["value"] + mode["tasks"]["SSR"]["official"]["value"]) / 3
        )
        assert mode["total"] == pytest.approx(sum(mode["categories"].values()) / 3)
        assert mode["strict_total"] == mode["total"]  # held to options, it says nothing else
        assert mode["evicted_frames"] == 0


def test_what_was_evicted_is_not_answered_and_what_is_in_the_window_is(ovo: tuple[Path, dict[str, Any]]) -> None:
    _, report = ovo
    evict = mode_of(report, "evict")
    assert evict["tasks"]["EPM"]["official"]["value"] == 0.0  # asked for the second sign after the fourteenth
    for task in ("ASI", "HLD", "OCR", "STU"):
        assert evict["tasks"][task]["official"]["value"] == 1.0
    assert evict["evicted_frames"] > 0
    assert evict["context_tokens"] < mode_of(report, "stream")["context_tokens"]


def test_one_pass_answers_word_for_word_what_computing_everything_anew_does(ovo: tuple[Path, dict[str, Any]]) -> None:
    folder, report = ovo
    assert mode_of(report, "stream")["same_as_refill"]["value"] == 1.0
    assert mode_of(report, "evict")["same_as_refill"]["value"] < 1.0
    answers = stored(folder / "out")
    probes = {probe for _, probe in answers}
    for probe in probes:
        anew, passed = answers["refill", probe], answers["stream", probe]
        assert anew.frames == passed.frames and anew.context_tokens == passed.context_tokens
        assert anew.probabilities == pytest.approx(passed.probabilities, abs=1e-4)
        assert anew.staleness_s >= anew.first_token_s > 0 and passed.staleness_s >= passed.first_token_s > 0


class TickingClock(WallClock):
    """A second passes with every look at it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        self.now_s += 1.0
        return self.now_s


def test_computing_anew_is_part_of_the_time_to_the_first_token(tmp_path: Path, engine: LocalEngine) -> None:
    write_video(tmp_path / "signs.mp4", signs_of(0, 4), 0)
    recording = open_recording(tmp_path / "signs.mp4", PictureOptions(fps=0.5))
    probes = [Probe(str(at_s), "OCR", ProbeKind.COUNT, at_s, "x", "1") for at_s in (2.0, 6.0)]
    took_s = {}
    for mode in ("refill", "stream"):
        ticking = LocalEngine(replace(engine.loaded, clock=TickingClock()))
        told = play(ticking, recording, probes, FreeAnswers(OwnWording()), mode, Playing(0.5, 1, SYSTEM_TEXT, 1))
        took_s[mode] = [each.first_token_s for each in told]
    first, second = took_s["stream"]
    assert first == second  # a question costs the same wherever it is asked
    # An append looks at the clock twice: a second each, of one frame and of three.
    assert took_s["refill"] == [first + 1, first + 3]


def test_a_question_sees_the_frames_before_its_instant_and_no_other(ovo: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = ovo
    entries = {entry["id"]: entry for entry in json.loads((folder / "ovo_bench_new.json").read_text())}
    for (_, probe), answer in stored(folder / "out").items():
        number, _, place = probe.partition("/")
        entry = entries[int(number)]
        realtime = entry["test_info"][int(place)]["realtime"] if place else entry["realtime"]
        # A frame every two seconds, the first at 0.
        assert answer.asked_s == -(-realtime // 1) and answer.frames == answer.asked_s / 2
        assert not answer.after_end


def test_official_results_are_what_the_benchmarks_script_reads(ovo: tuple[Path, dict[str, Any]]) -> None:
    folder, report = ovo
    results = json.loads((folder / "out" / "official-stream-ovo_bench_new.json").read_text())
    assert {name: len(entries) for name, entries in results.items()} == {"backward": 6, "realtime": 12, "forward": 6}
    backward = results["backward"][0]
    assert set(backward) == {"id", "video", "task", "question", "response", "ground_truth"}
    right = [entry["ground_truth"] in entry["response"] for entry in results["realtime"]]
    assert sum(right) / len(right) == pytest.approx(mode_of(report, "stream")["categories"]["realtime"])
    assert all("response" in info for entry in results["forward"] for info in entry["test_info"])
    told = (folder / "out" / "report.md").read_text()
    assert "| EPM | 2 |" in told and "Stillwing's own" in told and "= refill" in told


def test_a_run_goes_on_where_it_was_stopped(
    ovo: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evict_tokens: int
) -> None:
    folder, report = ovo
    lines = (folder / "out" / "answers.jsonl").read_text().splitlines(keepends=True)
    # Killed in the middle of a line.
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "answers.jsonl").write_text("".join(lines[:-1]) + lines[-1][:40])
    played: list[str] = []

    def spied(engine: Any, recording: Any, probes: Any, phrasing: Any, mode: str, *rest: Any) -> Any:
        played.append(mode)
        return play(engine, recording, probes, phrasing, mode, *rest)

    monkeypatch.setattr(run, "play", spied)

    def go_on(**asked: Any) -> Path:
        return main(
            OVO, [folder / "ovo_bench_new.json"], folder / "videos", asking=Asking(MODEL, device="cpu", **asked),
            playing=Playing(0.5, 1, SYSTEM_TEXT, 4, evict_tokens), phrasing=SignPhrasing(), out=tmp_path / "out",
        )  # fmt: skip

    go_on()
    assert played == ["evict"]
    again = json.loads((tmp_path / "out" / "report.json").read_text())
    scores = ("tasks", "categories", "total", "strict_total", "same_as_refill")
    assert [{key: mode[key] for key in scores} for mode in again["modes"]] == [
        {key: mode[key] for key in scores} for mode in report["modes"]
    ]
    go_on(modes=("stream",), tasks=("EPM",))
    assert played == ["evict"]
    with pytest.raises(InvalidInput, match="max_tokens"):
        main(
            OVO, [folder / "ovo_bench_new.json"], folder / "videos", asking=Asking(MODEL, device="cpu"),
            playing=Playing(0.5, 1, SYSTEM_TEXT, 9, evict_tokens), phrasing=SignPhrasing(), out=tmp_path / "out",
        )  # fmt: skip


def test_streaming_bench_in_all_its_formats(
    tmp_path: Path, evict_tokens: int, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations = write_streaming_set(tmp_path, 2)
    out = main(
        STREAMING, annotations, tmp_path / "videos", asking=Asking(MODEL, modes=("stream", "evict"), device="cpu"),
        playing=Playing(0.5, 1, SYSTEM_TEXT, 1, evict_tokens), phrasing=SignPhrasing(), out=tmp_path / "out",
        as_json=True,
    )  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((out / "report.json").read_text())
    for mode in report["modes"]:
        tasks = mode["tasks"]
        assert {task: score["asked"] for task, score in tasks.items()} == {
            "Attribute Perception": 6, "Sequential Question Answering": 4, "Proactive Output": 2,
        }  # fmt: skip
        counted = [(score["official"]["value"], score["counted"]) for score in tasks.values()]
        assert mode["total"] == pytest.approx(sum(share * count for share, count in counted) / 12)
        assert mode["total"] > 0.9 and mode["extra"]["proactive_answers"] == 1.0
        assert tasks["Proactive Output"]["strict"]["value"] == 1.0
    answers = stored(out)
    for (_, probe), answer in answers.items():
        if probe.startswith("questions_proactive"):
            # The sign comes at 12 s, it is asked about from 10 s on, and what it shows is said at 13 s.
            assert [at_s for at_s, _ in answer.dialog] == [10.0, 11.0, 12.0, 13.0, 13.0]
            assert [said for _, said in answer.dialog[:4]] == ["No", "No", "No", "Yes"]
    official = json.loads((out / "official-stream-questions_real.json").read_text())
    assert [question["recall"] for question in official[0]["questions"]] == [
        answers["stream", f"questions_real/0/{number}"].said for number in range(3)
    ]
    due = json.loads((out / "official-stream-questions_proactive.json").read_text())[0]["questions"][0]
    assert due["recall"]["dialog_history"][-1] == {
        "role": "assistant", "content": due["ground_truth_output"], "time": 13.0, "cost": 0.0,
    }  # fmt: skip


def test_the_newest_chunks_alone(tmp_path: Path, engine: LocalEngine) -> None:
    shown, rng = signs_of(9, 14), np.random.default_rng(9)
    write_video(tmp_path / "signs.mp4", shown, 9)
    recording = open_recording(tmp_path / "signs.mp4", PictureOptions(fps=0.5))
    probes = []
    for age in range(9):
        text, options, gt = colour_question(shown, 13 - age, rng)
        probes.append(Probe(str(age), "EPM", ProbeKind.CHOICE, 28.0, text, "ABCDE"[gt], tuple(options)))
    phrasing = OptionAnswers(OwnWording())
    told = play(engine, recording, probes, phrasing, "recent", Playing(0.5, 1, SYSTEM_TEXT, 1))
    # "none" of what is older than four chunks, though the window holds it.
    assert [each.said == probe.answer for each, probe in zip(told, probes, strict=True)] == [True] * 4 + [False] * 5
    assert [each.said for each in told[4:]] == ["E"] * 5
    assert told[0].context_tokens < engine.info().default_max_context_tokens and told[0].evicted_frames == 0


def test_a_model_that_was_taught_no_letters_scores_nothing_in_free_words(tmp_path: Path, engine: LocalEngine) -> None:
    write_video(tmp_path / "signs.mp4", signs_of(0, 4), 0)
    recording = open_recording(tmp_path / "signs.mp4", PictureOptions(fps=0.5))
    probe = Probe("0", "OCR", ProbeKind.CHOICE, 6.0, "What colour was A?", "A", ("red", "blue"))
    playing = Playing(0.5, 1, SYSTEM_TEXT, 4)
    (answer,) = play(engine, recording, [probe], FreeAnswers(OwnWording()), "stream", playing)
    assert answer.said is not None and "A" not in answer.said and not answer.probabilities


def test_questions_after_the_end_and_before_the_first_frame_are_asked_where_there_is_something(
    tmp_path: Path, engine: LocalEngine
) -> None:
    write_video(tmp_path / "signs.mp4", signs_of(0, 3), 0)
    recording = open_recording(tmp_path / "signs.mp4", PictureOptions(fps=0.5))
    times = {"never": 12_450.0, "first": 0.0, "end": 6.0}
    probes = [Probe(name, "OCR", ProbeKind.COUNT, at_s, "x", "1") for name, at_s in times.items()]
    for mode in MODES:
        told = play(engine, recording, probes, FreeAnswers(OwnWording()), mode, Playing(0.5, 1, SYSTEM_TEXT, 1))
        assert [(each.probe_id, each.frames, each.after_end) for each in told] == [
            ("never", 3, True),
            ("first", 1, False),
            ("end", 3, False),
        ]
        # As if it had been asked when the video ended, and not hours later.
        assert told[0].staleness_s < 60


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_of_models_holds_a_whole_video_however_it_is_cut(family: str, tmp_path: Path) -> None:
    """Also those that are told times in words, whose length grows."""
    write_tiny_model(tmp_path / "model", family=family)
    model = LocalEngine.load(ModelSource(str(tmp_path / "model"), device="cpu", threads=1))
    write_video(tmp_path / "signs.mp4", signs_of(0, 8), 0)
    probes = [Probe(str(at_s), "OCR", ProbeKind.COUNT, at_s, "What now", "1") for at_s in (5.0, 11.0, 16.0)]
    for fps, chunk_frames in ((1.0, 1), (2.0, 2), (2.0, 4)):
        recording = open_recording(tmp_path / "signs.mp4", PictureOptions(fps=fps))
        playing = Playing(fps, chunk_frames, max_tokens=6)
        anew, passed = (
            play(model, recording, probes, FreeAnswers(OwnWording()), mode, playing) for mode in ("refill", "stream")
        )
        assert [each.said for each in anew] == [each.said for each in passed]
        assert [each.frames for each in passed] == [at_s * fps // chunk_frames * chunk_frames for at_s in (5, 11, 16)]
        chunks = passed[-1].frames // chunk_frames
        budget = tokens_of(model, recording, playing, chunks)
        # Room for one chunk more, and for the longest times in words.
        assert passed[-1].context_tokens < budget < 2.5 * passed[-1].context_tokens


def test_what_does_not_fit_is_said_before_it_is_begun(tmp_path: Path, engine: LocalEngine) -> None:
    write_video(tmp_path / "signs.mp4", signs_of(0, 3), 0)
    recording = open_recording(tmp_path / "signs.mp4", PictureOptions(fps=0.5))
    with pytest.raises(Exhausted, match="--mode evict"):
        tokens_of(engine, recording, Playing(0.5, 1, SYSTEM_TEXT, 1), 10_000_000)


def test_the_command(tmp_path: Path) -> None:
    annotations = write_ovo_set(tmp_path, 1, signs=9)
    options = [
        "lab", "ovo-bench", str(annotations), "--videos", str(tmp_path / "videos"), "--model", MODEL, "--device", "cpu",
        "--answers", "options", "--fps", "0.5", "--chunk-frames", "1", "--system", SYSTEM_TEXT, "--max-tokens", "2",
    ]  # fmt: skip
    told = CliRunner().invoke(
        app, [*options, "--mode", "stream", "--task", "OCR", "--task", "ATR", "--out", str(tmp_path / "out"), "--json"]
    )
    assert told.exit_code == 0, told.output
    report = json.loads(told.stdout)
    assert set(report["modes"][0]["tasks"]) == {"OCR", "ATR"} and report["modes"][0]["total"] == 1.0
    assert any("2 questions" in note for note in report["notes"]) and "report.md" in told.stderr
    for wrong, words in (
        (["--task", "XYZ"], "XYZ"),
        (["--mode", "sideways"], "sideways"),
        (["--answers", "loud"], "loud"),
        (["--prompts", str(tmp_path)], "constant.py"),
    ):
        refused = CliRunner().invoke(app, [*options, *wrong, "--out", str(tmp_path / "none")])
        assert refused.exit_code == 1 and words in refused.stderr
    (tmp_path / "videos" / "signs" / "0.mp4").rename(tmp_path / "away.mp4")
    assert CliRunner().invoke(app, options).exit_code == 1


def test_missing_videos_are_told_or_left_out(tmp_path: Path) -> None:
    annotations = write_ovo_set(tmp_path, 1, signs=9)
    entries = json.loads(annotations.read_text())
    dump(annotations, [*entries, {**entries[3], "id": 99, "video": "elsewhere/1.mp4"}])
    asking = Asking(MODEL, modes=("stream",), tasks=("OCR",), device="cpu", answers="options")
    playing = Playing(0.5, 1, SYSTEM_TEXT, 1)
    with pytest.raises(NotFound, match="1 of 2 videos"):
        main(OVO, [annotations], tmp_path / "videos", asking=asking, playing=playing, out=tmp_path / "out")
    out = main(
        OVO,
        [annotations],
        tmp_path / "videos",
        asking=replace(asking, skip_missing=True),
        playing=playing,
        out=tmp_path / "out",
    )
    report = json.loads((out / "report.json").read_text())
    assert report["missing_videos"] == ["elsewhere/1.mp4"]
    assert report["modes"][0]["tasks"]["OCR"]["asked"] == 1
    assert any("missing" in note for note in report["notes"])
