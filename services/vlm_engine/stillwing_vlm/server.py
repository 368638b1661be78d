"""The engine over gRPC: convert in, place in the core, convert out.

A session is one call (`session_call`). When the call ends, however it ends, its session is closed.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import structlog

from stillwing.vlm.v1 import vlm_pb2, vlm_pb2_grpc
from stillwing_common.errors import WrongFirstMessage
from stillwing_rpc.server import Registration
from stillwing_vlm.convert.info import export_to_wire, model_to_wire, session_to_wire
from stillwing_vlm.convert.session import SERVICE, config_from_wire
from stillwing_vlm.core.protocol import Engine
from stillwing_vlm.session_call import SessionCall

_log = structlog.get_logger("stillwing.vlm")


def registration(engine: Engine) -> Registration:
    """What serves `engine`."""
    servicer = VlmServicer(engine)
    return Registration(SERVICE, lambda server: vlm_pb2_grpc.add_VlmServiceServicer_to_server(servicer, server))


class VlmServicer(vlm_pb2_grpc.VlmServiceServicer):
    """VlmService over one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def GetModel(self, request: vlm_pb2.GetModelRequest, context: Any) -> vlm_pb2.GetModelResponse:
        """See the proto."""
        return model_to_wire(await self._engine.model_info())

    async def ListSessions(self, request: vlm_pb2.ListSessionsRequest, context: Any) -> vlm_pb2.ListSessionsResponse:
        """See the proto."""
        infos = await self._engine.list_sessions()
        return vlm_pb2.ListSessionsResponse(sessions=[session_to_wire(info) for info in infos])

    async def GetSession(self, request: vlm_pb2.GetSessionRequest, context: Any) -> vlm_pb2.GetSessionResponse:
        """See the proto."""
        info = await self._engine.get_session(request.session_id)
        return vlm_pb2.GetSessionResponse(session=session_to_wire(info))

    async def DeleteSnapshot(
        self, request: vlm_pb2.DeleteSnapshotRequest, context: Any
    ) -> vlm_pb2.DeleteSnapshotResponse:
        """See the proto."""
        await self._engine.delete_snapshot(request.snapshot_id, request.session_id)
        return vlm_pb2.DeleteSnapshotResponse()

    async def ListExports(self, request: vlm_pb2.ListExportsRequest, context: Any) -> vlm_pb2.ListExportsResponse:
        """See the proto."""
        infos = await self._engine.list_exports()
        return vlm_pb2.ListExportsResponse(exports=[export_to_wire(info) for info in infos])

    async def DeleteExport(self, request: vlm_pb2.DeleteExportRequest, context: Any) -> vlm_pb2.DeleteExportResponse:
        """See the proto."""
        await self._engine.delete_export(request.name)
        return vlm_pb2.DeleteExportResponse()

    async def Session(
        self, request_iterator: AsyncIterator[vlm_pb2.SessionRequest], context: Any
    ) -> AsyncGenerator[vlm_pb2.SessionResponse, None]:
        """See the proto."""
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("request") != "open":
            found = "nothing" if first is None else first.WhichOneof("request") or "an unset or unknown request"
            raise WrongFirstMessage(f"it was {found}")
        session = await self._engine.open_session(config_from_wire(first.open, context.peer()))
        log = _log.bind(session_id=session.session_id)
        log.info("session.opened", label=first.open.label, max_context_tokens=session.max_context_tokens)
        call = SessionCall(session, first.request_seq)
        try:
            async for response in call.responses(request_iterator):
                yield response
        finally:
            call.abandon()
            await session.close()
            log.info("session.closed")
