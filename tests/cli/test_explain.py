import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from detectorkit import ForensicDetector, HoGSVMDetector, load_detector
from detectorkit.cli import main
from detectorkit.images import Treatment
from detectorkit.models import shipped_detectors
from detectorkit.saliency import OcclusionSaliency


@pytest.fixture
def model(tmp_path):
    X = np.random.default_rng(0).integers(0, 256, (8, 32, 32), np.uint8)
    path = tmp_path / "model.onnx"
    HoGSVMDetector(image_size=(32, 32)).fit(X, [0, 1] * 4).save(path)
    return path


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8))
    return path


@pytest.mark.parametrize("method", ["occlusion", "gradient", "smooth-grad", "grad-cam"])
def test_a_picture_and_numbers_as_large_as_the_image_are_written(
    method, model, image, tmp_path, capsys
):
    output, numbers = tmp_path / "map.png", tmp_path / "map.npy"
    arguments = ["--method", method, "--numbers", str(numbers)]
    assert main(["explain", str(model), str(image), "-o", str(output), *arguments]) == 0
    assert min(cv2.imread(str(output)).shape[:2]) > 300
    assert np.load(numbers).shape == (30, 40)
    verdict, probability, path, where = capsys.readouterr().out.rstrip().split("  ")
    assert verdict in {"real", "generated", "can't tell"}
    assert 0 <= float(probability) <= 1
    assert (path, where) == (str(image), str(output))


def test_the_numbers_are_those_of_the_class(model, image, tmp_path):

    numbers = tmp_path / "map.npy"
    output = ["-o", str(tmp_path / "map.png"), "--numbers", str(numbers)]
    assert main(["explain", str(model), str(image), *output]) == 0
    expected = OcclusionSaliency(load_detector(model)).transform([image])[0]
    np.testing.assert_allclose(np.load(numbers), expected, rtol=1e-5, atol=1e-9)


def test_a_detector_without_a_gradient_is_explained_by_occlusion(image, tmp_path, capsys):
    output = tmp_path / "map.png"
    cv2.imwrite(str(image), cv2.resize(cv2.imread(str(image)), (64, 48)))
    assert main(["explain", "forensic", str(image), "-o", str(output)]) == 0
    assert output.exists()
    assert main(["explain", "forensic", str(image), "-o", str(output), "--method", "gradient"]) == 2
    assert "Use OcclusionSaliency" in capsys.readouterr().err


def test_errors_leave_nothing_behind(model, image, tmp_path, capsys):
    missing = tmp_path / "nowhere" / "map.png"
    assert main(["explain", str(model), str(image), "-o", str(missing)]) == 2
    assert "does not exist. Make it first." in capsys.readouterr().err
    output = tmp_path / "map.png"
    assert main(["explain", str(model), str(tmp_path / "no.png"), "-o", str(output)]) == 2
    assert not output.exists()
    assert (
        main(["explain", str(model), str(image), "-o", str(output), "--method", "attention"]) == 2
    )
    assert not output.exists()


def test_several_images_are_rows_of_one_picture(image, tmp_path, capsys):
    """With the default model, a folder, and a file that is not an image."""
    (tmp_path / "folder").mkdir()
    image.rename(tmp_path / "folder" / "a.png")
    (tmp_path / "folder" / "b.png").write_bytes(b"broken")
    cv2.imwrite(str(tmp_path / "c.png"), np.full((40, 30, 3), 90, np.uint8))
    inputs = [str(tmp_path / "folder"), str(tmp_path / "c.png")]
    output = tmp_path / "map.png"
    assert main(["explain", "-m", "cnn", *inputs, "-o", str(output)]) == 1
    out, err = capsys.readouterr()
    assert [line.split("  ")[2].rpartition("/")[2] for line in out.splitlines()] == [
        "a.png",
        "c.png",
    ]
    assert "b.png" in err
    assert "Treatment of every image: centre square, area 160 px" in err
    height = cv2.imread(str(output)).shape[0]
    assert height > 900  # two rows
    assert main(["explain", *inputs, "-o", str(output), "--numbers", "x.npy"]) == 2
    assert "--numbers takes the map of one image, not of 3" in capsys.readouterr().err


def test_each_image_has_a_picture_of_its_own_in_a_folder(model, image, tmp_path, capsys):
    """Also images of the same name, and beside the images themselves."""
    other = tmp_path / "other"
    other.mkdir()
    (other / image.name).write_bytes(image.read_bytes())
    (other / "broken.png").write_bytes(b"broken")
    before = (other / image.name).read_bytes()
    images = [str(image), str(other)]
    assert main(["explain", "-m", str(model), *images, "-o", str(other)]) == 1
    out, err = capsys.readouterr()
    written = [line.split("  ")[3] for line in out.splitlines()]
    assert written == [str(other / "image-map.png"), str(other / "image-map-2.png")]
    one, two = (cv2.imread(path) for path in written)
    np.testing.assert_array_equal(one[26:], two[26:])  # below the captions
    assert (other / image.name).read_bytes() == before
    assert not (other / "broken-map.png").exists()
    assert "broken.png" in err


