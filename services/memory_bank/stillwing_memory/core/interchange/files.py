"""The files of an exported bank: their names, how texts and pictures are read, and what came of an export or import.

It knows nothing of what is in them. Nothing is ever opened as anything but UTF-8 text, JPEG or PNG.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from stillwing_common.errors import ImageEmpty, ImageTooLarge, ImageUndecodable, InvalidInput
from stillwing_common.pictures import read_header
from stillwing_common.types import Image, ImageEncoding
from stillwing_memory.core.limits import Limits

SCRIPTS = "interactive_inference.jsonl"
AGENT = "llm_agent.json"
BANK = "memory_bank.json"
KEYFRAMES = "keyframes.jsonl"
ENTITIES = "entities.jsonl"

SUFFIX = {ImageEncoding.JPEG: "jpg", ImageEncoding.PNG: "png"}

Step = Callable[[int, int], None]
"""Told how much of how many is done."""


@dataclass(slots=True)
class Count:
    """What an export or import came to; `skipped` says why for each frame that was left out."""

    keyframes: int = 0
    entities: int = 0
    instructions: int = 0
    skipped: list[str] = field(default_factory=list)


def begin_folder(folder: Path) -> None:
    """Make it with a folder for images. Raises InvalidInput unless it is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is not an empty folder; name another one", folder=folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)


def file_name(mission_id: str) -> str:
    """A mission's id as the name of a folder."""
    return "".join(char if char.isalnum() or char in "-_" else "_" for char in mission_id)


def file_of(path: Path) -> Path:
    """The file to import: itself, or the first known one in a folder. Raises InvalidInput."""
    if path.is_dir():
        known = next((path / name for name in (KEYFRAMES, BANK, AGENT, SCRIPTS) if (path / name).is_file()), None)
        if known is None:
            raise InvalidInput(f"{path} holds none of {KEYFRAMES}, {BANK}, {AGENT}, {SCRIPTS}", path=path)
        return known
    if not path.is_file():
        raise InvalidInput(f"there is no {path}", path=path)
    return path


def read_text(path: Path) -> str:
    """The text of a file; "" where there is none. Raises InvalidInput for what is no text or cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is no UTF-8 text", path=path) from error
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}", path=path) from error


def picture_beside(folder: Path, name: str) -> Image | str:
    """The picture a file names, or the one of that name with a picture's ending; else why not. Nothing is unpickled."""
    named = folder / name
    try:
        # An export keeps its images two folders above its missions; nothing above that is read.
        if not named.resolve().is_relative_to(folder.resolve().parents[min(1, len(folder.resolve().parents) - 1)]):
            return f"{name} lies outside the folder"
        for path in (named, *(named.with_suffix(suffix) for suffix in (".jpg", ".jpeg", ".png"))):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png") and path.is_file():
                return read_picture(path)
    except (OSError, ValueError) as error:  # a name too long, or with characters that no file system takes
        return f"{ascii(name)[:100]} cannot be read: {error}"
    return f"no JPEG or PNG at {name}"


def read_picture(path: Path) -> Image | str:
    """A JPEG or PNG as it is, or why it is none. Raises OSError."""
    limits = Limits()
    if path.stat().st_size > limits.max_image_bytes:
        return f"{path.name}: more than {limits.max_image_bytes} bytes"
    data = path.read_bytes()
    try:
        header = read_header(data, max_pixels=limits.max_image_pixels)
    except (ImageEmpty, ImageTooLarge, ImageUndecodable) as error:
        return f"{path.name}: {error}"
    return Image(header.encoding, header.width_px, header.height_px, data)
