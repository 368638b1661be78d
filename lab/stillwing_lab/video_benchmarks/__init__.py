"""OVO-Bench and StreamingBench through the engine: one pass a video, questions forked off it at their times."""
