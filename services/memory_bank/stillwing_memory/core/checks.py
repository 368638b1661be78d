"""What a keyframe must be before it is kept. Pure; every refusal is an error that names the field and the limit."""

import math

from stillwing_common.errors import (
    ImageEmpty,
    ImageTooLarge,
    InvalidInput,
    TextTooLong,
)
from stillwing_common.pictures import decode_rgb
from stillwing_common.types import Image, ImageEncoding, PositionNed, Quaternion
from stillwing_memory.core.instructions import Chunk, Instruction
from stillwing_memory.core.keyframes import Keyframe, Sighting
from stillwing_memory.core.limits import Limits
from stillwing_memory.core.text import normalise

_MAX_AWAY_M = 20_000_000.0  # half round the Earth
_QUATERNION_NORM_TOLERANCE = 1e-3

_KEPT = (ImageEncoding.JPEG, ImageEncoding.PNG)


def check_text(field: str, text: str, limit_chars: int) -> None:
    """Raises TextTooLong, and InvalidInput for what no database can keep as text."""
    if len(text) > limit_chars:
        raise TextTooLong(f"{field} has {len(text)} characters", field=field, limit_chars=limit_chars)
    if "\0" in text:
        raise InvalidInput(f"{field} holds a NUL character", field=field)
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidInput(f"{field} is not valid Unicode", field=field)


def check_id(field: str, text: str, limits: Limits, *, required: bool = False) -> None:
    """Raises InvalidInput for a missing id, TextTooLong."""
    if required and not text:
        raise InvalidInput(f"{field} is missing", field=field)
    check_text(field, text, limits.max_id_chars)


def check_finite(field: str, *values: float) -> None:
    """Raises InvalidInput for NaN and infinities."""
    if not all(math.isfinite(value) for value in values):
        raise InvalidInput(f"{field} is not a finite number", field=field)


def check_position(field: str, position: PositionNed) -> None:
    """Raises InvalidInput for a place that is no place."""
    axes = (position.north_m, position.east_m, position.down_m)
    check_finite(field, *axes)
    if max(map(abs, axes)) > _MAX_AWAY_M:
        raise InvalidInput(f"{field} is not on this planet", field=field, limit_m=_MAX_AWAY_M)


def check_keyframe(keyframe: Keyframe, limits: Limits) -> None:
    """Everything but the pixels. Raises InvalidInput, TextTooLong."""
    frame = keyframe.frame
    check_id("frame.frame_id", frame.frame_id, limits, required=True)
    check_id("frame.camera_id", frame.camera_id, limits)
    check_id("frame.capture.clock_id", frame.capture.clock_id, limits)
    check_id("mission_id", keyframe.mission_id, limits)
    check_id("vehicle_id", keyframe.vehicle_id, limits)
    if not -(2**63) <= frame.capture.time_ns < 2**63:
        raise InvalidInput("frame.capture.time is out of range", field="frame.capture.time")
    check_text("caption", keyframe.caption, limits.max_caption_chars)
    check_finite("score", keyframe.score)
    if not all(0 <= number < 2**31 for number in (keyframe.instruction, keyframe.chunk, keyframe.place)):
        raise InvalidInput("instruction, chunk and place are not negative", field="instruction")
    if frame.hfov_deg is not None:
        check_finite("frame.hfov_deg", frame.hfov_deg)
    if frame.camera_pose is not None:
        check_position("frame.camera_pose.position", frame.camera_pose.position)
        turn: Quaternion = frame.camera_pose.orientation
        # What is no rotation would be refused by whoever reads it over the wire.
        if not abs(math.hypot(turn.w, turn.x, turn.y, turn.z) - 1) <= _QUATERNION_NORM_TOLERANCE:
            raise InvalidInput("the orientation is no unit quaternion", field="frame.camera_pose.orientation")
    if len(keyframe.sightings) > limits.max_sightings:
        raise InvalidInput(f"{len(keyframe.sightings)} sightings in one keyframe", limit=limits.max_sightings)
    for place, sighting in enumerate(keyframe.sightings):
        _check_sighting(f"sightings[{place}]", sighting, limits)


def _check_sighting(field: str, sighting: Sighting, limits: Limits) -> None:
    _check_label(f"{field}.label", sighting.label, limits)
    check_id(f"{field}.entity_id", sighting.entity_id, limits)
    check_id(f"{field}.track_id", sighting.track_id, limits)
    if not 0.0 <= sighting.confidence <= 1.0:
        raise InvalidInput(f"{field}.confidence is 0 to 1", field=f"{field}.confidence")
    if sighting.box is not None:
        left, top, right, bottom = sighting.box
        if not (0.0 <= left <= right <= 1.0 and 0.0 <= top <= bottom <= 1.0):
            raise InvalidInput(f"{field}.box is left, top, right, bottom, each 0 to 1", field=f"{field}.box")
    if sighting.position_ned_m is not None:
        check_position(f"{field}.position", sighting.position_ned_m)


