"""An engine that happens to be behind the wire; its errors are the same classes as those of a local one.

A session of it is a call of its own: `remote_session`.
"""

import asyncio
from typing import Self

import grpc

from stillwing.vlm.v1 import vlm_pb2, vlm_pb2_grpc
from stillwing_common.errors import Unavailable
from stillwing_rpc.channel import connect
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.errors import domain_errors, sendable_values
from stillwing_rpc.sendable import checked
from stillwing_vlm.convert.info import export_from_wire, model_from_wire, session_from_wire
from stillwing_vlm.convert.session import SERVICE
from stillwing_vlm.core.requests import SessionConfig
from stillwing_vlm.core.results import ExportInfo, ModelInfo, SessionInfo
from stillwing_vlm.remote_session import RemoteSession

_OPEN_DEADLINE_S = 30.0


class RemoteEngine:
    """An `Engine` over a channel, which it closes with itself."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub: vlm_pb2_grpc.VlmServiceAsyncStub = checked(vlm_pb2_grpc.VlmServiceStub(channel))
        self._sessions: set[RemoteSession] = set()

    @classmethod
    async def connect(cls, target: str, settings: ChannelSettings | None = None, *, wait_s: float = 10.0) -> Self:
        """Reach the engine at "host:port". Raises Unavailable, WrongService."""
        return cls(await connect(target, SERVICE, settings, wait_s=wait_s))

    async def model_info(self) -> ModelInfo:
        """See `Engine`."""
        with domain_errors():
            return model_from_wire(await self._stub.GetModel(vlm_pb2.GetModelRequest()))

    async def open_session(self, config: SessionConfig) -> RemoteSession:
        """See `Engine`. Raises Unavailable where the engine does not answer in time."""
        session = RemoteSession(self._stub, config, self._sessions.discard)
        try:
            await asyncio.wait_for(session.opened(), _OPEN_DEADLINE_S)
        except TimeoutError as error:
            session.abandon()
            raise Unavailable(f"no session was opened within {_OPEN_DEADLINE_S:g} s") from error
        except BaseException:
            session.abandon()
            raise
        self._sessions.add(session)
        return session

    async def list_sessions(self) -> list[SessionInfo]:
        """See `Engine`."""
        with domain_errors():
            answer = await self._stub.ListSessions(vlm_pb2.ListSessionsRequest())
        return [session_from_wire(info) for info in answer.sessions]

    async def get_session(self, session_id: str) -> SessionInfo:
        """See `Engine`."""
        with sendable_values():
            request = vlm_pb2.GetSessionRequest(session_id=session_id)
        with domain_errors():
            answer = await self._stub.GetSession(request)
        return session_from_wire(answer.session)

    async def delete_snapshot(self, snapshot: str, session_id: str = "") -> None:
        """See `Engine`."""
        with sendable_values():
            request = vlm_pb2.DeleteSnapshotRequest(snapshot_id=snapshot, session_id=session_id)
        with domain_errors():
            await self._stub.DeleteSnapshot(request)

    async def list_exports(self) -> list[ExportInfo]:
        """See `Engine`."""
        with domain_errors():
            answer = await self._stub.ListExports(vlm_pb2.ListExportsRequest())
        return [export_from_wire(info) for info in answer.exports]

    async def delete_export(self, name: str) -> None:
        """See `Engine`."""
        with sendable_values():
            request = vlm_pb2.DeleteExportRequest(name=name)
        with domain_errors():
            await self._stub.DeleteExport(request)

    async def close(self) -> None:
        """Close the sessions opened here, then the channel; the engine itself goes on."""
        for session in list(self._sessions):
            await session.close()
        await self._channel.close()
