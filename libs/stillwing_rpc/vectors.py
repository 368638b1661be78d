"""A model's vectors on the wire. Beside `convert`, which does without numpy."""

import math

import numpy as np

from stillwing.common.v1 import common_pb2
from stillwing_common.errors import InvalidInput
from stillwing_common.vectors import Vectors, check_shape


def vectors_to_wire(vectors: Vectors) -> common_pb2.Vectors:
    """A model's vectors."""
    return common_pb2.Vectors(shape=vectors.shape, data=vectors.array.astype("<f4", copy=False).tobytes())


def vectors_from_wire(message: common_pb2.Vectors) -> Vectors:
    """A model's vectors; shape and bytes must fit each other."""
    shape = tuple(message.shape)
    check_shape(shape)
    if len(message.data) != 4 * math.prod(shape):
        raise InvalidInput(f"{len(message.data)} bytes are not float32 numbers of shape {shape}", shape=shape)
    return Vectors(np.frombuffer(message.data, "<f4").astype(np.float32, copy=False).reshape(shape))