def test_the_legend_names_the_detector_the_method_and_the_colours(model, image, tmp_path):
    """As lines of a height of their own, which differ between methods and detectors."""
    pictures = {}
    for name, method in (("a", "occlusion"), ("b", "occlusion"), ("a", "gradient")):
        shutil.copy(model, tmp_path / f"{name}.onnx")
        output = tmp_path / f"{name}-{method}.png"
        arguments = ["-m", str(tmp_path / f"{name}.onnx"), str(image), "-o", str(output)]
        assert main(["explain", *arguments, "--method", method]) == 0
        pictures[name, method] = cv2.imread(str(output))
    one, other = pictures["a", "occlusion"], pictures["b", "occlusion"]
    assert one.shape == other.shape
    differs = np.flatnonzero((one != other).any(axis=(1, 2)))
    assert len(differs) > 3
    assert differs.min() > len(one) - 4 * 26  # of the first of four lines
    assert differs.max() < len(one) - 3 * 26
    assert len(pictures["a", "gradient"]) == len(one) - 26  # only red


def test_the_picture_shows_what_was_not_looked_at(tmp_path, capsys):
    X = np.random.default_rng(0).integers(0, 256, (8, 32, 48, 3), np.uint8)
    detector = HoGSVMDetector(image_size=(32, 32), treatment=Treatment(side=32))
    detector.fit(X, [0, 1] * 4).save(tmp_path / "model.onnx")
    cv2.imwrite(str(tmp_path / "image.png"), X[0])
    output, numbers = tmp_path / "map.png", tmp_path / "map.npy"
    inputs = [str(tmp_path / "model.onnx"), str(tmp_path / "image.png")]
    assert main(["explain", *inputs, "-o", str(output), "--numbers", str(numbers)]) == 0
    assert "Treatment of every image: centre square, area 32 px" in capsys.readouterr().err
    found = np.load(numbers)
    assert found.shape == (32, 48)
    assert (found[:, 8:40] != 0).any()
    assert (found[:, :8] == 0).all()
    assert (found[:, 40:] == 0).all()
    overlay = cv2.imread(str(output))[26:346, -488:-8].astype(int)
    outside, inside = overlay[:, :75], overlay[:, 90:380]
    assert outside.max() <= 128 < inside.max()


MEASURE = """
import resource, sys
import cv2, onnx, onnxruntime, sklearn.metrics
import detectorkit.cli.explain, detectorkit.detectors, detectorkit.features.stack
import detectorkit.saliency.occlusion, detectorkit.saliency.sheet
from detectorkit import ForensicDetector
from detectorkit.cli import main
before = resource.getrusage(resource.RUSAGE_SELF)
assert main(sys.argv[1:]) == 0
after = resource.getrusage(resource.RUSAGE_SELF)
print((after.ru_maxrss - before.ru_maxrss) / 1024)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """A JPEG of 12 megapixels."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (150, 200, 3), np.uint8)
    image = cv2.resize(coarse, (4000, 3000), interpolation=cv2.INTER_CUBIC)
    path = tmp_path_factory.mktemp("large") / "photo.jpg"
    cv2.imwrite(str(path), cv2.add(image, random.integers(0, 9, image.shape, np.uint8)))
    return str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="memory is measured by `resource`")
@pytest.mark.parametrize("name", shipped_detectors())
def test_a_large_photograph_is_explained_in_bounded_time_and_memory(name, photograph, tmp_path):
    """Within 10 seconds of one processor and 500 MB, beyond what the imports need."""
    arguments = ["explain", "-m", name, photograph, "-o", str(tmp_path / "map.png")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True
    )
    megabytes, seconds = map(float, done.stdout.splitlines()[-2:])
    assert megabytes < 500 * (1024 if sys.platform == "darwin" else 1)
    assert seconds < 10
    assert "the map explains its score of a copy" not in done.stderr  # as all have one size


def test_it_says_that_the_map_of_a_large_image_is_that_of_a_copy(upsampled, tmp_path, capsys):
    model, large = tmp_path / "forensic.onnx", tmp_path / "large.png"
    ForensicDetector(["lbp"], random_state=0).fit(upsampled.data, upsampled.target).save(model)
    cv2.imwrite(str(large), np.random.default_rng(0).integers(0, 256, (700, 800, 3), np.uint8))
    assert main(["explain", str(model), str(large), "-o", str(tmp_path / "map.png")]) == 0
    assert "the map explains its score of a copy" in capsys.readouterr().err


def test_an_output_that_is_neither_a_png_file_nor_a_folder_is_refused(
    model, image, tmp_path, capsys
):
    output = tmp_path / "maps"
    assert main(["explain", str(model), str(image), "-o", str(output)]) == 2
    assert "pass a name that ends in .png" in capsys.readouterr().err
    assert not output.exists()
