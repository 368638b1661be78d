"""`stillwing-vlm`: load a model and serve sessions over it. The composition root; no logic here."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from stillwing_common.extras import command_needs
from stillwing_rpc.command import read_settings, run_service
from stillwing_rpc.logs import configure_logs
from stillwing_rpc.server import RpcServer

with command_needs("engine", "stillwing-vlm"):
    from stillwing_vlm.core.catalog import (
        AttentionKind,
        Decoding,
        Dtype,
        KvCacheDtype,
        LoadedEngine,
        WeightDtype,
        load_engine,
    )
    from stillwing_vlm.core.proof.paths import prove, unproved
    from stillwing_vlm.core.serving.engine import AsyncEngine
    from stillwing_vlm.core.serving.warmup import warm_up
    from stillwing_vlm.metrics import HeldCollector, MetricsServer, PrometheusObserver
    from stillwing_vlm.server import registration
    from stillwing_vlm.settings import VlmSettings

app = typer.Typer(add_completion=False, help="Stillwing's engine: answers questions about endless video streams.")
_log = structlog.get_logger("stillwing.vlm")


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.")] = None,
    model: Annotated[
        str | None, typer.Option(help='"pilot", or a Hugging Face directory of a Qwen2-VL, Qwen2.5-VL or Qwen3-VL.')
    ] = None,
    random_weights: Annotated[
        Path | None, typer.Option(help="Directory with configuration and tokenizer; its weights are made up.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Type of weights and cache; auto is bfloat16 on CUDA.")] = None,
    attention: Annotated[
        AttentionKind | None,
        typer.Option(help="Who carries out attention; auto: torch's own on CUDA, llvm on a CPU with AVX2."),
    ] = None,
    decoding: Annotated[Decoding | None, typer.Option(help="How decoding steps are carried out.")] = None,
    kv_cache_dtype: Annotated[
        KvCacheDtype | None, typer.Option(help="How keys and values are kept: auto as the weights, or fp8.")
    ] = None,
    weight_dtype: Annotated[
        WeightDtype | None, typer.Option(help="Weights of the language model's linear layers: auto, or int8.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the tensor library.")] = None,
    max_context_tokens: Annotated[int | None, typer.Option(help="Default budget of a session, in tokens.")] = None,
    budget_policy: Annotated[
        str | None, typer.Option(help="safe, or aggressive: less room for answers that outlast their window.")
    ] = None,
    window_frames: Annotated[int | None, typer.Option(help="Frames a session looks back on.")] = None,
    gate_levels: Annotated[
        float | None, typer.Option(help="Leave out picture tokens that differ by no more than this, of 255; 0 is off.")
    ] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Port of the Prometheus endpoint; off without it.")] = None,
    exports_dir: Annotated[Path | None, typer.Option(help="Folder in which sessions may be kept.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve until interrupted. What no flag says is read from STILLWING_VLM_…"""
    settings = read_settings(
        VlmSettings, host=host, port=port, model=model, random_weights=random_weights, device=device, dtype=dtype,
        attention=attention, decoding=decoding, kv_cache_dtype=kv_cache_dtype, weight_dtype=weight_dtype,
        threads=threads,
        max_context_tokens=max_context_tokens, window_frames=window_frames, budget_policy=budget_policy,
        gate_levels=gate_levels, exports_dir=exports_dir, metrics_port=metrics_port, log_level=log_level,
    )  # fmt: skip
    configure_logs(settings.log_level, settings.log_format)
    run_service("stillwing-vlm", serve_engine(settings))


async def serve_engine(settings: VlmSettings) -> None:
    """Bind, load, warm up, serve, drain. Raises what any of that raises."""
    # Bound first: a port that somebody has is told at once, not after minutes of loading.
    observer = PrometheusObserver()
    with _metrics(settings, observer):
        await _serve(settings, observer)


@contextmanager
def _metrics(settings: VlmSettings, observer: PrometheusObserver) -> Iterator[None]:
    if settings.metrics_port is None:
        yield
        return
    server = MetricsServer(
        observer.registry,
        settings.metrics_port,
        settings.metrics_host,
        tls_cert_file=settings.tls_cert_file,
        tls_key_file=settings.tls_key_file,
        tls_client_ca_file=settings.tls_client_ca_file,
    )
    _log.info("metrics.serving", url=f"http://{settings.metrics_host}:{server.port}/metrics")
    try:
        yield
    finally:
        server.stop()


async def _load(settings: VlmSettings) -> LoadedEngine:
    """In a thread that the event loop's end does not wait for: a load takes up to minutes and cannot be stopped."""
    load = partial(
        _proved_and_loaded,
        settings,
        limits=settings.limits(),
        max_context_tokens=settings.max_context_tokens,
        eviction=settings.eviction(),
        gate_levels=settings.gate_levels,
        layout=settings.frame_layout(),
    )
    loader = ThreadPoolExecutor(1, "load")
    try:
        return await asyncio.get_running_loop().run_in_executor(loader, load)
    finally:
        loader.shutdown(wait=False)


def _proved_and_loaded(settings: VlmSettings, **how: Any) -> LoadedEngine:
    """Load with the faster paths that proved themselves, and tell of all that were asked for."""
    source = settings.source()
    source, proofs = prove(source, settings.proof_deadline_s) if settings.proves_paths else (source, unproved(source))
    for proof in proofs:
        tell = _log.info if proof.is_taken else _log.warning
        tell(
            "path.taken" if proof.is_taken else "path.left",
            setting=proof.setting,
            wanted=proof.wanted,
            reason=proof.reason,
        )
    return load_engine(source, path_proofs=proofs, **how)


async def _serve(settings: VlmSettings, observer: PrometheusObserver) -> None:
    server = RpcServer([], settings)
    await server.bind()
    try:
        exports = settings.exports()
        loaded = await _load(settings)
    except BaseException:
        await server.drain()
        raise
    engine = AsyncEngine(loaded, observer, exports)
    held = HeldCollector(engine.load, asyncio.get_running_loop())
    observer.registry.register(held)
    try:
        server.add(registration(engine), on_drain=engine.close)
        await server.start()
        warm_s = await warm_up(engine)
        info = loaded.info()
        _log.info(
            "model.ready",
            engine=info.engine,
            model=info.model,
            device=info.device,
            dtype=info.dtype,
            kv_cache_dtype=info.kv_cache_dtype,
            weight_dtype=info.weight_dtype,
            attention=info.attention,
            attention_reason=info.attention_reason,
            decoding=info.decoding,
            parameters=info.parameters,
            budget_tokens=info.default_max_context_tokens,
            budget_reason=info.budget_reason,
            warm_up_s=round(warm_s, 3),
        )
        await server.set_serving()
        await server.run()
    finally:
        await server.drain()
        observer.registry.unregister(held)
        await engine.close()


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
