"""Everything that reads files which somebody else made, as targets; see `targets`."""

import struct
import tempfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dice import Dice, Make, Target

from stillwing_common.errors import StillwingError


def _folder(stack: ExitStack) -> Path:
    shared = Path("/dev/shm")
    within = shared if shared.is_dir() else Path(tempfile.gettempdir())
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stillwing-fuzz-", dir=within)))


def _read_all(recording: Any) -> bool:
    """Everything of a recording that could be opened."""
    try:
        recording.info()
        for _ in recording.entries():
            pass
    except StillwingError:
        pass
    return True


def recording_files(stack: ExitStack) -> Target:
    """A recording that somebody else made, or that was damaged: whole files, and chunks with valid checksums."""
    from mcap.opcode import Opcode
    from mcap.writer import MCAP0_MAGIC, CompressionType, Writer
    from recording_values import VEHICLE, frame_update

    from stillwing_bridge.convert.vehicles import vehicle_to_wire
    from stillwing_recording import topics
    from stillwing_recording.mcap_file import McapRecording
    from stillwing_recording.writer import FlightWriter

    path = _folder(stack) / "flight.mcap"
    flight = FlightWriter(path, VEHICLE, 1)
    flight.flush()
    flight.frame(frame_update(1), 2)
    flight.close()
    good = path.read_bytes()
    vehicle = vehicle_to_wire(VEHICLE).SerializeToString()
    names = [
        topics.VEHICLE, topics.TELEMETRY, topics.COMMANDS, topics.MISSION, topics.RECORDER,
        topics.frame_topic("c"), topics.image_topic("c"),
    ]  # fmt: skip
    header = (
        MCAP0_MAGIC + bytes([Opcode.HEADER]) + struct.pack("<Q", 17) + struct.pack("<I", 9) + b"stillwing" + b"\0" * 4
    )
    kinds = (CompressionType.NONE, CompressionType.ZSTD, CompressionType.LZ4)

    def structured(data: bytes) -> None:
        dice = Dice(data)
        with path.open("wb") as file:
            writer = Writer(file, compression=dice.pick(kinds))
            writer.start(profile=topics.PROFILE)
            channels = [writer.register_channel(name, dice.pick(["protobuf"] * 7 + ["json"]), 0) for name in names]
            writer.add_message(channels[0], 1, vehicle, 1)
            while not dice.used_up:
                writer.add_message(dice.pick(channels), dice.byte(), dice.raw(60), dice.byte(), dice.byte() % 3)
            writer.finish()

    def chunks(data: bytes) -> None:
        """Chunks that say what they like of themselves."""
        dice = Dice(data)
        parts = [header]
        while not dice.used_up:
            records = struct.pack("<BQ", dice.byte() % 16, dice.byte()) + dice.raw(40)
            padding = dice.pick((0, 9, 10**7))
            records += struct.pack("<BQ", 0x90, padding) + bytes(padding)
            compression = dice.pick(("", "zstd", "lz4", "rar"))
            body = _packed(compression, records) + dice.raw(3)
            size = dice.pick((len(records), 0, len(records) * 2, 1 << 40, (1 << 64) - 1))
            crc = dice.pick((0, zlib.crc32(records), 1))
            name = compression.encode()
            fields = struct.pack("<QQQII", 1, 1, size, crc, len(name)) + name + struct.pack("<Q", len(body)) + body
            parts.append(struct.pack("<BQ", Opcode.CHUNK, len(fields)) + fields)
        path.write_bytes(b"".join(parts))

    def target(data: bytes) -> bool:
        if data[:1] < b"\x20":
            path.write_bytes(data[1:])
        elif data[:1] < b"\x40":
            path.write_bytes(header + data[1:])
        elif data[:1] < b"\x60":
            path.write_bytes(_damaged(good, Dice(data[1:])))
        elif data[:1] < b"\xa0":
            chunks(data[1:])
        else:
            structured(data[1:])
        try:
            recording = McapRecording(path)
        except StillwingError:
            return False
        return _read_all(recording)

    return target


def _damaged(whole: bytes, dice: Dice) -> bytes:
    """The same with a few bytes changed, and one in four cut off."""
    changed = bytearray(whole)
    for _ in range(dice.byte() % 5):
        place = dice.byte() * 256 + dice.byte()
        changed[place % len(changed)] = dice.byte()
    return bytes(changed[: dice.byte() * 256 + dice.byte()] if dice.byte() % 4 == 0 else changed)


def _packed(compression: str, records: bytes) -> bytes:
    import lz4.frame
    import zstandard

    return {"zstd": zstandard.compress, "lz4": lz4.frame.compress}.get(compression, bytes)(records)


