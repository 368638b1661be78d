"""A battery for a vehicle whose simulator has none: empties evenly while the motors turn. Pure: told the time."""


class SimulatedBattery:
    """Full at first; lasts `endurance_s` seconds of the vehicle's clock with armed motors."""

    def __init__(self, endurance_s: float) -> None:
        if endurance_s <= 0:
            raise ValueError("a battery lasts longer than 0 s")
        self._endurance_s = endurance_s
        self._used_s = 0.0
        self._last_ns: int | None = None

    def replace(self) -> None:
        """A full one, as after a reset of the world."""
        self._used_s, self._last_ns = 0.0, None

    def read(self, time_ns: int, armed: bool) -> float:
        """Share of the charge left at `time_ns` of the vehicle's clock, 0 to 1."""
        if armed and self._last_ns is not None:
            self._used_s += max(0, time_ns - self._last_ns) / 1e9
        self._last_ns = time_ns
        return max(0.0, 1.0 - self._used_s / self._endurance_s)
