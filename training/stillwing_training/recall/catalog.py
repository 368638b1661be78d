"""Where the trained recall model lies. It imports no tensor library."""

from pathlib import Path

from stillwing_common.errors import ModelNotUsable
from stillwing_common.shipped import shipped_model

RECALL = "recall"


def recall_directory() -> Path:
    """The trained model's files. Raises ModelNotUsable where they did not come along."""
    directory = shipped_model(RECALL)
    if directory is None:
        raise ModelNotUsable("the recall model is not here; train it with `stillwing lab train-recall`", model=RECALL)
    return directory
