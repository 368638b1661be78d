"""python -m pytest tests/unit/lab/test_evaluate.py -v

Episodes with the real agent, bridge and airfield in one process; rows and intervals; refusals of bad input.
"""

import json
import random
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stillwing_common.errors import InvalidInput, MissingExtra, UnknownBackend
from stillwing_lab.evaluate.blind_engine import BlindEngine
from stillwing_lab.evaluate.comparison import Comparison
from stillwing_lab.evaluate.episode import EpisodeResult, fly_episode
from stillwing_lab.evaluate.inline_engine import InlineAnswer, InlineEngine, InlineSession, MemoryMode
from stillwing_lab.evaluate.jobs import Job, Ledger, fly
from stillwing_lab.evaluate.page import write_page
from stillwing_lab.evaluate.plots import draw_all
from stillwing_lab.evaluate.policies import BASELINES, MODEL_POLICIES
from stillwing_lab.evaluate.report import Report, row_of
from stillwing_lab.evaluate.run import Where, evaluate
from stillwing_lab.evaluate.ways import RANDOM_WEIGHTS, Way
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_training.pilot.config import FIRST_UNSEEN_SEED
from stillwing_training.statistics import mean, quantile, ratio, wilson
from stillwing_vlm.core.catalog import ModelSource, load_engine
from stillwing_vlm.core.requests import AskRequest, SessionConfig

SEED = FIRST_UNSEEN_SEED + 2


def result(*, success: bool, collided: bool = False, path_m: float = 10.0) -> EpisodeResult:
    return EpisodeResult(1, success, collided, "answered", 5, 1, 10, 2.0, path_m, 8.0, 20.0, (0.01, 0.03))


def test_the_expert_flies_to_the_beacon_and_the_same_way_twice() -> None:
    first, again = (fly_episode("meadow", SEED, BASELINES["expert"], BlindEngine(), []) for _ in range(2))
    assert first.success
    assert first.end == "answered"
    assert not first.collided
    assert first.distance_m < 3.2
    assert 0 < first.spl <= 1
    assert again == first


def test_a_vehicle_that_hovers_goes_nowhere_and_runs_out_of_decisions() -> None:
    hovering = fly_episode("meadow", SEED, BASELINES["hover"], BlindEngine(), [], max_decisions=5)
    assert not hovering.success
    assert hovering.end == "DECISIONS_USED_UP"
    assert hovering.decisions == 5
    assert hovering.path_m < 0.5


def test_always_forward_is_refused_rather_than_flown_into_things() -> None:
    forward = fly_episode("meadow", SEED, BASELINES["always_forward"], BlindEngine(), [], max_decisions=40)
    assert not forward.success
    assert not forward.collided
    assert forward.refusals > 0


