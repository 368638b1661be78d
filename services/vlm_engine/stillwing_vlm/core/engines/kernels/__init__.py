"""Kernels of our own, written in Triton, for NVIDIA cards. Importing a module of this package needs triton, but for
`shares`; nothing else of the engine does, beside `attention.triton` and `passes.kernel_segments`, which call them.
"""
