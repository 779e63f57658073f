"""Measure the generator that comes along: how near its faces are to photographs, and their use.

    python -m benchmarks measure-generator DATA

* Distance: the Fréchet distance (Heusel et al. 2017) between features of EfficientNet-Lite0, which
  must be installed, of held-out photographs and of as many other images: generated faces,
  photographs of the training, and the held-out ones blurred. With a few hundred images it is
  biased upwards, for all three alike.
* Detectors: fitted on the photographs of the training and as many generated faces, and tried on
  held-out photographs and new faces, then on held-out photographs of FFHQ and StyleGAN faces, which
  are cut out in the same way. All images have 64 pixels and one JPEG encode at quality 85.

The result is results/generator.json; that of the training is results/generator_training.json.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import cv2
import numpy as np

from benchmarks.accuracy.aligned_faces import SIZE, STYLEGAN, Faces, crop_faces
from benchmarks.accuracy.describe import PACKAGES, describe_detector
from benchmarks.arguments import add_data
from benchmarks.files import RESULTS, write_json
from benchmarks.machine import describe_machine, find_versions
from detectorkit import ForensicDetector, HoGSVMDetector
from detectorkit.backbones import embed_images, find_backbone
from detectorkit.datasets import align_image, sample_generated_faces
from detectorkit.images.sequence import check_images
from detectorkit.metrics import binary_metrics

RESULT = RESULTS / "generator.json"
BLUR = 1.0  # standard deviation in pixels
METRICS = ("roc_auc", "balanced_accuracy", "recall")
DETECTORS = {
    "hog-svm": HoGSVMDetector(image_size=(SIZE, SIZE), random_state=0),
    "forensic": ForensicDetector(random_state=0),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure all, and write it."""
    photographs = crop_faces(arguments.data)
    stylegan = crop_faces(arguments.data, STYLEGAN).images
    seconds = measure_time()
    result = {
        "command": "python -m benchmarks measure-generator DATA",
        "seconds_for_100": {"value": seconds, "machine": describe_machine()},
        "frechet_distance": measure_distances(photographs),
        "detectors": measure_detectors(photographs, stylegan),
        "versions": find_versions(*PACKAGES),
    }
    write_json(RESULT, result)


def measure_time() -> float:
    """Return the seconds of processor time for 100 faces, the model being loaded."""
    sample_generated_faces(1)
    start = time.process_time()
    sample_generated_faces(100, random_state=0)
    return time.process_time() - start


def measure_distances(photographs: Faces) -> dict[str, Any]:
    """Compare images with the held-out photographs."""
    held_out = photographs.images[photographs.held_out]
    seen = photographs.images[~photographs.held_out]
    chosen = np.random.RandomState(0).permutation(len(seen))[: len(held_out)]
    blurred = [cv2.GaussianBlur(image, (0, 0), BLUR) for image in held_out]
    features = compute_features(held_out)
    others = {
        "generated": sample_generated_faces(len(held_out), random_state=0).data,
        "photographs of the training": seen[chosen],
        "held-out photographs, blurred": np.array(blurred),
    }
    found = {
        name: frechet_distance(features, compute_features(images))
        for name, images in others.items()
    }
    return {"n": len(held_out), "features": "efficientnet-lite0", "blur": BLUR, **found}


def compute_features(images: np.ndarray) -> np.ndarray:
    """Compute the features of EfficientNet-Lite0."""
    backbone = find_backbone("efficientnet-lite0")
    return embed_images(backbone, check_images(images)).astype(float)


def frechet_distance(one: np.ndarray, two: np.ndarray) -> float:
    """Compute the Fréchet distance of normal distributions with the means and covariances of both.

    The trace of the root of the product of both covariances is the sum of the singular values of
    the product of both centred matrices.
    """
    means = one.mean(0) - two.mean(0)
    first = (one - one.mean(0)) / np.sqrt(len(one) - 1)
    second = (two - two.mean(0)) / np.sqrt(len(two) - 1)
    cross = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return float(means @ means + np.sum(first**2) + np.sum(second**2) - 2 * cross)


def measure_detectors(photographs: Faces, stylegan: np.ndarray) -> dict[str, Any]:
    """Fit detectors on generated faces, and try them on new ones and on those of StyleGAN."""
    held_out = photographs.held_out
    seen, new = photographs.images[~held_out], photographs.images[held_out]
    ffhq = photographs.images[held_out & (photographs.origin == "ffhq")]
    n_new = len(new)
    faces = sample_generated_faces(len(seen) + n_new, random_state=1).data
    train = labelled(seen, faces[n_new:])
    tests = {
        "held-out photographs and new faces": labelled(new, faces[:n_new]),
        "held-out photographs of FFHQ and StyleGAN faces": labelled(ffhq, stylegan),
    }
    result: dict[str, Any] = {"n_train": [len(seen)] * 2}
    for name, detector in DETECTORS.items():
        detector.fit(*train)
        result[name] = describe_detector(name, detector)
        for title, (images, labels) in tests.items():
            scores = detector.decision_function(images)
            found = binary_metrics(labels, scores, threshold=detector.threshold_)
            counts = {"n_photographs": sum(labels == 0), "n_generated": sum(labels == 1)}
            result[name][title] = {key: int(value) for key, value in counts.items()} | {
                metric: found[metric] for metric in METRICS
            }
            print(name, title, *(f"{metric} {found[metric]}" for metric in METRICS), flush=True)
    return result


def labelled(real: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join photographs and generated images, each compressed once."""
    images = [align_image(image, side=SIZE) for image in (*real, *generated)]
    return np.array(images), np.repeat([0, 1], [len(real), len(generated)])
