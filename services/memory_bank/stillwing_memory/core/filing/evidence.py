"""Which frame of a chunk is filed, and which things are tagged in it: values in, a keyframe out. Pure.

It knows nothing of stores, and of scorers only their interface.
"""

from dataclasses import replace

from stillwing_common.errors import InvalidInput
from stillwing_memory.core.entities import Entity
from stillwing_memory.core.filing.rules import best_frame
from stillwing_memory.core.instructions import Chunk, ChunkFrame, ThingView
from stillwing_memory.core.keyframes import Keyframe, Sighting
from stillwing_memory.core.scoring import Evidence, FrameScorer, Thing

TAG_FROM = 0.5
"""From this visibility on a thing is tagged."""


def text_of(keyframe: Keyframe) -> str:
    """What texts are compared with: caption and labels."""
    return ". ".join([keyframe.caption, *(sighting.label for sighting in keyframe.sightings)])


def choose_keyframe(chunk: Chunk, entities: list[Entity], scorer: FrameScorer) -> Keyframe:
    """The best frame of a chunk under its score, tagged with the instruction's things that are visible in it.

    Raises InvalidInput where the scorer lacks vectors, or a view is of a thing that the instruction is not about.
    """
    views = {view.entity_id: view for view in chunk.views}
    known = {entity_id for entity in entities for entity_id in (entity.entity_id, *entity.merged_ids)}
    if strangers := sorted(set(views) - known):
        raise InvalidInput("the instruction is not about this thing", entity_id=strangers[0])
    things = [_thing(entity, views) for entity in entities]
    scores = scorer.score([_evidence(frame) for frame in chunk.frames], things)
    place = best_frame([one.score for one in scores])
    keyframe = chunk.frames[place].keyframe
    named = {sighting.entity_id for sighting in keyframe.sightings}
    tags = [
        Sighting(entity.label, entity.entity_id, confidence=seen)
        for entity in entities
        if (seen := scores[place].visibility.get(entity.entity_id, 0.0)) >= TAG_FROM and not named & _ids(entity)
    ]
    return replace(
        keyframe,
        sightings=(*keyframe.sightings, *tags),
        score=scores[place].score,
        instruction=chunk.instruction,
        chunk=chunk.number,
        place=place,
    )


def _ids(entity: Entity) -> set[str]:
    return {entity.entity_id, *entity.merged_ids}


def _thing(entity: Entity, views: dict[str, ThingView]) -> Thing:
    view = next((views[one] for one in (entity.entity_id, *entity.merged_ids) if one in views), None)
    if view is None:
        return Thing(entity.entity_id, entity.text)
    return Thing(entity.entity_id, entity.text, view.query, view.tokens)


def _evidence(frame: ChunkFrame) -> Evidence:
    keyframe = frame.keyframe
    return Evidence(
        text_of(keyframe),
        frame.keys,
        {one.entity_id: one.confidence for one in keyframe.sightings if one.entity_id},
        keyframe.frame.capture.time_ns,
    )
