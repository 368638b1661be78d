"""`stillwing.agent.v1` messages to the values of the core and back."""
