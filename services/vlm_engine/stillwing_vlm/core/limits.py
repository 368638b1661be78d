"""What one engine lets a caller do. It knows nothing of who counts: `quotas` does, and each part for its own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Every limit is refused with an error of its own, never silently cut.

    Limits named `max_engine_…` hold for all sessions together, `max_peer_…` for those of one peer; 0 means none.
    """

    max_sessions: int = 16
    max_asks: int = 8
    max_watches: int = 4
    max_waiting_requests: int = 64
    max_text_chars: int = 20_000
    max_question_tokens: int = 8192
    """Of one ask or an opening, the words that a template puts around it included; of all texts that are pooled."""
    max_tools: int = 64
    max_messages: int = 256
    max_conversation_chars: int = 80_000
    """Of all messages of an ask together, and of all tools of a session."""
    max_answer_tokens: int = 1024
    default_answer_tokens: int = 128
    max_options: int = 64
    max_snapshots: int = 16
    max_exports: int = 64
    max_recalled_frames: int = 3
    kept_kv_bytes: int = 0
    """Bytes a session keeps aside of evicted chunks' keys and values, to recall them as they were; 0 keeps none."""
    max_image_bytes: int = 8 * 1024 * 1024
    max_image_pixels: int = 4096 * 4096
    frame_credits: int = 4
    frame_period_s: float = 0.1
    """Time between frames where a session does not say; an append's deadline is its placing and this."""
    idle_timeout_s: float = 600.0
    """A session nothing is asked of for so long is ended: as long as the longest command a vehicle takes; 0: never."""
    max_engine_asks: int = 64
    max_engine_context_tokens: int = 0
    max_engine_frame_bytes: int = 256 * 1024 * 1024
    max_peer_sessions: int = 0
    max_peer_asks: int = 0
    max_peer_context_tokens: int = 0
    max_peer_frame_bytes: int = 0

    def __post_init__(self) -> None:
        if self.frame_credits < 1 or self.max_asks < 1 or self.max_sessions < 1:
            raise ValueError("credits, asks and sessions are at least 1")
