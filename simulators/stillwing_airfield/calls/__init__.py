"""AirSim's calls, grouped as its API groups them, each bound to the simulator with the exact types its server wants."""
