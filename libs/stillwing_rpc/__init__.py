"""All that knows gRPC and nothing of drones: how a server is started, a channel opened, an error carried across."""
