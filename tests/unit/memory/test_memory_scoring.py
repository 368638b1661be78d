"""python -m pytest tests/unit/memory/test_memory_scoring.py

The pooled score is the full attention score; the scorers rank and tag as they should on streams with known truth.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruction_scripts import write_script
from scoring_reference import attention_score, pool
from vector_world import VectorWorld

from stillwing_common.errors import InvalidInput, UnknownBackend
from stillwing_common.vectors import Vectors
from stillwing_memory.core.scoring import (
    AttentionScorer,
    Evidence,
    NewestScorer,
    SimilarityScorer,
    Thing,
    choose_scorer,
    pooled_score,
)
from stillwing_memory.core.text import TokenOverlap

HELD_OUT = range(20_000, 20_100)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 200), st.sampled_from([(1, 1), (4, 2), (6, 1)]))
def test_the_pooled_score_is_the_full_one(seed: int, text: int, frame: int, heads: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    queries = rng.standard_normal((text, 3, heads[0], 16), np.float32) * 3
    keys = rng.standard_normal((frame, 3, heads[1], 16), np.float32) * 3 + 1
    assert pooled_score(pool(queries), pool(keys)) == pytest.approx(attention_score(queries, keys), abs=1e-5)


def test_all_things_together_score_as_their_whole_text() -> None:
    rng = np.random.default_rng(5)
    texts = [rng.standard_normal((tokens, 2, 4, 8), np.float32) for tokens in (3, 7)]
    keys = rng.standard_normal((50, 2, 2, 8), np.float32)
    things = [Thing(str(n), "x", pool(one), len(one)) for n, one in enumerate(texts)]
    (found,) = AttentionScorer().score([Evidence(keys=pool(keys))], things)
    assert found.score == pytest.approx(attention_score(np.concatenate(texts), keys), abs=1e-5)


def test_what_is_compared_must_be_there_and_fit() -> None:
    vector = Vectors(np.ones((1, 2, 4), np.float32))
    with pytest.raises(InvalidInput, match="needs the model's pooled keys"):
        AttentionScorer().score([Evidence()], [Thing("1", "van", vector)])
    with pytest.raises(InvalidInput, match="other shapes"):
        AttentionScorer().score([Evidence(keys=Vectors(np.ones((1, 3, 4), np.float32)))], [Thing("1", "van", vector)])
    with pytest.raises(UnknownBackend):
        choose_scorer("best", TokenOverlap())


def test_the_frame_with_the_thing_wins_by_words() -> None:
    frames = [Evidence("a road"), Evidence("the red van behind a tree"), Evidence("a van")]
    scores = SimilarityScorer(TokenOverlap()).score(frames, [Thing("1", "red van, parked")])
    assert max(range(3), key=lambda place: scores[place].score) == 1
    assert [one.visibility["1"] for one in scores] == [0.0, 1.0, 0.5]


def test_a_mother_is_no_other() -> None:
    (found,) = SimilarityScorer(TokenOverlap()).score([Evidence("his mother")], [Thing("1", "other")])
    assert (found.score, found.visibility["1"]) == (0.0, 0.0)


def test_newest_goes_by_capture() -> None:
    frames = [Evidence(capture_ns=5), Evidence(capture_ns=9, tracked={"1": 0.7}), Evidence(capture_ns=1)]
    scores = NewestScorer().score(frames, [Thing("1", "van")])
    assert [one.score for one in scores] == pytest.approx([2 / 3, 1, 1 / 3])
    assert scores[1].visibility == {"1": 0.7} and scores[0].visibility == {}


def test_tags_of_unseen_streams_name_what_is_visible() -> None:
    """Streams of unseen scripts as a noisy model would see them; every frame of every chunk is tagged."""
    tagged = right = visible = best = chunks = 0
    for seed in HELD_OUT:
        world = VectorWorld(seed)
        for truth in write_script(seed):
            meant = sorted({mention.number for mention in truth.mentions})
            things = [world.thing(number) for number in meant]
            for chunk in truth.visible:
                scores = AttentionScorer().score([world.frame(seen) for seen in chunk], things)
                for seen, found in zip(chunk, scores, strict=True):
                    tags = {int(key) for key, value in found.visibility.items() if value >= 0.5}
                    tagged, right, visible = tagged + len(tags), right + len(tags & seen), visible + len(seen)
                chosen = max(range(len(chunk)), key=lambda place: scores[place].score)
                best += len(chunk[chosen]) == max(map(len, chunk))
                chunks += 1
    assert tagged > 5_000
    assert right / tagged >= 0.95
    assert right / visible >= 0.9
    assert best / chunks >= 0.75
