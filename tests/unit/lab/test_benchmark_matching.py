"""python -m pytest tests/unit/lab/test_benchmark_matching.py -v

Annotations are read or refused with their place, prompts are filled, answers are matched as the benchmarks do and
strictly, and lateness is counted right.
"""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sign_videos import dump

from stillwing_common.errors import InvalidInput, NotFound, UnknownBackend
from stillwing_lab.video_benchmarks import matching, ovo_bench, prompts, streaming_bench
from stillwing_lab.video_benchmarks.ledger import AnswerLedger
from stillwing_lab.video_benchmarks.live_clock import LiveClock
from stillwing_lab.video_benchmarks.probes import NO, YES, Answer, Probe, ProbeKind, Verdict, find_video
from stillwing_lab.video_benchmarks.report import BenchmarkReport, score_mode

OPTIONS = ("a red car", "a blue car", "two cars", "no car")
CHOICE = Probe("1", "OCR", ProbeKind.CHOICE, 3.0, "What is there?", "B", OPTIONS)


def answer(said: str | None, **given: Any) -> Answer:
    """An answer that said this."""
    values: dict[str, Any] = {"probe_id": "1", "said": said, "asked_s": 3.0, "first_token_s": 0.1, "elapsed_s": 0.2}
    values |= {"waited_s": 0.0, "staleness_s": 0.1, "frames": 3, "context_tokens": 9, "evicted_frames": 0}
    return Answer(**{**values, **given})


@pytest.mark.parametrize(
    ("said", "official", "strict"),
    [
        ("B", True, True),
        ("b", False, True),
        (" (B) ", True, True),
        ("B. a blue car", True, True),
        ("B) A blue car.", True, True),
        ("a blue car", False, True),
        ("A. a blue car", False, False),
        ("B. a red car", True, False),
        ("ABCD", True, False),
        ("B or C", True, False),
        ("A", False, False),
        ("The answer is B", True, False),
        ("Because", True, False),
        ("", False, False),
        (None, False, False),
    ],
)
def test_letters(said: str | None, official: bool, strict: bool) -> None:
    assert matching.judge_ovo(CHOICE, answer(said)) == Verdict(official, strict)


def test_a_fifth_option_can_be_right() -> None:
    """Three questions of OVO-Bench are answered with E."""
    probe = Probe("1", "EPM", ProbeKind.CHOICE, 3.0, "How many?", "E", ("1", "2", "3", "4", "5"))
    assert matching.judge_ovo(probe, answer("E")) == Verdict(True, True)
    assert matching.strict_letter("E", OPTIONS) is None


@pytest.mark.parametrize(
    ("kind", "wanted", "said", "official", "strict"),
    [
        (ProbeKind.COUNT, "12", "12", True, True),
        (ProbeKind.COUNT, "12", "12.", True, True),
        (ProbeKind.COUNT, "12", "1 or 2", True, False),
        (ProbeKind.COUNT, "2", "two", False, False),
        (ProbeKind.COUNT, "0", None, False, False),
        (ProbeKind.STEP, YES, "Yes", True, True),
        (ProbeKind.STEP, YES, "yes", False, True),
        (ProbeKind.STEP, YES, "Y", True, False),
        (ProbeKind.ENOUGH, NO, "No.", True, True),
        (ProbeKind.ENOUGH, NO, "Not yet", True, False),
        (ProbeKind.ENOUGH, NO, "Nothing", True, False),
        (ProbeKind.ENOUGH, YES, "Yes and No", True, False),
        (ProbeKind.ENOUGH, NO, None, False, False),
    ],
)
def test_counts_and_yes_or_no(kind: ProbeKind, wanted: str, said: str | None, official: bool, strict: bool) -> None:
    probe = Probe("1", "REC", kind, 3.0, "?", wanted)
    assert matching.judge_ovo(probe, answer(said)) == Verdict(official, strict)


@pytest.mark.parametrize(
    ("said", "official", "strict"),
    [("B", True, True), ("Because", True, False), ("(B)", False, True), ("A", False, False), ("", None, False)],
)
def test_streaming_bench_takes_the_first_character_and_leaves_out_nothing_said(
    said: str, official: bool | None, strict: bool
) -> None:
    assert matching.judge_streaming(CHOICE, answer(said)) == Verdict(official, strict)


