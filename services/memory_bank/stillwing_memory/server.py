"""The memory bank behind the wire: convert in, call the bank, convert out. Errors are mapped by the interceptor."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from stillwing.memory.v1 import memory_pb2, memory_pb2_grpc
from stillwing_common.errors import InvalidInput
from stillwing_memory.convert.changes import bank_to_wire, change_to_wire
from stillwing_memory.convert.entities import entity_to_wire
from stillwing_memory.convert.instructions import (
    begun_to_wire,
    chunk_from_wire,
    filed_to_wire,
    instruction_from_wire,
    record_to_wire,
)
from stillwing_memory.convert.keyframes import (
    keyframe_from_wire,
    keyframe_to_wire,
    match_to_wire,
    put_result_to_wire,
    query_from_wire,
)
from stillwing_memory.core.protocol import MemoryBank
from stillwing_rpc.server import Registration

SERVICE = "stillwing.memory.v1.MemoryService"


class MemoryServicer(memory_pb2_grpc.MemoryServiceServicer):
    """Any `MemoryBank`, served."""

    def __init__(self, bank: MemoryBank) -> None:
        self._bank = bank

    async def GetBank(self, request: memory_pb2.GetBankRequest, context: Any) -> memory_pb2.GetBankResponse:
        """Which store, and how much it holds."""
        return bank_to_wire(await self._bank.get_bank())

    async def PutKeyframe(self, request: memory_pb2.PutKeyframeRequest, context: Any) -> memory_pb2.PutKeyframeResponse:
        """Store one."""
        if not request.HasField("keyframe"):
            raise InvalidInput("no keyframe is given", field="keyframe")
        return put_result_to_wire(await self._bank.put_keyframe(keyframe_from_wire(request.keyframe)))

    async def GetKeyframe(self, request: memory_pb2.GetKeyframeRequest, context: Any) -> memory_pb2.GetKeyframeResponse:
        """Read one."""
        keyframe = await self._bank.get_keyframe(
            request.frame_id, clock_id=request.clock_id, include_image=request.include_image
        )
        return memory_pb2.GetKeyframeResponse(keyframe=keyframe_to_wire(keyframe))

    async def ListKeyframes(
        self, request: memory_pb2.ListKeyframesRequest, context: Any
    ) -> memory_pb2.ListKeyframesResponse:
        """A page of keyframes."""
        page = await self._bank.list_keyframes(
            page_size=request.page_size, page_token=request.page_token, mission_id=request.mission_id
        )
        return memory_pb2.ListKeyframesResponse(
            keyframes=[keyframe_to_wire(keyframe) for keyframe in page.keyframes],
            next_page_token=page.next_page_token,
        )

    async def SearchKeyframes(
        self, request: memory_pb2.SearchKeyframesRequest, context: Any
    ) -> memory_pb2.SearchKeyframesResponse:
        """The best matches."""
        matches = await self._bank.search_keyframes(
            query_from_wire(request),
            limit=request.page_size,
            mission_id=request.mission_id,
            include_image=request.include_image,
        )
        return memory_pb2.SearchKeyframesResponse(matches=[match_to_wire(match) for match in matches])

    async def ListEntities(
        self, request: memory_pb2.ListEntitiesRequest, context: Any
    ) -> memory_pb2.ListEntitiesResponse:
        """A page of things."""
        page = await self._bank.list_entities(
            page_size=request.page_size, page_token=request.page_token, name=request.name
        )
        return memory_pb2.ListEntitiesResponse(
            entities=[entity_to_wire(entity) for entity in page.entities],
            next_page_token=page.next_page_token,
        )

    async def MergeEntities(
        self, request: memory_pb2.MergeEntitiesRequest, context: Any
    ) -> memory_pb2.MergeEntitiesResponse:
        """One thing of two."""
        entity = await self._bank.merge_entities(request.into_entity_id, request.from_entity_id)
        return memory_pb2.MergeEntitiesResponse(entity=entity_to_wire(entity))

    async def BeginInstruction(
        self, request: memory_pb2.BeginInstructionRequest, context: Any
    ) -> memory_pb2.BeginInstructionResponse:
        """Things in, memory out."""
        begun = await self._bank.begin_instruction(instruction_from_wire(request), include_image=request.include_image)
        return begun_to_wire(begun)

    async def FileChunk(self, request: memory_pb2.FileChunkRequest, context: Any) -> memory_pb2.FileChunkResponse:
        """The best frame of a chunk."""
        return filed_to_wire(await self._bank.file_chunk(chunk_from_wire(request)))

    async def ListInstructions(
        self, request: memory_pb2.ListInstructionsRequest, context: Any
    ) -> memory_pb2.ListInstructionsResponse:
        """What a mission was told."""
        records = await self._bank.list_instructions(request.mission_id)
        return memory_pb2.ListInstructionsResponse(instructions=[record_to_wire(one) for one in records])

    async def WatchChanges(
        self, request: memory_pb2.WatchChangesRequest, context: Any
    ) -> AsyncIterator[memory_pb2.WatchChangesResponse]:
        """Every change, in order."""
        async with aclosing(self._bank.watch_changes(request.after_revision)) as changes:
            async for change in changes:
                yield change_to_wire(change)


def registration(bank: MemoryBank) -> Registration:
    """What `RpcServer` serves."""
    servicer = MemoryServicer(bank)
    return Registration(SERVICE, lambda server: memory_pb2_grpc.add_MemoryServiceServicer_to_server(servicer, server))
