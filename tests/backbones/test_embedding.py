from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from detectorkit import ImageReadError
from detectorkit.backbones import embed_images, find_backbone, write_backbone
from detectorkit.backbones import embedding as module
from detectorkit.backbones.embedding import cache_name, key_of
from detectorkit.images.preprocessing import resize_image
from detectorkit.images.sequence import check_images
from detectorkit.utils.feature_cache import FeatureCache


@pytest.fixture
def backbone(tiny, taken):
    write_backbone(tiny, "tiny", taken, licence="MIT", source="here", checksum="")
    return find_backbone("tiny")


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (23, 12, 10, 3), np.uint8)


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
    assert len(FeatureCache(tmp_path / cache_name(backbone))) == len(pictures) * (n_crops or 1)

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
    assert len(FeatureCache(part.parent)) == len(pictures)  # and written anew, whole
