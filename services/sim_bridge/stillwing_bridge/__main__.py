"""`stillwing-bridge`: serve the vehicles of one simulator. The composition root; no logic here."""

from pathlib import Path
from typing import Annotated

import structlog
import typer
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_exponential

from stillwing_common.errors import LinkLost
from stillwing_common.extras import command_needs
from stillwing_rpc.command import read_settings, run_service
from stillwing_rpc.logs import configure_logs
from stillwing_rpc.server import RpcServer

with command_needs("bridge", "stillwing-bridge"):
    from stillwing_bridge.core.bridge import LocalBridge
    from stillwing_bridge.core.types import PROMISED_STILL_S
    from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
    from stillwing_bridge.core.vehicles.airsim.simulation import AirSimSimulation
    from stillwing_bridge.core.vehicles.airsim.vehicle import AirSimVehicle
    from stillwing_bridge.recorder import FlightLogRecorder
    from stillwing_bridge.server import DEADLINE_REQUIRED, registrations
    from stillwing_bridge.settings import SimBridgeSettings

app = typer.Typer(add_completion=False, help="Stillwing's bridge: commands a simulated drone, and holds it still.")
_log = structlog.get_logger("stillwing.bridge")


@app.command()
def serve(
    simulator: Annotated[str | None, typer.Option(help="The simulator's AirSim port, host:port.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.")] = None,
    cameras: Annotated[str | None, typer.Option(help="Cameras by name, comma-separated.")] = None,
    record: Annotated[Path | None, typer.Option(help="Folder that gets the flight log.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve until interrupted. What no flag says is read from STILLWING_BRIDGE_… Nothing takes off by itself."""
    settings = read_settings(
        SimBridgeSettings, airsim_address=simulator, host=host, port=port, cameras=cameras, record=record,
        log_level=log_level,
    )  # fmt: skip
    configure_logs(settings.log_level, settings.log_format)
    run_service("stillwing-bridge", _serve(settings))


async def _serve(settings: SimBridgeSettings) -> None:
    airsim, enforced, stops = settings.airsim(), settings.bridge(), settings.stops()
    vehicle = await _discover(airsim, settings.wait_s)
    still_s = airsim.still_after_s(settings.max_speed_m_s)
    say = _log.warning if still_s > PROMISED_STILL_S else _log.info
    say("bridge.still_after_death", still_s=round(still_s, 2), promised_s=PROMISED_STILL_S)
    bridge = LocalBridge([vehicle], enforced, stops=stops)
    simulation = AirSimSimulation(airsim, bridge) if settings.simulated else None
    recorders = [
        FlightLogRecorder(driver.log, settings.record, driver.vehicle.spec.vehicle_id)
        for driver in bridge.drivers
        if settings.record is not None
    ]
    server = RpcServer(
        registrations(bridge, simulation), settings, on_drain=bridge.close, deadline_required=DEADLINE_REQUIRED
    )
    try:
        await bridge.start()
        await server.start()
        await server.set_serving()
        await bridge.run()
    finally:
        await server.drain()
        await bridge.close()
        if simulation is not None:
            await simulation.close()
        for recorder in recorders:
            recorder.close()


async def _discover(airsim: AirSimSettings, wait_s: float) -> AirSimVehicle:
    """The vehicle, once the simulator answers; says what it waits for."""

    def say(state: RetryCallState) -> None:
        if state.attempt_number in (1, 10) or state.attempt_number % 30 == 0:
            reason = str(state.outcome.exception()) if state.outcome is not None else ""
            _log.info("bridge.waiting_for_simulator", address=f"{airsim.host}:{airsim.port}", reason=reason)

    attempts = AsyncRetrying(
        retry=retry_if_exception_type(LinkLost),
        wait=wait_exponential(0.2, max=1.0),
        stop=stop_after_delay(wait_s),
        before_sleep=say,
        reraise=True,
    )
    async for attempt in attempts:
        with attempt:
            vehicle = await AirSimVehicle.discover(airsim)
    _log.info(
        "bridge.connected",
        vehicle=vehicle.spec.vehicle_id,
        cameras=[f"{c.camera_id} {c.width_px}x{c.height_px}" for c in vehicle.spec.cameras],
    )
    return vehicle


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