@pytest.mark.parametrize(
    ("dialog", "official", "said_it", "strict"),
    [
        ([(9.0, "no"), (10.0, "yes"), (10.0, "red")], True, True, True),
        ([(8.0, "Yes."), (8.0, "It is red.")], True, True, True),
        ([(12.0, "yesterday"), (12.0, "red")], True, True, False),
        ([(10.0, "yes"), (10.0, "blue")], True, False, False),
        ([(7.0, "yes"), (7.0, "red")], False, False, False),
        ([(13.0, "no"), (14.0, "no")], False, False, False),
    ],
)
def test_proactive_answers(dialog: list[tuple[float, str]], official: bool, said_it: bool, strict: bool) -> None:
    probe = Probe("1", "Proactive Output", ProbeKind.PROACTIVE, 5.0, "When red comes", "red", due_s=10.0)
    gave = answer(dialog[-1][1] if len({at_s for at_s, _ in dialog}) < len(dialog) else None)
    gave = Answer(**{**gave.to_json(), "asked_s": dialog[-1][0], "dialog": tuple(dialog)})
    assert matching.judge_streaming(probe, gave) == Verdict(official, strict)
    assert matching.said_what_was_due(probe, gave) is said_it
    assert probe.last_s == 14.0


@given(st.text(max_size=40))
def test_matching_takes_any_text(said: str) -> None:
    found = matching.judge_ovo(CHOICE, answer(said))
    assert found.official is ("B" in said)
    # Whatever else it says, an answer is strictly right for one letter at most.
    right = [letter for letter in "ABCD" if matching.strict_letter(said, OPTIONS) == letter]
    assert len(right) <= 1
    matching.strict_count(said)
    matching.strict_word(said)
    matching.judge_streaming(CHOICE, answer(said))


@given(st.integers(0, 10**9 - 1), st.sampled_from(["", " ", ".", "\n", '"']))
def test_a_number_alone_is_its_count(count: int, around: str) -> None:
    assert matching.strict_count(f"{around}{count}{around}") == count
    assert matching.strict_count(f"{count}{around} times") is None


# Prompts

CHECKOUT = {
    "constant.py": 'import os\nos.remove("nothing")\nBR_PROMPT_TEMPLATE = """Q: {}\nO: {}"""\n'
    'REC_PROMPT_TEMPLATE = "count: {}"\nSSR_PROMPT_TEMPLATE = "step: {}"\nCRR_PROMPT_TEMPLATE = "enough: {}"\n',
    "src/benchmark/StreamingBench.py": "PROMPT_TEMPLATE = '''{}|{}|{}|{}|{}'''\ndef run():\n    1 / 0\n",
    "src/benchmark/StreamingBenchSQA.py": "PROMPT_TEMPLATE = '''{}!{}|{}|{}|{}|{}'''\n",
    "src/benchmark/StreamingBenchProactive.py": "PROMPT_TEMPLATE_PROACTIVE = 'p: {}'\n",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in CHECKOUT.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_official_prompts_are_read_and_never_run(checkout: Path) -> None:
    wording = prompts.OvoWording.read(checkout)
    assert wording.words(CHOICE) == "Q: What is there?\nO: A. a red car; B. a blue car; C. two cars; D. no car;"
    for kind, wanted in (
        (ProbeKind.COUNT, "count: How many times did they jump {}?"),
        (ProbeKind.STEP, "step: jump {}"),
        (ProbeKind.ENOUGH, "enough: jump {}"),
    ):
        # Braces in a question stay what they are.
        assert wording.words(Probe("1", "", kind, 1.0, "jump {}", "1")) == wanted
    streaming = prompts.StreamingWording.read(checkout)
    assert streaming.words(CHOICE).startswith(
        "What is there?|A. a red car|B. a blue car|C. two cars|D. no car\n\nThe best"
    )
    first = Probe("1", "", ProbeKind.CHOICE, 1.0, "What?", "A", OPTIONS, context="")
    assert streaming.words(first).startswith("!What?|A. a red car")
    due = Probe("1", "", ProbeKind.PROACTIVE, 1.0, "Say when.", "now", due_s=3.0)
    assert streaming.words(due).startswith('p: Say when. Is it the right time to output "now"?')
    assert streaming.say(due) == "p: Say when."


def test_a_checkout_that_is_none_is_refused(checkout: Path) -> None:
    with pytest.raises(NotFound, match=r"constant\.py"):
        prompts.OvoWording.read(checkout / "src")
    (checkout / "constant.py").write_text("BR_PROMPT_TEMPLATE = 3")
    with pytest.raises(InvalidInput, match="BR_PROMPT_TEMPLATE"):
        prompts.OvoWording.read(checkout)
    (checkout / "constant.py").write_text("def (")
    with pytest.raises(InvalidInput, match="no Python file"):
        prompts.OvoWording.read(checkout)
    (checkout / "src/benchmark/StreamingBench.py").write_text("PROMPT_TEMPLATE = '{}'")
    with pytest.raises(InvalidInput, match="1 places"):
        prompts.StreamingWording.read(checkout).words(CHOICE)


@pytest.mark.parametrize("answers", prompts.ANSWERS)
@pytest.mark.parametrize("kind", ProbeKind)
def test_every_kind_is_asked_in_every_way(answers: str, kind: ProbeKind) -> None:
    probe = Probe("1", "", kind, 1.0, "What is there?", "B", OPTIONS, due_s=5.0)
    phrased = prompts.phrasing_of(answers, prompts.OwnWording()).ask(probe)
    assert "What is there?" in phrased.prompt and len(phrased.options) == len(phrased.means)
    assert bool(phrased.options) is (answers != "free")
    assert len(set(phrased.options)) == len(phrased.options)
    if answers != "free" and kind is ProbeKind.CHOICE:
        assert phrased.means == ("A", "B", "C", "D")


def test_options_that_read_alike_are_scored_once() -> None:
    probe = Probe("1", "", ProbeKind.CHOICE, 1.0, "?", "B", ("x", "y", "x"))
    phrased = prompts.phrasing_of("options", prompts.OwnWording()).ask(probe)
    assert (phrased.options, phrased.means) == (("x", "y"), ("A", "B"))
    with pytest.raises(UnknownBackend, match="free, letters, options"):
        prompts.phrasing_of("loud", prompts.OwnWording())


# Annotations


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [("00:03:10", 190), ("00:24", 24), ("00:12450", 12450), ("05:11:00", 18660), ("99:99:99", 24 * 3600)],
)
def test_stamps_are_read_as_the_benchmark_reads_them(stamp: str, seconds: int) -> None:
    assert streaming_bench.seconds(stamp) == seconds


