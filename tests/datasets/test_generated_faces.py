import numpy as np
import pytest
from numpy.testing import assert_array_equal

from detectorkit.datasets import make_upsampling_images, sample_generated_faces
from detectorkit.models import SHIPPED_GENERATORS


@pytest.fixture(scope="module")
def faces():
    return sample_generated_faces(40, random_state=0)


def test_same_seed_same_bytes_however_many_are_drawn(faces):
    assert_array_equal(sample_generated_faces(40, random_state=0).data, faces.data)
    assert_array_equal(sample_generated_faces(3, random_state=0).data, faces.data[:3])
    assert (sample_generated_faces(3, random_state=1).data != faces.data[:3]).any()


def test_entries_are_those_of_the_other_images_made_on_the_spot(faces):
    others = make_upsampling_images(2, random_state=0)
    assert faces.data.shape == (40, 64, 64, 3)
    assert faces.data.dtype == others.data.dtype
    assert set(others) - {"source"} == set(faces)
    assert_array_equal(faces.target, 1)
    assert set(faces.origin) == set(faces.generator) == {"faces64"}


def test_faces_differ_and_are_faces_in_the_middle(faces):
    images = faces.data.astype(float)
    differences = np.abs(images[:, None] - images[None]).mean((2, 3, 4))
    assert differences[~np.eye(40, dtype=bool)].min() > 5
    mean = images.mean(0)
    skin = mean[36:44, 28:36].mean((0, 1))  # the nose, between the eyes, of which both are darker
    eyes = mean[24:30, 18:46].mean(2).min(0)
    assert skin[0] > skin[1] > skin[2]
    assert eyes[:9].min() < skin.mean() > eyes[-9:].min()


def test_no_images_are_an_error():
    with pytest.raises(ValueError, match="n_samples=0"):
        sample_generated_faces(0)


def test_every_generator_has_a_card():
    models = sorted(SHIPPED_GENERATORS.glob("*.onnx"))
    assert models
    for path in models:
        assert path.stat().st_size < 5e6
        assert "research" in path.with_suffix(".md").read_text(encoding="utf-8")
