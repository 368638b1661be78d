"""From a model directory to a backend on a device. Every way in which a directory can be unusable has a sentence of
its own.

It knows nothing of sessions or settings.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from stillwing_common.errors import DeviceAbsent, ModelNotUsable
from stillwing_vlm.core.engines.qwen.families import FAMILIES, Family
from stillwing_vlm.core.engines.qwen.int8 import quantise
from stillwing_vlm.core.engines.qwen.wide_linear import multiplies_bfloat16, widen
from stillwing_vlm.core.engines.qwen_vl import QwenVlBackend
from stillwing_vlm.core.inputs.generation import read_generation
from stillwing_vlm.core.inputs.images import Preprocessing
from stillwing_vlm.core.inputs.text import ChatText

_FILES = ("config.json", "tokenizer.json")
_IMAGES, _PROCESSOR = "preprocessor_config.json", "processor_config.json"
"""Where the figures of pictures stand: in a file of their own, or, as transformers 5 saves them, in the processor's."""
_SINGLE_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A backend and the text layout that belongs to it."""

    backend: QwenVlBackend
    text: ChatText


def load_model(
    directory: Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "auto",
    decoding: str = "auto",
    kv_cache_dtype: str = "auto",
    weight_dtype: str = "auto",
    random_weights: bool = False,
    seed: int = 0,
    threads: int | None = None,
    name: str | None = None,
) -> LoadedModel:
    """Load a Hugging Face directory of a family in `families`, or make its architecture up with random weights.

    `device`: "auto", "cpu", "cuda" or "cuda:N". `dtype` of weights and cache: "float32", "bfloat16" or "auto", which is
    float32 on the CPU and bfloat16 on CUDA. `attention`: "sdpa", "triton", "flash", "llvm" or "auto", see
    `choose_attention`. `decoding`: see `choose_decoding`. `kv_cache_dtype`: "auto", the type of the weights, or "fp8",
    8-bit floats with scales. `weight_dtype`: "auto", or "int8" for the linear layers of the language model. `threads`:
    CPU threads of the whole process's tensor library; None leaves them as they are.
    Raises ModelNotUsable (naming what is missing), DeviceAbsent or MissingExtra.
    """
    where = _device(device)
    as_type = _DTYPES.get(dtype) or (torch.bfloat16 if where.type == "cuda" else torch.float32)
    if threads is not None:
        torch.set_num_threads(threads)
    _check_files(directory, need_weights=not random_weights)
    text = ChatText.from_file(directory / "tokenizer.json", read_generation(directory).end_ids)
    family, config = _config(directory)
    preprocessing = _preprocessing(directory, config.vision_config)
    if random_weights:
        torch.manual_seed(seed)
        # Made up where they are to lie: billions of numbers are drawn there in a second.
        with where:
            model = family.architecture._from_config(config, dtype=as_type)
    else:
        model = _weights(directory, family, config, as_type)
    if weight_dtype == "int8":
        # Before they go to the device, which never holds both.
        quantise(model.model.language_model)
    if where.type == "cpu" and as_type == torch.bfloat16 and not multiplies_bfloat16():
        widen(model)
    model = model.to(where).eval().requires_grad_(False)
    # Angles stay in float32 whatever the type of the weights: a cast of the whole model would round them.
    rotary = model.model.visual.rotary_pos_emb
    rotary.inv_freq = rotary.compute_axial_rope_parameters(config.vision_config)[0].to(where)
    shown = name or (f"random:{directory.name}" if random_weights else directory.name)
    if text.vocab_size > config.text_config.vocab_size:
        raise ModelNotUsable(
            f"its tokenizer has {text.vocab_size} tokens, its embedding {config.text_config.vocab_size}"
        )
    backend = QwenVlBackend(model, family, preprocessing, shown, attention, decoding, kv_cache_dtype)
    return LoadedModel(backend, text)


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise DeviceAbsent(f"{wanted!r} is no device; say auto, cpu, cuda or cuda:N", device=wanted) from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise DeviceAbsent(f"{wanted!r} is not supported; say auto, cpu, cuda or cuda:N", device=wanted)
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= found:
        raise DeviceAbsent(f"{wanted}: this machine shows {found} CUDA devices", device=wanted)
    return torch.device("cuda", device.index or 0)


def _check_files(directory: Path, *, need_weights: bool) -> None:
    if not directory.is_dir():
        raise ModelNotUsable(f"{directory} is no directory", path=directory)
    missing = [name for name in _FILES if _absent(directory, name)]
    if _absent(directory, _IMAGES) and _absent(directory, _PROCESSOR):
        missing.append(f"{_IMAGES} or {_PROCESSOR}")
    if need_weights:
        missing += _missing_weights(directory)
    if missing:
        raise ModelNotUsable(f"{directory} lacks {', '.join(missing)}", missing=",".join(missing))


def _absent(directory: Path, name: str) -> bool:
    return not (directory / name).is_file()


def _missing_weights(directory: Path) -> list[str]:
    if not _absent(directory, _SINGLE_WEIGHTS):
        return []
    if _absent(directory, _INDEX):
        return [_SINGLE_WEIGHTS]
    shards = set(_json(directory / _INDEX).get("weight_map", {}).values())
    return sorted(shard for shard in shards if _absent(directory, shard))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelNotUsable(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ModelNotUsable(f"{path} holds no JSON object")
    return found


def _config(directory: Path) -> tuple[Family, Any]:
    raw = _json(directory / "config.json")
    family = FAMILIES[raw["model_type"]]
    try:
        config = family.config.from_dict(raw)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelNotUsable(f"its config.json is not valid: {error}") from error
    rope = config.text_config.rope_parameters
    if "mrope_section" not in rope:
        raise ModelNotUsable("its config.json has no mrope_section")
    # What the engine would compute differently is refused, not approximated.
    if rope.get("rope_type", "default") != "default":
        raise ModelNotUsable(f"its rope_type is {rope['rope_type']!r}; only plain rotary positions are supported")
    if "sliding_attention" in (getattr(config.text_config, "layer_types", None) or ()):
        raise ModelNotUsable("it attends a sliding window in some layers, which is not supported")
    return family, config


def _weights(directory: Path, family: Family, config: Any, dtype: torch.dtype) -> Any:
    library: Any = transformers_logging
    library.disable_progress_bar()
    try:
        model, found = family.architecture.from_pretrained(
            directory, config=config, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelNotUsable(f"its weights cannot be loaded: {error}") from error
    problems = sorted(found["missing_keys"]) + [str(key) for key in found["mismatched_keys"]]
    if problems:
        # The library fills what is missing with random numbers and goes on.
        raise ModelNotUsable(f"its weights lack {len(problems)} tensors, such as {problems[0]}", missing=problems[0])
    return model


def _preprocessing(directory: Path, vision: Any) -> Preprocessing:
    """The figures of pictures, which must be those the vision encoder was built with."""
    name, raw = _picture_figures(directory)
    size = raw.get("size") or {}
    built = {
        "patch_size": vision.patch_size,
        "merge_size": vision.spatial_merge_size,
        "temporal_patch_size": vision.temporal_patch_size,
    }
    try:
        figures = {name: int(raw.get(name, value)) for name, value in built.items()}
        found = Preprocessing(
            patch_px=figures["patch_size"],
            merge=figures["merge_size"],
            temporal_patch=figures["temporal_patch_size"],
            min_pixels=int(raw.get("min_pixels") or size["shortest_edge"]),
            max_pixels=int(raw.get("max_pixels") or size["longest_edge"]),
            mean=_three(raw["image_mean"]),
            std=_three(raw["image_std"]),
            window_frames=int(raw["window_frames"]) if "window_frames" in raw else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelNotUsable(f"its {name} is not valid: {error!r}") from error
    for figure, value in built.items():
        if figures[figure] != value:
            raise ModelNotUsable(f"its {figure} is {figures[figure]} in {name}, {value} in config.json")
    return found


def _picture_figures(directory: Path) -> tuple[str, dict[str, Any]]:
    """The file that holds them, and they."""
    if not _absent(directory, _IMAGES):
        return _IMAGES, _json(directory / _IMAGES)
    figures = _json(directory / _PROCESSOR).get("image_processor")
    if not isinstance(figures, dict):
        raise ModelNotUsable(f"its {_PROCESSOR} has no image_processor", missing="image_processor")
    return _PROCESSOR, figures


def _three(values: list[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
