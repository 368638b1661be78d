"""The recall model: a Qwen2.5-VL of a million parameters, its tokenizer, and its folder as the engine loads it.

It knows nothing of training or of how answers are scored.
"""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.utils import logging as transformers_logging

from stillwing_training.pilot.config import IMAGE_MEAN, IMAGE_STD, MERGE, PATCH_PX, SPECIAL_TOKENS
from stillwing_training.pilot.model import through_tower
from stillwing_training.recall.signs import COLOUR_NAMES, KEYS, NOT_SEEN, SIDE_PX, SYSTEM_TEXT

GRID = SIDE_PX // PATCH_PX
GRID_TOKENS = (GRID // MERGE) ** 2
"""Tokens of one temporal grid, two frames."""

_WORDS = (SYSTEM_TEXT, "What colour was", " first", *(f" {key}" for key in KEYS), *COLOUR_NAMES, NOT_SEEN)


def recall_tokenizer() -> Tokenizer:
    """Bytes, Qwen's control tokens, and each word of the task as one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(SPECIAL_TOKENS) + len(alphabet),
        initial_alphabet=alphabet,
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["assistant"], trainer)
    tokenizer.add_tokens([*_WORDS, "system", "user", "assistant"])
    return tokenizer


def recall_config(vocabulary: int) -> Qwen2_5_VLConfig:
    """Sizes of the recall model."""
    token = {name: index for index, name in enumerate(SPECIAL_TOKENS)}
    text = {
        "hidden_size": 128,
        "intermediate_size": 320,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": vocabulary,
        "max_position_embeddings": 32768,
        "bos_token_id": None,
        "eos_token_id": token["<|im_end|>"],
        "pad_token_id": token["<|endoftext|>"],
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "mrope_section": [8, 4, 4], "rope_theta": 1e4},
    }
    vision = {
        "depth": 2,
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_heads": 3,
        "out_hidden_size": 128,
        "patch_size": PATCH_PX,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [0, 1],
        "tokens_per_second": 2,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=token["<|image_pad|>"],
        video_token_id=token["<|video_pad|>"],
        vision_start_token_id=token["<|vision_start|>"],
        vision_end_token_id=token["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def make_recall_model(vocabulary: int) -> Any:
    """Random weights, drawn from torch's global generator."""
    return Qwen2_5_VLForConditionalGeneration(recall_config(vocabulary))


def patches_of(pairs: Tensor) -> Tensor:
    """Patches (n, 16, 1176) of grids of two frames each (n, 2, 56, 56, 3), 0 to 255, as the engine cuts them."""
    mean = torch.tensor(IMAGE_MEAN) * 255
    std = torch.tensor(IMAGE_STD) * 255
    x = (pairs.float() - mean) / std
    blocks = GRID // MERGE
    x = x.view(len(pairs), 2, blocks, MERGE, PATCH_PX, blocks, MERGE, PATCH_PX, 3)
    return x.permute(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(len(pairs), GRID * GRID, -1)


def see_pairs(model: Any, pairs: Tensor) -> Tensor:
    """Image tokens (n, 4, hidden) of grids of two frames (n, 2, 56, 56, 3)."""
    tower = model.model.visual
    return through_tower(tower, patches_of(pairs) @ tower.patch_embed.proj.weight.flatten(1).t(), GRID, GRID)


def export_recall(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Write weights (float16), configuration, tokenizer, image figures and training range; what else is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    half: Any = Qwen2_5_VLForConditionalGeneration(model.config)
    half = half.to(torch.float16)
    half.load_state_dict(model.state_dict())
    half.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    figures = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "min_pixels": SIDE_PX**2,
        "max_pixels": SIDE_PX**2,
        "patch_size": PATCH_PX,
        "merge_size": MERGE,
        "temporal_patch_size": 2,
        "image_mean": list(IMAGE_MEAN),
        "image_std": list(IMAGE_STD),
    }
    (folder / "stillwing.json").write_text(json.dumps({"prompt_profile": "compact"}, indent=2) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps(figures, indent=2) + "\n")
