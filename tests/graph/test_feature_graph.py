import json

import numpy as np
import onnxruntime
import pytest
from numpy.testing import assert_allclose

from detectorkit import ForensicDetector, OnnxDetector
from detectorkit.exceptions import ModelFileError
from detectorkit.features import BlockDCTTransformer, HoGTransformer, LBPTransformer
from detectorkit.images.preprocessing import convert_color, resize_image


def run(model, name, values):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    assert [start.name for start in session.get_inputs()] == [name]
    return session.run(["score", "probability"], {name: values})


@pytest.mark.parametrize("color_space", ["gray", "rgb"])
@pytest.mark.parametrize(
    "transformers",
    [
        [BlockDCTTransformer()],
        [LBPTransformer()],
        [LBPTransformer(radius=2, grid=(3, 4), codes="default", root=False)],
        [HoGTransformer(), LBPTransformer(grid=(5, 5)), BlockDCTTransformer()],
    ],
)
def test_plain_onnxruntime_goes_from_pixels_to_the_score(upsampled, color_space, transformers):
    X, y = upsampled.data[:40], upsampled.target[:40]
    detector = ForensicDetector(
        transformers, color_space=color_space, image_size=(50, 60), random_state=0
    ).fit(X, y)
    pixels = np.stack([resize_image(convert_color(x, color_space), (50, 60)) for x in X])
    score, probability = run(detector.to_onnx(), "pixels", pixels)
    assert_allclose(score, detector.decision_function(X), atol=2e-4)
    assert_allclose(probability, detector.predict_proba(X)[:, 1], atol=1e-4)


@pytest.mark.parametrize("n_components", [None, 10])
def test_trees_are_the_same_in_the_graph(upsampled, n_components):
    X, y = upsampled.data, upsampled.target
    detector = ForensicDetector(
        ["block_dct"], classifier="boosting", n_components=n_components, random_state=0
    ).fit(X, y)
    features = BlockDCTTransformer(color_space="ycbcr").fit_transform(X)
    score, _ = run(detector.to_onnx(), "features", features)
    assert_allclose(score, detector.decision_function(X), atol=1e-4)


def test_native_features_come_with_the_record_of_how_they_are_made(upsampled):
    X, y = upsampled.data[:40], upsampled.target[:40]
    model = ForensicDetector(random_state=0).fit(X, y).to_onnx()
    record = json.loads(model.metadata_props[0].value)
    assert record["preprocessing"]["image_size"] is None
    assert [family["name"] for family in record["features"]] == ["hog", "lbp", "residual"]
    assert record["features"][1]["grid"] == [12, 12]
    assert record["features"][2]["statistics"] == ["cooccurrences"]


def test_a_loaded_stack_says_that_hog_wants_images_of_one_size(upsampled):
    X, y = upsampled.data[:20], upsampled.target[:20]
    model = ForensicDetector([HoGTransformer()], random_state=0).fit(X, y).to_onnx()
    detector = OnnxDetector(model.SerializeToString()).fit(X)
    with pytest.raises(ValueError, match="HoG features depend on the size"):
        detector.predict([X[0][:48]])


def test_features_from_a_later_version_are_refused(upsampled):
    X, y = upsampled.data[:20], upsampled.target[:20]
    model = ForensicDetector(["residual"], random_state=0).fit(X, y).to_onnx()
    for change in (('"residual"', '"wavelets"'), ('"truncation"', '"cut"')):
        text = model.metadata_props[0].value
        model.metadata_props[0].value = text.replace(*change)
        detector = OnnxDetector(model.SerializeToString())
        with pytest.raises(ModelFileError, match="features that this version does not know"):
            detector.fit(X).predict(X)
        model.metadata_props[0].value = text
