"""`python tests/support/scripted_engine.py PORT ANSWER`: a real engine server whose model says one thing for ever."""

import sys

from fake_engine import FakeEngine
from fake_world import World

from stillwing_rpc.command import run_service
from stillwing_rpc.logs import configure_logs
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.server import registration


async def serve(port: int, answer: str) -> None:
    engine = FakeEngine(World(thinking=True), think_s=0.3)
    engine.past_end = answer
    server = RpcServer([registration(engine)], ServerSettings(port=port))  # type: ignore[arg-type]
    await server.start()
    await server.set_serving()
    await server.run()


if __name__ == "__main__":
    configure_logs("info", "console")
    run_service("scripted engine", serve(int(sys.argv[1]), sys.argv[2]))
