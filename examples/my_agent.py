"""A whole agent over the public protos alone: asks the model for one of four ways, flies it, looks again.

    python examples/my_agent.py [BRIDGE [ENGINE [PORT]]]     # 127.0.0.1:50061, 127.0.0.1:50063, 50064
    stillwing check-agent 127.0.0.1:50064                    # whether it keeps what an agent promises

To make it yours, write another `decide`. Whatever that does, the vehicle is held while the model is asked.
"""

import asyncio
import sys
import uuid

import grpc
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from stillwing.agent.v1 import agent_pb2 as pb
from stillwing.agent.v1 import agent_pb2_grpc
from stillwing.common.v1 import common_pb2
from stillwing.vehicle.v1 import lease_pb2, lease_pb2_grpc, vehicle_pb2, vehicle_pb2_grpc
from stillwing.vlm.v1 import vlm_pb2, vlm_pb2_grpc

CALL_S = 5
LEFT, RIGHT = {"turn": {"angle_deg": -15}}, {"turn": {"angle_deg": 15}}
WAYS = {"forward": {"step": {"forward_m": 1}}, "left": LEFT, "right": RIGHT}


class Flight:
    """One mission: its state, its log and how it is flown."""

    def __init__(self, start, agent):
        self.mission = pb.Mission(
            mission_id=f"mis_{uuid.uuid4().hex}", goal=start.goal, vehicle_id=start.vehicle_id, instruction=start.goal,
            instruction_number=1, state=pb.Mission.STATE_PENDING,
        )  # fmt: skip
        self.mission.create_time.GetCurrentTime()
        self.limit_s, self.agent, self.number = start.time_limit.ToTimedelta().total_seconds() or 600, agent, 1
        self.events, self.grown, self.frame, self.answer = [], asyncio.Event(), asyncio.Event(), None
        self.log(state_changed=self.mission)
        self.task = asyncio.create_task(self.run())

    def log(self, **event):
        """The next event, for all who watch."""
        self.events.append(pb.WatchMissionResponse(event_seq=len(self.events) + 1, **event))
        self.events[-1].event_time.GetCurrentTime()
        self.grown.set()
        self.grown = asyncio.Event()

    def become(self, state, code=0, message="", answer=""):
        """Another state; the last one is final."""
        self.mission.state, self.mission.answer = state, answer
        if code:
            self.mission.error.CopyFrom(status_pb2.Status(code=code, message=message))
        if state != pb.Mission.STATE_RUNNING:
            self.mission.end_time.GetCurrentTime()
        self.log(state_changed=self.mission)

    async def run(self):
        """To its end, whatever that is."""
        try:
            self.become(pb.Mission.STATE_RUNNING)
            async with asyncio.timeout(self.limit_s):
                await self.with_lease()
            self.become(pb.Mission.STATE_ACHIEVED, answer="The model told me to stop here.")
        except asyncio.CancelledError:
            self.become(pb.Mission.STATE_CANCELLED)
        except TimeoutError:
            self.become(pb.Mission.STATE_FAILED, 4, f"not within {self.limit_s:g} s")
        except Exception as error:
            self.become(pb.Mission.STATE_FAILED, 13, repr(error)[:300])

    async def with_lease(self):
        """Fly with a lease, and return it at every end: the bridge holds the vehicle then."""
        leases, vehicle = self.agent.leases, self.mission.vehicle_id
        request = lease_pb2.AcquireLeaseRequest(vehicle_id=vehicle, holder=self.mission.mission_id)
        self.lease = (await leases.AcquireLease(request, timeout=CALL_S)).state.lease
        self.session = self.agent.engine.Session()
        parts = [asyncio.create_task(work) for work in (self.fly(), self.keep_lease(), self.show_frames(), self.hear())]
        try:
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            ended.pop().result()
            if not parts[0].done():
                raise RuntimeError("bridge or engine ended its stream")
        finally:
            for part in parts:
                part.cancel()
            self.session.cancel()
            await asyncio.shield(leases.ReturnLease(lease_pb2.ReturnLeaseRequest(lease=self.lease), timeout=CALL_S))

    async def fly(self):
        """Take off, then look, decide and move, until the model says stop."""
        watch = vehicle_pb2.WatchTelemetryRequest(vehicle_id=self.mission.vehicle_id)
        if not (await self.agent.vehicles.WatchTelemetry(watch).read()).flying:
            await self.act("takeoff", {"takeoff": {"altitude_m": 2}}, "")
        while True:
            self.frame.clear()
            await self.frame.wait()
            way, frame_id = await self.decide()
            if way == "stop":
                return
            await self.act(way, WAYS[way], frame_id)

    async def decide(self):
        """The way to go, and the newest frame that the answer could see: one question over the video so far."""
        options = [*WAYS, "stop"]
        done = await self.think(f"{self.mission.goal} Which way?", options)
        return options[done.best_index], done.provenance.last_frame_id

    async def think(self, prompt, options):
        """Hold, and only then ask; motion is allowed again once the answer is there."""
        vehicles = self.agent.vehicles
        held = await vehicles.BeginThinking(vehicle_pb2.BeginThinkingRequest(lease=self.lease), timeout=CALL_S)
        self.log(thinking_started=pb.ThinkingStarted(thinking_id=held.thinking_id, prompt=prompt))
        self.answer = asyncio.get_running_loop().create_future()
        await self.say(ask_choice=vlm_pb2.AskChoice(prompt=prompt, options=options))
        done = await self.answer
        await vehicles.EndThinking(vehicle_pb2.EndThinkingRequest(lease=self.lease), timeout=CALL_S)
        answer, frame_id = options[done.best_index], done.provenance.last_frame_id
        finished = pb.ThinkingFinished(thinking_id=held.thinking_id, answer=answer, last_frame_id=frame_id)
        self.log(thinking_finished=finished)
        return done

    async def act(self, name, command, frame_id):
        """One motion to its end; a refusal is one, too."""
        finished = pb.ActionFinished(action_id=uuid.uuid4().hex)
        self.log(action_started=pb.ActionStarted(action_id=finished.action_id, tool=name))
        try:
            own = {"lease": self.lease, "request_id": str(uuid.uuid4()), "ttl": {"seconds": 15}}
            request = vehicle_pb2.CommandRequest(**own, based_on_frame_id=frame_id, **command)
            given = await self.agent.vehicles.Command(request, timeout=CALL_S)
            wait = vehicle_pb2.WaitCommandRequest(command_id=given.command_id)
            state = (await self.agent.vehicles.WaitCommand(wait, timeout=20)).status.state
            finished.result["state"] = vehicle_pb2.CommandStatus.State.Name(state)
        except grpc.aio.AioRpcError as refused:
            finished.error.CopyFrom(status_pb2.Status(code=refused.code().value[0], message=refused.details()))
        self.log(action_finished=finished)

    async def say(self, **request):
        """The next request of the session."""
        self.number += 1
        await self.session.write(vlm_pb2.SessionRequest(request_seq=self.number, **request))

    async def show_frames(self):
        """Whatever the camera sees, all the time."""
        await self.say(
            open=vlm_pb2.OpenSession(system_prompt="You fly a drone.", frame_policy="FRAME_POLICY_NEWEST_WINS")
        )
        jpeg = common_pb2.Image.ENCODING_JPEG
        watch = vehicle_pb2.WatchFramesRequest(vehicle_id=self.mission.vehicle_id, max_rate_hz=4, encoding=jpeg)
        async for shown in self.agent.vehicles.WatchFrames(watch):
            await self.say(append_frame=vlm_pb2.AppendFrame(frame=shown.frame))

    async def hear(self):
        """What the engine says: that a frame is in, the answer, or that something failed."""
        async for event in self.session:
            if event.HasField("chunk_appended"):
                self.frame.set()
            elif event.HasField("choice_done"):
                self.answer.set_result(event.choice_done)
            elif event.HasField("failed") and self.answer and not self.answer.done():
                self.answer.set_exception(RuntimeError(event.failed.status.message))

    async def keep_lease(self):
        """A sign of life four times a second and more, without which a motion is held."""
        while True:
            await self.agent.leases.RetainLease(lease_pb2.RetainLeaseRequest(lease=self.lease), timeout=CALL_S)
            await asyncio.sleep(0.15)


