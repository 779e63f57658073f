"""What several tests share: images made on the spot, and real ones where they are there."""

import csv
import os
import tempfile
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # or scikit-learn skips one of its checks
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

HOME = tempfile.TemporaryDirectory(prefix="detectorkit-home-")
os.environ["DETECTORKIT_HOME"] = HOME.name  # nothing is installed where a user would find it

MANIFEST = Path(__file__).parents[2] / "shared" / "data" / "manifest.csv"


@pytest.fixture(scope="session")
def upsampled():
    from detectorkit.datasets import make_upsampling_images

    return make_upsampling_images(n_samples=120, random_state=0)


@pytest.fixture(scope="session")
def fitted(upsampled):
    from detectorkit import HoGSVMDetector

    return HoGSVMDetector(random_state=0).fit(upsampled.data, upsampled.target)


@pytest.fixture(scope="session")
def folder(tmp_path_factory, upsampled):
    """A folder of labelled PNG files: real/<source>/ and generated/<decoder>/."""
    place = tmp_path_factory.mktemp("data")
    rows = zip(upsampled.data, upsampled.target, upsampled.generator, upsampled.source, strict=True)
    for index, (image, label, generator, source) in enumerate(rows):
        kind = ("generated", generator) if label else ("real", source)
        path = place.joinpath(*kind, f"{index:03}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image[..., ::-1])
    return place


@pytest.fixture(scope="session")
def fast_export():
    """Have torch make its table of operators once, and not in each export of a small network."""
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry
    except ImportError:  # no torch, or another one
        return
    ONNXRegistry.from_torchlib = staticmethod(lru_cache(ONNXRegistry.from_torchlib))


@pytest.fixture(scope="session")
def manifest_rows():
    """All that the manifest of the evaluation images says, with their full paths."""
    if not MANIFEST.exists():
        pytest.skip("the evaluation images are not on this machine")
    with MANIFEST.open(newline="") as file:
        return [row | {"path": str(MANIFEST.parent / row["path"])} for row in csv.DictReader(file)]


@pytest.fixture(scope="session")
def real_faces(manifest_rows):
    """Paths and labels of 200 real and generated faces of one source, half and half."""
    rows = [row for row in manifest_rows if row["source"] == "zoya2244"]
    chosen = [r for r in rows if r["label"] == "0"][:100] + [r for r in rows if r["label"] == "1"][
        :100
    ]
    return (
        [row["path"] for row in chosen],
        np.array([int(row["label"]) for row in chosen]),
    )


@pytest.fixture
def odd_images(tmp_path, upsampled):
    """Files of which only the last can be judged, by what is odd about them."""
    import numpy as np
    from PIL import Image

    image = Image.fromarray(upsampled.data[0])
    nearly_white = np.full((200, 300, 3), 254, np.uint8)
    nearly_white[::2] = 255
    images = {
        "pixel": Image.new("RGB", (1, 1)),
        "tiny": image.resize((40, 90)),
        "black": Image.new("RGB", (300, 200)),
        "white": Image.fromarray(nearly_white),
        "normal": image,
    }
    paths = {name: str(tmp_path / f"{name}.png") for name in images}
    for name, path in paths.items():
        images[name].save(path)
    return paths
