"""What one memory bank takes and gives at most. It knows nothing of how a limit is checked."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one bank takes and gives; input above a limit is refused with an error that names it, never cut."""

    max_image_bytes: int = 16 * 1024 * 1024
    max_image_pixels: int = 4096 * 4096
    max_caption_chars: int = 4_000
    max_label_chars: int = 200
    max_id_chars: int = 200
    max_query_chars: int = 4_000
    max_sightings: int = 64
    max_page_size: int = 500
    max_results_with_images: int = 50
    max_things: int = 32
    max_attributes: int = 32
    max_chunk_frames: int = 16
    max_instruction_chars: int = 4_000