@pytest.mark.parametrize("name", sorted(MODEL_POLICIES))
def test_the_agents_policies_fly_on_a_model(name: str, tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    engine = InlineEngine(load_engine(ModelSource(str(tmp_path), random_weights=True, device="cpu", threads=1)))
    flown = fly_episode("meadow", SEED, MODEL_POLICIES[name], engine, engine.think_s, max_decisions=3)
    assert 1 <= flown.decisions <= 3
    assert len(flown.think_s) >= flown.decisions
    assert flown.frames > 0


def test_evaluation_reports_every_policy_over_the_same_scenes(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    report = evaluate(
        Comparison(episodes=2, policies=("expert", "hover"), max_decisions=5),
        on_episode=lambda job, episode: told.append((job.policy, episode.seed)),
    )
    assert told == [
        ("expert", FIRST_UNSEEN_SEED),
        ("expert", FIRST_UNSEEN_SEED + 1),
        ("hover", FIRST_UNSEEN_SEED),
        ("hover", FIRST_UNSEEN_SEED + 1),
    ]
    report.save(tmp_path)
    stored = json.loads((tmp_path / "report.json").read_text())
    found = stored["scenes"]["meadow"]
    assert [row["policy"] for row in found["rows"]] == ["expert", "hover"]
    assert len(found["episodes"]["hover"]) == 2
    assert {"commit", "command", "hardware", "first_seed"} <= set(stored)
    assert "| expert | " in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"episodes": 0}, InvalidInput),
        ({"first_seed": 5}, InvalidInput),
        ({"policies": ["genius"]}, UnknownBackend),
        ({"modes": ["asleep"]}, InvalidInput),
        ({"memories": ["elephant"], "policies": ["choice"]}, UnknownBackend),
        ({"memories": ["bank"], "recalls": ["wrong"], "policies": ["choice"]}, InvalidInput),
        ({"styles": ["gestures"], "policies": ["tool_calling"]}, InvalidInput),
    ],
)
def test_evaluation_refuses_what_means_nothing(changes: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        evaluate(Comparison(**({"episodes": 1, "policies": ["hover"]} | changes)))  # type: ignore[arg-type]


def test_a_row_sums_up_episodes() -> None:
    row = row_of(Way(RANDOM_WEIGHTS), "random", [result(success=True), result(success=False, collided=True)])
    assert row.success.value == row.collided.value == 0.5
    assert row.spl.value == pytest.approx(0.4)
    assert row.spl.low <= 0.4 <= row.spl.high
    assert row.spl_max == pytest.approx(0.8)
    assert row.think_ms_p50 is not None
    assert row.think_ms_p50.value == pytest.approx(20.0)
    assert row.ends == {"answered": 2}


def claim(*, there: bool, yes: float | None) -> EpisodeResult:
    return replace(result(success=there), distance_m=2.0 if there else 9.0, claimed=True, verified_probability=yes)


def test_a_row_tells_how_often_claims_and_questions_were_wrong() -> None:
    flights = [
        *(claim(there=True, yes=0.9) for _ in range(5)),
        claim(there=True, yes=0.2),
        claim(there=False, yes=0.7),
        claim(there=False, yes=0.1),
        claim(there=False, yes=0.4),
        claim(there=False, yes=None),
        result(success=False),
    ]
    row = row_of(Way("tool_calling"), "native", flights)
    honesty = row.honesty
    assert honesty.false_claims is not None and honesty.false_yes is not None and honesty.false_no is not None
    assert honesty.claimed.value == pytest.approx(10 / 11)
    assert honesty.false_claims.value == pytest.approx(4 / 10)
    assert (honesty.asked, honesty.yes) == (9, 6)
    assert honesty.false_yes.value == pytest.approx(1 / 3)
    assert honesty.false_no.value == pytest.approx(1 / 6)
    told = row.to_json()["honesty"]
    assert told["asked"] == 9 and told["false_yes"]["value"] == pytest.approx(1 / 3)
    report = Report("meadow", (row,), {row.name: tuple(flights)})
    assert "| claimed | claim false | false yes | false no |" in report.to_markdown()
    assert "| 91% (62–98) | 40% (17–69) | 33% (6–79) | 17% (3–56) |" in report.to_markdown()
    assert report.to_claims_table() is not None


def test_where_no_question_was_asked_nothing_is_said_of_it() -> None:
    row = row_of(Way("choice"), "pilot", [result(success=True)])
    assert (row.honesty.asked, row.honesty.false_yes, row.honesty.false_no) == (0, None, None)
    assert Report("meadow", (row,), {row.name: ()}).to_claims_table() is None


def test_wilson_gives_the_published_interval() -> None:
    # Newcombe 1998, table I: 81 of 263.
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_holds_the_proportion_and_stays_within_bounds(successes: int, trials: int) -> None:
    successes = min(successes, trials)
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert high - low < 1


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 10)), min_size=1, max_size=30))
def test_estimates_lie_within_their_intervals_or_beside_them(pairs: list[tuple[float, float]]) -> None:
    parts, wholes = zip(*pairs, strict=True)
    found = ratio(parts, wholes)
    assert found.value == pytest.approx(sum(parts) / sum(wholes))
    assert found.low <= found.high
    assert min(parts) - 1e-9 <= mean(parts).low <= mean(parts).high <= max(parts) + 1e-9
    assert quantile(parts, 0.5).value == pytest.approx(statistics.median(parts))


def test_the_bootstrap_covers_a_known_mean_as_often_as_it_says() -> None:
    rng = random.Random(3)
    covered = sum(
        found.low <= 5.0 <= found.high for found in (mean([rng.gauss(5, 2) for _ in range(40)]) for _ in range(200))
    )
    assert 180 <= covered <= 199


def test_an_evaluation_that_was_cut_short_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"
    comparison = Comparison(episodes=2, policies=("hover",), max_decisions=3)
    first = evaluate(comparison, ledger=Ledger(path))
    lines = path.read_text().splitlines()
    path.write_text(lines[0] + "\n" + lines[1][:40])
    flown: list[int] = []
    ledger = Ledger(path)
    assert len(ledger.done) == 1
    again = evaluate(comparison, ledger=ledger, on_episode=lambda job, result: flown.append(job.seed))
    assert flown == [FIRST_UNSEEN_SEED, FIRST_UNSEEN_SEED + 1]
    assert len(Ledger(path).done) == 2
    assert again.reports[0].episodes == first.reports[0].episodes


