import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from detectorkit.fingerprint import FingerprintDisplay, FingerprintEstimator


def test_display_shows_every_generator_and_photographs(make):
    mpl.use("agg")
    X, y = make.several({"a": 6, "b": 6, "real": 8})
    estimator = FingerprintEstimator(crop_size=(64, 48), false_alarm_rate=None).fit(X, y)
    figure = Figure()
    display = FingerprintDisplay.from_estimator(estimator, figure=figure)
    assert display.figure_ is figure
    assert display.axes_.shape == (2, 3)
    titles = [ax.get_title() for ax in display.axes_[0]]
    assert titles == ["a\nn = 6", "b\nn = 6", "real\nn = 8"]
    drawn = display.axes_[0, 1].images[0].get_array()
    np.testing.assert_allclose(drawn, np.log10(np.maximum(estimator.spectra_[1], 1e-6)))
