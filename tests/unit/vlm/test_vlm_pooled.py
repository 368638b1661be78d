"""python -m pytest tests/unit/vlm/test_vlm_pooled.py

The vectors that memory scorers compare: what a real session hands out gives the score of full attention.

How far float32 may be off is not a number of our own: transformers in float32 is off from itself in float64 by so much.
Both add up the same terms, in an order that differs with the processor, so that single errors differ by chance and the
largest of dozens hardly; a bit lost on the way, of the 24 there are, would double them all.
"""

from typing import Any

import numpy as np
import pytest
import torch
from scoring_reference import attention_score

from stillwing_common.errors import InvalidInput, TextTooLong
from stillwing_memory.core.scoring import pooled_score
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.requests import SessionConfig

TEXT = "young man, denim jacket"
TEXTS = [TEXT, "a red van", "a way out", "who turned left?", "the second door", "stairs"]


class Stream:
    """The engine with mean keys and, on the same stream, transformers in float32 and in float64."""

    def __init__(self, pair: Any, exact_model: Any, layers: tuple[int, ...], **options: Any) -> None:
        self.pair, self.layers = pair, layers
        self.models = (pair.oracle._model, exact_model)
        self.exact = pair.oracle_on(exact_model)
        self.pieces: list[tuple[Any, Any]] = []
        config = SessionConfig("You fly.", pooled_layers=layers, **options)
        pair.session = LocalSession(pair._engine.loaded, config)

    def append(self, pixels: np.ndarray, kept: np.ndarray | None = None) -> None:
        rounded = self.pair.append(pixels, kept=kept)
        self.pieces.append((rounded, self.exact.append(*self.pair._patches(pixels), kept=kept)))

    def mean_keys(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Of a frame, in float32 and in float64."""
        first, second = (unpooled_keys(piece, self.layers).mean(axis=0) for piece in self.pieces[number])
        return first, second

    def scores(self, number: int, text: str) -> tuple[float, float]:
        """Of a frame for a text by full attention, in float32 and in float64."""
        pairs = zip(self.models, self.pieces[number], strict=True)
        first, second = (
            attention_score(unpooled_queries(self.pair, model, text, self.layers), unpooled_keys(piece, self.layers))
            for model, piece in pairs
        )
        return first, second


def equal_but_for_rounding(ours: list[Any], theirs: list[tuple[Any, Any]]) -> bool:
    """Whether the usual error of ours is of the size of theirs: below twice that, the bit that is lost nowhere."""
    rounded, exact = (np.stack([np.asarray(each[kind], np.float64) for each in theirs]) for kind in (0, 1))
    our_error, their_error = (float(np.sqrt(np.square(some - exact).mean())) for some in (np.stack(ours), rounded))
    return our_error < 2 * their_error


def unpooled_keys(piece: Any, layers: tuple[int, ...]) -> np.ndarray:
    """[vision tokens, layers, key heads, dimensions], by transformers, of the tokens that were kept."""
    seen = torch.tensor(piece.types, dtype=torch.bool)[piece.keep]
    return np.stack([piece.raw_keys[layer][:, seen].transpose(0, 1).numpy() for layer in layers], axis=1)


def unpooled_queries(pair: Any, model: Any, text: str, layers: tuple[int, ...]) -> np.ndarray:
    """[text tokens, layers, heads, dimensions], by transformers: opening text and then the text."""
    loaded = pair._engine.loaded
    ids = [*loaded.preparer.opening("You fly."), *loaded.text.encode(text)]
    found: dict[int, Any] = {}
    hooks = [
        model.model.language_model.layers[layer].self_attn.q_proj.register_forward_hook(
            lambda module, args, out, layer=layer: found.update({layer: out[0]})
        )
        for layer in layers
    ]
    with torch.no_grad():
        model(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    own = len(loaded.text.encode(text))
    head_dim = model.model.language_model.layers[0].self_attn.head_dim
    return np.stack([found[layer][-own:].view(own, -1, head_dim).numpy() for layer in layers], axis=1)


@pytest.mark.parametrize("layers", [(0,), (1,), (0, 1)])
def test_pooled_score_of_a_session_is_that_of_full_attention(
    make_pair: Any, exact_model: Any, layers: tuple[int, ...]
) -> None:
    stream = Stream(make_pair(100_000, exact=False), exact_model, layers)
    for _ in range(4):
        stream.append(stream.pair.frame())
    names = [f"local/{number}" for number in range(4)]
    pooled = stream.pair.session.pool_vectors(TEXTS, names)
    assert [each.frame_id for each in pooled.frames] == names
    ours, theirs = [], []
    for told in pooled.texts:
        assert told.tokens == len(stream.pair._engine.loaded.text.encode(told.text))
        for number, each in enumerate(pooled.frames):
            ours.append(pooled_score(told.query, each.keys))
            theirs.append(stream.scores(number, told.text))
    assert equal_but_for_rounding(ours, theirs)


def test_keys_come_with_the_eviction_and_are_those_of_before(make_pair: Any, exact_model: Any) -> None:
    stream = Stream(make_pair(64, exact=False), exact_model, (1,), max_context_tokens=64)
    session, told = stream.pair.session, {}
    for number in range(12):
        stream.append(stream.pair.frame())
        told |= {each.frame_id: each for each in session.pool_vectors([], [f"local/{number}"]).frames}
    evicted = [each for gone in session.evicted for each in gone.frame_keys]
    assert [each.frame_id for each in evicted] == [name for gone in session.evicted for name in gone.frame_ids]
    assert len(evicted) > 4
    assert [told[each.frame_id] for each in evicted] == evicted
    numbers = [int(each.frame_id.removeprefix("local/")) for each in evicted]
    assert equal_but_for_rounding([each.keys.array for each in evicted], [stream.mean_keys(n) for n in numbers])
    assert session.pool_vectors([], [evicted[0].frame_id, "nobody"]).frames == ()


def test_a_text_asks_alike_whatever_was_seen_and_leaves_no_trace(engine: LocalEngine) -> None:
    session = engine.open("You fly.", 64, pooled_layers=(0, 1))
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (12, 56, 84, 3), dtype=np.uint8)
    before = session.pool_vectors([TEXT]).texts
    for picture in pictures:
        session.append(picture)
    digest = session.video.slab.digest()
    assert session.pool_vectors([TEXT]).texts == before
    assert session.video.slab.digest() == digest


def test_handing_out_keys_changes_no_answer(engine: LocalEngine) -> None:
    rng = np.random.default_rng(2)
    pictures = rng.integers(0, 256, (10, 56, 84, 3), dtype=np.uint8)
    digests = []
    for layers in ((), (1,)):
        session = engine.open("You fly.", 64, pooled_layers=layers)
        for picture in pictures:
            session.append(picture)
        digests.append(session.video.slab.digest())
        assert bool(session.evicted[0].frame_keys) is bool(layers)
    assert digests[0] == digests[1]


def test_frames_of_one_grid_share_their_keys_and_others_do_not(engine: LocalEngine) -> None:
    session = engine.open("You fly.", pooled_layers=(1,))
    pictures = np.random.default_rng(3).integers(0, 256, (4, 56, 84, 3), dtype=np.uint8)
    session.append(*pictures)
    first, second, third, fourth = session.pool_vectors([], [f"local/{number}" for number in range(4)]).frames
    assert first.keys == second.keys != third.keys == fourth.keys


def test_only_tokens_that_the_gate_kept_count(make_pair: Any, exact_model: Any) -> None:
    stream = Stream(make_pair(100_000, gate_levels=5.0, exact=False), exact_model, (1,), gate_levels=5.0)
    still = stream.pair.frame()
    stream.append(still)
    moved = still.copy()
    moved[:28, :28] = 255 - moved[:28, :28]
    kept = np.zeros(6, np.bool_)
    kept[0] = True
    stream.append(moved, kept=kept)
    assert stream.pair.appended.saving.dropped_tokens == 5
    (told,) = stream.pair.session.pool_vectors([], ["local/1"]).frames
    assert equal_but_for_rounding([told.keys.array], [stream.mean_keys(1)])


@pytest.mark.parametrize("layers", [(1, 0), (0, 0), (-1,), (99,), tuple(range(9))])
def test_layers_that_cannot_be_are_refused(engine: LocalEngine, layers: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="pooled_layers"):
        engine.open(pooled_layers=layers)


def test_a_session_without_layers_and_texts_without_words_are_refused(engine: LocalEngine) -> None:
    with pytest.raises(InvalidInput, match="without pooled_layers"):
        engine.open().pool_vectors([TEXT])
    session = engine.open(pooled_layers=(0,))
    with pytest.raises(InvalidInput, match="empty"):
        session.pool_vectors([""])
    with pytest.raises(InvalidInput, match="at most 64"):
        session.pool_vectors(["x"] * 65)
    with pytest.raises(TextTooLong):
        session.pool_vectors(["x" * 30_000])
