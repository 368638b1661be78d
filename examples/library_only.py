"""The engine as a library, without gRPC: `python examples/library_only.py` streams noise into the pilot and asks."""

import numpy as np

from stillwing_vlm.core.local import LocalEngine

session = LocalEngine.load().open("You fly a drone.")
rng = np.random.default_rng(0)
for _ in range(40):  # more frames than its window holds: the oldest leave by themselves
    session.append(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8))
answer = session.ask("Fly to the red beacon. Next action?", max_tokens=16)
print(answer.text, answer.provenance)
print(session.ask_choice("Which way?", ["left", "right"]).probabilities)
