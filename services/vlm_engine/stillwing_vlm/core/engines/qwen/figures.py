"""What a Qwen-VL configuration costs in memory, for the planner. It reads sizes and needs no weights."""

from typing import Any

from stillwing_vlm.core.engines.tensors.scaled import SCALE_BYTES
from stillwing_vlm.core.planner import ModelFigures

_FLOAT32_BYTES = 4


def model_figures(config: Any, element_bytes: int, *, scaled: bool = False) -> ModelFigures:
    """Figures of a transformers configuration with `text_config` and `vision_config`; `scaled`: its cache is kept as
    8-bit floats with scales.

    Activations are what one layer holds at its widest point, the residual stream, and the rotated queries and keys in
    float32; attention itself is reckoned without a matrix of scores, as fused kernels work.
    """
    text, vision = config.text_config, config.vision_config
    heads, kv_heads = int(text.num_attention_heads), int(text.num_key_value_heads)
    head_dim = int(getattr(text, "head_dim", None) or text.hidden_size // heads)
    layers = int(text.num_hidden_layers)
    vectors = layers * kv_heads
    full = vectors * head_dim * element_bytes
    cached = vectors * (head_dim + SCALE_BYTES) if scaled else full
    turned = (heads + kv_heads) * head_dim * (2 * _FLOAT32_BYTES + 2 * element_bytes)
    widest = max(3 * int(text.intermediate_size) * element_bytes, turned + 2 * heads * head_dim * element_bytes)
    # Qwen2-VL names its vision encoder's width and its layers' width otherwise.
    vision_width = int(getattr(vision, "embed_dim", None) or vision.hidden_size)
    vision_inner = int(getattr(vision, "intermediate_size", 0) or vision.mlp_ratio * vision_width)
    vision_widest = max(3 * vision_inner, 8 * vision_width) * element_bytes
    pixels = int(vision.in_channels) * int(vision.temporal_patch_size) * int(vision.patch_size) ** 2
    return ModelFigures(
        cache_bytes=2 * cached,
        branch_bytes=2 * full,
        pristine_bytes=full + cached,
        kept_key_bytes=full,
        append_bytes=4 * int(text.hidden_size) * element_bytes + widest,
        patch_bytes=pixels * (_FLOAT32_BYTES + element_bytes) + 4 * vision_width * element_bytes + vision_widest,
        patches_per_token=int(vision.spatial_merge_size) ** 2,
        heads=heads,
        max_positions=int(text.max_position_embeddings),
        layers=layers,
    )
