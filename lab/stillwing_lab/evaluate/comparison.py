"""What an evaluation compares: ways of flying over the same unseen scenes, as the jobs that fly them.

It knows nothing of where they are flown and of what is reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from stillwing_airfield.scenes.base import build_scene
from stillwing_common.errors import InvalidInput
from stillwing_lab.evaluate.episode import MAX_DECISIONS
from stillwing_lab.evaluate.jobs import Job
from stillwing_lab.evaluate.ways import POLICIES, Way, ways
from stillwing_lab.evaluate.wrong_frames import with_other_sign
from stillwing_training.pilot.config import FIRST_UNSEEN_SEED

SCENES = ("meadow", "street", "orchard", "maze")
"""Every family, the easiest first."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`episodes` scenes of each family, from `first_seed` on, flown each way.

    `thinking_s` is how long an answer takes on the world's clock; None: as long as it really takes.
    """

    scenes: Sequence[str] = ("meadow",)
    episodes: int = 40
    policies: Sequence[str] = POLICIES
    modes: Sequence[str] = ("coupled",)
    memories: Sequence[str] = ("window",)
    recalls: Sequence[str] = ("pixels",)
    styles: Sequence[str] = ("moves",)
    model: str = "pilot"
    first_seed: int = FIRST_UNSEEN_SEED
    max_decisions: int = MAX_DECISIONS
    thinking_s: float | None = 0.05

    @property
    def ways(self) -> list[Way]:
        """Every way that differs."""
        return ways(self.policies, self.modes, self.memories, self.recalls, self.styles)

    def check(self) -> None:
        """Raises UnknownBackend for a policy or memory, UnknownScene for a scene that is not known.

        InvalidInput for no episodes or seen seeds or an unknown mode, recall or style.
        """
        if self.episodes < 1:
            raise InvalidInput("an evaluation flies at least one episode", field="episodes")
        if self.first_seed < FIRST_UNSEEN_SEED:
            raise InvalidInput(f"unseen seeds begin at {FIRST_UNSEEN_SEED}", field="first_seed")
        for way in self.ways:
            way.check()
        for scene in self.scenes:
            spec = build_scene(scene, self.first_seed)
            if any(way.recall == "wrong" for way in self.ways):
                with_other_sign(spec)

    def jobs(self) -> list[Job]:
        """One for each flight, scene by scene and way by way."""
        return [
            Job(
                way.policy, scene, seed, way.mode, way.memory, self.model, self.max_decisions, self.thinking_s,
                recall=way.recall, style=way.style,
            )
            for scene in self.scenes
            for way in self.ways
            for seed in range(self.first_seed, self.first_seed + self.episodes)
        ]  # fmt: skip
