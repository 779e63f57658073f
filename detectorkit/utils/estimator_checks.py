"""Checks that every estimator of images should pass, also for estimators of other packages.

scikit-learn's common checks use only 2-D arrays; these checks are their counterpart for images. Run
both:

    @sklearn.utils.estimator_checks.parametrize_with_checks([MyDetector(input_shape=(1, -1))])
    def test_sklearn(estimator, check):
        check(estimator)

    @parametrize_with_image_checks([MyDetector()])
    def test_images(estimator, check):
        check(estimator)
"""

from __future__ import annotations

import atexit
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import joblib
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline, make_union

from detectorkit.exceptions import ImageReadError

__all__ = ["check_image_estimator", "parametrize_with_image_checks"]

Check = Callable[[Any], None]

_N = 24
_SIZE = 48


class _Data(NamedTuple):
    """Images of two classes, sharp and smooth, as one array and as PNG files."""

    images: NDArray[np.uint8]
    y: NDArray[np.int64]
    paths: list[Path]


def check_image_estimator(
    estimator: Any, *, expected_failed_checks: Mapping[str, str] | None = None
) -> list[str]:
    """Run all image checks on an estimator.

    Parameters
    ----------
    estimator : estimator object
        Unfitted detector or transformer; it is cloned for every check.
    expected_failed_checks : mapping of str to str, default=None
        Names of checks that the estimator need not pass, with the reasons; these are not run.
        None runs all checks.

    Returns
    -------
    passed : list of str
        Names of the checks that were run.

    Raises
    ------
    AssertionError
        If a check fails; other errors that occur in a check are not caught.

    Examples
    --------
    >>> from detectorkit.features import HoGTransformer
    >>> from detectorkit.utils.estimator_checks import check_image_estimator
    >>> len(check_image_estimator(HoGTransformer())) > 10
    True
    """
    passed = []
    for name, check in _image_checks(estimator):
        if name not in (expected_failed_checks or {}):
            check(clone(estimator))
            passed.append(name)
    return passed


def parametrize_with_image_checks(
    estimators: Sequence[Any],
    *,
    expected_failed_checks: Callable[[Any], Mapping[str, str]] | None = None,
) -> Any:
    """Make a pytest decorator that runs every check on every estimator.

    Parameters
    ----------
    estimators : sequence of estimator objects
        Unfitted detectors or transformers; they are cloned for every check.
    expected_failed_checks : callable, default=None
        Function that takes an estimator and returns the names of checks that must fail, with the
        reasons. None expects all checks to pass.

    Returns
    -------
    decorator : pytest.MarkDecorator
        Decorator of a test function with the arguments `estimator` and `check`.
    """
    import pytest

    cases = []
    for estimator in estimators:
        expected = expected_failed_checks(estimator) if expected_failed_checks else {}
        for name, check in _image_checks(estimator):
            marks = [pytest.mark.xfail(reason=expected[name])] if name in expected else []
            label = f"{type(estimator).__name__}-{name}"
            cases.append(pytest.param(clone(estimator), check, id=label, marks=marks))
    return pytest.mark.parametrize(("estimator", "check"), cases)


def _image_checks(estimator: Any) -> Iterator[tuple[str, Check]]:
    checks: list[Check] = [*_COMMON_CHECKS]
    checks += _DETECTOR_CHECKS if _is_detector(estimator) else _TRANSFORMER_CHECKS
    for check in checks:
        yield check.__name__, check
    fitted = lru_cache(maxsize=1)(lambda: _fitted(clone(estimator)))  # errors do not change it
    for case in _BAD_IMAGES:
        yield f"check_error_for_{case}", partial(_check_error, case, fitted)


