"""Kernels of our own for the CPU, written as LLVM's instructions and compiled when the engine starts. Importing a
module of this package needs llvmlite; nothing else of the engine does.
"""
