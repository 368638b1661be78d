"""Material for measuring the memory bank: scripts of instructions, and streams of frames, with the truth about them."""