@lru_cache(maxsize=1)
def _data() -> _Data:
    random = np.random.default_rng(0)
    folder = Path(tempfile.mkdtemp(prefix="detectorkit-checks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    images, paths = np.empty((_N, _SIZE, _SIZE, 3), np.uint8), []
    y = np.tile([0, 1], _N // 2)
    for index, label in enumerate(y):
        image = random.integers(0, 256, (_SIZE, _SIZE, 3), dtype=np.uint8)
        images[index] = cv2.GaussianBlur(image, (0, 0), 1.5) if label else image
        paths.append(folder / f"{index}.png")
        cv2.imwrite(str(paths[-1]), images[index][..., ::-1])
    return _Data(images, y, paths)


def _is_detector(estimator: Any) -> bool:
    """Return whether it is a detector; a classifier that also makes features is checked by them."""
    return is_classifier(estimator) and not hasattr(estimator, "transform")


def _outputs(estimator: Any, X: Any) -> NDArray[Any]:
    if _is_detector(estimator):
        return np.asarray(estimator.decision_function(X))
    return np.asarray(estimator.transform(X))


def _fitted(estimator: Any) -> Any:
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    return estimator.fit(_data().images, _data().y)


def check_forms_agree(estimator: Any) -> None:
    """Check that the output is the same for every form of the same images."""
    images, y, paths = _data()
    expected = _outputs(_fitted(estimator), images)
    as_objects = np.empty(_N, dtype=object)
    as_objects[:] = list(images)
    forms = [
        list(images),
        tuple(images),
        as_objects,
        paths,
        [str(path) for path in paths],
        np.array([str(path) for path in paths]),
        images[:, ::1, ::1].copy(order="F"),
    ]
    for form in forms:
        _assert_close(_outputs(estimator, form), expected)
    _assert_close(_outputs(_fitted(clone(estimator)).fit(paths, y), paths), expected)


def check_series_of_paths(estimator: Any) -> None:
    """Check that a pandas Series of paths is accepted."""
    pandas = _import_or_none("pandas")
    if pandas is not None:
        series = pandas.Series([str(path) for path in _data().paths], index=range(5, 5 + _N))
        expected = _outputs(_fitted(estimator), _data().images)
        _assert_close(_outputs(estimator, series), expected)


def check_one_channel(estimator: Any) -> None:
    """Check that the output is the same for (n, h, w) and (n, h, w, 1)."""
    gray = _data().images[..., 0]
    estimator = _fitted(estimator)
    assert_array_equal(_outputs(estimator, gray), _outputs(estimator, gray[..., np.newaxis]))


def check_alpha_is_dropped(estimator: Any) -> None:
    """Check that the output is the same for RGBA and RGB."""
    images = _data().images
    alpha = np.random.default_rng(0).integers(0, 256, (*images.shape[:3], 1), dtype=np.uint8)
    estimator = _fitted(estimator)
    rgba = np.concatenate([images, alpha], axis=3)
    assert_array_equal(_outputs(estimator, rgba), _outputs(estimator, images))


def check_float_equals_uint8(estimator: Any) -> None:
    """Check that the output is the same for floats from 0 to 1 and uint8."""
    # Transformers may keep floats, whose grey values are not rounded to levels.
    images = _data().images if _is_detector(estimator) else _data().images[..., 0]
    expected = _outputs(_fitted(estimator), images)
    for dtype in (np.float32, np.float64):
        _assert_close(_outputs(estimator, (images / 255).astype(dtype)), expected)


def check_input_is_untouched(estimator: Any) -> None:
    """Check that arrays, files and parameters are not changed."""
    images, y, paths = _data()
    before, files = images.copy(), [path.read_bytes() for path in paths]
    parameters = repr(estimator.get_params())
    _outputs(_fitted(estimator), images)
    _outputs(estimator.fit(paths, y), paths)
    assert_array_equal(images, before)
    assert files == [path.read_bytes() for path in paths]
    if "random_state" not in estimator.get_params():
        assert repr(estimator.get_params()) == parameters


def check_readonly_memmap(estimator: Any) -> None:
    """Check that a read-only memory map is accepted."""
    images, y, _ = _data()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npy"
        np.save(file, images)
        mapped = np.load(file, mmap_mode="r")
        outputs = _outputs(_fitted(estimator).fit(mapped, y), mapped)
        assert_array_equal(outputs, _outputs(_fitted(clone(estimator)), images))
        del mapped


def check_sizes_may_differ(estimator: Any) -> None:
    """Check that images of different sizes are accepted, or that the error names the size."""
    images = [
        image[: _SIZE - index % 5, : _SIZE - index % 3]
        for index, image in enumerate(_data().images)
    ]
    try:
        outputs = _outputs(estimator.fit(images, _data().y), images)
    except ValueError as error:
        assert "size" in str(error), f"the error does not mention the size: {error}"
    else:
        assert len(outputs) == _N


def check_single_image(estimator: Any) -> None:
    """Check that a single image in a list or an array is accepted."""
    estimator = _fitted(estimator)
    for X in ([_data().images[0]], [_data().paths[0]], _data().images[:1]):
        assert len(_outputs(estimator, X)) == 1


def check_subset_and_order(estimator: Any) -> None:
    """Check that the output for an image does not depend on the other images."""
    images = _data().images
    expected = _outputs(_fitted(estimator), images)
    order = np.random.default_rng(0).permutation(_N)
    _assert_close(_outputs(estimator, images[order]), expected[order])
    _assert_close(_outputs(estimator, images[3:5]), expected[3:5])


def check_pickle(estimator: Any) -> None:
    """Check that the output is the same after pickling."""
    expected = _outputs(_fitted(estimator), _data().images)
    assert_array_equal(_outputs(pickle.loads(pickle.dumps(estimator)), _data().images), expected)  # noqa: S301


def check_skops(estimator: Any) -> None:
    """Check that the output is the same after a round trip through skops."""
    skops = _import_or_none("skops.io")
    if skops is not None:
        expected = _outputs(_fitted(estimator), _data().images)
        content = skops.dumps(estimator)
        trusted = skops.get_untrusted_types(data=content)
        assert_array_equal(
            _outputs(skops.loads(content, trusted=trusted), _data().images), expected
        )


def check_clone(estimator: Any) -> None:
    """Check that a clone fitted on the same images has the same output."""
    expected = _outputs(_fitted(estimator), _data().images)
    assert_array_equal(_outputs(_fitted(clone(estimator)), _data().images), expected)


def check_n_jobs(estimator: Any) -> None:
    """Check that the output is the same to the last bit for any number of threads."""
    if "n_jobs" in estimator.get_params():
        images, y = np.concatenate([_data().images] * 4), np.tile(_data().y, 4)
        results = []
        for n_jobs in (1, 2):
            fitted = _fitted(clone(estimator).set_params(n_jobs=n_jobs)).fit(images, y)
            # Threads share out many images, but may work together on each of a few.
            results.append([_outputs(fitted, some) for some in (images, images[:2], images[:1])])
        for one, two in zip(*results, strict=True):
            assert_array_equal(one, two)


def check_other_backends(estimator: Any) -> None:
    """Check that the output is the same in other processes, as on a cluster."""
    if "n_jobs" in estimator.get_params():
        expected = _outputs(_fitted(estimator), _data().paths)
        estimator.set_params(n_jobs=2)
        with joblib.parallel_config(backend="loky"):
            assert_array_equal(_outputs(estimator, _data().paths), expected)


def check_unfitted(estimator: Any) -> None:
    """Check that NotFittedError is raised before `fit`."""
    _assert_raises(NotFittedError, "not fitted", _outputs, estimator, _data().images)


def check_2d_needs_input_shape(estimator: Any) -> None:
    """Check that 2-D arrays are refused if `input_shape` is None."""
    if getattr(estimator, "input_shape", None) is None:
        rows = _data().images.reshape(_N, -1)
        _assert_raises(ValueError, "input_shape", estimator.fit, rows, _data().y)


_BAD_IMAGES: dict[str, tuple[str, Callable[[], Any]]] = {
    # name of the case: text that the message must contain, and a function that makes the images
    "empty_list": ("0 sample", list),
    "single_path": ("single path", lambda: str(_data().paths[0])),
    "missing_file": ("image 1,", lambda: [_data().paths[0], Path("no such file.png")]),
    "text_file": ("image 1,", lambda: [_data().paths[0], _write("text.png", b"no image")]),
    "empty_file": ("image 1,", lambda: [_data().paths[0], _write("empty.png", b"")]),
    "truncated_file": (
        "image 1,",
        lambda: [_data().paths[0], _write("cut.png", _data().paths[1].read_bytes()[:2000])],
    ),
    "nan": ("NaN", lambda: _data().images / 255 * np.nan),
    "out_of_range": ("between 0 and 1", lambda: _data().images.astype(np.float64)),
    "integers": ("dtype int64", lambda: _data().images.astype(np.int64)),
    "two_channels": ("2 channels", lambda: _data().images[..., :2]),
    "mixed_forms": ("item 1", lambda: [_data().images[0], _data().paths[1]]),
    "no_pixels": ("without pixels", lambda: _data().images[:, :0]),
    "one_flat_array": ("shape", lambda: [_data().images[0].ravel()]),
}


def _write(name: str, content: bytes) -> Path:
    path = _data().paths[0].with_name(name)
    path.write_bytes(content)
    return path


def _check_error(case: str, fitted: Callable[[], Any], _: Any) -> None:
    """Check that bad images are refused with an error that names the image and the reason."""
    message, make = _BAD_IMAGES[case]
    _assert_raises((ValueError, TypeError, ImageReadError), message, _outputs, fitted(), make())


def check_signs_agree(estimator: Any) -> None:
    """Check that scores, probabilities and predictions agree on the class."""
    images = _data().images
    scores = _outputs(_fitted(estimator), images)
    assert_array_equal(estimator.predict(images), estimator.classes_[(scores > 0).astype(int)])
    probabilities = estimator.predict_proba(images)
    assert_allclose(probabilities.sum(axis=1), 1)
    assert_array_equal(estimator.classes_[probabilities.argmax(axis=1)], estimator.predict(images))
    estimator.threshold_ = np.inf
    assert_array_equal(estimator.predict(images), np.full(_N, estimator.classes_[0]))


def check_scikit_learn_tools(estimator: Any) -> None:
    """Check that pipelines, searches, cross-validation and calibration work on paths."""
    _, y, paths = _data()
    search = GridSearchCV(make_pipeline(estimator), {}, cv=2, error_score="raise").fit(paths, y)
    assert search.predict(paths).shape == y.shape
    assert cross_val_predict(estimator, paths, y, cv=2, method="decision_function").shape == y.shape
    fitted = _fitted(clone(estimator))
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), ensemble=False).fit(paths, y)
    assert calibrated.predict_proba(paths).shape == (_N, 2)


def check_one_class(estimator: Any) -> None:
    """Check that labels of a single class are refused."""
    _assert_raises(ValueError, "class", estimator.fit, _data().images, np.zeros(_N, int))


def check_lengths(estimator: Any) -> None:
    """Check that different numbers of images and labels are refused."""
    _assert_raises(ValueError, "inconsistent", estimator.fit, _data().images, _data().y[:-2])


def check_onnx_round_trip(estimator: Any) -> None:
    """Check that the saved ONNX file has the same probabilities, classes and threshold."""
    from detectorkit.detectors import load_detector

    images = _data().images
    fitted = _fitted(estimator)
    fitted.threshold_ = 0.25
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        fitted.save(path)
        assert [file.name for file in Path(folder).iterdir()] == ["model.onnx"]
        loaded = load_detector(path)
    assert loaded.threshold_ == fitted.threshold_
    assert_array_equal(loaded.classes_, fitted.classes_)
    assert_allclose(loaded.predict_proba(images), fitted.predict_proba(images), atol=1e-4)


def check_feature_names(estimator: Any) -> None:
    """Check that feature names are unique, fit the features, and name data frame columns."""
    outputs = _outputs(_fitted(estimator), _data().images)
    names = estimator.get_feature_names_out()
    assert len(set(names)) == outputs.shape[1]
    if _import_or_none("pandas") is not None:
        frame = estimator.set_output(transform="pandas").transform(_data().images)
        assert list(frame.columns) == list(names)


def check_float32(estimator: Any) -> None:
    """Check that features are finite and in single precision."""
    outputs = _outputs(_fitted(estimator), _data().images)
    assert outputs.dtype == np.float32
    assert np.isfinite(outputs).all()


def check_feature_union(estimator: Any) -> None:
    """Check that a FeatureUnion in a pipeline in a parallel search works on paths."""
    _, y, paths = _data()
    model = make_pipeline(make_union(estimator, clone(estimator)), LogisticRegression())
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1]}, cv=2, n_jobs=2)
    assert search.fit(paths, y).score(paths, y) >= 0.5


def _assert_close(actual: NDArray[Any], expected: NDArray[Any]) -> None:
    assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def _import_or_none(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _assert_raises(kind: Any, message: str, function: Callable[..., Any], *arguments: Any) -> None:
    try:
        function(*arguments)
    except kind as error:
        assert message in str(error), f"{message!r} is not in: {error}"
    else:
        raise AssertionError(f"expected an error with {message!r}, but none was raised")


_COMMON_CHECKS: tuple[Check, ...] = (
    check_forms_agree,
    check_series_of_paths,
    check_one_channel,
    check_alpha_is_dropped,
    check_float_equals_uint8,
    check_input_is_untouched,
    check_readonly_memmap,
    check_sizes_may_differ,
    check_single_image,
    check_subset_and_order,
    check_pickle,
    check_skops,
    check_clone,
    check_n_jobs,
    check_other_backends,
    check_unfitted,
    check_2d_needs_input_shape,
)
_DETECTOR_CHECKS: tuple[Check, ...] = (
    check_signs_agree,
    check_scikit_learn_tools,
    check_one_class,
    check_lengths,
    check_onnx_round_trip,
)
_TRANSFORMER_CHECKS: tuple[Check, ...] = (check_feature_names, check_float32, check_feature_union)
