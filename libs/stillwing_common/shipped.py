"""Files that come with Stillwing beside its code: in an installed package within it, in a checkout at its root."""

from pathlib import Path


def shipped_model(name: str) -> Path | None:
    """The folder of a shipped model ("pilot", "recall"), or None where it did not come along."""
    for folder in Path(__file__).resolve().parents:
        model = folder / "models" / name
        if (model / "config.json").is_file():
            return model
        if folder.name == "site-packages" or (folder / "pyproject.toml").is_file():
            break
    return None
