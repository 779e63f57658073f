import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectorkit.heads.linear_svm import _best_intercept, _hold_out


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
