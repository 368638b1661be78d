"""The least time that each part of the engine's work can take on a device: what has to be moved over its bandwidth, or
what has to be multiplied over its matrix rate, whichever is longer.

Arithmetic over a model's sizes alone: it knows nothing of tensors, devices or the engine. All weights and cached keys
and values are taken as bfloat16 unless it is told of 8 bits; each is counted once, as if nothing else were moved.
"""

from dataclasses import dataclass
from typing import Any

BYTES = 2
"""Of a weight, a key's entry, a value's entry."""


@dataclass(frozen=True, slots=True)
class Device:
    """What was measured of a device: bytes copied a second, read and written counted, and bfloat16 products."""

    bytes_per_s: float
    flop_per_s: float

    def floor_s(self, size_bytes: float, flop: float = 0.0) -> float:
        """Neither is free, but they go on side by side."""
        return max(size_bytes / self.bytes_per_s, flop / self.flop_per_s)


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """A Qwen2.5-VL: language model, vision encoder, and how pictures become tokens. The head shares the embedding."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    inner: int
    vocabulary: int
    vision_layers: int
    vision_hidden: int
    vision_inner: int
    vision_full_layers: int
    vision_window_patches: int
    patch_values: int
    merge: int = 2

    @property
    def layer_weights(self) -> int:
        """Of all layers of the language model, norms and biases left out."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.inner)

    @property
    def head_weights(self) -> int:
        """Of the head, which is the embedding too."""
        return self.vocabulary * self.hidden

    @property
    def vision_weights(self) -> int:
        """Of the vision encoder with its merger."""
        layer = 4 * self.vision_hidden**2 + 3 * self.vision_hidden * self.vision_inner
        return self.vision_layers * layer + self.patch_values * self.vision_hidden + self._merger

    @property
    def _merger(self) -> int:
        wide = self.vision_hidden * self.merge**2
        return wide * wide + wide * self.hidden

    @property
    def weights(self) -> int:
        """All of them."""
        return self.layer_weights + self.head_weights + self.vision_weights

    @property
    def token_bytes(self) -> int:
        """A cached token's keys and values."""
        return 2 * self.layers * self.kv_heads * self.head_dim * BYTES

    def attention_flop(self, queries: int, cached: int) -> float:
        """`queries` new tokens over `cached` ones and, causally, each other, in all layers."""
        pairs = queries * cached + queries * (queries + 1) / 2
        return 4.0 * self.layers * self.heads * self.head_dim * pairs

    def vision_flop(self, patches: int) -> float:
        """One grid of so many patches."""
        merger = self._merger * patches // self.merge**2
        products = 2.0 * ((self.vision_weights - self._merger) * patches + merger)
        windowed = self.vision_layers - self.vision_full_layers
        seen = self.vision_full_layers * patches + windowed * min(patches, self.vision_window_patches)
        return products + 4.0 * self.vision_hidden * patches * seen


def sizes_of(config: Any) -> ModelSizes:
    """The sizes of a Qwen2.5-VL's configuration."""
    text, vision = config.text_config, config.vision_config
    return ModelSizes(
        layers=text.num_hidden_layers,
        heads=text.num_attention_heads,
        kv_heads=text.num_key_value_heads,
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        hidden=text.hidden_size,
        inner=text.intermediate_size,
        vocabulary=text.vocab_size,
        vision_layers=vision.depth,
        vision_hidden=vision.hidden_size,
        vision_inner=vision.intermediate_size,
        vision_full_layers=len(vision.fullatt_block_indexes),
        vision_window_patches=(vision.window_size // vision.patch_size) ** 2,
        patch_values=vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
        merge=vision.spatial_merge_size,
    )


@dataclass(frozen=True, slots=True)
class Roofline:
    """Least times in seconds, of one model on one device."""

    sizes: ModelSizes
    device: Device
    layer_bytes: int = BYTES
    """Of a weight of the language model's layers: 1 where they are kept in 8 bits."""
    cached_share: float = 1.0
    """Bytes of a cached token, over those in bfloat16."""

    @property
    def _token_bytes(self) -> float:
        return self.sizes.token_bytes * self.cached_share

    @property
    def _other_weights(self) -> int:
        return self.sizes.weights - self.sizes.layer_weights

    def append_s(self, tokens: int, patches: int, cached: int) -> float:
        """A chunk of `tokens` whose picture has `patches`, behind `cached` tokens; no head, as nothing is asked."""
        sizes = self.sizes
        flop = sizes.vision_flop(patches) + 2.0 * sizes.layer_weights * tokens + sizes.attention_flop(tokens, cached)
        moved: float = sizes.layer_weights * self.layer_bytes + sizes.vision_weights * BYTES
        moved += (cached + tokens) * self._token_bytes
        return self.device.floor_s(moved, flop)

    def step_s(self, fed: int, cached: int, trunks: int = 1, answered: int = 1) -> float:
        """One decoding step that feeds `fed` tokens behind trunks of `cached` tokens each, read once however many
        branches see them; `answered` rows of logits.
        """
        sizes = self.sizes
        flop = 2.0 * (sizes.layer_weights * fed + sizes.head_weights * answered) + sizes.attention_flop(fed, cached)
        moved: float = sizes.layer_weights * self.layer_bytes + sizes.head_weights * BYTES
        moved += trunks * cached * self._token_bytes
        return self.device.floor_s(moved, flop)

    def evict_s(self, sink_tokens: int) -> float:
        """Letting a chunk go: the sink's un-rotated keys and its values are read, and written anew."""
        return self.device.floor_s(2 * sink_tokens * self._token_bytes)

    def compact_s(self, tokens: int) -> float:
        """Moving all that is live to the slab's beginning: read and written."""
        return self.device.floor_s(2 * tokens * self._token_bytes)

    def prefill_s(self, tokens: int, chunks: int, patches: int) -> float:
        """Everything anew, in one pass: `chunks` pictures of `patches` each, `tokens` in all."""
        sizes = self.sizes
        flop = chunks * sizes.vision_flop(patches) + 2.0 * sizes.layer_weights * tokens
        weights = self._other_weights * BYTES + sizes.layer_weights * self.layer_bytes
        return self.device.floor_s(weights, flop + sizes.attention_flop(tokens, 0))

    def peak_bytes(self, budget: int, slack: float) -> int:
        """Weights and the slab of one session: what is resident at least."""
        weights = self._other_weights * BYTES + self.sizes.layer_weights * self.layer_bytes
        return weights + int(int(budget * (1 + slack)) * self._token_bytes)
