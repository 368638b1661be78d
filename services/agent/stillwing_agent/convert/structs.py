"""Values by name as protobuf's Struct."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct


def struct_of(values: Mapping[str, Any]) -> Struct:
    """The values, whose numbers become floats."""
    struct = Struct()
    struct.update(dict(values))
    return struct
