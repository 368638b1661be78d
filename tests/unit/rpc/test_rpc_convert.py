"""python -m pytest tests/unit/rpc/test_rpc_convert.py

Shared types survive the wire; what they cannot hold is refused.
"""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from stillwing.common.v1 import common_pb2
from stillwing_common.errors import InvalidInput
from stillwing_common.types import Frame, Image, ImageEncoding, Pose, PositionNed, Quaternion, Stamp, VelocityNed
from stillwing_common.vectors import MAX_VECTOR_FLOATS, Vectors
from stillwing_rpc import convert
from stillwing_rpc.vectors import vectors_from_wire, vectors_to_wire

numbers = st.floats(allow_nan=False, allow_infinity=False)
positions = st.builds(PositionNed, numbers, numbers, numbers)
stamps = st.builds(Stamp, st.integers(0, 2**62), st.text(st.characters(codec="utf-8")))
quaternions = st.builds(Quaternion.from_yaw_deg, st.floats(-180, 180))
poses = st.builds(Pose, positions, quaternions)
images = st.builds(
    Image, st.sampled_from(ImageEncoding), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary()
)
frames = st.builds(
    Frame,
    st.text(st.characters(codec="utf-8"), min_size=1),
    st.text(st.characters(codec="utf-8")),
    stamps,
    st.none() | poses,
    images,
    st.none() | numbers,
)


@given(frames)
def test_frame(frame: Frame) -> None:
    wire = common_pb2.Frame.FromString(convert.frame_to_wire(frame).SerializeToString())
    back = convert.frame_from_wire(wire)
    if frame.camera_pose is not None:
        assert back.camera_pose is not None
        assert back.camera_pose.position == frame.camera_pose.position
        assert math.isclose(back.camera_pose.orientation.w, frame.camera_pose.orientation.w, abs_tol=1e-9)
    assert (back.frame_id, back.capture, back.image, back.hfov_deg) == (
        frame.frame_id,
        frame.capture,
        frame.image,
        frame.hfov_deg,
    )


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=3, max_dims=3, max_side=6),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_vectors_keep_every_bit(array: np.ndarray) -> None:
    vectors = Vectors(array)
    wire = common_pb2.Vectors.FromString(vectors_to_wire(vectors).SerializeToString())
    back = vectors_from_wire(wire)
    assert back == vectors
    assert back.array.tobytes() == array.tobytes()


def test_vectors_are_little_endian_row_by_row() -> None:
    wire = vectors_to_wire(Vectors(np.array([[[1.0, 2.0], [3.0, -4.0]]], np.float32)))
    assert list(wire.shape) == [1, 2, 2]
    assert wire.data == struct.pack("<4f", 1, 2, 3, -4)


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ((), b""),
        ((0, 1, 1), b""),
        ((2, 2), bytes(16)),
        ((1,) * 80, bytes(4)),
        ((1, 2, 2), bytes(15)),
        ((1, 2, 2), bytes(20)),
        ((2**32 - 1,) * 3, b""),
        ((1, 1, MAX_VECTOR_FLOATS + 1), bytes(4 * (MAX_VECTOR_FLOATS + 1))),
        ((1, 1, 1), struct.pack("<f", math.nan)),
        ((1, 1, 1), struct.pack("<f", -math.inf)),
    ],
)
def test_vectors_that_cannot_be_are_refused(shape: tuple[int, ...], data: bytes) -> None:
    with pytest.raises(InvalidInput):
        vectors_from_wire(common_pb2.Vectors(shape=shape, data=data))


@given(st.builds(VelocityNed, numbers, numbers, numbers))
def test_velocity(velocity: VelocityNed) -> None:
    assert convert.velocity_from_wire(convert.velocity_to_wire(velocity)) == velocity


@given(st.integers(-(10**18), 10**18))
def test_duration_keeps_milliseconds(milliseconds: int) -> None:
    seconds = milliseconds % 10**9 / 1000 * (1 if milliseconds >= 0 else -1)
    wire = convert.duration_to_wire(seconds)
    assert wire.seconds * wire.nanos >= 0
    assert math.isclose(convert.duration_from_wire(wire), seconds, abs_tol=1e-8)


@pytest.mark.parametrize("value", [0, 5, 99])
def test_encoding_unset_or_unknown_is_refused(value: int) -> None:
    with pytest.raises(InvalidInput, match="encoding"):
        convert.encoding_from_wire(value)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(InvalidInput, match="position"):
        convert.position_from_wire(common_pb2.PositionNed(north_m=bad))
    with pytest.raises(InvalidInput, match="velocity"):
        convert.velocity_from_wire(common_pb2.VelocityNed(down_m_s=bad))
    with pytest.raises(InvalidInput, match="orientation"):
        convert.quaternion_from_wire(common_pb2.Quaternion(w=bad))


def test_no_rotation_is_refused_and_a_nearly_unit_one_made_unit() -> None:
    with pytest.raises(InvalidInput, match="norm"):
        convert.quaternion_from_wire(common_pb2.Quaternion())
    assert convert.quaternion_from_wire(common_pb2.Quaternion(w=1.0005)) == Quaternion(1, 0, 0, 0)


def test_half_a_pose_and_half_a_frame_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no position"):
        convert.pose_from_wire(common_pb2.Pose(orientation=common_pb2.Quaternion(w=1)))
    with pytest.raises(InvalidInput, match="frame_id"):
        convert.frame_from_wire(common_pb2.Frame())
    with pytest.raises(InvalidInput, match="no image"):
        convert.frame_from_wire(common_pb2.Frame(frame_id="a/b/1"))
