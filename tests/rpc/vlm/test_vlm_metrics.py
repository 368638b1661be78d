"""python -m pytest tests/rpc/vlm/test_vlm_metrics.py -v

A real engine at work, and its metrics read from a real endpoint.
"""

import asyncio
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from vlm_frames import SMALL, frame

from stillwing_common.errors import FrameSuperseded, InsecureBind, OutOfCredits, PortInUse, StillwingError
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, FramePolicy, SessionConfig, WatchRequest
from stillwing_vlm.core.serving.engine import AsyncEngine
from stillwing_vlm.metrics import HeldCollector, MetricsServer, PrometheusObserver


def parsed(text: str) -> dict[str, float]:
    """Samples by name, labels in braces where there are any."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()) if name != "le")
            if not sample.name.endswith("_bucket"):
                found[sample.name.removeprefix("stillwing_vlm_") + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


async def scraped(port: int) -> dict[str, float]:
    def scrape() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            return str(answer.read().decode())

    return parsed(await asyncio.to_thread(scrape))


@pytest.fixture
async def watched(loaded: LoadedEngine) -> AsyncIterator[tuple[AsyncEngine, int]]:
    observer = PrometheusObserver()
    engine = AsyncEngine(loaded, observer)
    observer.registry.register(HeldCollector(engine.load, asyncio.get_running_loop()))
    server = MetricsServer(observer.registry, 0)
    yield engine, server.port
    await asyncio.to_thread(server.stop)
    await engine.close()


async def test_what_the_engine_does_is_counted(watched: tuple[AsyncEngine, int]) -> None:
    engine, port = watched
    session = await engine.open_session(SMALL)
    events = session.evictions()
    for index in range(30):
        await session.append(frame(index))
    evicted = len((await anext(events)).frame_ids)
    done = await session.ask(AskRequest("What is it?", max_tokens=8)).done()
    watch = session.set_watch(WatchRequest("Is it?"))
    await anext(aiter(watch))
    with pytest.raises(OutOfCredits):
        await session.append(*(frame(index) for index in range(9)))
    found = await scraped(port)
    info = await engine.get_session(session.session_id)
    assert found["append_seconds_count"] == found["append_device_seconds_count"] == found["frames_appended_total"] == 30
    assert 0 < found["append_device_seconds_sum"] <= found["append_seconds_sum"]
    assert found["frames_evicted_total"] == info.evicted_frames >= evicted
    assert found["first_token_seconds_count"] == 1
    assert found["token_seconds_count"] == done.answer_tokens - 1
    assert found[f"answers_total{{reason={done.reason.value}}}"] == 1
    assert found["step_seconds_count"] == found["step_branches_count"] >= done.answer_tokens
    assert found["watch_readings_total{changed=true}"] == 1
    assert found["refusals_total{reason=OUT_OF_CREDITS}"] == 1
    assert (found["sessions"], found["watches"], found["live_asks"]) == (1, 1, 0)
    assert found["context_tokens"] == info.context_tokens
    assert found["cache_bytes"] > 0 < found["free_bytes"]
    await session.close()
    assert (await scraped(port))["sessions"] == 0


async def test_whatever_fails_is_counted_once_and_holds_nothing_any_more(watched: tuple[AsyncEngine, int]) -> None:
    engine, port = watched
    session = await engine.open_session(SMALL)
    await session.append(frame(0))
    failing: dict[str, Callable[[], Awaitable[object]]] = {
        "OUT_OF_CREDITS": lambda: session.append(*(frame(index) for index in range(9))),
        "INVALID_INPUT": lambda: session.recall([frame(index) for index in range(9)]),
        "FRAME_NOT_KEPT": lambda: session.recall_kept(["v/c/none"]),
        "UNKNOWN_SNAPSHOT": lambda: session.restore_snapshot("snp_none"),
        "EXPORTS_OFF": lambda: session.export("flight"),
        "BAD_GRAMMAR": lambda: session.ask(AskRequest("What?", json_schema="{")).done(),
        "TEXT_TOO_LONG": lambda: session.ask_choice(ChoiceRequest("?" * 30_000, ("left", "right"))),
    }
    for reason, place in failing.items():
        with pytest.raises(StillwingError) as error:
            await place()
        assert error.value.reason == reason
    found = await scraped(port)
    assert {name: found[f"refusals_total{{reason={name}}}"] for name in failing} == dict.fromkeys(failing, 1)
    assert (await session.append(frame(1))).frame_ids == ("v/c/1",)
    load = await engine.load()
    assert (load.live_asks, load.waiting_requests, load.waiting_frames, load.waiting_frame_bytes) == (0, 0, 0, 0)


async def test_what_waits_and_what_is_dropped_is_counted(watched: tuple[AsyncEngine, int]) -> None:
    engine, port = watched
    session = await engine.open_session(
        SessionConfig("You fly.", 160, frame_policy=FramePolicy.NEWEST_WINS, frame_period_s=0.05)
    )
    seen, dropped = False, 0
    for _ in range(100):
        placed = [asyncio.ensure_future(session.append(frame(index))) for index in range(6)]
        # A fast engine may have taken all that was not dropped before it is asked.
        load = await engine.load()
        seen = seen or load.waiting_frames > 0 < load.waiting_frame_bytes
        results = await asyncio.gather(*placed, return_exceptions=True)
        dropped += sum(isinstance(result, FrameSuperseded) for result in results)
        if seen and dropped:
            break
    assert seen
    found = await scraped(port)
    assert found["frames_dropped_total"] == dropped > 0
    assert found["waiting_frames"] == found["waiting_frame_bytes"] == found["waiting_requests"] == 0


async def test_it_is_served_on_loopback_alone_and_on_a_free_port(watched: tuple[AsyncEngine, int]) -> None:
    _, port = watched
    registry = PrometheusObserver().registry
    with pytest.raises(PortInUse):
        MetricsServer(registry, port)
    with pytest.raises(InsecureBind):
        MetricsServer(registry, 0, "0.0.0.0")


async def test_the_service_serves_metrics_where_it_is_told_to(tiny_dir: Path) -> None:
    command = ["-m", "stillwing_vlm", "--port", "0", "--model", str(tiny_dir), "--device", "cpu", "--metrics-port", "0"]
    engine = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        assert engine.stdout is not None
        port = None
        async with asyncio.timeout(120):
            async for line in engine.stdout:
                if b"metrics.serving" in line:
                    port = int(line.decode().split("127.0.0.1:")[1].split("/")[0])
                if b"rpc.serving" in line:
                    break
        assert port is not None
        found = await scraped(port)
        # The warm-up is work like any other.
        assert found["frames_appended_total"] >= 2
        assert found["sessions"] == 0
        engine.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await engine.stdout.read()
            assert await engine.wait() == 0
    finally:
        if engine.returncode is None:
            engine.kill()
            await engine.wait()
