"""Videos of coloured signs with known answers, and annotations of them as the benchmarks of the field write theirs.

Each sign is shown for two seconds; `models/recall` was trained to say what colour one had, and "none" of one not seen.
"""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np

from stillwing_training.recall.signs import COLOUR_NAMES, KEYS, NOT_SEEN, SIDE_PX, Signs, draw_signs, question, render

SIGN_S = 2
FPS = 4


def write_video(path: Path, signs: Signs, seed: int) -> None:
    """The signs in order, two seconds each, at four frames a second."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        for place in range(len(signs)):
            shown = Signs(signs.keys[place : place + 1], signs.colours[place : place + 1])
            for _ in range(SIGN_S * FPS):
                frame = av.VideoFrame.from_ndarray(render(shown, rng)[0], "rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def signs_of(seed: int, count: int) -> Signs:
    """What video `seed` shows."""
    return draw_signs(count, np.random.default_rng(1_000_000 + seed))


def colour_question(signs: Signs, place: int, rng: np.random.Generator) -> tuple[str, list[str], int]:
    """The question for the sign at `place`, four colours (and "none" as the fifth), and where the right one stands."""
    right = COLOUR_NAMES[signs.colours[place]]
    others = [name for name in COLOUR_NAMES if name != right]
    options = [right, *rng.choice(others, 3, replace=False)]
    rng.shuffle(options)
    return question(int(signs.keys[place])), [*map(str, options), NOT_SEEN], options.index(right)


def unseen_question(signs: Signs, rng: np.random.Generator) -> tuple[str, list[str], int]:
    """The question for a sign that is never shown; "none" is right."""
    key = int(rng.choice(np.setdiff1d(np.arange(len(KEYS)), signs.keys)))
    return question(key), [*map(str, rng.choice(COLOUR_NAMES, 4, replace=False)), NOT_SEEN], 4


def after_sign(place: int) -> int:
    """The second at which the sign at `place` has just been shown."""
    return (place + 1) * SIGN_S


def dump(path: Path, value: Any) -> Path:
    """Write JSON; the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_ovo_set(folder: Path, videos: int, signs: int = 14) -> Path:
    """`ovo_bench_new.json` and the videos it asks about, in `folder`; every task of it, of each video."""
    entries: list[dict[str, Any]] = []
    for seed in range(videos):
        shown, rng = signs_of(seed, signs), np.random.default_rng(seed)
        name = f"signs/{seed}.mp4"
        write_video(folder / "videos" / name, shown, seed)
        about = {"video": name}

        def choice(task: str, now: int, asked: tuple[str, list[str], int], about: dict[str, str] = about) -> None:
            # Whole seconds are what they are, others are rounded up to them: both occur in the real file.
            realtime = after_sign(now) - (0.4 if len(entries) % 2 else 0)
            text, options, gt = asked
            entries.append(
                {**about, "id": len(entries), "task": task, "realtime": realtime, "question": text,
                 "answer": "in other words", "options": options, "gt": gt}
            )  # fmt: skip

        last = signs - 1
        choice("EPM", last, colour_question(shown, 1, rng))
        choice("ASI", last, colour_question(shown, last - 2, rng))
        choice("HLD", last, unseen_question(shown, rng))
        for place, task in enumerate(("OCR", "ACR", "ATR", "STU", "FPD", "OJR"), 3):
            choice(task, place, colour_question(shown, place, rng))
        late = 6
        sign = question(int(shown.keys[late]))
        probes = [(after_sign(late - 3), 0), (after_sign(late), 1), (after_sign(late + 1), 1)]
        info = [{"realtime": at_s, "type": kind} for at_s, kind in probes]
        ask_s, clue_s = after_sign(late - 3), after_sign(late)
        entries.append(
            {**about, "id": len(entries), "task": "CRR", "question": sign, "answer": "its colour",
             "ask_time": ask_s, "clue_time": clue_s, "test_info": info}
        )  # fmt: skip
        steps = [{**each, "step": sign} for each in info]
        entries.append(
            {**about, "id": len(entries), "task": "SSR", "tutorial": "Signs", "all_steps": [sign],
             "start_time": [clue_s - SIGN_S], "end_time": [clue_s], "test_info": steps}
        )  # fmt: skip
        entries.append(
            {**about, "id": len(entries), "task": "REC", "activity": "showing a sign",
             "start_times": [0], "end_times": [SIGN_S], "test_info": [{"realtime": 6.0, "count": 3}]}
        )  # fmt: skip
    return dump(folder / "ovo_bench_new.json", entries)


def stamp(seconds: int) -> str:
    """As StreamingBench writes an instant."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def write_streaming_set(folder: Path, videos: int, signs: int = 10) -> list[Path]:
    """`questions_real.json`, `questions_sqa.json`, `questions_proactive.json`, and the videos they ask about."""
    real, sequences, proactive = [], [], []
    for seed in range(videos):
        shown, rng = signs_of(100 + seed, signs), np.random.default_rng(seed)
        path = f"./videos/sample_{seed}_real.mp4"
        write_video(folder / "videos" / Path(path).name, shown, seed)

        def asked(place: int, at_s: int, *, lettered: bool, shown: Any = shown, rng: Any = rng) -> dict[str, Any]:
            text, options, gt = colour_question(shown, place, rng)
            told = [
                f"{letter}. {option}" if lettered else option for letter, option in zip("ABCD", options, strict=False)
            ]
            return {
                "task_type": "Attribute Perception" if lettered else "Sequential Question Answering",
                "question": text, "time_stamp": stamp(at_s), "answer": "ABCD"[gt], "options": told,
                "required_ability": "working memory",
            }  # fmt: skip

        # Not in the order of their times, as some real ones.
        questions = [asked(place, after_sign(place), lettered=True) for place in (7, 2, 4)]
        real.append({"time": "[0:00:00 - 0:01:00]", "questions": questions, "video_path": path})
        sequences.append(
            [{"time": "", "questions": [asked(place, after_sign(place), lettered=False)], "video_path": path}
             for place in (3, 5)]
        )  # fmt: skip
        due = 6
        proactive.append(
            {"time": "", "video_path": path, "questions": [{
                "task_type": "Proactive Output", "question": question(int(shown.keys[due])),
                "time_stamp": stamp(due * SIGN_S - 3), "ground_truth_time_stamp": stamp(due * SIGN_S + 1),
                "ground_truth_output": COLOUR_NAMES[shown.colours[due]], "required_ability": "working memory",
            }]}
        )  # fmt: skip
    return [
        dump(folder / f"questions_{name}.json", entries)
        for name, entries in (("real", real), ("sqa", sequences), ("proactive", proactive))
    ]
