"""Trunks and branches through the language model without padding, and without the part of the mask that is empty.

The same numbers as `model.think` over `layout.lay_out`, in a third of the time: every token goes through the matrices
once and none is padding; trunks attend as plain causal text; a branch attends to its trunk's prefix and to itself,
never computing what it may not see. It knows nothing of data, labels or losses.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stillwing_training.pilot.model import attend
from stillwing_training.pilot.sequence import FRAME_TOKENS, Sequence, branch_positions, trunk_ids, trunk_positions

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Packed:
    """Sequences end to end: first every trunk's tokens, then every branch's. N tokens, the last M of them in branches.

    Attributes:
        ids: (N,).
        positions: (3, N).
        targets: (M,), `IGNORE` where nothing is learnt.
        weights: float32 (M,).
        trunk: (sequences, longest trunk), where in N each trunk's tokens are; 0 beyond its end.
        trunk_slot: (N - M,), where in `trunk`, flattened, each trunk token is.
        asking: (sequences, most branch tokens), where in M each sequence's branch tokens are; 0 beyond its end.
        asking_slot: (M,), where in `asking`, flattened, each branch token is.
        seen: bool (sequences, most branch tokens, longest trunk), True where a branch token may look at the trunk.
        fork: (branches, longest branch), where in M each branch's tokens are; 0 beyond its end.
        fork_slot: (M,), where in `fork`, flattened, each branch token is.
    """

    ids: Ints
    positions: Ints
    targets: Ints
    weights: npt.NDArray[np.float32]
    trunk: Ints
    trunk_slot: Ints
    asking: Ints
    asking_slot: Ints
    seen: npt.NDArray[np.bool_]
    fork: Ints
    fork_slot: Ints


def pack(sequences: list[Sequence]) -> Packed:
    """One batch of all `sequences`, each with at least one branch."""
    branches = [branch for sequence in sequences for branch in sequence.branches]
    trunks = [len(sequence.system_ids) + sequence.frames * FRAME_TOKENS for sequence in sequences]
    asked = [sum(len(branch.ids) for branch in sequence.branches) for sequence in sequences]
    trunk, trunk_slot = _slots(trunks)
    asking, asking_slot = _slots(asked)
    fork, fork_slot = _slots([len(branch.ids) for branch in branches])
    # For every branch token: how much of its trunk it sees.
    until = np.zeros(asking.shape, np.int64)
    for row, sequence in enumerate(sequences):
        reach = [
            len(sequence.system_ids) + (branch.frame + 1) * FRAME_TOKENS
            for branch in sequence.branches
            for _ in branch.ids
        ]
        until[row, : len(reach)] = reach
    # Beyond a sequence's end there must be something to look at, or the softmax there is not a number.
    until = np.maximum(until, 1)
    return Packed(
        ids=np.concatenate([*(trunk_ids(s) for s in sequences), *(branch.ids for branch in branches)]),
        positions=np.concatenate(
            [
                *(trunk_positions(len(s.system_ids), s.frames) for s in sequences),
                *(branch_positions(s, branch) for s in sequences for branch in s.branches),
            ],
            axis=1,
        ),
        targets=np.concatenate([branch.targets for branch in branches]).astype(np.int64),
        weights=np.concatenate([branch.weights for branch in branches]).astype(np.float32),
        trunk=trunk,
        trunk_slot=trunk_slot,
        asking=asking,
        asking_slot=asking_slot,
        seen=np.arange(trunk.shape[1]) < until[..., None],
        fork=fork,
        fork_slot=fork_slot,
    )


def _slots(lengths: list[int]) -> tuple[Ints, Ints]:
    """Rows of those lengths cut from one line: where in the line each place is, and where in the rows each token is."""
    count = np.array(lengths, np.int64)
    inside = np.arange(count.max()) < count[:, None]
    places = np.zeros(inside.shape, np.int64)
    places[inside] = np.arange(count.sum())
    return places, np.flatnonzero(inside)


def think_packed(model: Any, packed: Packed, image_tokens: Tensor) -> Tensor:
    """Hidden states (M, hidden) of the branch tokens.

    Args:
        model: From `model.make_model`.
        packed: From `pack`.
        image_tokens: (pictures, 20, hidden) in the order they occur.
    """
    language = model.model.language_model
    device = image_tokens.device
    ids = torch.from_numpy(packed.ids).to(device)
    hidden = language.embed_tokens(ids)
    holes = (ids == model.config.image_token_id)[:, None].expand_as(hidden)
    hidden = hidden.masked_scatter(holes, image_tokens.to(hidden.dtype).reshape(-1))
    cos, sin = language.rotary_emb(hidden[None], torch.from_numpy(packed.positions).to(device)[:, None])
    looks = _Looks(packed, device)
    last = len(language.layers) - 1
    for number, layer in enumerate(language.layers):
        hidden = _through_layer(layer, hidden, cos[0], sin[0], looks, branches_only=number == last)
    normed: Tensor = language.norm(hidden)
    return normed


class _Looks:
    """The index arrays of a batch on the device."""

    def __init__(self, packed: Packed, device: torch.device) -> None:
        def on_device(array: npt.NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(device)

        self.trunks = len(packed.ids) - len(packed.targets)
        self.trunk, self.trunk_slot = on_device(packed.trunk), on_device(packed.trunk_slot)
        self.asking, self.asking_slot = on_device(packed.asking), on_device(packed.asking_slot)
        self.fork, self.fork_slot = on_device(packed.fork), on_device(packed.fork_slot)
        self.unseen = on_device(~packed.seen)[:, :, None]
        # From the rows of one arrangement of the branch tokens to those of the other.
        self.fork_of_asking = self.fork_slot[self.asking]
        self.asking_of_fork = self.asking_slot[self.fork]
        length = packed.fork.shape[1]
        self.later = torch.ones(length, length, dtype=torch.bool, device=device).triu(1)[:, None]


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos[:, None] + torch.cat([-second, first], -1) * sin[:, None]


def _through_layer(
    layer: Any, hidden: Tensor, cos: Tensor, sin: Tensor, looks: _Looks, *, branches_only: bool
) -> Tensor:
    """One decoder layer over (N, hidden). With `branches_only` the answer is (M, hidden): nothing reads the trunk's."""
    attention, trunks = layer.self_attn, looks.trunks
    normed = layer.input_layernorm(hidden)
    asked = normed[trunks:] if branches_only else normed
    first = trunks if branches_only else 0
    q = _rotate(attention.q_proj(asked).view(len(asked), -1, attention.head_dim), cos[first:], sin[first:])
    k = _rotate(attention.k_proj(normed).view(len(normed), 1, attention.head_dim), cos, sin)[:, 0]
    v = attention.v_proj(normed)
    keys, values = k[:trunks][looks.trunk], v[:trunks][looks.trunk]
    mixed = _branches_look(q[trunks - first :], k[trunks:], v[trunks:], keys, values, looks)
    if not branches_only:
        mixed = torch.cat([_trunks_look(q[:trunks], keys, values, looks), mixed])
    hidden = hidden[first:] + attention.o_proj(mixed)
    through: Tensor = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return through


