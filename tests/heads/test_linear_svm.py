import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from detectorkit.heads import linear_svm
from detectorkit.heads.linear_svm import _best_intercept, _hold_out, solve_gram, solve_stream


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 30), st.booleans(), st.integers(0, 999))
def test_the_intercept_of_stream_minimises_the_hinge_loss(n, weighted, seed):
    random = np.random.default_rng(seed)
    projected, y = random.normal(size=n) * 3, np.arange(n) % 2
    weight = random.random(n) + 0.1 if weighted else np.ones(n)

    def loss(intercept):
        margins = (2 * y - 1) * (projected + intercept)
        return np.sum(weight * np.maximum(0, 1 - margins))

    best = _best_intercept(projected, y, weight if weighted else None)
    assert loss(best) <= min(loss(b) for b in np.linspace(-12, 12, 500)) + 1e-9


def test_stream_holds_out_whole_groups():
    y, groups = np.repeat([0, 1], 100), np.repeat(np.arange(50), 4)
    train, held_out = _hold_out(y, groups, 0.1, np.random.RandomState(0))
    assert not set(groups[train]) & set(groups[held_out])
    assert len(held_out) == 20
    assert sorted([*train, *held_out]) == list(range(200))
    alone = _hold_out(y, y, 0.5, np.random.RandomState(0))  # no class may be missing
    assert [len(part) for part in alone] == [200, 0]


def draw(n, n_features=300, seed=0):
    """Rows of which a tenth have the wrong label, in the order of their labels, as in folders."""
    random = np.random.default_rng(seed)
    y = np.sort(random.integers(0, 2, n))
    features = random.random((n, n_features)) + 0.1 * np.outer(y, random.random(n_features))
    return features.astype(np.float32), np.where(random.random(n) < 0.1, 1 - y, y)


def in_batches(features):
    return (features[start : start + 64] for start in range(0, len(features), 64))


@pytest.mark.parametrize("C", [1e-4, 0.003, 0.03])  # at the smallest, no vector is free
@pytest.mark.parametrize("is_weighted", [False, True])
def test_stream_finds_the_weights_of_gram(C, is_weighted, monkeypatch):
    monkeypatch.setattr(linear_svm, "_CHUNK", 256)
    features, y = draw(1500)
    weight = np.random.default_rng(1).integers(0, 4, len(y)) / 2 if is_weighted else None
    exact, streamed = (
        solve(
            rows, y, C=C, sample_weight=weight, groups=None, random_state=np.random.RandomState(0)
        )
        for solve, rows in ((solve_gram, features.copy()), (solve_stream, in_batches(features)))
    )
    far = np.linalg.norm(streamed.coef - exact.coef) / np.linalg.norm(exact.coef)
    assert far < 1e-3
    assert abs(streamed.intercept - exact.intercept) < 2e-3


def test_held_out_scores_are_of_a_machine_that_has_not_seen_them():
    features, _ = draw(300, n_features=2000)
    y = np.random.default_rng(2).integers(0, 2, 300)  # nothing to find, but much to remember
    fitted = solve_stream(
        in_batches(features), y, C=1.0, sample_weight=None, random_state=np.random.RandomState(0)
    )
    scores = features @ fitted.coef + fitted.intercept
    assert np.mean((scores > 0) == y) == 1
    assert np.mean((fitted.held_out_scores > 0) == y[fitted.held_out]) < 0.8


def test_the_memory_of_stream_does_not_grow_with_the_images(monkeypatch):
    monkeypatch.setattr(linear_svm, "_MIN_PASSES", 1)
    monkeypatch.setattr(linear_svm, "_MIN_UPDATES", 1)
    batch, peaks = draw(64, n_features=1000)[0], []
    for n in (2048, 8192):
        tracemalloc.start()
        with pytest.warns(ConvergenceWarning, match=r"before it reached the optimum\. Pass"):
            solve_stream(
                (batch for _ in range(n // 64)),
                np.arange(n) % 2,
                C=0.1,
                sample_weight=None,
                random_state=np.random.RandomState(0),
            )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 6144 * 150  # of 4000 bytes for the features of each
