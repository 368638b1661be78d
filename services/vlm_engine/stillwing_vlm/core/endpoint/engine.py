"""An endpoint as an `Engine`: sessions keep pictures, the endpoint keeps nothing. It knows no transport of ours."""

from stillwing_common.errors import ExportsOff, TooManySessions, Unavailable, UnknownSession, Unsupported
from stillwing_vlm.core.chat_format import ChatFormat
from stillwing_vlm.core.endpoint.checks import check_briefing
from stillwing_vlm.core.endpoint.http import Endpoint, EndpointAddress
from stillwing_vlm.core.endpoint.session import EndpointSession
from stillwing_vlm.core.endpoint.window import PictureBudget
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.requests import SessionConfig
from stillwing_vlm.core.results import ExportInfo, ModelInfo, SessionInfo

_PLANNED_TOKENS = 8000
"""What callers may plan their texts by: pictures and text together fit into any such model's context."""
_TEMPLATE = "chat/completions"


class EndpointEngine:
    """An `Engine` whose questions go to one endpoint. Made and used on one event loop."""

    def __init__(
        self, address: EndpointAddress, budget: PictureBudget | None = None, limits: Limits | None = None
    ) -> None:
        self._endpoint = Endpoint(address)
        self._budget = budget or PictureBudget()
        self._limits = limits or Limits(idle_timeout_s=0, max_watches=0)
        self._sessions: dict[str, EndpointSession] = {}
        self._closed = False

    async def check(self) -> None:
        """Whether the endpoint answers and takes the key. Raises as `Endpoint.check` does."""
        await self._endpoint.check()

    async def model_info(self) -> ModelInfo:
        """What is known of a model behind an endpoint: its name, and that it is spoken to in turns and tools."""
        address, layout = self._endpoint.address, self._budget.layout
        return ModelInfo(
            engine="openai",
            model=address.model,
            device=address.host,
            dtype="",
            parameters=0,
            cache_bytes_per_token=0,
            default_max_context_tokens=_PLANNED_TOKENS,
            budget_reason=f"{layout.frames} pictures a question; tokens are the endpoint's to count",
            can_snapshot=False,
            attention="",
            decoding="",
            limits=self._limits,
            default_layout=layout,
            chat=ChatFormat((_TEMPLATE,), _TEMPLATE, tools="template"),
        )

    async def open_session(self, config: SessionConfig) -> EndpointSession:
        """Open a session. Raises TooManySessions, TextTooLong, InvalidInput, Unsupported, ExportsOff, Unavailable."""
        if self._closed:
            raise Unavailable("the engine is closing")
        if config.from_export or config.periodic_export is not None:
            raise ExportsOff("an endpoint keeps none")
        if config.max_context_tokens or config.pooled_layers or config.gate_levels:
            raise Unsupported("an endpoint's context is told in frames: it has no tokens, layers or gate to set")
        check_briefing(config.briefing, self._limits)
        if len(self._sessions) >= self._limits.max_sessions:
            raise TooManySessions(f"at most {self._limits.max_sessions}", limit=self._limits.max_sessions)
        session = EndpointSession(self._endpoint, config, self._budget, self._limits, self._forget)
        self._sessions[session.session_id] = session
        return session

    async def list_sessions(self) -> list[SessionInfo]:
        """Open sessions, oldest first."""
        return [session.info() for session in self._sessions.values()]

    async def get_session(self, session_id: str) -> SessionInfo:
        """One open session. Raises UnknownSession."""
        session = self._sessions.get(session_id)
        if session is None:
            raise UnknownSession(f"no open session {session_id!r}", session_id=session_id)
        return session.info()

    async def delete_snapshot(self, snapshot: str, session_id: str = "") -> None:
        """There are none, and deleting what is gone succeeds."""

    async def list_exports(self) -> list[ExportInfo]:
        """Refused."""
        raise ExportsOff("an endpoint keeps none")

    async def delete_export(self, name: str) -> None:
        """Refused."""
        raise ExportsOff("an endpoint keeps none")

    async def close(self) -> None:
        """Close every session and the connections."""
        self._closed = True
        for session in list(self._sessions.values()):
            await session.close()
        await self._endpoint.close()

    def _forget(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)
