"""Where the trained recall model lies. It imports no tensor library."""

from pathlib import Path

from stillwing_common.errors import ModelNotUsable

RECALL = "recall"


def recall_directory() -> Path:
    """The trained model's folder in the repository. Raises ModelNotUsable where it is not there."""
    found = Path(__file__).resolve().parents[3] / "models" / "recall"
    if not (found / "config.json").is_file():
        raise ModelNotUsable("the recall model is not here; train it with `stillwing lab train-recall`", model=RECALL)
    return found
