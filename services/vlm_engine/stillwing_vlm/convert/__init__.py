"""The engine's messages to the core's types and back, by subject."""
