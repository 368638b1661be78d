"""Sizes, words and budgets of the pilot and its training, as plain data. It knows neither torch nor MuJoCo."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COLOURS: tuple[str, ...] = ("red", "blue", "yellow", "green")
"""Colours of beacons, in the order of every array with a colour axis."""

SIGN = "sign"
GOALS: tuple[str, ...] = (*COLOURS, SIGN)
"""What a mission may name: a beacon by its colour, or the one that a maze's sign tells of.

The order of every array with a goal axis.
"""

ACTIONS: tuple[str, ...] = ("forward", "left", "right", "stop")
"""What the expert can do, in the order of every action label; the keys of `CHOICES` in the agent's prompts."""

SPECIAL_TOKENS: tuple[str, ...] = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""Qwen's special tokens; each one's id in the pilot's vocabulary is its place here."""

CAMERA_WIDTH_PX, CAMERA_HEIGHT_PX, CAMERA_HFOV_DEG = 320, 240, 90.0
"""The flight camera."""

FRAME_WIDTH_PX, FRAME_HEIGHT_PX = 140, 112
"""What the model's resizing makes of a picture of the flight camera."""

PATCH_PX, MERGE = 14, 2
GRID_ROWS, GRID_COLUMNS = FRAME_HEIGHT_PX // PATCH_PX, FRAME_WIDTH_PX // PATCH_PX
CELL_ROWS, CELL_COLUMNS = GRID_ROWS // MERGE, GRID_COLUMNS // MERGE
IMAGE_TOKENS = CELL_ROWS * CELL_COLUMNS

JPEG_QUALITY = 90

IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)

FIRST_UNSEEN_SEED = 1_000_000
"""Scenes from here on are for evaluation alone; training draws below."""

STEP_M, TURN_DEG = 1.0, 15.0
FLIGHT_HEIGHT_M = 2.0
CAMERA_AHEAD_M = 0.25
STOP_WITHIN_M = 2.4
SUCCESS_WITHIN_M = 3.2
VEHICLE_RADIUS_M = 0.25


def model_config(vocabulary: int) -> dict[str, Any]:
    """Keyword arguments of `Qwen2_5_VLConfig` for the pilot.

    Rotary base 1e4 and sections (2, 2, 28) in place of the published 1e6 and (16, 24, 24): with those a model this
    small gets almost no signal of a token's column.
    """
    token = {name: index for index, name in enumerate(SPECIAL_TOKENS)}
    text = {
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "vocab_size": vocabulary,
        "max_position_embeddings": 32768,
        "bos_token_id": None,
        "eos_token_id": token["<|im_end|>"],
        "pad_token_id": token["<|endoftext|>"],
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 2, 28], "rope_theta": 1e4},
    }
    vision_depth = 3
    vision = {
        "depth": vision_depth,
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_heads": 3,
        "out_hidden_size": 192,
        "patch_size": PATCH_PX,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": list(range(vision_depth)),
    }
    return {
        "text_config": text,
        "vision_config": vision,
        "image_token_id": token["<|image_pad|>"],
        "video_token_id": token["<|video_pad|>"],
        "vision_start_token_id": token["<|vision_start|>"],
        "vision_end_token_id": token["<|vision_end|>"],
        "tie_word_embeddings": True,
    }


def preprocessor_config() -> dict[str, Any]:
    """Contents of `preprocessor_config.json`; its pixel limits turn 320x240 into 140x112."""
    shortest, longest = 112 * 112, 168 * 112
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "image_mean": list(IMAGE_MEAN),
        "image_std": list(IMAGE_STD),
        "patch_size": PATCH_PX,
        "temporal_patch_size": 2,
        "merge_size": MERGE,
        "min_pixels": shortest,
        "max_pixels": longest,
        "size": {"shortest_edge": shortest, "longest_edge": longest},
        # For the engine: how far back a session looks by default, beside the first frame.
        "window_frames": 23,
    }


@dataclass(frozen=True)
class TrainingPlan:
    """How much of what; the defaults are the run that made the published weights.

    Attributes:
        scenes: How many scenes of each family the expert flies before training.
        headlong_scenes: How many are flown straight at the goal, blind to what is in between, labelled by the expert.
        wandering_scenes: How many are flown by an expert who at times turns on and on to one side, past every right
            way.
        dagger_scenes: How many the student flies in each round.
        dagger_at: Shares of the joint stage after which a round is flown.
        off_course_share: How much of stage 2 is drawn from wandering flights and the student's own: they show what to
            do after having done wrong, and are few.
        maze_share: How much of stage 2 is drawn from mazes alone: they take longest to learn.
        dense_steps: Steps of stage 0, the vision tower alone on the simulator's truth.
        grounding_steps: Steps of stage 1, short trunks, where things are.
        joint_steps: Steps of stage 2, long trunks, actions.
        joint_frames: Frames in one batch of stage 2, whatever the length of its trunks.
        tower_lr_share: Share of the learning rates at which the vision tower goes on learning in stage 2; 0 rests it.
        truth_share: What the dense loss of stage 0 counts in stage 2, lest the tower lose sight of what is far away.
        bfloat16: Multiply in bfloat16 in stages 1 and 2, on processors that can.
        longest_flight: Decisions after which a flight for the model card is given up.
    """

    scenes: Mapping[str, int] = field(
        default_factory=lambda: {"meadow": 300, "street": 250, "orchard": 250, "maze": 300}
    )
    headlong_scenes: Mapping[str, int] = field(
        default_factory=lambda: {"meadow": 100, "street": 75, "orchard": 100, "maze": 50}
    )
    wandering_scenes: Mapping[str, int] = field(
        default_factory=lambda: {"meadow": 75, "street": 150, "orchard": 75, "maze": 150}
    )
    dagger_scenes: Mapping[str, int] = field(
        default_factory=lambda: {"meadow": 25, "street": 25, "orchard": 25, "maze": 25}
    )
    dagger_at: tuple[float, ...] = (0.18, 0.26, 0.34, 0.54, 0.62, 0.7)
    off_course_share: float = 0.55
    maze_share: float = 0.25
    dense_steps: int = 2200
    dense_batch: int = 32
    grounding_steps: int = 200
    grounding_batch: int = 32
    joint_steps: int = 9960
    joint_frames: int = 84
    longest_trunk: int = 24
    muon_lr: float = 0.02
    adam_lr: float = 2e-3
    tower_lr_share: float = 0.5
    truth_share: float = 0.3
    bfloat16: bool = True
    decay_share: float = 0.45
    checkpoint_s: float = 150.0
    longest_flight: int = 60