def _trunks_look(q: Tensor, keys: Tensor, values: Tensor, looks: _Looks) -> Tensor:
    """What trunk tokens (tokens, heads, width) take from those before them; (tokens, heads * width)."""
    rows = q[looks.trunk].transpose(1, 2)
    taken = attend(rows, keys[:, None], values[:, None], causal=True)
    return taken.transpose(1, 2).flatten(0, 1)[looks.trunk_slot].flatten(1)


def _branches_look(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, looks: _Looks) -> Tensor:
    """What branch tokens take from their trunk (`keys`, `values`: (sequences, longest, width)) and their own branch."""
    heads, width = q.shape[1:]
    q = q * width**-0.5
    count, most = looks.asking.shape
    at_trunk = (q[looks.asking].view(count, most * heads, width) @ keys.mT).view(count, most, heads, -1)
    at_trunk = at_trunk.masked_fill(looks.unseen, float("-inf"))
    branches, length = looks.fork.shape
    at_own = (q[looks.fork].view(branches, length * heads, width) @ k[looks.fork].mT).view(
        branches, length, heads, length
    )
    at_own = at_own.masked_fill(looks.later, float("-inf")).flatten(0, 1)[looks.fork_of_asking]
    shares = torch.cat([at_trunk, at_own], -1).softmax(-1)
    of_trunk, of_own = shares[..., : keys.shape[1]], shares[..., keys.shape[1] :]
    from_trunk = (of_trunk.reshape(count, most * heads, -1).to(values.dtype) @ values).view(count * most, heads * width)
    own = of_own.reshape(count * most, heads, length)[looks.asking_of_fork].view(branches, length * heads, length)
    from_own = (own.to(v.dtype) @ v[looks.fork]).view(branches * length, heads * width)
    taken: Tensor = from_trunk[looks.asking_slot] + from_own[looks.fork_slot]
    return taken


__all__ = ["Packed", "pack", "think_packed"]
