"""An engine's service with a witness before it: every question is let through, and the bridge's flight log read first.

So it is known of each question whether the vehicle was held for it, and of each answer whether anything moved the
vehicle while it was made. It changes nothing of what is said.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from stillwing.vlm.v1 import vlm_pb2, vlm_pb2_grpc
from stillwing_bridge.core.events import CommandEnded, CommandStarted, LeaseChanged, ThinkingBegan, ThinkingEnded
from stillwing_bridge.core.protocol import Bridge
from stillwing_rpc.errors import domain_errors

_ENGINE = "stillwing.vlm.v1.VlmService"
_QUESTIONS = ("ask", "ask_choice")
_ANSWERS = ("answer_done", "choice_done")


@dataclass
class FlightSeen:
    """What the flight log of one vehicle says, read as far as it goes."""

    bridge: Bridge
    vehicle_id: str
    thinking_id: str = ""
    """Of the interval that is open; "": none is."""
    thinking_since_ns: int = 0
    """When it began, by the bridge's wall clock."""
    thinking_ids: set[str] = field(default_factory=set)
    moving: set[str] = field(default_factory=set)
    """Motions in force."""
    motions: int = 0
    leases: list[str] = field(default_factory=list)
    """What happened to the lease."""
    _seq: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self) -> None:
        """Everything up to now. Raises what the bridge raises."""
        async with self._turn:
            entries = self.bridge.watch_flight_log(self.vehicle_id, after_log_seq=self._seq, until_now=True)
            async for entry in entries:
                self._seq = entry.log_seq
                match entry.event:
                    case ThinkingBegan(thinking_id):
                        self.thinking_id, self.thinking_since_ns = thinking_id, entry.log_time_ns
                        self.thinking_ids.add(thinking_id)
                    case ThinkingEnded():
                        self.thinking_id = ""
                    case CommandStarted(command_id, motion=True):
                        self.moving.add(command_id)
                        self.motions += 1
                    case CommandEnded(status):
                        self.moving.discard(status.command_id)
                    case LeaseChanged(change):
                        self.leases.append(change)
                    case _:
                        pass


@dataclass
class AsksSeen:
    """Questions that came by, and what was wrong with them."""

    asks: int = 0
    unheld: list[str] = field(default_factory=list)
    """Questions that came while no hold was acknowledged."""
    moved: list[str] = field(default_factory=list)
    """Questions or answers at which a motion was in force."""
    frames: int = 0


class WitnessedEngine(vlm_pb2_grpc.VlmServiceServicer):
    """The service behind `channel`, for agents to call."""

    def __init__(self, channel: grpc.aio.Channel, flight: FlightSeen) -> None:
        self._stub: vlm_pb2_grpc.VlmServiceAsyncStub = vlm_pb2_grpc.VlmServiceStub(channel)
        self._flight = flight
        self.seen = AsksSeen()

    async def GetModel(self, request: vlm_pb2.GetModelRequest, context: Any) -> vlm_pb2.GetModelResponse:
        """As the engine says."""
        with domain_errors():
            return await self._stub.GetModel(request)

    async def ListSessions(self, request: vlm_pb2.ListSessionsRequest, context: Any) -> vlm_pb2.ListSessionsResponse:
        """As the engine says."""
        with domain_errors():
            return await self._stub.ListSessions(request)

    async def GetSession(self, request: vlm_pb2.GetSessionRequest, context: Any) -> vlm_pb2.GetSessionResponse:
        """As the engine says."""
        with domain_errors():
            return await self._stub.GetSession(request)

    async def DeleteSnapshot(
        self, request: vlm_pb2.DeleteSnapshotRequest, context: Any
    ) -> vlm_pb2.DeleteSnapshotResponse:
        """As the engine says."""
        with domain_errors():
            return await self._stub.DeleteSnapshot(request)

    async def ListExports(self, request: vlm_pb2.ListExportsRequest, context: Any) -> vlm_pb2.ListExportsResponse:
        """As the engine says."""
        with domain_errors():
            return await self._stub.ListExports(request)

    async def DeleteExport(self, request: vlm_pb2.DeleteExportRequest, context: Any) -> vlm_pb2.DeleteExportResponse:
        """As the engine says."""
        with domain_errors():
            return await self._stub.DeleteExport(request)

    async def Session(
        self, request_iterator: AsyncIterator[vlm_pb2.SessionRequest], context: Any
    ) -> AsyncIterator[vlm_pb2.SessionResponse]:
        """Every request and every event, in order."""
        call = self._stub.Session(self._requests(request_iterator))
        try:
            with domain_errors():
                async for event in call:
                    if event.WhichOneof("event") in _ANSWERS:
                        await self._flight.read()
                        self._note_motion(f"the answer to request {event.request_seq}")
                    yield event
        finally:
            call.cancel()

    async def _requests(self, requests: AsyncIterator[vlm_pb2.SessionRequest]) -> AsyncIterator[vlm_pb2.SessionRequest]:
        async for request in requests:
            kind = request.WhichOneof("request")
            if kind in ("append_frame", "append_chunk"):
                self.seen.frames += 1
            elif kind in _QUESTIONS:
                arrived_ns = time.time_ns()
                await self._flight.read()
                what = f"request {request.request_seq}, {kind}"
                self.seen.asks += 1
                # Bridge and witness are on one machine: a hold that came while the log was read came too late.
                if not self._flight.thinking_id or self._flight.thinking_since_ns > arrived_ns:
                    self.seen.unheld.append(what)
                self._note_motion(what)
            yield request

    def _note_motion(self, what: str) -> None:
        if self._flight.moving:
            self.seen.moved.append(what)
