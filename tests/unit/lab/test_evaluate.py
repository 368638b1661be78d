"""python -m pytest tests/unit/lab/test_evaluate.py -v

Episodes with the real agent, bridge and airfield in one process; rows and intervals; refusals of bad input.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_common.errors import InvalidInput, UnknownBackend
from stillwing_lab.evaluate.episode import EpisodeResult, fly_episode
from stillwing_lab.evaluate.inline_engine import BlindEngine, InlineEngine
from stillwing_lab.evaluate.policies import BASELINES, MODEL_POLICIES
from stillwing_lab.evaluate.report import row_of, wilson
from stillwing_lab.evaluate.run import FIRST_UNSEEN_SEED, RANDOM_WEIGHTS, evaluate
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import ModelSource, load_engine

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
        "meadow",
        2,
        ["expert", "hover"],
        max_decisions=5,
        on_episode=lambda name, episode: told.append((name, episode.seed)),
    )
    assert told == [
        ("expert", FIRST_UNSEEN_SEED),
        ("expert", FIRST_UNSEEN_SEED + 1),
        ("hover", FIRST_UNSEEN_SEED),
        ("hover", FIRST_UNSEEN_SEED + 1),
    ]
    report.save(tmp_path)
    stored = json.loads((tmp_path / "report.json").read_text())
    assert [row["policy"] for row in stored["rows"]] == ["expert", "hover"]
    assert len(stored["episodes"]["hover"]) == 2
    assert "| expert | " in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"episodes": 0}, InvalidInput),
        ({"first_seed": 5}, InvalidInput),
        ({"policies": ["genius"]}, UnknownBackend),
    ],
)
def test_evaluation_refuses_what_means_nothing(changes: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        evaluate("meadow", **({"episodes": 1, "policies": ["hover"]} | changes))  # type: ignore[arg-type]


def test_a_row_sums_up_episodes() -> None:
    row = row_of(RANDOM_WEIGHTS, "random", [result(success=True), result(success=False, collided=True)])
    assert row.success == 0.5
    assert row.collided == 0.5
    assert row.spl == pytest.approx(0.4)
    assert row.think_ms_median == pytest.approx(20.0)
    assert row.ends == {"answered": 2}


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
