"""A process that stands in for a part of the stack in the supervisor's tests: `stand_in_part.py MODE PORT [FILE]`.

Modes: serve (health says SERVING until told to end), exit (ends with code 3), silent (never answers), stubborn (serves,
ignores SIGTERM, and has a child of its own, whose pid it writes to FILE), once (makes FILE and serves; exits with
code 4 where there is one).
"""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from stillwing_rpc.command import run_service
from stillwing_rpc.server import Registration, RpcServer
from stillwing_rpc.settings import ServerSettings


async def serve(port: int) -> None:
    server = RpcServer([Registration("test.v1.Part", lambda s: None)], ServerSettings(port=port))
    await server.start()
    await server.set_serving()
    print("up and serving", flush=True)
    try:
        await server.run()
    finally:
        print("told to end", flush=True)


async def stay(port: int) -> None:
    server = RpcServer([Registration("test.v1.Part", lambda s: None)], ServerSettings(port=port))
    await server.start()
    await server.set_serving()
    await asyncio.Event().wait()


def main() -> None:
    mode, port = sys.argv[1], int(sys.argv[2])
    if mode == "exit":
        print("about to fail\nbecause of this", flush=True)
        sys.exit(3)
    if mode == "silent":
        signal.pause()
    if mode == "once":
        if Path(sys.argv[3]).exists():
            sys.exit(4)
        Path(sys.argv[3]).touch()
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        Path(sys.argv[3]).write_text(str(child.pid))
        asyncio.run(stay(port))
    run_service("stand-in", serve(port))


if __name__ == "__main__":
    main()
