"""The pilot's folder as transformers reads it. It knows nothing of training."""

import json
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from stillwing_airfield.scenes.maze import MISSION
from stillwing_training.pilot.config import COLOURS, SIGN, preprocessor_config
from stillwing_training.pilot.tokenizer import save_tokenizer

TRAINING_RANGE = {
    "prompt_profile": "compact",
    "instructions": ["Fly to the {colour} beacon.", MISSION],
    "words": {"colour": list(COLOURS)},
    "things": ["beacon", SIGN],
    "simulators": ["airfield"],
    "views": ["airfield's meadow, street, orchard and maze in daylight, from about two metres above the ground"],
}
"""What a directory's stillwing.json says: the pilot was trained on the agent's short prompts, and on these alone."""


def export_pilot(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights (float32), config, tokenizer, preprocessing and training range, each file replaced as a whole.

    What else is in the folder, like the model card, stays.
    """
    staging = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    folder.mkdir(parents=True, exist_ok=True)
    # Its own bar would tear the training's apart.
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model.save_pretrained(staging)
    save_tokenizer(tokenizer, staging)
    (staging / "preprocessor_config.json").write_text(json.dumps(preprocessor_config(), indent=2) + "\n")
    (staging / "stillwing.json").write_text(json.dumps(TRAINING_RANGE, indent=2) + "\n")
    for path in staging.iterdir():
        path.chmod(0o644)
        path.replace(folder / path.name)
    staging.rmdir()
