import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectorkit.heads.linear_svm import _best_intercept


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
