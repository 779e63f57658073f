import itertools
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.testing import assert_allclose

from detectorkit import HoGSVMDetector
from detectorkit.images.preprocessing import resize_image
from detectorkit.images.sequence import check_images


def run(model, pixels):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(["score", "probability"], {"pixels": pixels})


@pytest.mark.parametrize(
    ("block_norm", "color_space"),
    list(itertools.product(["L1", "L1-sqrt", "L2", "L2-Hys"], ["gray", "rgb"])),
)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"orientations": 4, "pixels_per_cell": (7, 5), "transform_sqrt": True},
        {"orientations": 1, "cells_per_block": (3, 1)},
        {"orientations": 12, "image_size": (61, 75), "cells_per_block": (1, 1)},
    ],
)
def test_plain_onnxruntime_gives_the_scores_of_the_detector(
    upsampled, block_norm, color_space, settings
):
    settings = {"image_size": (64, 64), **settings}
    X, y = upsampled.data[:40], upsampled.target[:40]
    detector = HoGSVMDetector(block_norm=block_norm, color_space=color_space, **settings).fit(X, y)
    images = check_images(X)
    pixels = np.stack([resize_image(images[i], detector.working_size_) for i in range(40)])
    if color_space == "gray":
        import cv2

        pixels = np.stack(
            [resize_image(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), detector.working_size_) for x in X]
        )
    score, probability = run(detector.to_onnx(), pixels)
    # Square roots are rounded to float32 in the graph, which may decide between two channels
    # whose gradients are almost equally strong.
    tolerance = 5e-3 if detector.transform_sqrt and color_space == "rgb" else 2e-4
    assert_allclose(score, detector.decision_function(X), atol=tolerance)
    assert_allclose(probability, detector.predict_proba(X)[:, 1], atol=tolerance)


def test_gradients_on_the_edges_of_bins_fall_as_in_the_features():
    # Steps of equal height in both directions have angles of exactly 0, 45, 90 and 135 degrees.
    random = np.random.default_rng(0)
    X = (random.integers(0, 2, (30, 32, 32)) * 100).astype(np.uint8)
    y = np.arange(30) % 2
    for orientations in (2, 4, 8, 9):
        detector = HoGSVMDetector(orientations=orientations, image_size=None).fit(X, y)
        score, _ = run(detector.to_onnx(), X)
        assert_allclose(score, detector.decision_function(X), atol=2e-4)


def test_an_image_without_gradients_has_a_finite_score(fitted):
    score, probability = run(fitted.to_onnx(), np.full((1, 128, 128), 77, np.uint8))
    assert np.isfinite(score).all()
    assert np.isfinite(probability).all()


def test_the_record_says_what_a_prediction_needs(fitted):
    model = fitted.to_onnx()
    (property_,) = model.metadata_props
    record = json.loads(property_.value)
    assert record["detector"] == "HoGSVMDetector"
    assert record["preprocessing"]["image_size"] == [128, 128]
    assert record["preprocessing"]["color_space"] == "gray"
    assert record["features"][0]["name"] == "hog"
    assert record["classes"] == [0, 1]
    assert record["training"]["n_samples"] == 120
    onnx.checker.check_model(model, full_check=True)
    assert {tensor.data_location for tensor in model.graph.initializer} == {0}  # nothing outside


def test_on_real_faces_graph_and_detector_agree(real_faces):
    paths, y = real_faces
    detector = HoGSVMDetector(random_state=0).fit(paths[::2], y[::2])
    images = check_images(paths)
    from detectorkit.images.preprocessing import Preprocessing

    pixels = np.concatenate(list(images.read_stacked(Preprocessing((128, 128), "gray"))))
    _, probability = run(detector.to_onnx(), pixels)
    assert_allclose(probability, detector.predict_proba(paths)[:, 1], atol=1e-4)