class MyAgent(agent_pb2_grpc.AgentServiceServicer):
    """See the proto. What it leaves out (instructions and questions in flight) is answered UNIMPLEMENTED."""

    flight = Flight

    def __init__(self, bridge, engine):
        self.vehicles, self.leases = (
            vehicle_pb2_grpc.VehicleServiceStub(bridge),
            lease_pb2_grpc.LeaseServiceStub(bridge),
        )
        self.engine, self.flights, self.by_request = vlm_pb2_grpc.VlmServiceStub(engine), {}, {}

    async def GetAgent(self, request, context):
        return pb.GetAgentResponse(implementation="my_agent", params_schema='{"type": "object", "maxProperties": 0}')

    async def StartMission(self, request, context):
        flight = self.by_request.get(request.request_id)
        if flight is None:
            if not (request.request_id and request.goal.strip() and request.vehicle_id) or request.params.fields:
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT, "a mission has request_id, goal, vehicle_id, no params"
                )
            known = await self.vehicles.ListVehicles(vehicle_pb2.ListVehiclesRequest(), timeout=CALL_S)
            if request.vehicle_id not in [each.vehicle_id for each in known.vehicles]:
                await context.abort(grpc.StatusCode.NOT_FOUND, "no such vehicle")
            if any(not flight.task.done() for flight in self.flights.values()):
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "another mission is flown")
            flight = self.by_request[request.request_id] = self.flight(request, self)
            self.flights[flight.mission.mission_id] = flight
        return pb.StartMissionResponse(mission=flight.mission)

    async def GetMission(self, request, context):
        return pb.GetMissionResponse(mission=(await self.find(request, context)).mission)

    async def ListMissions(self, request, context):
        newest = [flight.mission for flight in reversed(self.flights.values())]
        return pb.ListMissionsResponse(missions=newest[: request.page_size or 20])

    async def CancelMission(self, request, context):
        flight = await self.find(request, context)
        flight.task.cancel()
        await asyncio.wait({flight.task})
        return pb.CancelMissionResponse(mission=flight.mission)

    async def WatchMission(self, request, context):
        flight, seen = await self.find(request, context), request.after_event_seq
        while True:
            for event in flight.events[seen:]:
                seen = event.event_seq
                yield event
            if flight.mission.HasField("end_time"):
                return
            await flight.grown.wait()

    async def find(self, request, context):
        if request.mission_id not in self.flights:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such mission")
        return self.flights[request.mission_id]


async def serve(bridge="127.0.0.1:50061", engine="127.0.0.1:50063", port="50064", kind=MyAgent):
    """Serve until interrupted, with health, by which others know that it is there."""
    async with grpc.aio.insecure_channel(bridge) as to_bridge, grpc.aio.insecure_channel(engine) as to_engine:
        server, told = grpc.aio.server(), health.aio.HealthServicer()
        agent_pb2_grpc.add_AgentServiceServicer_to_server(kind(to_bridge, to_engine), server)
        health_pb2_grpc.add_HealthServicer_to_server(told, server)
        await told.set("stillwing.agent.v1.AgentService", health_pb2.HealthCheckResponse.SERVING)
        print(f"my_agent on port {server.add_insecure_port(f'127.0.0.1:{port}')}", flush=True)
        await server.start()
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
