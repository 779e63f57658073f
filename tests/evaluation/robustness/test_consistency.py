import numpy as np
import pytest
from numpy.testing import assert_array_equal

from detectorkit import load_detector
from detectorkit.evaluation import consistency_check, perturbed_scores
from detectorkit.evaluation.robustness.perturbations import REALISTIC, light


class Brightness:
    """Call bright images generated: the score is the mean grey level."""

    threshold_ = 100.0

    def decision_function(self, X):
        return np.array([np.mean(image) for image in X])


LIGHTS = [light(brightness=levels) for levels in (-20, -10, 10, 20)]


@pytest.fixture
def flat():
    levels = [50, 85, 95, 100, 105, 115, 150]
    return [np.full((16, 16, 3), level, np.uint8) for level in levels]


def test_verdicts_near_the_threshold_are_withheld(flat):
    result = consistency_check(Brightness(), flat, perturbations=LIGHTS)
    assert_array_equal(result.verdicts, [0, -1, -1, -1, -1, -1, 1])
    assert_array_equal(result.agreement, [1, 0.75, 0.5, 0.5, 0.5, 0.75, 1])
    assert_array_equal(result.scores[:, 1], [85, 65, 75, 95, 105])


@pytest.mark.parametrize(
    ("max_flips", "verdicts"),
    [(1, [0, 0, -1, -1, -1, 1, 1]), (2, [0, 0, 0, 0, 1, 1, 1]), (4, [0, 0, 0, 0, 1, 1, 1])],
)
def test_some_flips_may_be_allowed(max_flips, verdicts, flat):
    result = consistency_check(Brightness(), flat, perturbations=LIGHTS, max_flips=max_flips)
    assert_array_equal(result.verdicts, verdicts)


def test_the_threshold_may_be_given(flat):
    result = consistency_check(Brightness(), flat, perturbations=LIGHTS, threshold=72)
    assert_array_equal(result.verdicts, [0, -1, 1, 1, 1, 1, 1])


def test_a_verdict_that_is_given_is_that_of_the_detector(upsampled, fitted, tmp_path):
    result = consistency_check(fitted, upsampled.data, n_jobs=2)
    given = result.verdicts != -1
    assert 0 < given.sum() < len(given)
    assert_array_equal(result.verdicts[given], fitted.predict(upsampled.data)[given])
    assert_array_equal(given, result.agreement == 1)
    assert_array_equal(result.scores, perturbed_scores(fitted, upsampled.data, REALISTIC))
    fitted.save(tmp_path / "model.onnx")
    loaded = consistency_check(load_detector(tmp_path / "model.onnx"), upsampled.data)
    assert (loaded.verdicts == result.verdicts).mean() > 0.98


def test_allowing_more_flips_gives_more_verdicts(upsampled, fitted):
    results = [
        consistency_check(fitted, upsampled.data[:40], max_flips=flips).verdicts
        for flips in range(len(REALISTIC) + 1)
    ]
    coverage = [np.mean(verdicts != -1) for verdicts in results]
    assert coverage == sorted(coverage)
    assert coverage[-1] == 1


@pytest.mark.parametrize("max_flips", [-1, 5])
def test_senseless_numbers_of_flips_are_named(max_flips, flat):
    with pytest.raises(ValueError, match=f"max_flips={max_flips} must be between 0 and"):
        consistency_check(Brightness(), flat, perturbations=LIGHTS, max_flips=max_flips)