@pytest.mark.parametrize("stamp", ["", "now", "1:-2", "1.5"])
def test_what_is_no_stamp_is_refused(stamp: str) -> None:
    with pytest.raises(InvalidInput, match="no time"):
        streaming_bench.seconds(stamp)


OVO_CHOICE = {
    "id": 8,
    "task": "EPM",
    "video": "a.mp4",
    "realtime": 4.03,
    "question": "?",
    "options": ["x", "y"],
    "gt": 1,
}


def test_ovo_annotations(tmp_path: Path) -> None:
    entries = [
        OVO_CHOICE,
        {"id": 9, "task": "REC", "video": "b.mp4", "activity": "run", "test_info": [{"realtime": 2, "count": 0}]},
        {"id": 10, "task": "OCR", "video": "a.mp4", "realtime": 2, "question": "?", "options": ["x", "y"], "gt": 0},
    ]
    groups = ovo_bench.read_annotations(dump(tmp_path / "anno.json", entries))
    assert [(group.name, [probe.probe_id for probe in group.probes]) for group in groups] == [
        ("a.mp4", ["8", "10"]),
        ("b.mp4", ["9/0"]),
    ]
    first = groups[0].probes[0]
    assert (first.time_s, first.answer, groups[0].last_s) == (5.0, "B", 5.0)
    assert groups[1].probes[0].answer == "0"
    empty: dict[str, Answer] = {}
    assert ovo_bench.official_results(tmp_path / "anno.json", empty) == {"backward": [], "realtime": [], "forward": []}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gt": 2}, "gt 2"),
        ({"gt": True}, "gt is True"),
        ({"options": ["x"]}, "options"),
        ({"realtime": -1}, "realtime"),
        ({"realtime": None}, "realtime"),
        ({"task": "XYZ"}, "XYZ"),
        ({"video": 3}, "video"),
        ({"task": "REC"}, "test_info"),
    ],
)
def test_a_broken_annotation_names_its_place(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = dump(tmp_path / "anno.json", [OVO_CHOICE, {**OVO_CHOICE, "id": 11, **change}])
    with pytest.raises(InvalidInput, match=f"entry 1.*{said}"):
        ovo_bench.read_annotations(path)


def test_what_is_no_annotation_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        ovo_bench.read_annotations(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("no json")
    with pytest.raises(InvalidInput, match="no JSON"):
        ovo_bench.read_annotations(tmp_path / "text.json")
    with pytest.raises(InvalidInput, match="list"):
        streaming_bench.read_annotations([dump(tmp_path / "empty.json", [])])
    with pytest.raises(InvalidInput, match="occurs twice"):
        ovo_bench.read_annotations(dump(tmp_path / "twice.json", [OVO_CHOICE, OVO_CHOICE]))


def test_a_sequence_is_told_what_came_before_with_the_right_answers(tmp_path: Path) -> None:
    def part(question: str, answer: str) -> dict[str, Any]:
        asked = {"task_type": "SQA", "question": question, "time_stamp": "00:00:04", "answer": answer}
        return {"video_path": "./v.mp4", "questions": [{**asked, "options": ["4.", "2.", "8.", "6."]}]}

    path = dump(tmp_path / "sqa.json", [[part("one?", "A"), part("two?", "C")], [part("three?", "B")]])
    (group,) = streaming_bench.read_annotations([path])
    contexts = [probe.context for probe in group.probes]
    assert contexts[0] == contexts[2] == ""
    assert contexts[1] is not None and "one?" in contexts[1] and "The answer was A." in contexts[1]
    assert "two?" not in contexts[1]


def test_a_video_is_found_by_its_path_or_its_name(tmp_path: Path) -> None:
    for name in ("a/b.mp4", "c.mp4"):
        dump(tmp_path / name, "")
    assert find_video(tmp_path, "a/b.mp4") == tmp_path / "a/b.mp4"
    assert find_video(tmp_path, "./videos/c.mp4") == tmp_path / "c.mp4"
    assert find_video(tmp_path, "b.mp4") is None


# Scores and times


def test_ovo_averages_tasks_then_categories() -> None:
    categories, total = ovo_bench.official_total({"EPM": 1.0, "HLD": 0.0, "OCR": 1.0})
    assert categories == {"backward": 0.5, "realtime": 1.0} and total == 0.75


def test_a_score_counts_what_the_official_matching_counts() -> None:
    said = {"1": "B", "2": "", "3": "A"}
    answered = [
        (Probe(name, "OCR", ProbeKind.CHOICE, 1.0, "?", "B", OPTIONS), answer(text, probe_id=name))
        for name, text in said.items()
    ]
    found = score_mode(
        "evict", answered, matching.judge_streaming, lambda scores, counts: ({}, scores["OCR"] * counts["OCR"]),
        {"1": answer("B"), "3": answer("C")}, {},
    )  # fmt: skip
    task = found.tasks["OCR"]
    assert task.official is not None and (task.asked, task.counted, task.official.value) == (3, 2, 0.5)
    assert (found.total, task.strict.value) == (1.0, pytest.approx(1 / 3))
    assert found.same_as_refill is not None and found.same_as_refill.value == 0.5
    report = BenchmarkReport("StreamingBench", {"model": "m"}, {}, 1, (), (found,), ())
    shown = io.StringIO()
    Console(width=80, file=shown).print(report.to_table())
    assert "evict " in shown.getvalue() and "…" not in shown.getvalue()


def test_a_live_clock() -> None:
    clock = LiveClock()
    with pytest.raises(ValueError, match="nothing"):
        clock.ask(0.0, 0.1, 0.1)
    clock.frames(1.0, 0.4)
    idle = clock.ask(2.0, 0.1, 0.5)
    assert (idle.waited_s, idle.first_token_s, idle.staleness_s) == (0.0, 0.1, pytest.approx(1.1))
    # The engine is busy with that answer until 2.5.
    waits = clock.ask(2.0, 0.1, 0.5)
    assert (waits.waited_s, waits.staleness_s) == (0.5, pytest.approx(1.6))
    clock.frames(3.0, 0.7)
    late = clock.ask(3.2, 0.1, 0.1)
    assert (late.waited_s, late.staleness_s) == (pytest.approx(0.5), pytest.approx(0.8))


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5), st.floats(0, 3), st.floats(0, 1)), min_size=1, max_size=30))
def test_lateness_is_never_negative_and_an_engine_that_takes_no_time_is_never_late(
    work: list[tuple[bool, float, float, float]],
) -> None:
    busy, instant, now_s = LiveClock(), LiveClock(), 0.0
    busy.frames(0.0, 1.0)
    instant.frames(0.0, 0.0)
    newest_s = 0.0
    for is_ask, gap_s, took_s, share in work:
        now_s += gap_s
        if not is_ask:
            busy.frames(now_s, took_s)
            instant.frames(now_s, 0.0)
            newest_s = now_s
            continue
        late, ideal = busy.ask(now_s, took_s * share, took_s), instant.ask(now_s, 0.0, 0.0)
        assert late.waited_s >= 0 and late.staleness_s >= ideal.staleness_s - 1e-9
        assert (ideal.waited_s, ideal.staleness_s) == (0.0, pytest.approx(now_s - newest_s))


def test_a_ledger_keeps_whole_lines_and_merges(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    ledger = AnswerLedger(path, {"model": "a", "fps": 2.0})
    ledger.add("stream", "v.mp4", [answer("one", probe_id="1", dialog=((1.0, "no"),))])
    ledger.add("stream", "v.mp4", [answer("two", probe_id="2")])
    with path.open("a") as file:
        file.write('{"mode": "stream", "video": "w.mp4", "answ')
    again = AnswerLedger(path, {"model": "a", "fps": 2.0})
    assert again.done == ledger.done and set(again.done) == {("stream", "v.mp4")}
    assert [each.probe_id for each in again.done["stream", "v.mp4"]] == ["1", "2"]
    assert len(path.read_text().splitlines()) == 3
    with pytest.raises(InvalidInput, match="model 'a'"):
        AnswerLedger(path, {"model": "b", "fps": 2.0})
    path.write_text(json.dumps([1]))
    with pytest.raises(InvalidInput, match="no run"):
        AnswerLedger(path, {})
