"""A smolagents agent of your own flies: `python examples/smolagents_agent.py [GOAL [BRIDGE ENGINE [STEPS]]]`.

Needs a bridge and an engine, as `stillwing up` starts them. The model is Stillwing's: it sees the video all the time,
and the vehicle is held while it is asked. Everything else of the agent is yours.
"""

import sys

from smolagents import ToolCallingAgent

from stillwing_agent.smolagents_flight import smolagents_flight

goal, bridge, engine, steps = [*sys.argv[1:], *["Fly to the red beacon.", "", "", ""][len(sys.argv) - 1 :]]
where = {"bridge_address": bridge, "engine_address": engine} if bridge else {}
with smolagents_flight(goal, **where) as flight:
    agent = ToolCallingAgent(tools=flight.tools, model=flight.model, max_steps=int(steps or 60))
    print(agent.run(flight.goal))
print(flight.mission.state.value, flight.mission.figures)
