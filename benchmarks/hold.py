"""How long a hold takes until it is in force, over gRPC: `python benchmarks/hold.py [--count 20] [--json]`.

Starts airfield and a bridge as processes, flies, and prints medians with the hardware they were measured on, beside
a null call (`GetLease`), which says what the wire alone costs. All the while another client reads frames at 10 Hz.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import Hold, SetVelocity, Step, Takeoff
from stillwing_bridge.core.types import Lease
from stillwing_common.conditions import hardware
from stillwing_lab.field import running_field

IMAGES_HZ = 10.0


async def timed_ms(call: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds until `call` has been answered."""
    began_s = time.perf_counter()
    await call()
    return (time.perf_counter() - began_s) * 1e3


async def stream(address: str, rate_hz: float) -> None:
    """Read frames until cancelled."""
    reader = await RemoteBridge.connect(address, wait_s=60)
    try:
        async for _ in reader.watch_frames("drone", max_rate_hz=rate_hz):
            pass
    finally:
        await reader.close()


async def measure(address: str, count: int) -> dict[str, float]:
    """Medians in milliseconds by name, while images stream."""
    streaming = asyncio.create_task(stream(address, IMAGES_HZ))
    try:
        return await measured(address, count)
    finally:
        streaming.cancel()
        await asyncio.wait({streaming})


async def measured(address: str, count: int) -> dict[str, float]:
    """Medians in milliseconds by name."""
    bridge = await RemoteBridge.connect(address, wait_s=60)
    lease: Lease = (await bridge.acquire_lease("drone", "benchmark")).lease
    await bridge.wait_command(await bridge.command(lease, Takeoff(), ttl_s=30), 40)
    null, flying, hovering, accepted, metre = [], [], [], [], []
    for turn in range(count):
        frame_id = (await bridge.capture_frame("drone")).frame_id
        side = 0.5 if turn % 2 else -0.5
        await bridge.command(lease, SetVelocity(right_m_s=side), ttl_s=3, based_on_frame_id=frame_id)
        await asyncio.sleep(0.4)
        flying.append(await timed_ms(lambda: bridge.command(lease, Hold())))
        await asyncio.sleep(0.4)
        hovering.append(await timed_ms(lambda: bridge.command(lease, Hold())))
        null.append(await timed_ms(lambda: bridge.get_lease("drone")))
    for turn in range(max(2, count // 4)):
        frame_id = (await bridge.capture_frame("drone")).frame_id
        began_s = time.perf_counter()
        command_id = await bridge.command(
            lease, Step(right_m=1 if turn % 2 else -1), ttl_s=10, based_on_frame_id=frame_id
        )
        accepted.append((time.perf_counter() - began_s) * 1e3)
        await bridge.wait_command(command_id, 15)
        metre.append((time.perf_counter() - began_s) * 1e3)
    await bridge.return_lease(lease)
    await bridge.close()
    figures = {"null_call": null, "hold_flying": flying, "hold_hovering": hovering, "step_accepted": accepted}
    return {f"{name}_ms": round(statistics.median(values), 2) for name, values in (figures | {"metre": metre}).items()}


def main() -> None:
    """Start, measure, print."""
    parser = argparse.ArgumentParser(description="Time until a hold is in force.")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with running_field() as field:
        figures = asyncio.run(measure(field.bridge, arguments.count))
    where = hardware()
    if arguments.json:
        print(json.dumps({"hardware": where, **figures}))
        return
    print(f"{where}; medians of {arguments.count} while images stream at {IMAGES_HZ:g} Hz")
    for name, value in figures.items():
        print(f"  {name:20s} {value:8.2f}   {value / figures['null_call_ms']:6.1f} null calls")


if __name__ == "__main__":
    main()
