"""The one way to reach a service: options, retries, interceptors, and a check that the right service is there.

It knows nothing of what is called over the channel.
"""

import asyncio
import json
import time
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc

from stillwing_common.errors import InvalidInput, Unavailable, WrongService
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.client_interceptors import client_interceptors
from stillwing_rpc.errors import from_rpc_error, sendable_values
from stillwing_rpc.security import channel_credentials
from stillwing_rpc.sendable import check_wait

_KEEPALIVE_TIMEOUT_S = 10.0
_CHECK_DEADLINE_S = 2.0
_CHECK_INTERVAL_S = 0.1
_READS = ("Get", "List", "Search", "Wait")
_WRONG_SERVICE = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED)


async def connect(
    target: str, service: str, settings: ChannelSettings | None = None, *, wait_s: float = 10.0
) -> grpc.aio.Channel:
    """A channel to `target` ("host:port") once its health says that `service` (full name) is SERVING.

    Waits up to `wait_s`. Raises `Unavailable` naming the target and its last answer, `WrongService` at once where the
    server does not know the service, `InsecureChannel` where a token would travel in plaintext, `InvalidInput` for what
    is no address.
    """
    settings = settings or ChannelSettings()
    check_wait("wait_s", wait_s)
    channel = open_channel(target, service, settings)
    try:
        await _wait_serving(channel, target, service, wait_s)
    except BaseException:
        await channel.close()
        raise
    return channel


def open_channel(target: str, service: str, settings: ChannelSettings | None = None) -> grpc.aio.Channel:
    """The same channel without asking whether anybody is there. Raises `InvalidInput`, `InsecureChannel`."""
    settings = settings or ChannelSettings()
    if not target.isprintable():
        raise InvalidInput(f"{target!r} is no address; want host:port", field="target")
    credentials = channel_credentials(target, settings)
    options = channel_options(settings, service_config(service, settings))
    interceptors = client_interceptors(token=settings.token, default_deadline_s=settings.default_deadline_s)
    with sendable_values():
        if credentials is None:
            return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
        return grpc.aio.secure_channel(target, credentials, options=options, interceptors=interceptors)


async def check_health(channel: grpc.aio.Channel, service: str, *, timeout_s: float = _CHECK_DEADLINE_S) -> str:
    """What health answers for `service`: "SERVING", "NOT_SERVING", …; raises `grpc.aio.AioRpcError`."""
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def channel_options(settings: ChannelSettings, config: dict[str, Any]) -> list[tuple[str, Any]]:
    """Channel arguments of a client."""
    return [
        ("grpc.service_config", json.dumps(config)),
        # Each channel its own connection, so that closing one never touches another.
        ("grpc.use_local_subchannel_pool", 1),
        # A proxy of the environment is for the web, not for the machine next door.
        ("grpc.enable_http_proxy", 0),
        ("grpc.http2.bdp_probe", int(settings.bdp_probe)),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.keepalive_time_ms", round(settings.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(_KEEPALIVE_TIMEOUT_S * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]


def service_config(service: str, settings: ChannelSettings) -> dict[str, Any]:
    """Retries, for UNAVAILABLE alone: reads by name (Get…, List…, Search…, Wait…) and writes with a `request_id`.

    Covers `service`, the services of its proto file and of the files that one imports, and `settings.also_services`.
    Streams are resumed by their clients, by sequence.
    """
    methods = [
        {"service": descriptor.full_name, "method": method.name}
        for descriptor in _services(service, settings)
        for method in descriptor.methods
        if not (method.client_streaming or method.server_streaming)
        and (method.name.startswith(_READS) or "request_id" in method.input_type.fields_by_name)
    ]
    if not methods or settings.max_attempts < 2:
        return {}
    policy = {
        "maxAttempts": settings.max_attempts,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {"methodConfig": [{"name": methods, "retryPolicy": policy}]}


def _services(service: str, settings: ChannelSettings) -> list[ServiceDescriptor]:
    descriptors: dict[str, ServiceDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        descriptors.update({each.full_name: each for each in file.services_by_name.values()})

    for name in (service, *settings.also_services):
        try:
            file = descriptor_pool.Default().FindServiceByName(name).file
        except KeyError:
            continue  # its generated code is not imported here, so none of its methods is called here
        add(file)
        for imported in file.dependencies:
            add(imported)
    return list(descriptors.values())


async def _wait_serving(channel: grpc.aio.Channel, target: str, service: str, wait_s: float) -> None:
    until_s = time.monotonic() + wait_s
    answer = "nothing"
    while True:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise Unavailable(
                f"{service} at {target} was not serving within {wait_s:g} s; last answer: {answer}",
                target=target,
                service=service,
                answer=answer,
            )
        try:
            answer = await check_health(channel, service, timeout_s=min(left_s, _CHECK_DEADLINE_S))
            if answer == "SERVING":
                return
        except grpc.aio.AioRpcError as error:
            if error.code() in _WRONG_SERVICE:
                raise WrongService(f"{target} does not serve {service}", target=target, service=service) from error
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise from_rpc_error(error) from error
            answer = error.details() or error.code().name
        await asyncio.sleep(min(_CHECK_INTERVAL_S, max(0.0, until_s - time.monotonic())))
