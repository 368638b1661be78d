"""Weights of an earlier pilot as the beginning of a training. It knows nothing of data or stages."""

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration
from transformers.utils import logging as transformers_logging

from stillwing_common.errors import InvalidInput

_EMBEDDINGS = "embed_tokens.weight"
_HEAD = "lm_head.weight"


def start_from(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> int:
    """Copy the weights of the pilot in `folder` into `model`, and tell how many tokens both vocabularies share.

    Embeddings go by the text of their token, so that an earlier vocabulary serves; tokens of `tokenizer` that the
    earlier one lacks keep what they were drawn with. Raises `InvalidInput` where `folder` holds no pilot, or one of
    other sizes; `model` is as it was then.
    """
    if not (folder / "config.json").is_file():
        raise InvalidInput(f"no pilot is in {folder}; name a folder that `stillwing train-pilot` wrote", path=folder)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    earlier = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).state_dict()
    known = PreTrainedTokenizerFast.from_pretrained(folder).get_vocab()
    mine = model.state_dict()
    shared = [(place, known[text]) for text, place in tokenizer.get_vocab().items() if text in known]
    here, there = (torch.tensor(places) for places in zip(*shared, strict=True))
    taken: dict[str, torch.Tensor] = {}
    for name, value in mine.items():
        found = earlier.get(name)
        by_token = name.endswith((_EMBEDDINGS, _HEAD))
        if found is None or found.shape[int(by_token) :] != value.shape[int(by_token) :]:
            raise InvalidInput(f"the pilot in {folder} is of other sizes than the one to train", path=folder)
        taken[name] = found
        if by_token:
            taken[name] = value.clone()
            taken[name][here] = found[there].to(value.device)
    model.load_state_dict(taken)
    return len(shared)
