"""Rounding of matrices by the second moments of their inputs, alone and in a network."""

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from detectorkit.backbones import find_backbone, write_backbone, write_compact
from detectorkit.backbones.calibrating import round_network
from detectorkit.cli import main
from detectorkit.graph.compact import pack_weights, round_to_nearest
from detectorkit.graph.layers import has_class_token
from detectorkit.graph.rounding import round_by_moments
from detectorkit.graph.sessions import make_session
from detectorkit.images import Treatment

N_INPUTS, N_OUTPUTS = 96, 40


@pytest.fixture
def problem():
    """Weights, and inputs that go together."""
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 12)) @ random.normal(size=(12, N_INPUTS))
    x += 0.3 * random.normal(size=x.shape)
    return random.normal(size=(N_INPUTS, N_OUTPUTS)).astype(np.float32), x


@pytest.mark.parametrize(("bits", "block_size"), [(4, 16), (4, 32), (4, 96), (8, 32)])
def test_a_matrix_is_rounded_as_by_least_squares(problem, bits, block_size):
    weights, x = problem
    moments = x.T @ x
    matrix = round_by_moments(weights, moments, bits, block_size)
    assert len(matrix.scales) == (1 if bits == 8 else N_INPUTS // block_size)
    size, damped = (
        matrix.block_size,
        moments + 0.01 * np.diagonal(moments).mean() * np.eye(len(x.T)),
    )
    scales, zeros = matrix.scales.astype(float), matrix.zeros.astype(float)
    rest, done = weights.astype(float), np.empty(weights.shape)
    for i in range(N_INPUTS):
        block = i // size
        levels = np.clip(np.rint(rest[i] / scales[block] + zeros[block]), 0, 2**bits - 1)
        done[i] = (levels - zeros[block]) * scales[block]
        left = np.arange(i + 1, N_INPUTS)
        error = (
            done[: i + 1] - weights[: i + 1]
        )  # of all that is rounded; the others make up for it
        rest[left] = weights[left] - np.linalg.solve(
            damped[np.ix_(left, left)], damped[np.ix_(left, range(i + 1))] @ error
        )
    # A weight in the middle between two levels may go either way in single precision.
    assert (np.abs(matrix.unpack() - done) > 1e-4).mean() < 0.01

    def error_of(one):
        return np.square(x @ (one.unpack() - weights)).sum()

    assert error_of(matrix) < 0.1 * error_of(round_to_nearest(weights, bits, block_size))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_inputs_without_variation(problem, bits, constant):
    weights = problem[0]
    weights[:, 0] = 0  # a block of zeros stays so
    x = np.full((10, N_INPUTS), constant)
    found = round_by_moments(weights, x.T @ x, bits, 32).unpack()
    assert not found[:, 0].any()
    nearest = np.abs(weights).max() / (6 if bits == 4 else 100)
    if constant:
        assert_allclose(x @ found, x @ weights, atol=constant * nearest)
    else:  # nothing is compensated
        assert np.abs(found - weights).max() < 1.5 * nearest


def features_of(model, images):
    session = make_session(model.SerializeToString(), "test")
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def draw(n, seed):
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(n, 8)) @ np.random.default_rng(5).normal(size=(8, 3 * 8 * 8)) / 3
    return mixed.reshape(n, 3, 8, 8).astype(np.float32)


@pytest.mark.parametrize("name", ["vit", "vit_without_token"])
def test_features_change_less_than_with_the_nearest_levels(request, taken, name):
    model = request.getfixturevalue(name)
    assert has_class_token(model, taken) == (name == "vit")
    calibration = draw(40, 1)
    form = {"block_size": 16, "bits": 4}
    rounded = round_network(model, [calibration[:30], calibration[30:]], token_weight=30, **form)
    assert len(rounded) == 18
    once = round_network(model, [calibration], token_weight=30, **form)
    same = [(rounded[key].levels == once[key].levels).mean() for key in rounded]
    assert min(same) > 0.9  # sums have another order
    images = draw(30, 2)
    exact = features_of(model, images)
    errors = [
        np.linalg.norm(features_of(pack_weights(model, one, **form), images) - exact)
        for one in (rounded, None)
    ]
    assert errors[0] < 0.7 * errors[1]


def test_a_file_is_calibrated_from_a_folder(vit, taken, tmp_path):
    random = np.random.default_rng(0)
    for i in range(6):
        image = random.integers(0, 256, (10, 12, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
    write_backbone(vit, "vit", taken, licence="MIT", source="here", checksum="ab")
    path = tmp_path / "small.onnx"
    options = ["--layers", "1", "3", "--block-size", "16", "--calibrate", str(tmp_path)]
    assert main(["backbones", "compact", "vit", "-o", str(path), *options]) == 0
    form = {"layers": [1, 3], "block_size": 16, "treatment": Treatment(side=8)}
    files = sorted(tmp_path.glob("*.png"))
    same = write_compact("vit", tmp_path / "same" / "small.onnx", calibration=files, **form)
    assert_array_equal(path.read_bytes(), same.read_bytes())
    other = write_compact("vit", tmp_path / "other.onnx", layers=[1, 3], block_size=16)
    assert find_backbone(other).sha256 == find_backbone(path).sha256  # that of the first weights
    assert path.read_bytes() != other.read_bytes()
