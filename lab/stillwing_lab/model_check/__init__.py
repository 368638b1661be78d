"""Whether a model does what it should on this machine: what it is, whether it computes what its makers' code does, how
fast, and whether it answers and points.
"""
