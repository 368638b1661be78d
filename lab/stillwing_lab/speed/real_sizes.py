"""A model of the published Qwen2.5-VL-3B's sizes as a directory without weights: for speed and memory, not for answers.

Its tokenizer is the tiny one, as no figure depends on the words.
"""

import json
from pathlib import Path
from typing import Any

from stillwing_lab.tiny_model import tiny_tokenizer
from stillwing_vlm.core.engines.qwen.families import FAMILIES

_SIDE_PX = (14, 2, 2)


def real_config(ids: dict[str, int]) -> Any:
    """The published sizes; control tokens as the tokenizer's vocabulary has them, where it has any."""
    return FAMILIES["qwen2_5_vl"].config(
        text_config={
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "vocab_size": 151_936,
            "max_position_embeddings": 128_000,
            "rms_norm_eps": 1e-6,
            "initializer_range": 0.02,
            "bos_token_id": ids.get("<|endoftext|>", 0),
            "eos_token_id": ids.get("<|im_end|>", 1),
            "pad_token_id": ids.get("<|endoftext|>", 0),
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6},
        },
        vision_config={
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 2048,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "tokens_per_second": 2,
        },
        image_token_id=ids.get("<|image_pad|>", 2),
        video_token_id=ids.get("<|video_pad|>", 3),
        vision_start_token_id=ids.get("<|vision_start|>", 4),
        vision_end_token_id=ids.get("<|vision_end|>", 5),
        tie_word_embeddings=True,
    )


def write_real_sizes(directory: Path) -> Path:
    """Write configuration, tokenizer and image figures to `directory`; returns it. To be loaded with random weights."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer()
    real_config(tokenizer.get_vocab()).save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    patch_px, merge, temporal = _SIDE_PX
    figures = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "min_pixels": 3136,
        "max_pixels": 12_845_056,
        "patch_size": patch_px,
        "merge_size": merge,
        "temporal_patch_size": temporal,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(figures, indent=2))
    return directory
