"""python -m pytest tests/rpc/vlm/test_vlm_example.py -v

examples/watch_a_video.py, run as it stands against a real server.
"""

import asyncio
import os
import sys
from pathlib import Path

from vlm_frames import frame

from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.memory.exports import ExportFolder
from stillwing_vlm.core.serving.engine import AsyncEngine
from stillwing_vlm.server import registration

EXAMPLE = Path(__file__).parents[3] / "examples" / "watch_a_video.py"
FRAMES = 25


async def test_a_video_is_watched_gone_back_in_and_gone_on_with(loaded: LoadedEngine, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(FRAMES):
        # Every picture stands for three frames, so that the gate has something to leave out.
        (pictures / f"{index}.png").write_bytes(frame(index // 3).image.data)
    exports = tmp_path / "exports"
    engine = AsyncEngine(loaded, exports=ExportFolder(exports, 2))
    server = RpcServer([registration(engine)], ServerSettings(port=0, drain_grace_s=2.0), on_drain=engine.close)
    port = await server.start()
    await server.set_serving()
    example = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLE),
        str(pictures),
        "Is it there?",
        f"127.0.0.1:{port}",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(120):
            output, errors = await example.communicate()
        assert example.returncode == 0, errors.decode()
        lines = output.decode().splitlines()
        heard = [line for line in lines if ": yes (" in line or ": no (" in line]
        at_end, back, again = (line for line in lines if "having seen" in line)
        assert heard[0].startswith("drone/front_center/2: ")
        assert f"having seen drone/front_center/{FRAMES};" in at_end
        assert back.endswith("having seen drone/front_center/12")
        assert again.endswith(f"having seen drone/front_center/{FRAMES}")
        assert int(at_end.split("cost ")[1].split()[0]) > 0
        assert not list(exports.glob("*.safetensors"))
        assert await engine.list_sessions() == []
    finally:
        if example.returncode is None:
            example.kill()
            await example.wait()
        await server.drain()
