import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper, numpy_helper
from scipy.special import expit
from scipy.stats import kurtosis, spearmanr
from sklearn.exceptions import NotFittedError

from detectorkit import HoGSVMDetector, ModelFileError, OnnxDetector
from detectorkit.graph.inputs import NetworkInput
from detectorkit.saliency.regions import face_regions
from detectorkit.saliency.statistics import gradient_statistics

SIZE = 16
SKIN = 224, 172, 138


def linear_detector(weights, *, n_crops=None):
    """A score that is a weighted sum of the pixels, so that its gradient is the weights."""
    value = helper.make_tensor_value_info
    column = weights.transpose(2, 0, 1).reshape(-1, 1).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logit"]),
        ],
        "linear",
        [value("images", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [value("logit", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(column, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    taken = NetworkInput((SIZE, SIZE), mean=(0, 0, 0), std=(1, 1, 1), n_crops=n_crops)
    detector = OnnxDetector(model.SerializeToString(), network_input=taken, output="logit")
    return detector.fit(np.zeros((1, SIZE, SIZE, 3), np.uint8))


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(0).normal(0, 0.05, (SIZE, SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def detector(weights):
    return linear_detector(weights)


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(1).integers(0, 256, (20, SIZE, SIZE, 3), np.uint8)
    return X, np.arange(20) % 2


def halves(images):
    left = np.zeros(images.shape[:3], bool)
    left[:, :, : SIZE // 2] = True
    return {"left": left, "right": ~left}


def loss_gradients(weights, X, y):
    scores = (X / 255 * weights).sum(axis=(1, 2, 3))
    return (expit(scores) - y)[:, np.newaxis, np.newaxis, np.newaxis] * weights


def test_distributions_are_those_of_the_loss(detector, weights, data):
    X, y = data
    found = gradient_statistics(detector, X, y)
    expected = loss_gradients(weights, X, y)
    assert len(found.edges) == 65
    assert_allclose(found.edges[-1], np.abs(expected).max(), rtol=1e-4)
    for code, figures in enumerate((found.real, found.generated)):
        values = expected[y == code].ravel()  # few enough for all to be kept
        distribution = figures.distribution
        assert (figures.n, figures.n_saturated) == (10, 0)
        assert_allclose(distribution.mean, values.mean(), rtol=1e-3, atol=1e-7)
        assert_allclose(distribution.std, values.std(), rtol=1e-4)
        assert_allclose(distribution.kurtosis, kurtosis(values), rtol=1e-3)
        near_zero = np.mean(np.abs(values) <= 0.01 * values.std())
        assert_allclose(distribution.near_zero, near_zero, atol=1e-3)
        for share, value in distribution.quantiles.items():
            assert_allclose(value, np.quantile(values, share), rtol=1e-3, atol=1e-6)
        assert_allclose(distribution.histogram.sum(), 1, atol=1e-3)


def test_shares_of_regions_are_those_of_the_weights(detector, weights, data):
    found = gradient_statistics(detector, *data, masks=halves)
    size = np.abs(weights).sum(axis=2)
    left = size[:, : SIZE // 2].sum() / size.sum()
    for figures in (found.real, found.generated):
        assert list(figures.regions) == ["left", "right"]
        assert_allclose(figures.regions["left"].mass, left, rtol=1e-5)
        assert_allclose(figures.regions["right"].mass, 1 - left, rtol=1e-5)
        assert figures.regions["left"].area == figures.regions["right"].area == 0.5
        # All images have the same share, so the interval has no width.
        assert_allclose(figures.regions["left"].ratio, [2 * left] * 3, rtol=1e-5)


def test_a_gradient_that_is_the_same_everywhere_prefers_nothing(data):
    X, y = data
    flat = linear_detector(np.full((SIZE, SIZE, 3), 1e-3))
    found = gradient_statistics(flat, X, y)
    for region in found.generated.regions.values():
        if region.area > 0:
            assert_allclose(region.ratio.value, 1, rtol=1e-5)
    assert np.isnan(found.generated.texture_correlation.value)  # nothing to be ranked


def test_regions_of_images_that_differ(detector, weights):
    """Half of the images have a region: its mean share is of all images, and so is its area."""
    X = np.random.default_rng(2).integers(0, 256, (8, SIZE, SIZE, 3), np.uint8)
    X[::2, 0, 0] = 255
    X[1::2, 0, 0] = 0

    def corner(images):
        mask = np.zeros(images.shape[:3], bool)
        mask[:, :4, :4] = (images[:, 0, 0, 0] == 255)[:, np.newaxis, np.newaxis]
        return {"corner": mask}

    found = gradient_statistics(detector, X, [0, 0, 1, 1] * 2, masks=corner).real
    size = np.abs(weights).sum(axis=2)
    share = size[:4, :4].sum() / size.sum()
    assert_allclose(found.regions["corner"].mass, share / 2, rtol=1e-5)
    assert_allclose(found.regions["corner"].area, 1 / 16 / 2)
    assert_allclose(found.regions["corner"].ratio.value, share * 16, rtol=1e-5)


def test_correlation_with_texture(weights, data):
    X, y = data
    X = X.copy()
    X[:, :, : SIZE // 2] = 128  # smooth on the left, noise on the right
    rough = np.full((SIZE, SIZE, 3), 1e-4)
    rough[:, SIZE // 2 :] = 1e-3
    rough[: SIZE // 2] *= 1.5
    found = gradient_statistics(linear_detector(rough), X, y)
    blocks = np.abs(rough).sum(axis=2).reshape(2, 8, 2, 8).sum(axis=(1, 3)).ravel()
    # As OpenCV makes grey of colours.
    luma = np.rint(X @ np.array([0.299, 0.587, 0.114]))
    texture = luma.reshape(20, 2, 8, 2, 8).std(axis=(2, 4)).reshape(20, 4)
    each = np.array([spearmanr(blocks, one).statistic for one in texture])
    assert_allclose(found.real.texture_correlation.value, each[y == 0].mean(), rtol=1e-6)
    value, low, high = found.generated.texture_correlation
    assert_allclose(value, each[y == 1].mean(), rtol=1e-6)
    assert each.min() <= low <= value <= high <= each.max()


def test_it_is_deterministic(detector, data):
    first = gradient_statistics(detector, *data, n_resamples=50)
    again = gradient_statistics(detector, *data, n_resamples=50, n_jobs=2)
    assert json.dumps(first.to_dict()) == json.dumps(again.to_dict())
    other = gradient_statistics(detector, *data, n_resamples=50, random_state=1)
    assert first.real.texture_correlation != other.real.texture_correlation


def test_values_are_drawn_of_large_images(monkeypatch, detector, data):
    from detectorkit.saliency import statistics

    monkeypatch.setattr(statistics, "_N_VALUES", 500)
    some = gradient_statistics(detector, *data).real.distribution
    monkeypatch.undo()
    every = gradient_statistics(detector, *data).real.distribution
    assert some.std != every.std
    assert_allclose(some.std, every.std, rtol=0.1)


def test_images_that_the_detector_is_sure_of(weights, data):
    X, y = data
    X = np.where(y[:, np.newaxis, np.newaxis, np.newaxis] == 1, 255, X).astype(np.uint8)
    sure = linear_detector(np.abs(weights))  # white pictures have scores of about 30
    found = gradient_statistics(sure, X, y)
    assert found.generated.n_saturated == found.generated.n == 10
    assert found.generated.distribution.near_zero == 1
    assert np.isnan(found.generated.distribution.kurtosis)
    assert np.isnan(found.generated.regions["eyes"].ratio.value)
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["generated"]["distribution"]["kurtosis"] is None
    assert content["generated"]["regions"]["eyes"]["mass"] is None
    with pytest.raises(ValueError, match="the gradient is 0 everywhere"):
        gradient_statistics(linear_detector(np.zeros_like(weights)), X, y)


def test_grey_detectors_and_files_of_any_size(tmp_path):
    import cv2

    paths = []
    for index, shape in enumerate([(70, 80), (64, 64), (90, 64), (64, 70)]):
        image = np.random.default_rng(index).integers(0, 256, (*shape, 3), np.uint8)
        paths.append(tmp_path / f"{index}.png")
        cv2.imwrite(str(paths[-1]), image)
    detector = HoGSVMDetector(image_size=(64, 64), random_state=0).fit(paths, [0, 1, 0, 1])
    found = gradient_statistics(detector, paths, [0, 1, 0, 1])
    for figures in (found.real, found.generated):
        assert_allclose(sum(one.mass for one in figures.regions.values()), 1)
        assert_allclose(sum(one.area for one in figures.regions.values()), 1)


def test_one_image_has_no_interval(detector, data):
    found = gradient_statistics(detector, data[0][:3], [0, 1, 1], masks=halves)
    value, low, high = found.real.regions["left"].ratio
    assert value > 0
    assert np.isnan([low, high]).all()


def test_to_dict_holds_everything(detector, data):
    found = gradient_statistics(detector, *data, masks=halves)
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert list(content) == ["edges", "real", "generated"]
    assert content["edges"] == found.edges.tolist()
    assert set(content["real"]) == {
        "n",
        "n_saturated",
        "distribution",
        "regions",
        "texture_correlation",
    }
    left = content["real"]["regions"]["left"]
    assert left["ratio"] == found.real.regions["left"].ratio.to_dict()
    assert len(content["generated"]["distribution"]["histogram"]) == 64
    assert content["real"]["distribution"]["quantiles"]["0.5"] is not None


def test_plot(detector, data):
    pytest.importorskip("matplotlib")
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    found = gradient_statistics(detector, *data)
    axes = Figure().subplots(2)
    assert found.plot(axes[0]) is axes[0]
    assert axes[0].get_xscale() == "log"
    found.plot(axes[1], kind="regions")
    labels = [label.get_text() for label in axes[1].get_xticklabels()]
    assert labels == list(found.real.regions)
    for ax in axes:
        names = [text.get_text() for text in ax.get_legend().get_texts()]
        assert names == ["real", "generated"]
    own = found.plot()
    plt.close(own.figure)
    with pytest.raises(ValueError, match=r"GradientStatistics\.plot: kind='pie' must be one of"):
        found.plot(kind="pie")


def test_regions_of_a_face_are_disjoint_and_whole():
    image = np.zeros((1, 100, 100, 3), np.uint8)
    image[0, 20:90, 30:70] = SKIN
    regions = face_regions(image)
    assert list(regions) == ["eyes", "skin", "background", "hair", "other"]
    assert_array_equal(np.sum(list(regions.values()), axis=0), 1)
    at = {name: mask[0] for name, mask in regions.items()}
    assert at["eyes"][45, 40]  # before skin, whose colour it has
    assert at["skin"][70, 50]
    assert at["background"][5, 50]  # before hair
    assert at["hair"][15, 50]
    assert at["other"][70, 80]
    image[0, :, :30] = SKIN
    assert face_regions(image)["skin"][0, 50, 2]  # before background


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ("body", r"gradient_statistics: masks='body' must be one of 'face'"),
        (lambda _: [], r"masks returned list"),
        (lambda _: {"a": np.zeros(3, bool)}, r"region 'a': mask of shape \(3,\)"),
        (lambda images: {"a": images[..., 0]}, r"region 'a': .* dtype uint8"),
        (lambda _: {"a": None}, r"region 'a': mask of shape \(\)"),
        (
            lambda images: {str(len(images)): np.ones(images.shape[:3], bool)},
            r"the regions \['4'\] for some images and \['16'\] for others",
        ),
    ],
)
def test_wrong_masks(detector, data, masks, message):
    with pytest.raises(ValueError, match=message):
        gradient_statistics(detector, *data, masks=masks)


def test_wrong_input(weights, detector, data):
    X, y = data
    with pytest.raises(ValueError, match="gradient_statistics: only one class is present in y"):
        gradient_statistics(detector, X, np.ones(20))
    with pytest.raises(ValueError, match="gradient_statistics: y has the labels"):
        gradient_statistics(detector, X, y + 5)
    with pytest.raises(ModelFileError, match=r"gradient_statistics: .* n_crops=4 crops"):
        gradient_statistics(linear_detector(weights, n_crops=4), X, y)
    with pytest.raises(NotFittedError):
        gradient_statistics(HoGSVMDetector(), X, y)