def _check_label(field: str, label: str, limits: Limits) -> None:
    """A name has something to see in it."""
    check_text(field, label, limits.max_label_chars)
    if not normalise(label):
        raise InvalidInput(f"{field} is missing", field=field)


def check_times(from_ns: int, to_ns: int) -> None:
    """Raises InvalidInput for times that no clock shows or that are the wrong way round."""
    if not -(2**63) <= from_ns < to_ns < 2**63:
        raise InvalidInput("a stretch of time ends after it begins", from_ns=from_ns, to_ns=to_ns)


def check_numbers(mission_id: str, limits: Limits, *numbers: int) -> None:
    """Raises InvalidInput for a missing mission and for instructions and chunks that are not counted from 1."""
    check_id("mission_id", mission_id, limits, required=True)
    if not all(1 <= number < 2**31 for number in numbers):
        raise InvalidInput("instructions and chunks are counted from 1", numbers=numbers)


def check_instruction(instruction: Instruction, limits: Limits) -> None:
    """Raises InvalidInput, TextTooLong."""
    check_numbers(instruction.mission_id, limits, instruction.number)
    check_text("text", instruction.text, limits.max_instruction_chars)
    if len(instruction.things) > limits.max_things:
        raise InvalidInput(f"{len(instruction.things)} things in one instruction", limit=limits.max_things)
    for place, thing in enumerate(instruction.things):
        field = f"things[{place}]"
        _check_label(f"{field}.label", thing.label, limits)
        if thing.new and thing.entity_id:
            raise InvalidInput(f"{field} is either new or has an id", field=f"{field}.new")
        check_text(f"{field}.kind", thing.kind, limits.max_label_chars)
        check_id(f"{field}.entity_id", thing.entity_id, limits)
        if len(thing.attributes) > limits.max_attributes:
            raise InvalidInput(f"{len(thing.attributes)} attributes of one thing", limit=limits.max_attributes)
        for attribute in thing.attributes:
            check_text(f"{field}.attributes", attribute.text, limits.max_label_chars)
            check_text(f"{field}.attributes.slot", attribute.slot, limits.max_label_chars)
            if not 0 <= attribute.from_wall_ns < 2**63 or not 0 <= attribute.until_wall_ns < 2**63:
                raise InvalidInput(f"{field}.attributes has a time out of range", field=f"{field}.attributes")


def check_chunk(chunk: Chunk, limits: Limits) -> None:
    """Everything but the pixels. Raises InvalidInput, TextTooLong."""
    check_numbers(chunk.mission_id, limits, chunk.instruction, chunk.number)
    if not 1 <= len(chunk.frames) <= limits.max_chunk_frames:
        raise InvalidInput(f"{len(chunk.frames)} frames in one chunk", limit=limits.max_chunk_frames)
    for frame in chunk.frames:
        check_keyframe(frame.keyframe, limits)
        if frame.keyframe.mission_id != chunk.mission_id:
            raise InvalidInput("the frame is of another mission", field="mission_id")
    for view in chunk.views:
        check_id("views.entity_id", view.entity_id, limits, required=True)
        if not 1 <= view.tokens < 2**31:
            raise InvalidInput("a thing's text has at least one token", field="views.tokens")


def check_image(image: Image, limits: Limits, max_bytes: int | None = None) -> None:
    """Decode the image once, which takes milliseconds; `max_bytes` None: the limit.

    Raises ImageEmpty, ImageTooLarge, ImageUndecodable, InvalidInput.
    """
    max_bytes = limits.max_image_bytes if max_bytes is None else max_bytes
    if image.encoding not in _KEPT:
        raise InvalidInput(
            f"keyframes are kept as JPEG or PNG, not {image.encoding.value}", encoding=image.encoding.value
        )
    if not image.data:
        raise ImageEmpty
    if len(image.data) > max_bytes:
        raise ImageTooLarge(
            f"{len(image.data)} bytes; send a smaller JPEG",
            size_bytes=len(image.data),
            limit_bytes=max_bytes,
        )
    rows_px, columns_px = decode_rgb(image.data, image.encoding, max_pixels=limits.max_image_pixels).shape[:2]
    if (columns_px, rows_px) != (image.width_px, image.height_px):
        raise InvalidInput(
            f"the image is {columns_px} x {rows_px} once upright, the frame says {image.width_px} x {image.height_px}",
            field="frame.image",
        )
