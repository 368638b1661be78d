"""A memory bank that happens to be behind the wire. Errors are the same classes as those of a local one."""

from collections.abc import AsyncGenerator
from typing import Self

import grpc

from stillwing.memory.v1 import memory_pb2, memory_pb2_grpc
from stillwing_memory.convert.changes import bank_from_wire, change_from_wire
from stillwing_memory.convert.entities import entity_from_wire
from stillwing_memory.convert.instructions import (
    begun_from_wire,
    chunk_to_wire,
    filed_from_wire,
    instruction_to_wire,
    record_from_wire,
)
from stillwing_memory.convert.keyframes import (
    keyframe_from_wire,
    keyframe_to_wire,
    match_from_wire,
    put_result_from_wire,
    query_to_wire,
)
from stillwing_memory.core.changes import Change
from stillwing_memory.core.entities import Entity, EntityPage
from stillwing_memory.core.instructions import Chunk, ChunkFiled, Instruction, InstructionBegun, InstructionRecord
from stillwing_memory.core.keyframes import Keyframe, KeyframePage, Match, PutResult, Query
from stillwing_memory.core.protocol import BankInfo
from stillwing_memory.server import SERVICE
from stillwing_rpc.channel import connect
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.errors import domain_errors, sendable_values
from stillwing_rpc.sendable import checked


class RemoteMemoryBank:
    """A `MemoryBank` over a channel, which it closes with itself. Deadlines are those of the channel's settings."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub: memory_pb2_grpc.MemoryServiceAsyncStub = checked(memory_pb2_grpc.MemoryServiceStub(channel))

    @classmethod
    async def connect(cls, target: str, settings: ChannelSettings | None = None, *, wait_s: float = 10.0) -> Self:
        """Reach the bank at "host:port". Raises Unavailable, WrongService."""
        return cls(await connect(target, SERVICE, settings, wait_s=wait_s))

    async def close(self) -> None:
        """Close the channel; streams end."""
        await self._channel.close()

    async def get_bank(self) -> BankInfo:
        """See `MemoryBank`."""
        with domain_errors():
            return bank_from_wire(await self._stub.GetBank(memory_pb2.GetBankRequest()))

    async def put_keyframe(self, keyframe: Keyframe) -> PutResult:
        """See `MemoryBank`."""
        with sendable_values():
            request = memory_pb2.PutKeyframeRequest(keyframe=keyframe_to_wire(keyframe))
        with domain_errors():
            return put_result_from_wire(await self._stub.PutKeyframe(request))

    async def get_keyframe(self, frame_id: str, *, clock_id: str = "", include_image: bool = False) -> Keyframe:
        """See `MemoryBank`."""
        with sendable_values():
            request = memory_pb2.GetKeyframeRequest(frame_id=frame_id, clock_id=clock_id, include_image=include_image)
        with domain_errors():
            return keyframe_from_wire((await self._stub.GetKeyframe(request)).keyframe)

    async def list_keyframes(self, *, page_size: int = 0, page_token: str = "", mission_id: str = "") -> KeyframePage:
        """See `MemoryBank`."""
        with sendable_values():
            request = memory_pb2.ListKeyframesRequest(page_size=page_size, page_token=page_token, mission_id=mission_id)
        with domain_errors():
            page = await self._stub.ListKeyframes(request)
        return KeyframePage(tuple(keyframe_from_wire(one) for one in page.keyframes), page.next_page_token)

    async def search_keyframes(
        self, query: Query, *, limit: int = 0, mission_id: str = "", include_image: bool = False
    ) -> tuple[Match, ...]:
        """See `MemoryBank`."""
        with sendable_values():
            request = query_to_wire(query)
            request.page_size = limit
            request.mission_id = mission_id
            request.include_image = include_image
        with domain_errors():
            answer = await self._stub.SearchKeyframes(request)
        return tuple(match_from_wire(match) for match in answer.matches)

    async def list_entities(self, *, page_size: int = 0, page_token: str = "", name: str = "") -> EntityPage:
        """See `MemoryBank`."""
        with sendable_values():
            request = memory_pb2.ListEntitiesRequest(page_size=page_size, page_token=page_token, name=name)
        with domain_errors():
            page = await self._stub.ListEntities(request)
        return EntityPage(tuple(entity_from_wire(one) for one in page.entities), page.next_page_token)

    async def merge_entities(self, into_entity_id: str, from_entity_id: str) -> Entity:
        """See `MemoryBank`."""
        with sendable_values():
            request = memory_pb2.MergeEntitiesRequest(into_entity_id=into_entity_id, from_entity_id=from_entity_id)
        with domain_errors():
            return entity_from_wire((await self._stub.MergeEntities(request)).entity)

    async def begin_instruction(self, instruction: Instruction, *, include_image: bool = False) -> InstructionBegun:
        """See `MemoryBank`."""
        with sendable_values():
            request = instruction_to_wire(instruction, include_image)
        with domain_errors():
            return begun_from_wire(await self._stub.BeginInstruction(request))

    async def file_chunk(self, chunk: Chunk) -> ChunkFiled:
        """See `MemoryBank`."""
        with sendable_values():
            request = chunk_to_wire(chunk)
        with domain_errors():
            return filed_from_wire(await self._stub.FileChunk(request))

    async def list_instructions(self, mission_id: str) -> tuple[InstructionRecord, ...]:
        """See `MemoryBank`."""
        with sendable_values():
            request = memory_pb2.ListInstructionsRequest(mission_id=mission_id)
        with domain_errors():
            answer = await self._stub.ListInstructions(request)
        return tuple(record_from_wire(one) for one in answer.instructions)

    async def watch_changes(self, after_revision: int = 0) -> AsyncGenerator[Change, None]:
        """See `MemoryBank`. Ends when the bank closes; raises Unavailable where the way to it breaks: resume then."""
        with sendable_values():
            request = memory_pb2.WatchChangesRequest(after_revision=after_revision)
        with domain_errors():
            call = self._stub.WatchChanges(request)
            try:
                async for message in call:
                    change = change_from_wire(message)
                    if change is not None:
                        yield change
            finally:
                call.cancel()
