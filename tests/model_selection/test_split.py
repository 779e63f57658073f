import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectorkit.datasets import (
    load_images,
    near_duplicate_groups,
    perceptual_hash,
    train_val_test_split,
)


def split_indices(y, **options):
    parts = train_val_test_split(np.arange(len(y)), y, keep_near_duplicates=False, **options)
    return parts[:3]


@settings(max_examples=60, deadline=None)
@given(
    y=st.lists(st.integers(0, 1), min_size=40, max_size=200).filter(
        lambda y: 20 < sum(y) < len(y) - 15
    ),
    seed=st.integers(0, 99),
)
def test_parts_are_disjoint_complete_and_stratified(y, seed):
    y = np.array(y)
    parts = split_indices(y, random_state=seed)
    assert sorted(np.concatenate(parts)) == list(range(len(y)))
    for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        for label in (0, 1):
            assert abs((y[part] == label).sum() - share * (y == label).sum()) <= 1


@settings(max_examples=60, deadline=None)
@given(n_groups=st.integers(30, 200), seed=st.integers(0, 99))
def test_groups_never_straddle(n_groups, seed):
    groups = np.random.default_rng(seed).integers(0, n_groups, 300)
    parts = split_indices(np.arange(len(groups)) % 2, groups=groups, random_state=seed)
    names = [set(groups[part]) for part in parts]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert not names[1] & names[2]
    assert abs(len(parts[2]) - 0.1 * len(groups)) < 0.05 * len(groups)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [2, 5])
def test_groups_of_every_size_get_into_every_part(seed, size):
    """Else what comes several times would never be tested."""
    groups = np.concatenate([np.repeat(np.arange(100), size), np.arange(100, 300)])
    y = np.arange(len(groups)) % 2
    for part, share in zip(
        split_indices(y, groups=groups, random_state=seed), (0.8, 0.1, 0.1), strict=True
    ):
        in_groups = np.sum(groups[part] < 100)
        assert abs(in_groups - share * 100 * size) <= 2 * size
        assert abs(len(part) - share * len(groups)) <= size


def test_a_group_that_is_larger_than_a_part_goes_to_the_largest_part():
    groups = np.concatenate([np.zeros(50, int), np.arange(1, 151)])
    train, val, test = split_indices(np.arange(200) % 2, groups=groups, random_state=0)
    assert np.sum(groups[train] == 0) == 50
    assert len(val) == len(test) == 20


def test_the_same_seed_gives_the_same_parts_and_another_shuffles():
    y = np.arange(100) % 2
    one, two, other = (split_indices(y, random_state=seed)[0].tolist() for seed in (0, 0, 1))
    assert one == two
    assert one != other
    assert one != sorted(one)


def test_lists_arrays_and_further_columns_are_split_alike(upsampled):
    X, y = list(upsampled.data), upsampled.target.tolist()
    parts = train_val_test_split(X, y, upsampled.source, np.arange(len(y)), random_state=0)
    assert isinstance(parts[0], list)
    for k in range(3):
        index = parts[9 + k]
        assert parts[3 + k] == [y[i] for i in index]
        assert (parts[6 + k] == upsampled.source[index]).all()
        assert all((image == X[i]).all() for image, i in zip(parts[k], index, strict=True))


def test_copies_of_a_picture_stay_together(tmp_path, upsampled):
    """Each crop as PNG, as JPEG, and smaller as WebP: always in one part."""
    paths, picture = [], []
    has_content = ~np.isin(upsampled.source, ["clock", "moon", "retina", "rocket"])
    real = has_content & (upsampled.target == 0)
    for number, image in enumerate(upsampled.data[real]):
        for suffix, copy in (
            ("png", image),
            ("jpg", image),
            ("webp", cv2.resize(image, (100, 100), interpolation=cv2.INTER_AREA)),
        ):
            path = str(tmp_path / f"{number}.{suffix}")
            cv2.imwrite(path, copy)
            paths.append(path)
            picture.append(number)
    y = np.arange(len(paths)) % 2
    parts = train_val_test_split(paths, y, np.array(picture), random_state=0)
    train, val, test = (set(part) for part in parts[6:])
    assert not train & val
    assert not train & test
    assert not val & test


def test_copies_of_real_photographs_are_found_and_others_are_not(real_faces):
    paths, _ = real_faces
    hashes = perceptual_hash(paths)
    images = [cv2.imread(path) for path in paths[:50]]
    smaller = [cv2.resize(i, (180, 180), interpolation=cv2.INTER_AREA)[..., ::-1] for i in images]
    groups = near_duplicate_groups(np.concatenate([hashes, perceptual_hash(smaller)]))
    assert (groups[:50] == groups[200:]).mean() >= 0.98
    assert len(np.unique(groups[:200])) == 200


def test_copies_are_found_however_far_apart_they_stand(monkeypatch):
    monkeypatch.setattr("detectorkit.model_selection.duplicates._BLOCK", 7)
    bits = np.random.default_rng(0).random((20, 255)) > 0.5
    bits = np.concatenate([bits, bits[::-1]])
    groups = near_duplicate_groups(bits)
    assert (groups[:20] == groups[20:][::-1]).all()
    assert len(np.unique(groups)) == 20


def test_chains_of_near_duplicates_are_one_group():
    bits = np.random.default_rng(0).random((3, 255)) > 0.5
    bits[1], bits[2] = bits[0], bits[0]
    bits[1, :15] = ~bits[1, :15]
    bits[2, :30] = ~bits[2, :30]
    assert len(np.unique(near_duplicate_groups(bits[[0, 2]]))) == 2
    assert len(np.unique(near_duplicate_groups(bits))) == 1


@pytest.mark.parametrize("sizes", [(0, 0.1), (0.1, 0), (0.5, 0.5), (-0.1, 0.1)])
def test_impossible_sizes_are_named(sizes):
    with pytest.raises(ValueError, match="val_size"):
        split_indices([0, 1] * 20, val_size=sizes[0], test_size=sizes[1])


def test_too_few_images_are_an_error():
    with pytest.raises(ValueError, match="Pass more images"):
        split_indices([0, 1])


def test_progress_is_shown_when_it_takes_long(folder, capsys, monkeypatch):
    monkeypatch.setattr("detectorkit.utils.progress._PATIENCE", -1)
    perceptual_hash(load_images(folder).data, verbose=True)
    assert "Comparing pictures: 120 in" in capsys.readouterr().err
