"""Ablations of the engine's memory on the recall task: what each choice is worth, in signs remembered."""
