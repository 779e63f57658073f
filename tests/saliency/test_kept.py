"""What an explainer makes of its detector's graph is made once, and again for another one."""

import gc
import pickle
import weakref

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from detectorkit import HoGSVMDetector
from detectorkit.saliency import GradCAM, GradientSaliency, _score
from detectorkit.saliency._kept import Kept
from detectorkit.saliency.statistics import gradient_statistics

X = np.random.default_rng(0).integers(0, 256, (8, 48, 48), np.uint8)
Y = np.array([0, 1] * 4)


@pytest.fixture
def detector():
    return HoGSVMDetector(image_size=(48, 48), random_state=0).fit(X, Y)


@pytest.fixture
def sessions(monkeypatch):
    """The sessions that were made for gradients."""
    made, make_session = [], _score.make_session

    def count(*arguments, **options):
        made.append(make_session(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(_score, "make_session", count)
    return made


def test_a_session_is_made_once(detector, sessions):
    explainer = GradientSaliency(detector)
    assert_array_equal(explainer.transform(X[:2]), explainer.transform(X[:2]))
    explainer.gradient(X[:2])
    assert len(sessions) == 1
    explainer.set_params(n_jobs=2).transform(X[:2])
    assert len(sessions) == 2
    gradient_statistics(detector, X, Y)
    assert len(sessions) == 3


def test_a_detector_that_is_fitted_again_is_noticed(detector, sessions):
    explainer = GradientSaliency(detector)
    first = explainer.transform(X[:2])
    detector.fit(X, np.sort(Y))
    second = explainer.transform(X[:2])
    assert len(sessions) == 2
    assert not np.array_equal(first, second)
    assert_array_equal(second, GradientSaliency(detector).transform(X[:2]))
    assert len(explainer._kept) == 1


def test_it_is_neither_pickled_nor_cloned(detector, sessions):
    explainer = GradientSaliency(detector)
    expected = explainer.transform(X[:2])
    copy = pickle.loads(pickle.dumps(explainer))
    assert len(copy._kept) == len(clone(explainer)._kept) == 0
    assert_array_equal(copy.transform(X[:2]), expected)
    assert repr(explainer) == repr(copy)


def test_it_goes_with_the_explainer(detector, sessions):
    explainer = GradientSaliency(detector)
    explainer.transform(X[:2])
    alive = weakref.ref(explainer._kept)
    del explainer
    gc.collect()
    assert alive() is None


def test_it_is_bounded():
    kept, calls = Kept(), []

    def make(content, number):
        calls.append(number)
        return content, number

    for number in [*range(8), 0, 8, 0, 1]:
        assert kept.make(make, b"graph", number) == (b"graph", number)
    assert calls == [*range(8), 8, 1]
    assert len(kept) == 8
    assert kept.make(make, bytes(bytearray(b"graph")), 1) == (b"graph", 1)
    assert len(calls) == 10
    kept.make(make, b"another", 1)
    assert len(kept) == 1


def test_layers_are_found_once(monkeypatch):
    import detectorkit.graph.gradients as module
    from detectorkit import load_detector

    calls, tensor_shapes = [], module.tensor_shapes
    monkeypatch.setattr(
        module, "tensor_shapes", lambda *given: calls.append(1) or tensor_shapes(*given)
    )
    explainer = GradCAM(load_detector("transfer"))
    assert explainer.layers() == explainer.layers()
    assert len(calls) == 1
