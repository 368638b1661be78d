"""Who may command one vehicle: the newest lease of this run of the bridge, as long as its holder gives signs of life.

Pure: reads a clock, does no IO, and knows nothing of commands. `LeaseBook` says what changed; its caller logs it and
holds the vehicle.
"""

from dataclasses import dataclass

from stillwing_bridge.core.types import Lease, LeaseState
from stillwing_common.clock import Clock
from stillwing_common.errors import InvalidInput, LeaseHeld, LeaseStale, LeaseSuperseded, LeaseWrongEpoch

MAX_STALE_AFTER_S = 30.0
MAX_HOLDER_CHARS = 200


@dataclass(slots=True)
class _Grant:
    lease: Lease
    holder: str
    stale_after_s: float
    alive_s: float
    stale: bool = False


class LeaseBook:
    """Leases of one vehicle; at most one is in force. `epoch` is the same for the whole run of a bridge."""

    def __init__(self, vehicle_id: str, epoch: str, clock: Clock, *, stale_after_s: float = 3.0) -> None:
        self._vehicle_id = vehicle_id
        self._epoch = epoch
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._sequence = 0
        self._grant: _Grant | None = None

    def acquire(self, holder: str, stale_after_s: float | None = None) -> LeaseState:
        """A new lease; `LeaseHeld` unless nobody holds the vehicle or the holder is stale."""
        self.lapse()
        if self._grant is not None and not self._grant.stale:
            raise LeaseHeld(f"held by {self._grant.holder}", holder=self._grant.holder, vehicle_id=self._vehicle_id)
        return self._give(holder, stale_after_s)

    def take(self, holder: str, reason: str, stale_after_s: float | None = None) -> LeaseState:
        """A new lease over whoever holds one; `reason` is required."""
        if not reason.strip():
            raise InvalidInput("taking a lease needs a reason", field="reason")
        return self._give(holder, stale_after_s)

    def check(self, lease: Lease) -> LeaseState:
        """The state of `lease` if it is in force and fresh; otherwise the error that says why not. No sign of life."""
        self.lapse()
        holder = self._grant.holder if self._grant is not None else "nobody"
        facts = {"vehicle_id": self._vehicle_id, "holder": holder}
        if lease.epoch != self._epoch:
            raise LeaseWrongEpoch(f"now held by {holder}", **facts)
        if self._grant is None or lease.sequence < self._grant.lease.sequence:
            raise LeaseSuperseded(f"now held by {holder}", **facts)
        if lease.sequence > self._grant.lease.sequence:
            raise InvalidInput("no lease has this sequence", sequence=lease.sequence, **facts)
        if self._grant.stale:
            raise LeaseStale(f"{holder} was silent for more than {self._grant.stale_after_s:g} s", **facts)
        return self._state(self._grant)

    def retain(self, lease: Lease) -> LeaseState:
        """A sign of life of the holder of `lease`; the errors of `check`."""
        self.check(lease)
        assert self._grant is not None
        self._grant.alive_s = self._clock.monotonic_s()
        return self._state(self._grant)

    def give_back(self, lease: Lease) -> LeaseState:
        """End `lease`; the errors of `check`. Returns its last state."""
        state = self.check(lease)
        self._grant = None
        return state

    def void(self) -> LeaseState | None:
        """End whatever lease there is, as a world reset does; returns its last state."""
        grant, self._grant = self._grant, None
        return self._state(grant) if grant is not None else None

    def lapse(self) -> LeaseState | None:
        """Mark the lease stale once its time is over; returns its state at that moment, and None at every other."""
        grant = self._grant
        if grant is None or grant.stale or self._clock.monotonic_s() - grant.alive_s <= grant.stale_after_s:
            return None
        grant.stale = True
        return self._state(grant)

    @property
    def state(self) -> LeaseState | None:
        """Who holds the vehicle, stale or not; None if nobody."""
        return self._state(self._grant) if self._grant is not None else None

    @property
    def fresh(self) -> bool:
        """Whether a lease is in force and its holder not yet silent for too long."""
        grant = self._grant
        return (
            grant is not None and not grant.stale and self._clock.monotonic_s() - grant.alive_s <= grant.stale_after_s
        )

    @property
    def silence_s(self) -> float | None:
        """Seconds since the holder's last sign of life; None if nobody holds the vehicle."""
        return None if self._grant is None else self._clock.monotonic_s() - self._grant.alive_s

    @property
    def stale_in_s(self) -> float | None:
        """Seconds until the lease goes stale by silence; None if none is fresh."""
        if self._grant is None or self._grant.stale:
            return None
        return self._grant.alive_s + self._grant.stale_after_s - self._clock.monotonic_s()

    def _give(self, holder: str, stale_after_s: float | None) -> LeaseState:
        if not holder.strip() or len(holder) > MAX_HOLDER_CHARS:
            raise InvalidInput(f"a holder's name has 1 to {MAX_HOLDER_CHARS} characters", field="holder")
        wanted_s = self._stale_after_s if stale_after_s is None else stale_after_s
        if not 0 < wanted_s <= MAX_STALE_AFTER_S:
            raise InvalidInput(f"stale_after is above 0 and at most {MAX_STALE_AFTER_S:g} s", stale_after_s=wanted_s)
        self._sequence += 1
        lease = Lease(self._vehicle_id, self._epoch, self._sequence)
        self._grant = _Grant(lease, holder, wanted_s, self._clock.monotonic_s())
        return self._state(self._grant)

    def _state(self, grant: _Grant) -> LeaseState:
        left_s = grant.alive_s + grant.stale_after_s - self._clock.monotonic_s()
        stale = grant.stale or left_s < 0
        return LeaseState(grant.lease, grant.holder, self._clock.wall_ns() + round(left_s * 1e9), stale)
