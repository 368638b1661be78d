"""python -m pytest tests/unit/vlm/test_vlm_pooled.py

The vectors that memory scorers compare: what a real session hands out gives the score of full attention.
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


def pooled_pair(make_pair: Any, layers: tuple[int, ...], budget: int = 100_000, **options: Any) -> Any:
    """The engine with mean keys and the oracle, on the same stream."""
    pair = make_pair(budget, **options)
    config = SessionConfig("You fly.", budget, pooled_layers=layers, gate_levels=options.get("gate_levels"))
    pair.session = LocalSession(pair._engine.loaded, config)
    return pair


def unpooled_keys(piece: Any, layers: tuple[int, ...]) -> np.ndarray:
    """float32[vision tokens, layers, key heads, dimensions], by transformers, of the tokens that were kept."""
    seen = torch.tensor(piece.types, dtype=torch.bool)[piece.keep]
    return np.stack([piece.raw_keys[layer][:, seen].transpose(0, 1).numpy() for layer in layers], axis=1)


def unpooled_queries(pair: Any, text: str, layers: tuple[int, ...]) -> np.ndarray:
    """float32[text tokens, layers, heads, dimensions], by transformers: opening text and then the text."""
    loaded = pair._engine.loaded
    ids = [*loaded.preparer.opening("You fly."), *loaded.text.encode(text)]
    model, found = pair.oracle._model, {}
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
def test_pooled_score_of_a_session_is_that_of_full_attention(make_pair: Any, layers: tuple[int, ...]) -> None:
    pair = pooled_pair(make_pair, layers)
    pieces = [pair.append(pair.frame()) for _ in range(4)]
    names = [f"local/{number}" for number in range(4)]
    pooled = pair.session.pool_vectors([TEXT, "a red van"], names)
    assert [each.frame_id for each in pooled.frames] == names
    for told in pooled.texts:
        queries = unpooled_queries(pair, told.text, layers)
        assert told.tokens == len(queries)
        for each, piece in zip(pooled.frames, pieces, strict=True):
            full = attention_score(queries, unpooled_keys(piece, layers))
            assert pooled_score(told.query, each.keys) == pytest.approx(full, abs=1e-5)


def test_keys_come_with_the_eviction_and_are_those_of_before(make_pair: Any) -> None:
    pair = pooled_pair(make_pair, (1,), budget=64)
    pieces, told = {}, {}
    for number in range(12):
        pieces[f"local/{number}"] = pair.append(pair.frame())
        name = f"local/{number}"
        told |= {each.frame_id: each for each in pair.session.pool_vectors([], [name]).frames}
    evicted = [each for gone in pair.session.evicted for each in gone.frame_keys]
    assert [each.frame_id for each in evicted] == [name for gone in pair.session.evicted for name in gone.frame_ids]
    assert len(evicted) > 4
    for each in evicted:
        assert each == told[each.frame_id]
        assert each.keys.array == pytest.approx(unpooled_keys(pieces[each.frame_id], (1,)).mean(axis=0), abs=1e-5)
    gone = evicted[0].frame_id
    assert pair.session.pool_vectors([], [gone, "nobody"]).frames == ()


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


def test_only_tokens_that_the_gate_kept_count(make_pair: Any) -> None:
    pair = pooled_pair(make_pair, (1,), gate_levels=5.0)
    still = pair.frame()
    pair.append(still)
    moved = still.copy()
    moved[:28, :28] = 255 - moved[:28, :28]
    kept = np.zeros(6, np.bool_)
    kept[0] = True
    piece = pair.append(moved, kept=kept)
    assert pair.appended.saving.dropped_tokens == 5
    (told,) = pair.session.pool_vectors([], ["local/1"]).frames
    assert told.keys.array == pytest.approx(unpooled_keys(piece, (1,)).mean(axis=0), abs=1e-5)


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
