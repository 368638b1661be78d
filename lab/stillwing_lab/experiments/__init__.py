"""Experiments on the engine's memory: what the sink is, whether endless runs stay flat, whether asks leave no trace."""
