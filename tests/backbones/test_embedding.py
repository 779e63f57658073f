import threading
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from detectorkit import ImageReadError
from detectorkit.backbones import EmbeddingCache, embed_images, find_backbone, write_backbone
from detectorkit.backbones import embedding as module
from detectorkit.backbones.embedding import cache_name, key_of
from detectorkit.images.preprocessing import resize_image
from detectorkit.images.sequence import check_images


@pytest.fixture
def backbone(tiny, taken):
    write_backbone(tiny, "tiny", taken, licence="MIT", source="here", checksum="")
    return find_backbone("tiny")


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (23, 12, 10, 3), np.uint8)


def row(value):
    return np.full(4, value, np.float32)


def test_features_come_back_from_disk_without_pickle(tmp_path):
    cache = EmbeddingCache(tmp_path / "features")
    assert len(cache) == 0
    assert cache.get(b"a" * 16) is None
    cache.put(b"a" * 16, row(1))
    cache.flush()
    cache.flush()  # nothing new
    again = EmbeddingCache(tmp_path / "features")
    assert len(again) == 1
    assert_array_equal(again.get(b"a" * 16), row(1))
    (part,) = (tmp_path / "features").iterdir()
    with np.load(part, allow_pickle=False) as content:
        assert {content[name].dtype.kind for name in content.files} == {"u", "f"}


def test_a_stopped_run_loses_the_last_part_at_most(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PART", 3)
    cache = EmbeddingCache(tmp_path)
    for number in range(8):
        cache.put(bytes([number]) * 16, row(number))
    (tmp_path / ".part-unfinished.npz-0123").write_bytes(b"torn")
    again = EmbeddingCache(tmp_path)  # without `flush`
    assert len(again) == 6
    assert_array_equal(again.get(bytes([5]) * 16), row(5))


def test_threads_may_share_a_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PART", 7)
    cache = EmbeddingCache(tmp_path)

    def fill(first):
        for number in range(first, first + 60):
            cache.put(number.to_bytes(16, "big"), row(number))

    threads = [threading.Thread(target=fill, args=(first,)) for first in (0, 30, 60, 90)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.flush()
    again = EmbeddingCache(tmp_path)
    assert len(again) == 150
    for number in range(150):
        assert_array_equal(again.get(number.to_bytes(16, "big")), row(number))


def test_embedding_is_the_backbone_on_scaled_pixels(backbone, pictures, taken):
    found = embed_images(backbone, check_images(pictures))
    resized = np.stack([resize_image(image, (8, 8)) for image in pictures])
    scaled = (resized / 255 - np.array(taken.mean)) / np.array(taken.std)
    weights = np.random.default_rng(0).normal(size=(192, 6)) / 10
    expected = np.tanh(scaled.transpose(0, 3, 1, 2).reshape(len(scaled), -1) @ weights)
    assert found.dtype == np.float32
    assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("n_crops", [None, 4])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_cache_changes_nothing(backbone, pictures, tmp_path, n_crops, n_jobs, monkeypatch):
    prepared = replace(backbone.network_input, n_crops=n_crops)
    backbone = replace(backbone, network_input=prepared)
    images = check_images(pictures)
    expected = embed_images(backbone, images, n_jobs=n_jobs)
    first = embed_images(backbone, images, cache_dir=tmp_path, n_jobs=n_jobs)
    assert_array_equal(first, expected)
    assert len(EmbeddingCache(tmp_path / cache_name(backbone))) == len(pictures) * (n_crops or 1)

    def refuse(*_, **__):
        raise AssertionError("everything is known")

    class Session:
        run = refuse

    monkeypatch.setattr(module, "make_session", lambda *_: Session())
    again = embed_images(backbone, images, cache_dir=tmp_path, n_jobs=n_jobs)
    assert_array_equal(again, expected)


def test_crops_are_averaged(backbone, pictures):
    images = check_images(pictures)
    cropped = replace(backbone.network_input, n_crops=4)
    found = embed_images(replace(backbone, network_input=cropped), images)
    corners = [pictures[:, a : a + 8, b : b + 8] for a in (0, 4) for b in (0, 2)]
    expected = np.mean([embed_images(backbone, check_images(c)) for c in corners], axis=0)
    assert_allclose(found, expected, atol=1e-6)


def test_other_weights_or_scaling_have_a_folder_of_their_own(backbone):
    other = replace(backbone.network_input, mean=(0.1, 0.2, 0.3))
    names = {
        cache_name(backbone),
        cache_name(replace(backbone, content=backbone.content + b" ")),
        cache_name(replace(backbone, network_input=other)),
    }
    assert len(names) == 3
    cropped = replace(backbone.network_input, n_crops=4)
    assert cache_name(replace(backbone, network_input=cropped)) in names  # of the same pixels


def test_the_same_pixels_have_the_same_key(pictures):
    assert key_of(pictures[0]) == key_of(pictures[0].copy(order="F"))
    assert key_of(pictures[0]) != key_of(pictures[1])


def test_images_that_disturb_one_another_are_run_alone(mixing, taken, pictures):
    write_backbone(mixing, "mixing", taken, licence="?", source="", checksum="", run_size=1)
    backbone = find_backbone("mixing")
    together = embed_images(backbone, check_images(pictures))
    alone = [embed_images(backbone, check_images(pictures[i : i + 1])) for i in range(5)]
    assert_array_equal(together[:5], np.concatenate(alone))
    assert_allclose(np.abs(together).max(axis=1), 1)


def test_a_broken_file_is_named(backbone, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(ImageReadError, match=r"image 0, .*bad\.png"):
        embed_images(backbone, check_images([tmp_path / "bad.png"]), cache_dir=tmp_path / "c")


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes(255 - byte for byte in content[middle : middle + 200])


@pytest.mark.parametrize(
    "damage",
    [lambda _: b"", cut, flip, lambda _: b"no archive"],
    ids=["empty", "cut", "flipped", "another"],
)
def test_a_damaged_file_is_computed_again_and_named(backbone, pictures, tmp_path, damage):
    images = check_images(pictures)
    expected = embed_images(backbone, images, cache_dir=tmp_path)
    (part,) = tmp_path.rglob("part-*.npz")
    part.write_bytes(damage(part.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{part.name} are damaged .* computed again. Delete"):
        again = embed_images(backbone, images, cache_dir=tmp_path)
    assert_array_equal(again, expected)
    assert len(EmbeddingCache(part.parent)) == len(pictures)  # and written anew, whole


@pytest.mark.parametrize(
    "content",
    [
        {"keys": np.zeros((2, 16), np.uint8)},
        {"keys": np.zeros((2, 16), np.uint8), "values": np.zeros((3, 6), np.float32)},
        {"keys": np.zeros((2, 9), np.uint8), "values": np.zeros((2, 6), np.float32)},
        {"keys": np.zeros((2, 16), np.uint8), "values": np.zeros(2, np.float32)},
        {"keys": np.zeros((2, 16), np.uint8), "values": np.full((2, 6), np.nan, np.float32)},
        {"keys": np.array([{}, {}]), "values": np.zeros((2, 6), np.float32)},
        {"keys": np.zeros((2, 16), np.uint8), "values": np.array([["a"], ["b"]])},
    ],
    ids=["no values", "lengths", "short keys", "flat", "NaN", "objects", "text"],
)
def test_a_file_of_another_form_counts_as_damaged(tmp_path, content):
    np.savez(tmp_path / "part-0.npz", **content)
    with pytest.warns(UserWarning, match=r"part-0\.npz are damaged"):
        assert len(EmbeddingCache(tmp_path)) == 0
