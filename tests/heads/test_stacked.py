import numpy as np
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from detectorkit.features import (
    BlockDCTTransformer,
    LBPTransformer,
)
from detectorkit.heads.stacked import fit_head


def test_more_features_than_images_is_the_same_problem():
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 200)).astype(np.float32)
    y = (features[:, 0] + features[:, 1] > 0).astype(np.int64)
    settings = {
        "families": [slice(0, 200)],
        "classifier": "logistic",
        "C": 3.0,
        "sample_weight": None,
        "groups": None,
    }
    found = [
        fit_head(
            features.copy(), y, n_components=n, random_state=np.random.RandomState(0), **settings
        )
        for n in (None, 60)  # with all components the rows are as many as the columns
    ]
    scores = [fitted.head.score(features) for fitted in found]
    assert_allclose(scores[0], scores[1], atol=5e-3)
    rows = StandardScaler().fit_transform(features) / np.sqrt(200)
    reference = LogisticRegression(C=3.0, tol=1e-8, max_iter=10_000).fit(rows, y)
    assert_allclose(scores[0], reference.decision_function(rows), atol=5e-3)


def test_families_count_the_same_whatever_their_size(upsampled):
    X, y = upsampled.data[:40], upsampled.target[:40]
    features = np.concatenate(
        [t.fit_transform(X) for t in (LBPTransformer(grid=(4, 4)), BlockDCTTransformer())], axis=1
    )
    families = [slice(0, 944), slice(944, 1072)]
    scaled = features.copy()
    fit_head(
        scaled,
        y,
        families=families,
        classifier="logistic",
        C=1.0,
        n_components=None,
        sample_weight=None,
        groups=None,
        random_state=np.random.RandomState(0),
    )
    assert_allclose([scaled[:, part].var(axis=0).sum() for part in families], 0.5, rtol=1e-3)
