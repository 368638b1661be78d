"""python -m pytest tests/unit/lab/test_instructions.py -v

Verdicts pass texts that follow an instruction and fail those that do not, whatever the texts; a run over a real model
says what it is.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image as PilImage
from typer.testing import CliRunner

from stillwing_cli.main import app
from stillwing_lab.experiments.subject import load_subject
from stillwing_lab.instructions import run, verdicts
from stillwing_lab.instructions.probes import PROBES, InstructionProbe, Shown

WORDS = (
    "tree",
    "grey",
    "cloud",
    "far",
    "a",
    "stone",
    "road",
    "turns",
    "under",
    "green",
    "roof",
    "light",
    "wide",
    "sky",
)
PROBE = {probe.name: probe for probe in PROBES}

phrases = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6, unique=True).map(" ".join)


def lines_of(count: int) -> st.SearchStrategy[list[str]]:
    """So many lines of words, unlike each other."""
    return st.lists(phrases, min_size=count, max_size=count, unique=True)


def followed(probe: str, variant: int, text: str, shown: Shown = Shown(30.0, 0)) -> bool:  # noqa: B008
    return PROBE[probe].variants[variant].judge(text, shown).followed


def no_stuffing(text: str) -> bool:
    found = verdicts.words(text)
    return len(found) < 10 or len({word.casefold() for word in found}) / len(found) >= 0.5


# Numbered steps


@given(st.integers(2, 8).flatmap(lines_of), st.sampled_from([".", ")"]), st.sampled_from(["\n", "\n\n", "\n   "]))
def test_steps_in_order_are_numbered(lines: list[str], mark: str, between: str) -> None:
    text = between.join(f"{number}{mark} {line}" for number, line in enumerate(lines, 1))
    assume(no_stuffing(text))
    assert verdicts.numbered(text, len(lines)).followed
    assert not verdicts.numbered(text, len(lines) + 1).followed
    assert not verdicts.numbered(f"Here are the steps:\n{text}", len(lines)).followed
    assert not verdicts.numbered("\n".join(lines), len(lines)).followed
    assert not verdicts.numbered("\n".join(f"- {line}" for line in lines), len(lines)).followed


@given(st.integers(2, 6).flatmap(lambda count: st.permutations(range(1, count + 1))))
def test_steps_out_of_order_are_not(numbers: list[int]) -> None:
    text = "\n".join(f"{number}. {WORDS[number]}" for number in numbers)
    assert verdicts.numbered(text, len(numbers)).followed is (numbers == sorted(numbers))


# Timestamps


@given(st.lists(st.integers(0, 300), min_size=2, max_size=6, unique=True), st.data())
def test_rising_times_within_the_video_are_timestamps(tenths: list[int], data: st.DataObject) -> None:
    times = sorted(tenths)
    lines = data.draw(lines_of(len(times)))
    told = [f"[{tenth / 10:g} s] {line}" for tenth, line in zip(times, lines, strict=True)]
    text = "\n".join(told)
    assume(no_stuffing(text))
    assert verdicts.timestamps(text, len(times), 30.0).followed
    assert not verdicts.timestamps(text, len(times) - 1, 30.0).followed
    assert not verdicts.timestamps("\n".join(reversed(told)), len(times), 30.0).followed
    assert not verdicts.timestamps(text, len(times), times[-1] / 10 - 0.01).followed
    assert not verdicts.timestamps(text.replace("[", "").replace("]", ""), len(times), 30.0).followed
    assert not verdicts.timestamps("\n".join([*told[:-1], told[-2]]), len(times), 30.0).followed
    place = data.draw(st.integers(0, len(told) - 1))
    told[place] = told[place].split("] ")[0] + "]"
    assert not verdicts.timestamps("\n".join(told), len(times), 30.0).followed


# Bold


@given(st.lists(phrases, min_size=1, max_size=5), st.lists(phrases, min_size=1, max_size=5))
def test_so_many_words_in_bold(within: list[str], around: list[str]) -> None:
    text = " ".join([around[0], *(f"**{part}** {around[at % len(around)]}" for at, part in enumerate(within))]) + "."
    assume(no_stuffing(text))
    assert verdicts.bold(text, len(within)).followed
    assert not verdicts.bold(text, len(within) + 1).followed
    assert not verdicts.bold(text + " **", len(within)).followed
    assert not verdicts.bold(text.replace("**", ""), len(within)).followed
    assert not verdicts.bold(text.replace("**", "*"), len(within)).followed
    assert not verdicts.bold(f"**{within[0]}**", 1).followed
    assert not verdicts.bold(f"{around[0]} ** {within[0]}**", 1).followed
    assert not verdicts.bold(f"{around[0]} ****", 1).followed


# Language

RANGES = {
    "Chinese": (0x4E00, 0x9FA5),
    "Japanese": (0x3041, 0x3096),
    "Korean": (0xAC00, 0xD7A3),
    "Russian": (0x0430, 0x044F),
    "Greek": (0x03B1, 0x03C9),
    "Arabic": (0x0627, 0x063A),
    "Hindi": (0x0905, 0x0939),
}


@pytest.mark.parametrize("name", RANGES)
@given(st.data())
def test_a_language_is_told_by_its_script(name: str, data: st.DataObject) -> None:
    low, high = RANGES[name]
    letters = st.characters(min_codepoint=low, max_codepoint=high, categories=["L"])
    text = data.draw(st.lists(letters, min_size=8, max_size=9, unique=True).map("".join))
    for other in RANGES:
        judged = verdicts.language(f"{text[:4]} {text[4:]}, 12.", other)
        assert judged.followed is (other == name), other
    assert not verdicts.language(f"{text}: and this is what it means in English", name).followed


@given(st.lists(phrases, min_size=1, max_size=8).map(" ".join))
def test_english_is_none_of_them(text: str) -> None:
    assert not any(verdicts.language(text, name).followed for name in verdicts.SCRIPTS)


# Length


@given(st.integers(1, 80), st.integers(0, 20))
def test_words_are_counted(low: int, spread: int) -> None:
    high = low + spread
    for count in (low - 1, low, high, high + 1):
        text = ", ".join(f"word{number}" for number in range(count)) + "."
        assert verdicts.length(text, low, high).followed is (low <= count <= high)


def test_words_as_one_counts_them() -> None:
    assert verdicts.words("It's a well-known **red** [3.5 s] naïve café…") == [
        "It's", "a", "well-known", "red", "3", "5", "s", "naïve", "café",
    ]  # fmt: skip


# People

WHO = ("A woman", "Two men", "The child", "A pedestrian", "Someone in a red coat", "An elderly person", "The cyclists")
DOES = ("walks by", "is waiting", "waves at the camera", "runs away", "holds a bag", "looks up")
NONE = (
    "There are no people in the video.", "Nobody is there.", "I see no one.", "No person can be seen.",
    "There aren't any people.", "I do not see any people here.", "People are not visible.", "The video shows no humans",
)  # fmt: skip
SCENERY = ("The road is grey.", "A tree stands by the road.", "The sky is blue and wide.", "There are no cars.")


@given(st.lists(st.tuples(st.sampled_from(WHO), st.sampled_from(DOES)), min_size=1, max_size=4, unique=True))
def test_people_are_spoken_of(said: list[tuple[str, str]]) -> None:
    text = " ".join(f"{who} {does}." for who, does in said)
    assert verdicts.people(text, 2).followed and verdicts.people(text, None).followed
    assert not verdicts.people(text, 0).followed
    assert verdicts.people(f"{text} They seem calm.", 2).followed
    assert not verdicts.people(f"{text} {' '.join(SCENERY)}", 1).followed


@pytest.mark.parametrize("text", NONE)
def test_nobody_is_said_to_be_there(text: str) -> None:
    assert verdicts.people(text, 0).followed and verdicts.people(text, None).followed
    assert not verdicts.people(text, 3).followed


@given(st.lists(st.sampled_from(SCENERY), min_size=1, max_size=4, unique=True), st.sampled_from([0, 1, None]))
def test_scenery_is_not_about_people(said: list[str], shown: int | None) -> None:
    assert not verdicts.people(" ".join(said), shown).followed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("No trees; a man walks.", 0),  # what is denied is the trees
        ("person person person person person person person person person person", 1),
        ("The manual command surface of the human-made interface.", 0),
        ("people", 1),
        ("", 0),
        ('{"name":"turn","arguments":{"direction":"right","angle_deg":15}}', 0),
    ],
)
def test_what_only_looks_like_it(text: str, shown: int) -> None:
    assert not verdicts.people(text, shown).followed


# Of all of them


@given(st.text(max_size=120), st.sampled_from(PROBES))
def test_any_text_is_judged_with_a_reason(text: str, probe: InstructionProbe) -> None:
    for variant in probe.variants:
        assert variant.judge(text, Shown(12.0, None)).why


@given(
    st.one_of(
        st.text(max_size=200), st.sampled_from([*NONE, *SCENERY, "1. a\n2. b\n3. c", "[1 s] a\n[2 s] b", "a **b**"])
    )
)
def test_no_fixed_answer_follows_a_whole_probe_of_form(text: str) -> None:
    for name in ("timestamps", "numbered steps", "bold", "language", "length"):
        assert not all(variant.judge(text, Shown(12.0, 0)).followed for variant in PROBE[name].variants)


@pytest.mark.parametrize("text", ["", " ", "\n", "none", "**", "1.", "[1 s]"])
def test_next_to_nothing_follows_nothing(text: str) -> None:
    for probe in PROBES:
        for place in range(len(probe.variants)):
            assert not followed(probe.name, place, text)


# Runs


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        PilImage.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def test_the_pilot_is_no_language_model_and_the_report_says_so(pictures: Path, tmp_path: Path) -> None:
    options = ["lab", "instructions", "pilot", "--source", str(pictures), "--people", "0", "--device", "cpu"]
    told = CliRunner().invoke(app, [*options, "--max-tokens", "48", "--out", str(tmp_path / "out"), "--json"])
    assert told.exit_code == 1, told.output
    report = json.loads(told.stdout)
    assert len(report["numbers"]["answers"]) == 18 and report["numbers"]["followed"] <= 1
    assert "who knows no such question" in report["subject"]["answers are"]
    assert [check["claim"].split(":")[0] for check in report["checks"]] == list(PROBE)
    assert f"{report['numbers']['followed']} of 6 instructions" in (tmp_path / "out" / "report.txt").read_text()
    with PilImage.open(tmp_path / "out" / "plot.png") as plot:
        assert plot.size[0] > 500


def test_a_probe_is_followed_where_all_its_variants_are(pictures: Path, tmp_path: Path) -> None:
    subject = load_subject("pilot", tmp_path, device="cpu")
    watched = run.watch(pictures, people=0)
    assert len(watched.frames) == 4 and watched.shown == Shown(1.5, 0)
    answers = [
        run.ProbeAnswer(probe.name, variant.prompt, "x", probe.name == "bold" or place > 0, "why", 1, 1.0)
        for probe in PROBES
        for place, variant in enumerate(probe.variants)
    ]
    report = run.report_of(subject, watched, answers)
    assert [check.held for check in report.checks] == [probe.name == "bold" for probe in PROBES]
    assert report.numbers["followed"] == 1 and not report.held
    assert "2 of 3; why: 'x'" in report.text()
    bars = [patch.get_width() for patch in run.draw(report).axes[0].patches][len(PROBES) :]
    assert bars == [2, 2, 2, 3, 2, 2]
