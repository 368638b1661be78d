"""The memory bank behind the wire: convert in, call the bank, convert out. Errors are mapped by the interceptor."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc

from stillwing.memory.v1 import memory_pb2, memory_pb2_grpc
from stillwing_common.errors import InvalidInput
from stillwing_memory import convert
from stillwing_memory.core.protocol import MemoryBank
from stillwing_rpc.server import Registration

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]  # generic in the stubs only
else:
    Context = grpc.aio.ServicerContext

SERVICE = "stillwing.memory.v1.MemoryService"


class MemoryServicer(memory_pb2_grpc.MemoryServiceServicer):
    """Any `MemoryBank`, served."""

    def __init__(self, bank: MemoryBank) -> None:
        self._bank = bank

    async def GetBank(self, request: memory_pb2.GetBankRequest, context: Context) -> memory_pb2.GetBankResponse:
        """Which store, and how much it holds."""
        return convert.bank_to_wire(await self._bank.get_bank())

    async def PutKeyframe(
        self, request: memory_pb2.PutKeyframeRequest, context: Context
    ) -> memory_pb2.PutKeyframeResponse:
        """Store one."""
        if not request.HasField("keyframe"):
            raise InvalidInput("no keyframe is given", field="keyframe")
        return convert.put_result_to_wire(await self._bank.put_keyframe(convert.keyframe_from_wire(request.keyframe)))

    async def GetKeyframe(
        self, request: memory_pb2.GetKeyframeRequest, context: Context
    ) -> memory_pb2.GetKeyframeResponse:
        """Read one."""
        keyframe = await self._bank.get_keyframe(
            request.frame_id, clock_id=request.clock_id, include_image=request.include_image
        )
        return memory_pb2.GetKeyframeResponse(keyframe=convert.keyframe_to_wire(keyframe))

    async def ListKeyframes(
        self, request: memory_pb2.ListKeyframesRequest, context: Context
    ) -> memory_pb2.ListKeyframesResponse:
        """A page of keyframes."""
        page = await self._bank.list_keyframes(
            page_size=request.page_size, page_token=request.page_token, mission_id=request.mission_id
        )
        return memory_pb2.ListKeyframesResponse(
            keyframes=[convert.keyframe_to_wire(keyframe) for keyframe in page.keyframes],
            next_page_token=page.next_page_token,
        )

    async def SearchKeyframes(
        self, request: memory_pb2.SearchKeyframesRequest, context: Context
    ) -> memory_pb2.SearchKeyframesResponse:
        """The best matches."""
        matches = await self._bank.search_keyframes(
            convert.query_from_wire(request),
            limit=request.page_size,
            mission_id=request.mission_id,
            include_image=request.include_image,
        )
        return memory_pb2.SearchKeyframesResponse(matches=[convert.match_to_wire(match) for match in matches])

    async def ListEntities(
        self, request: memory_pb2.ListEntitiesRequest, context: Context
    ) -> memory_pb2.ListEntitiesResponse:
        """A page of things."""
        page = await self._bank.list_entities(
            page_size=request.page_size, page_token=request.page_token, name=request.name
        )
        return memory_pb2.ListEntitiesResponse(
            entities=[convert.entity_to_wire(entity) for entity in page.entities],
            next_page_token=page.next_page_token,
        )

    async def MergeEntities(
        self, request: memory_pb2.MergeEntitiesRequest, context: Context
    ) -> memory_pb2.MergeEntitiesResponse:
        """One thing of two."""
        entity = await self._bank.merge_entities(request.into_entity_id, request.from_entity_id)
        return memory_pb2.MergeEntitiesResponse(entity=convert.entity_to_wire(entity))

    async def BeginInstruction(
        self, request: memory_pb2.BeginInstructionRequest, context: Context
    ) -> memory_pb2.BeginInstructionResponse:
        """Things in, memory out."""
        begun = await self._bank.begin_instruction(
            convert.instruction_from_wire(request), include_image=request.include_image
        )
        return convert.begun_to_wire(begun)

    async def FileChunk(self, request: memory_pb2.FileChunkRequest, context: Context) -> memory_pb2.FileChunkResponse:
        """The best frame of a chunk."""
        return convert.filed_to_wire(await self._bank.file_chunk(convert.chunk_from_wire(request)))

    async def ListInstructions(
        self, request: memory_pb2.ListInstructionsRequest, context: Context
    ) -> memory_pb2.ListInstructionsResponse:
        """What a mission was told."""
        records = await self._bank.list_instructions(request.mission_id)
        return memory_pb2.ListInstructionsResponse(instructions=[convert.record_to_wire(one) for one in records])

    async def WatchChanges(
        self, request: memory_pb2.WatchChangesRequest, context: Context
    ) -> AsyncIterator[memory_pb2.WatchChangesResponse]:
        """Every change, in order."""
        async with aclosing(self._bank.watch_changes(request.after_revision)) as changes:
            async for change in changes:
                yield convert.change_to_wire(change)


def registration(bank: MemoryBank) -> Registration:
    """What `RpcServer` serves."""
    servicer = MemoryServicer(bank)
    return Registration(SERVICE, lambda server: memory_pb2_grpc.add_MemoryServiceServicer_to_server(servicer, server))
