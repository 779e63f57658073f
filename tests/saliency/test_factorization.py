import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper, numpy_helper
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator

from detectorkit import ForensicDetector, ModelFileError, OnnxDetector
from detectorkit.graph.inputs import NetworkInput
from detectorkit.images import Treatment
from detectorkit.saliency.factorization import DeepFeatureFactorization

SIZE = 32
RED, GREEN, BLUE = range(3)


def colour_detector(activation="Relu", *, kernel=4, **taken):
    """A network with a channel for each colour that is stronger than the mean of the others."""
    weights = (
        np.full((3, 3, 1, 1), -0.5, np.float32) + 1.5 * np.eye(3, dtype=np.float32)[..., None, None]
    )
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "weights"], ["contrast"]),
            helper.make_node(
                "AveragePool",
                ["contrast"],
                ["coarse"],
                kernel_shape=[kernel] * 2,
                strides=[kernel] * 2,
            ),
            helper.make_node(activation, ["coarse"], ["colours"]),
            helper.make_node("GlobalAveragePool", ["colours"], ["means"]),
            helper.make_node("Flatten", ["means"], ["flat"]),
            helper.make_node("MatMul", ["flat", "head"], ["logit"]),
        ],
        "colours",
        [value("images", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [value("logit", TensorProto.FLOAT, ["n", 1])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([[0], [-1], [1]], np.float32), "head"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    network_input = NetworkInput((SIZE, SIZE), mean=(0, 0, 0), std=(1, 1, 1), **taken)
    detector = OnnxDetector(model.SerializeToString(), network_input=network_input, output="logit")
    return detector.fit(np.zeros((1, SIZE, SIZE, 3), np.uint8))


@pytest.fixture(scope="module")
def detector():
    return colour_detector()


@pytest.fixture(scope="module")
def data():
    """All have red on the left; on the upper right, real ones are green and generated ones blue."""
    X, y = np.zeros((12, SIZE, SIZE, 3), np.uint8), np.arange(12) % 2
    level = np.arange(200, 248, 4)[:, np.newaxis, np.newaxis]
    X[:, :, : SIZE // 2, RED] = level
    X[y == 0, : SIZE // 2, SIZE // 2 :, GREEN] = level[y == 0]
    X[y == 1, : SIZE // 2, SIZE // 2 :, BLUE] = level[y == 1]
    return X, y


@pytest.fixture(scope="module")
def concepts(detector, data):
    # A clone keeps a frozen detector fitted.
    return DeepFeatureFactorization(FrozenEstimator(detector), n_concepts=3).fit(*data)


def by_colour(concepts):
    """The position of the concept of each colour."""
    order = concepts.components_.argmax(axis=0)
    assert sorted(order) == [0, 1, 2]
    return order


def test_concepts_are_the_colours(concepts, data):
    X, _ = data
    assert concepts.layer_ == "network/colours"
    assert_allclose(concepts.components_[by_colour(concepts)], np.eye(3), atol=1e-4)
    expected = X.max(axis=(1, 2)) / 255 * [0.5, 0.25, 0.25]
    prevalence = concepts.prevalence_[:, by_colour(concepts)]
    assert prevalence.dtype == np.float32
    assert_allclose(prevalence, expected, rtol=1e-3, atol=1e-6)
    assert 0 <= concepts.reconstruction_err_ < 1e-3
    red, green, blue = concepts.concept_auc_[by_colour(concepts)]
    assert (green, blue) == (0, 1)
    assert 0.5 <= red < 1


def test_prevalences_do_not_depend_on_company(concepts, data):
    X, _ = data
    assert_array_equal(concepts.transform(X), concepts.prevalence_)
    assert_array_equal(concepts.transform(X[7:8]), concepts.prevalence_[7:8])


def test_it_is_deterministic(concepts, data):
    again = clone(concepts).set_params(n_jobs=2).fit(*data)
    assert_allclose(again.components_, concepts.components_, rtol=1e-5, atol=1e-6)
    exact = clone(concepts).fit(*data)
    assert_array_equal(exact.components_, concepts.components_)
    assert_array_equal(exact.prevalence_, concepts.prevalence_)


def test_labels_have_no_part_in_the_concepts(concepts, data):
    without = clone(concepts).fit(data[0])
    assert_array_equal(without.components_, concepts.components_)
    assert not hasattr(without, "concept_auc_")
    refitted = clone(concepts).fit(*data).fit(data[0])
    assert not hasattr(refitted, "concept_auc_")


def test_heat_lies_where_the_colour_is(concepts, data):
    X, y = data
    maps = concepts.heatmaps(X)
    assert maps.shape == (12, 3, SIZE, SIZE)
    assert maps.dtype == np.float32
    red, green, blue = np.moveaxis(maps[:, by_colour(concepts)], 1, 0)
    # Between two places of the layer a map is interpolated, so the seam is left out.
    assert (red[:, :, :14] > 0.5).all()
    assert_allclose(red[:, :, 18:], 0, atol=1e-3)
    assert (blue[y == 1, :14, 18:] > 0.5).all()
    assert_allclose(blue[y == 0], 0, atol=1e-3)
    assert_allclose(green[y == 1], 0, atol=1e-3)


def test_images_of_other_sizes(concepts, data, tmp_path):
    image = data[0][1]
    large = cv2.resize(image, (96, 64), interpolation=cv2.INTER_NEAREST)
    assert_allclose(concepts.transform([large, image]), concepts.prevalence_[[1, 1]], rtol=1e-5)
    maps = concepts.heatmaps([large, image])
    assert [one.shape for one in maps] == [(3, 64, 96), (3, SIZE, SIZE)]
    cv2.imwrite(str(tmp_path / "large.png"), large[..., ::-1])
    assert_array_equal(concepts.heatmaps([tmp_path / "large.png"])[0], maps[0])
    assert concepts.transform(image[np.newaxis] / 255).shape == (1, 3)


def test_examples_show_the_concept(concepts, data):
    X, y = data
    blue = by_colour(concepts)[BLUE]
    examples = concepts.example_crops(X, n_examples=3, crop_size=(6, 4))
    assert len(examples) == 3
    indices, places, crops = examples[blue]
    assert_array_equal(indices, [11, 9, 7])  # the brightest generated images
    for index, (row, column), crop in zip(indices, places, crops, strict=True):
        assert_array_equal(crop, X[index, row : row + 6, column : column + 4])
    assert all(row < SIZE // 2 <= column + 2 for row, column in places)
    everything = concepts.example_crops(X, n_examples=100, crop_size=(999, 999))[blue]
    assert y[everything.indices].all()
    assert len(set(everything.indices)) == len(everything.crops) == 6
    assert {crop.shape for crop in everything.crops} == {(SIZE, SIZE, 3)}
    none = concepts.example_crops(X[y == 0])[blue]
    assert (len(none.indices), none.places.shape, none.crops) == (0, (0, 2), [])


def test_concepts_lie_where_the_treatment_looked(concepts, data):
    """Also of a classifier from elsewhere, whose `NetworkInput` names the treatment."""
    X, y = data
    wide = [np.pad(image, ((0, 0), (20, 8), (0, 0))) for image in X]
    window = np.s_[:, 14 : 14 + SIZE]  # the centre square
    treating = colour_detector(treatment=Treatment("aligned", SIZE, None))
    assert treating.record_.treatment_text() == "centre square, area 32 px"
    found = DeepFeatureFactorization(treating, n_concepts=3, random_state=0).fit(wide, y)
    maps = found.heatmaps(wide)
    assert maps.shape == (12, 3, SIZE, SIZE + 28)
    assert not np.delete(maps, np.arange(14, 14 + SIZE), axis=3).any()
    blue = by_colour(found)[BLUE]
    (place,) = found.example_crops(wide, n_examples=1, crop_size=(6, 4))[blue].places
    (index,) = found.example_crops(wide, n_examples=1, crop_size=(6, 4))[blue].indices
    row, column = place + np.array([3, 2])
    assert maps[index, blue][row - 2 : row + 2, column - 2 : column + 2].max() > 0
    assert maps[index, blue][window].max() > 0


def test_names_of_features(concepts):
    expected = [f"deepfeaturefactorization{index}" for index in range(3)]
    assert concepts.get_feature_names_out().tolist() == expected


def test_labels_other_than_numbers(data):
    other = colour_detector()
    other.classes_ = np.array(["camera", "generated"])
    concepts = DeepFeatureFactorization(other, n_concepts=3).fit(data[0], other.classes_[data[1]])
    assert 1 in concepts.concept_auc_


def test_a_layer_can_be_chosen(detector, data):
    chosen = DeepFeatureFactorization(detector, layer="network/colours", n_concepts=2).fit(*data)
    assert chosen.components_.shape == (2, 3)
    with pytest.raises(
        ValueError, match=r"layer='means', but OnnxDetector has no such tensor.*'network/colours'"
    ):
        DeepFeatureFactorization(detector, layer="means").fit(*data)
    with pytest.raises(ValueError, match=r"'network/contrast' has negative act.*'network/colours'"):
        DeepFeatureFactorization(detector, layer="network/contrast").fit(*data)
    with pytest.raises(ValueError, match="No tensor of this detector comes after a ReLU"):
        DeepFeatureFactorization(colour_detector("Identity")).fit(*data)
    with pytest.raises(ValueError, match=r"layer=None, but .* No tensor of this detector"):
        DeepFeatureFactorization(colour_detector(kernel=SIZE)).fit(*data)


def test_detectors_that_have_no_places(data, upsampled):
    with pytest.raises(ModelFileError, match=r"DeepFeatureFactorization: .* n_crops=4 crops"):
        DeepFeatureFactorization(colour_detector(n_crops=4)).fit(*data)
    forensic = ForensicDetector(["block_dct"], random_state=0)
    forensic.fit(upsampled.data[:20], upsampled.target[:20])
    with pytest.raises(ModelFileError, match="begins with features"):
        DeepFeatureFactorization(forensic).fit(*data)
    with pytest.raises(NotFittedError):
        DeepFeatureFactorization(ForensicDetector()).fit(*data)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_concepts": 0}, r"n_concepts=0 must be a whole number"),
        ({"n_concepts": 4}, r"n_concepts=4 must be at most 3"),
        ({"max_iter": 0.5}, r"max_iter=0\.5 must be"),
        ({"random_state": -1}, r"random_state=-1 must be"),
    ],
)
def test_wrong_parameters(detector, data, parameters, message):
    with pytest.raises(ValueError, match=f"DeepFeatureFactorization: {message}"):
        DeepFeatureFactorization(detector, **parameters).fit(*data)


def test_wrong_data(concepts, data):
    X, y = data
    with pytest.raises(ValueError, match="only one class is present in y"):
        clone(concepts).fit(X, np.zeros(12))
    with pytest.raises(ValueError, match=r"y has the labels \[2\], but"):
        clone(concepts).fit(X, y + 1)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clone(concepts).fit(X, y[:3])
    with pytest.raises(ValueError, match="the layer is 0 everywhere"):
        clone(concepts).fit(np.zeros_like(X), y)
    with pytest.raises(ValueError, match=r"n_examples=0 and crop_size=\(4, 4\) must be positive"):
        concepts.example_crops(X, n_examples=0, crop_size=(4, 4))
    with pytest.raises(NotFittedError):
        clone(concepts).transform(X)


def test_too_few_sweeps_are_said(detector, data):
    noise = np.random.default_rng(0).integers(0, 256, data[0].shape, np.uint8)
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 1 reached"):
        DeepFeatureFactorization(detector, n_concepts=2, max_iter=1).fit(noise)
