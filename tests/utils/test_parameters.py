"""One word and one rule for one thing, in the signature of every function."""

import ast
from pathlib import Path

import numpy as np
import pytest

import detectorkit
from detectorkit import ForensicDetector, HoGSVMDetector, OnnxDetector
from detectorkit.datasets import make_upsampling_images
from detectorkit.features import HoGTransformer, LBPTransformer
from detectorkit.images.decoding import MAX_PIXELS
from detectorkit.model_selection import LeaveOneGeneratorOut
from detectorkit.saliency import GradientSaliency, SmoothGrad
from detectorkit.saliency.metrics import max_sensitivity, pointing_game, randomization_check
from detectorkit.utils.validation import check_count, check_number, check_real, check_seed

ROOT = Path(detectorkit.__file__).parent
STATES = {"int", "np.random.RandomState", "None"}
X = np.random.default_rng(0).integers(0, 256, (4, 64, 64), np.uint8)


def parameters():
    """Every parameter of every function, with its place."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                for argument in (*node.args.args, *node.args.kwonlyargs):
                    yield f"{path.name}:{node.lineno} {node.name}", argument


def test_progress_is_asked_for_by_verbose():
    assert not [place for place, argument in parameters() if argument.arg == "progress"]


def test_a_random_state_is_of_one_kind():
    kinds = {"int | np.random.RandomState | None", "np.random.RandomState"}
    others = [
        place
        for place, argument in parameters()
        if argument.arg == "random_state"
        and ast.unparse(argument.annotation) not in kinds
        and "check_seed" not in place
    ]
    assert not others


@pytest.fixture(scope="module")
def detector():
    return HoGSVMDetector(image_size=(64, 64), random_state=0).fit(X, [0, 1, 0, 1])


def test_every_kind_of_random_state_is_taken(detector):
    gradient = GradientSaliency(detector)
    for call in (
        lambda state: max_sensitivity(gradient, X[:1], n_samples=1, random_state=state),
        lambda state: pointing_game(gradient, X[:1], X[1:2], random_state=state).mass_share,
        lambda state: (
            randomization_check(detector, GradientSaliency, X[:1], random_state=state).correlation
        ),
        lambda state: SmoothGrad(detector, n_samples=1, random_state=state).fit().transform(X[:1]),
    ):
        np.testing.assert_array_equal(call(3), call(3))
        repeated = [call(np.random.RandomState(0)) for _ in range(2)]
        np.testing.assert_array_equal(*repeated)
        call(None)
        with pytest.raises(ValueError, match="random_state='3' must be a whole number"):
            call("3")


def test_a_seed_is_kept_and_a_state_draws():
    assert check_seed("f", 7) == 7
    state = np.random.RandomState(0)
    assert check_seed("f", state) != check_seed("f", state)
    for wrong in (-1, 2**32, 1.5, True, np.random.default_rng(0)):
        with pytest.raises(ValueError, match="f: random_state="):
            check_seed("f", wrong)


@pytest.mark.parametrize(
    ("limits", "good", "wrong", "words"),
    [
        ({"minimum": 0, "maximum": 1}, [0, 0.5, 1], [-1e-9, 1.1], "a number from 0 to 1"),
        ({"above": 0}, [1e-9], [0, -1], "a number above 0"),
        ({"minimum": 0, "below": 1}, [0, 0.9], [-1e-9, 1], "of at least 0 and below 1"),
        ({"maximum": 2}, [2, -5], [2.1], "a number of at most 2"),
        ({}, [5], ["5", None, True, np.nan], "must be a number."),
    ],
)
def test_an_interval_is_said_as_it_is(limits, good, wrong, words):
    for value in good:
        assert check_number("f", "x", value, **limits) == value
    for value in wrong:
        with pytest.raises(ValueError, match=f"f: x={value!r} must be .*") as error:
            check_number("f", "x", value, **limits)
        assert words in str(error.value)


def test_parameters_are_checked_by_the_same_rule(detector):
    detector.C = 0
    with pytest.raises(ValueError, match=r"HoGSVMDetector: C=0 must be a number above 0\."):
        check_real(detector, "C", above=0)
    with pytest.raises(ValueError, match=r"f: n=1.0 must be a whole number of at least 1"):
        check_count("f", "n", 1.0, minimum=1)


@pytest.mark.parametrize("size", [(10**5, 10**5), (1, MAX_PIXELS + 1), (2**40, 2**40)])
def test_no_image_size_is_larger_than_any_image_may_be(size):
    for estimator in (HoGSVMDetector, ForensicDetector, HoGTransformer, LBPTransformer):
        with pytest.raises(ValueError, match=f"{estimator.__name__}: image_size=.* at most 10000"):
            estimator(image_size=size).fit(X, [0, 1, 0, 1])


def test_the_input_of_a_foreign_network_has_one_name():
    assert "network_input" in OnnxDetector("model.onnx").get_params()
    assert "preprocessing" not in OnnxDetector("model.onnx").get_params()


def test_images_have_an_origin_wherever_they_come_from():
    data = make_upsampling_images(n_samples=60, random_state=0)
    assert set(data.origin[data.target == 0]) == set(data.source)
    assert set(data.origin[data.target == 1]) == set(data.generator) - {"photograph"}
    folds = LeaveOneGeneratorOut().split(data.data, data.target, data.origin)
    assert len(list(folds)) == len(set(data.origin[data.target == 1]))
