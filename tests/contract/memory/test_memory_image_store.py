"""python -m pytest tests/contract/memory/test_memory_image_store.py

Large images in a folder, and in an object store that speaks S3: a real server, on a port of its own.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
pytest.importorskip("flask_cors", reason="the S3 server of the tests is not installed")
import s3fs
from moto.server import ThreadedMotoServer

from stillwing_common.errors import ImageLost, StoreUnavailable
from stillwing_common.types import Image
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.keyframes import Keyframe
from stillwing_memory.core.stores.images import ImageStore
from stillwing_memory.core.stores.retention import Retention


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_url(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket, found by the variables that every S3 client reads."""
    for name, value in (
        ("AWS_ENDPOINT_URL", s3_server), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"), ("AWS_EC2_METADATA_DISABLED", "true"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    if not files.exists("stillwing"):
        files.mkdir("stillwing")
    return "s3://stillwing/images"


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "images") if request.param == "folder" else str(request.getfixturevalue("s3_url"))


class TestImageStore:
    def test_what_is_put_is_there_for_everybody(self, url: str) -> None:
        name = ImageStore(url).put("bank", b"pixels" * 1000)
        assert ImageStore(url).get(name) == b"pixels" * 1000
        assert ImageStore(url).put("bank", b"pixels" * 1000) == name

    def test_what_was_deleted_is_gone_and_can_be_put_again(self, url: str) -> None:
        store = ImageStore(url)
        name = store.put("bank", b"old")
        for _ in range(2):
            ImageStore(url).delete(name)
        with pytest.raises(ImageLost, match="there is no image"):
            store.get(name)
        # Somebody else deleted it: what this one remembers of it must not count.
        assert store.put("bank", b"old") == name
        assert ImageStore(url).get(name) == b"old"

    def test_bytes_that_are_not_what_was_kept_are_told(self, url: str) -> None:
        store = ImageStore(url)
        name = store.put("bank", b"true")
        store._files.pipe_file(store._path(name), b"false")
        with pytest.raises(ImageLost, match="not what was kept"):
            store.get(name)

    def test_bytes_that_were_changed_are_put_right_by_the_next_put(self, tmp_path: Path) -> None:
        store = ImageStore(str(tmp_path / "images"))
        name = store.put("bank", b"true")
        Path(store._path(name)).write_bytes(b"fals")
        assert store.put("bank", b"true") == name
        assert store.get(name) == b"true"

    def test_the_same_bytes_of_two_banks_are_two(self, url: str) -> None:
        store = ImageStore(url)
        names = [store.put(folder, b"pixels") for folder in ("one", "two")]
        store.delete(names[0])
        assert store.holds(names[1]) and not store.holds(names[0])
        assert store.get(names[1]) == b"pixels"

    def test_large_images_are_whole(self, url: str) -> None:
        data = bytes(range(256)) * 40_000  # 10 MB: more than one part of an upload
        store = ImageStore(url)
        assert store.get(store.put("bank", data)) == data


@pytest.mark.parametrize("what", ["no bucket", "no server"])
def test_an_object_store_that_is_not_there_is_told(s3_url: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "no server":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        s3fs.S3FileSystem.clear_instance_cache()
    store = ImageStore("s3://nobody-made-this/images" if what == "no bucket" else s3_url)
    for use in (lambda: store.put("bank", b"x"), lambda: store.get("bank/" + "0" * 64)):
        with pytest.raises(StoreUnavailable):
            use()


async def test_a_bank_keeps_large_images_in_s3_and_lets_them_go(
    fresh_dsn: str, s3_url: str, make_keyframe: Callable[..., Keyframe], make_jpeg: Callable[..., Image]
) -> None:
    def config(**changes: object) -> BankConfig:
        return BankConfig(
            dsn=fresh_dsn, similarity="token_overlap", images_url=f"{s3_url}/own", row_image_bytes=1000, **changes  # type: ignore[arg-type]
        )  # fmt: skip

    images = [make_jpeg(640, 480, shade) for shade in (10, 60, 110)]
    bank = await StoredBank.open(config(retention=Retention(max_keyframes=2, forget=True)))
    for number, image in enumerate(images, 1):
        await bank.put_keyframe(make_keyframe(number, image=image))
    await bank.close()
    bank = await StoredBank.open(config())
    for number, image in enumerate(images[1:], 2):
        assert (await bank.get_keyframe(f"drone/front/{number}", include_image=True)).frame.image == image
    await bank.close()
    left = s3fs.S3FileSystem(skip_instance_cache=True).find(f"{s3_url}/own")
    assert len(left) == 2
