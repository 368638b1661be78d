"""`python tests/support/vanishing_client.py PORT`: asks without end and says so, to be killed meanwhile."""

import asyncio
import sys

from vlm_frames import SMALL, frame

from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.requests import AskRequest, Sampling


async def ask_for_ever(port: int) -> None:
    engine = await RemoteEngine.connect(f"127.0.0.1:{port}")
    session = await engine.open_session(SMALL)
    await session.append(frame(0))
    while True:
        answer = session.ask(AskRequest("Tell me all.", max_tokens=1000, sampling=Sampling(3.0)))
        async for _ in answer:
            print("answering", flush=True)


if __name__ == "__main__":
    asyncio.run(ask_for_ever(int(sys.argv[1])))
