"""Kernels of our own, written in Triton, for NVIDIA cards. Importing a module of this package needs triton; nothing
else of the engine does.
"""