def test_worker_processes_fly_what_one_process_flies() -> None:
    comparison = Comparison(("street",), 2, ("expert",), max_decisions=6)
    alone = evaluate(comparison)
    together = evaluate(comparison, where=Where(workers=2))
    assert together.reports[0].episodes == alone.reports[0].episodes
    assert all(result.track for result in together.reports[0].episodes["expert"])


def test_what_an_answer_sees_is_the_memory_that_was_asked_for(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    loaded = load_engine(ModelSource(str(tmp_path), random_weights=True, device="cpu", threads=1))

    def tokens_seen(memory: str) -> list[int]:
        seen: list[int] = []

        class Spy(InlineEngine):
            async def open_session(self, config: SessionConfig) -> InlineSession:
                session = await super().open_session(config)
                ask = session.ask

                def noted(request: AskRequest) -> InlineAnswer:
                    answer = ask(request)
                    seen.append(answer.provenance.context_tokens)
                    return answer

                session.ask = noted  # type: ignore[method-assign]
                return session

        engine = Spy(loaded, 0.05, MemoryMode.named(memory))
        fly_episode("meadow", SEED, MODEL_POLICIES["tool_calling"], engine, engine.think_s, max_decisions=4)
        return seen

    none, recent, unbounded = (tokens_seen(memory)[-1] for memory in ("none", "recent", "unbounded"))
    assert none < recent < unbounded


def test_paused_the_world_waits_and_coupled_it_goes_on(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    loaded = load_engine(ModelSource(str(tmp_path), random_weights=True, device="cpu", threads=1))
    thought_s = []
    for thinking_s in (0.0, 1.0):
        engine = InlineEngine(loaded, thinking_s)
        flown = fly_episode("meadow", SEED, MODEL_POLICIES["choice"], engine, engine.think_s, max_decisions=3)
        thought_s.append(flown.thinking_s / flown.decisions)
        assert flown.drift_m < 0.3
    assert thought_s[1] - thought_s[0] == pytest.approx(1.0, abs=0.2)


def test_a_job_says_what_it_does_not_know() -> None:
    with pytest.raises(InvalidInput, match="coupled, paused"):
        fly(Job("expert", "meadow", 1, mode="asleep"))


def test_the_page_holds_the_table_and_flights_to_play(tmp_path: Path) -> None:
    report = evaluate(Comparison(("maze",), 2, ("expert", "hover"), max_decisions=8))
    write_page(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "@" not in page.partition("<script>")[0].replace("@media", "")
    flights = json.loads(page.partition("const flights=")[2].partition(";\n")[0])
    assert {flight["title"] for flight in flights} >= {"expert: best", "hover: best"}
    for flight in flights:
        assert flight["map"].startswith("data:image/jpeg;base64,")
        assert len(flight["shots"]) >= 2
        assert all(0 <= part <= 420 for shot in flight["shots"] for part in shot["at"])


def test_several_scenes_make_one_table_and_pictures(tmp_path: Path) -> None:
    found = evaluate(Comparison(("meadow", "street"), 2, ("expert", "hover"), max_decisions=3))
    head, _, *rows = next(part for part in found.to_markdown().split("\n\n") if part.startswith("|")).splitlines()
    assert head == "| policy | meadow | street |"
    assert [row.split(" | ")[0] for row in rows] == ["| expert", "| hover"]
    assert rows[1].count("0% (0–66) / 0% (0–66)") == 2
    paths = found.save_results(tmp_path / "kept" / "some")
    kept = json.loads(paths[0].read_text())
    assert set(kept["scenes"]) == {"meadow", "street"} and "episodes" not in kept["scenes"]["meadow"]
    assert kept["scenes"]["street"]["rows"][1]["failed_seeds"] == [FIRST_UNSEEN_SEED, FIRST_UNSEEN_SEED + 1]
    assert paths[1].read_text() == found.to_markdown()
    (picture,) = draw_all(found, tmp_path)
    with Image.open(picture) as drawn:
        assert drawn.width > 500 and len(drawn.getcolors(1 << 20) or ()) > 10


def test_a_ray_cluster_flies_what_one_process_flies() -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    comparison = Comparison(episodes=2, policies=("expert",), max_decisions=4)
    on_ray = evaluate(comparison, where=Where(ray="local"))
    assert on_ray.reports[0].episodes == evaluate(comparison).reports[0].episodes


def test_without_ray_a_cluster_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install .*\[ray\]'"):
        evaluate(Comparison(episodes=1, policies=("expert",), max_decisions=1), where=Where(ray="local"))
