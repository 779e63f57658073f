import cv2
import numpy as np
import pytest

from detectorkit import HoGSVMDetector, load_detector
from detectorkit.cli import main
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
def test_a_map_is_written_as_large_as_the_image(method, model, image, tmp_path, capsys):
    output, numbers = tmp_path / "map.png", tmp_path / "map.npy"
    arguments = ["--method", method, "--numbers", str(numbers)]
    assert main(["explain", str(model), str(image), "-o", str(output), *arguments]) == 0
    assert cv2.imread(str(output)).shape == (30, 40, 3)
    assert np.load(numbers).shape == (30, 40)
    verdict, probability, path, where = capsys.readouterr().out.split()
    assert verdict in {"real", "generated"}
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
