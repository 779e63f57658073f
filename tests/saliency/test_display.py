import numpy as np
import pytest
from numpy.testing import assert_array_equal

from detectorkit import HoGSVMDetector
from detectorkit.saliency import GradientSaliency, SaliencyDisplay
from detectorkit.saliency.display import overlay_map

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def explainer():
    X = np.random.default_rng(0).integers(0, 256, (8, 32, 32), np.uint8)
    return GradientSaliency(HoGSVMDetector(image_size=(32, 32)).fit(X, [0, 1] * 4))


def test_red_raises_the_score_and_blue_lowers_it():
    image = np.full((10, 10), 128, np.uint8)
    found = np.zeros((10, 10), np.float32)
    found[:2], found[8:] = 1, -1
    overlay = overlay_map(image, found)
    assert overlay.shape == (10, 10, 3)
    assert overlay[0, 0, 0] > 128 > overlay[0, 0, 2]
    assert overlay[9, 9, 0] < 128 < overlay[9, 9, 2]
    assert_array_equal(overlay[5], np.full((10, 3), 128))
    assert_array_equal(overlay_map(image, 0 * found), np.full((10, 10, 3), 128))
    for wrong in (found[:5], found * np.nan, found * 1j, np.ma.masked_equal(found, 1), "map"):
        with pytest.raises(ValueError, match=r"the map has .* Pass the map that `transform`"):
            overlay_map(image, wrong)


def test_images_stand_beside_their_maps(explainer):
    X = np.random.default_rng(1).integers(0, 256, (2, 40, 30), np.uint8)
    display = SaliencyDisplay.from_estimator(explainer, X)
    assert display.axes_.shape == (2, 2)
    titles = [ax.get_title(loc="left") for ax in display.axes_[:, 0]]
    assert all(title.startswith(("real, p = ", "generated, p = ")) for title in titles)
    assert display.figure_ is display.axes_[0, 0].figure
    plt.close(display.figure_)
    figure = plt.figure()
    again = SaliencyDisplay.from_maps(X, explainer.transform(X), figure=figure)
    assert again.figure_ is figure
    plt.close(figure)
    with pytest.raises(ValueError, match="1 maps for 2 images"):
        SaliencyDisplay.from_maps(X, explainer.transform(X[:1]))