def picture_folders(stack: ExitStack) -> Target:
    """A folder of pictures and its table of times: bytes, and rows of nearly the right shape."""
    from recording_values import jpeg

    from stillwing_common.types import ImageEncoding
    from stillwing_recording.pictures import PictureFolder, PictureOptions
    from stillwing_recording.playback import in_encoding

    folder = _folder(stack)
    table = folder / "timestamps.csv"
    good = jpeg(1, 8, 8)
    words = (
        "1.jpg", "2.png", "3.jpg", "name", "seconds", "#", '"', "'", "0", "1.5", "-1", "nan", "inf", "1e300", "", " ",
        "\0", "1_0", "0x1", ";", "\t", "\ufeff", "1700000000.123456789", "\r", "\u0663", "9" * 40,
    )  # fmt: skip

    def target(data: bytes) -> bool:
        dice = Dice(data)
        (folder / "1.jpg").write_bytes(good)
        damaged = bytearray(good)
        for _ in range(dice.byte() % 4):
            damaged[dice.byte() * 3 % len(damaged)] = dice.byte()
        (folder / "2.png").write_bytes(damaged)
        if dice.byte() % 2:
            table.write_bytes(dice.raw(255))
        else:
            ends = dice.pick(("\n", "\r\n", "\r"))
            rows = (",".join(dice.pick(words) for _ in range(1 + dice.byte() % 3)) for _ in range(dice.byte() % 6))
            table.write_bytes(f"1.jpg,{dice.pick(words)}{ends}{ends.join(rows)}".encode())
        if dice.byte() % 4 == 0:
            table.unlink()
        try:
            recording = PictureFolder(folder, PictureOptions())
            for entry in recording.frames():
                in_encoding(entry.value, ImageEncoding.RGB8)
        except StillwingError:
            return False
        return _read_all(recording)

    return target


def videos(stack: ExitStack) -> Target:
    """Videos of three kinds of container with some bytes changed, cut off, or of nothing but bytes."""
    import av
    import numpy as np

    from stillwing_recording.pictures import PictureOptions
    from stillwing_recording.videos import Video

    av.logging.set_level(None)
    folder = _folder(stack)
    whole: list[bytes] = []
    for name in ("a.mp4", "a.mkv", "a.avi"):
        with av.open(str(folder / name), "w") as container:
            stream: Any = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
            for _ in range(3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")))
            container.mux(stream.encode())
        whole.append((folder / name).read_bytes())
    path = folder / "broken.bin"

    def target(data: bytes) -> bool:
        dice = Dice(data)
        path.write_bytes(_damaged(dice.pick([*whole, b""]) or data or b"\0", dice))
        try:
            recording = Video(path, PictureOptions(fps=dice.pick((None, 2.0, 1000.0))))
        except StillwingError:
            return False
        return _read_all(recording)

    return target


def scripts(stack: ExitStack) -> Target:
    """Scripts of timed commands."""
    from stillwing_cli.script import parse_script

    words = (
        "0", "+1", "0.5", "takeoff", "land", "hold", "step", "turn", "go_to", "set_velocity", "fly_towards",
        "altitude_m=2", "forward_m=1", "angle_deg=9", "north_m=1", "east_m=1", "down_m=-2", "ttl_s=2", "speed_m_s=nan",
        "ttl_s=0", "x=1e999", "a=b=c", "=", "#", "-1", "nan", "\ud83d", "9" * 400, "1_0", "position=1",
    )  # fmt: skip

    def target(data: bytes) -> bool:
        if data[:1] < b"\x80":
            text = data[1:].decode("utf-8", "replace")
        else:
            dice = Dice(data[1:])
            lines: list[str] = []
            while not dice.used_up:
                time = ("0", "+1", "2")[len(lines)] if len(lines) < 3 else dice.pick(words)
                lines.append(" ".join([time, *(dice.pick(words) for _ in range(1 + dice.byte() % 4))]))
            text = "\n".join(lines)
        try:
            return bool(parse_script(text))
        except StillwingError:
            return False

    return target


def certificate_folders(stack: ExitStack) -> Target:
    """A folder of certificates that somebody else filled, read to connect, to serve and to be renewed."""
    from stillwing_rpc.authority import make_certificates
    from stillwing_rpc.certificates import CertificateFolder

    folder = _folder(stack) / "certs"
    files = make_certificates(folder).files
    paths = (files.ca, files.ca_key, files.token)
    before = [path.read_bytes() for path in paths]

    def target(data: bytes) -> bool:
        dice = Dice(data)
        for path, good in zip(paths, before, strict=True):
            changed = bytearray(good)
            for _ in range(dice.byte() % 3):
                changed[dice.byte() * 7 % len(changed)] = dice.byte()
            path.write_bytes(dice.raw(60) if dice.byte() % 4 == 0 else changed)
        passed = True
        for use in (
            lambda: CertificateFolder(folder).channel(),
            lambda: CertificateFolder(folder).server_settings(),
            lambda: make_certificates(folder, renew=True),
        ):
            try:
                use()
            except StillwingError:
                passed = False
        return passed

    return target


FILE_TARGETS: dict[str, tuple[Make, float, tuple[str, ...]]] = {
    "recording_files": (
        recording_files,
        0.01,
        ("stillwing_recording.mcap_file", "stillwing_recording.mcap_records"),
    ),
    "picture_folders": (picture_folders, 0.03, ("stillwing_recording.pictures", "stillwing_recording.times_table")),
    "videos": (videos, 0.005, ("stillwing_recording.videos",)),
    "certificate_folders": (certificate_folders, 0.005, ("stillwing_rpc.authority", "stillwing_rpc.certificates")),
    "scripts": (scripts, 0.05, ("stillwing_cli.script",)),
}
