"""The treatment of images: what it does to them, and that it travels with every detector."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from detectorkit import ForensicDetector, HoGSVMDetector, OnnxDetector, load_detector
from detectorkit.cli import main
from detectorkit.datasets import align, align_image, load_images
from detectorkit.detectors import BackboneDetector, CNNDetector, DeiTDetector, ResNetDetector
from detectorkit.graph.builder import revise_model
from detectorkit.images import ImageSequence, Preprocessing, Treatment, check_images, load_image

TREATMENT = Treatment(side=48, quality=70)
RGB = Preprocessing(None, "rgb", treatment=TREATMENT)


def picture(height, width, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("shape", [(90, 70), (48, 300), (100, 100)])
@pytest.mark.parametrize("kind", ["aligned", "crop"])
def test_it_is_what_align_image_does(kind, shape):
    image, treatment = picture(*shape), Treatment(kind, 48, 70)
    expected = align_image(image, kind, side=48, quality=70)
    assert (treatment.apply(image) == expected).all()
    if kind == "aligned":
        square = image[treatment.window(shape)]
        assert (treatment.apply(square) == expected).all()


@pytest.mark.parametrize("kind", ["aligned", "crop"])
@pytest.mark.parametrize("quality", [70, None])
def test_small_and_grey_images_are_treated_too(kind, quality):
    treatment = Treatment(kind, 48, quality)
    assert treatment.apply(picture(20, 30)).shape == (48, 48, 3)
    assert treatment.apply(picture(60, 70)[..., 0], "gray").shape == (48, 48)
    assert treatment.encode(picture(20, 30))[:1] == (b"\x89" if quality is None else b"\xff")


def test_without_an_encode_a_square_of_that_side_is_unchanged():
    image = picture(48, 48)
    assert (Treatment("crop", 48, None).apply(image) == image).all()
    assert Treatment("crop", 48, None).describe() == "centre crop 48 px"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "other"},
        *({"side": side} for side in (0, 10**6, "9")),
        *({"quality": quality} for quality in (0, 101, 8.5)),
    ],
)
def test_wrong_attributes_are_named(wrong):
    with pytest.raises(ValueError, match=rf"^Treatment: {next(iter(wrong))}="):
        Treatment(**wrong)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("color_space", ["rgb", "gray"])
def test_reading_treats_files_and_arrays_as_a_treated_file_is_read(tmp_path, suffix, color_space):
    """Also a JPEG that is so large that it would be decoded at half its size."""
    path = str(tmp_path / f"photo.{suffix}")
    cv2.imwrite(path, picture(1200, 900))
    (tmp_path / "copy.jpg").write_bytes(TREATMENT.encode(load_image(path)))
    wanted = Preprocessing((32, 32), color_space, treatment=TREATMENT)
    plain = Preprocessing((32, 32), color_space)
    expected = check_images([tmp_path / "copy.jpg"]).read(0, plain)
    image = load_image(path)
    for X in ([path], image[np.newaxis], [image / 255]):
        assert (check_images(X).read(0, wanted) == expected).all()
        assert (next(check_images(X).read_stacked(wanted)) == expected).all()
    crops = Preprocessing((24, 24), color_space, n_crops=4, treatment=TREATMENT)
    assert len(check_images([path]).read(0, crops)) == 4


def test_what_was_treated_is_not_treated_again():
    treated = TREATMENT.apply(picture(90, 70))[np.newaxis]
    images = ImageSequence(treated, is_treated=True)
    for part in (images, images[:1], images.take(np.array([0]))):
        assert (part.read(0, RGB) == treated[0]).all()
        assert next(part.read_stacked(RGB)) is not None
    assert (check_images(treated).read(0, RGB) != treated[0]).any()


# Detectors


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Files of many sizes and formats, sharp and smooth, and copies of them that were treated."""
    folder = tmp_path_factory.mktemp("photos")
    rows = ["path,label,generator,source"]
    for index in range(24):
        kind = index % 2
        random = np.random.default_rng(index)
        image = random.integers(0, 256, (60 + 3 * index, 120 - 2 * index, 3), np.uint8)
        if kind:
            image = cv2.GaussianBlur(image, (0, 0), 2)
        name = f"{index}.{('png', 'jpg', 'webp')[index % 3]}"
        cv2.imwrite(str(folder / name), image)
        rows.append(f"{name},{kind},{'blur' if kind else ''},{'' if kind else 'noise'}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    found = load_images(folder / "manifest.csv")
    align(found.data, found.target, folder / "copy", side=48, quality=70, metadata=found.metadata)
    return found, load_images(folder / "copy" / "manifest.csv")


DETECTORS = [
    HoGSVMDetector(image_size=(32, 32), random_state=0),
    HoGSVMDetector(image_size=None, color_space="rgb", random_state=0),
    ForensicDetector(["residual", "lbp"], random_state=0),
    ForensicDetector(["block_dct"], image_size=(40, 40), color_space="gray", random_state=0),
]


@pytest.mark.parametrize("detector", DETECTORS, ids=str)
def test_raw_files_are_scored_as_treated_copies(detector, photos, tmp_path):
    raw, copies = photos
    plain = clone(detector).fit(copies.data, copies.target)
    treating = clone(detector).set_params(treatment=TREATMENT).fit(raw.data, raw.target)
    expected = plain.decision_function(copies.data)
    np.testing.assert_array_equal(treating.decision_function(raw.data), expected)
    images = [load_image(path) for path in raw.data]
    np.testing.assert_array_equal(treating.decision_function(images), expected)
    treating.save(tmp_path / "model.onnx")
    loaded = load_detector(tmp_path / "model.onnx")
    np.testing.assert_allclose(loaded.decision_function(raw.data), expected, atol=1e-4)
    assert loaded.record_.preprocessing.treatment == TREATMENT
    loaded.save(tmp_path / "again.onnx")
    assert OnnxDetector.from_file(tmp_path / "again.onnx").record_ == loaded.record_


def test_a_search_chooses_the_treatment(photos):
    raw, _ = photos
    grid = {"treatment": [None, "aligned", TREATMENT]}
    search = GridSearchCV(DETECTORS[0], grid, cv=2, error_score="raise")
    search.fit(raw.data, raw.target)
    assert len(search.cv_results_["params"]) == 3
    assert search.best_params_["treatment"] in grid["treatment"]
    named = clone(DETECTORS[0]).set_params(treatment="aligned").fit(raw.data, raw.target)
    assert named.record_.preprocessing.treatment == Treatment()
    named.treatment = None  # what it was fitted with counts
    assert named.record_.preprocessing.treatment == Treatment()


@pytest.mark.parametrize(
    "kind",
    [HoGSVMDetector, ForensicDetector, CNNDetector, ResNetDetector, BackboneDetector, DeiTDetector],
)
def test_a_wrong_treatment_is_named(kind):
    images = np.zeros((4, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: treatment='crop' must be None, 'al"):
        kind(treatment="crop").fit(images, [0, 1, 0, 1])


def test_rows_are_refused_with_the_cure():
    rows = np.random.default_rng(0).random((6, 32 * 32), np.float32)
    detector = HoGSVMDetector(treatment="aligned", input_shape=(32, 32))
    with pytest.raises(ValueError, match=r"the treatment .* 2-D array.* or set treatment=None"):
        detector.fit(rows, [0, 1] * 3)
    detector.fit(rows.reshape(-1, 32, 32), [0, 1] * 3)
    with pytest.raises(ValueError, match=r"the treatment .* 2-D array.* or set treatment=None"):
        detector.predict(rows)


def write_manifest(path, data):
    rows = [f"{name},{label}" for name, label in zip(data.data, data.target, strict=True)]
    path.write_text("\n".join(["path,label", *rows]))
    return str(path)


def test_every_command_treats_raw_files(photos, tmp_path, capsys):
    """As the same detector without a treatment sees the treated copies."""
    raw, copies = photos
    model, plain = tmp_path / "model.onnx", tmp_path / "plain.onnx"
    manifest = write_manifest(tmp_path / "manifest.csv", raw)
    options = ["--side", "48", "--quality", "70", "--set", "image_size=(32, 32)"]
    assert main(["train", manifest, "-o", str(model), *options]) == 0
    assert "Treatment of every image: centre square, area 48 px, JPEG 70" in capsys.readouterr().out
    fitted = load_detector(model)
    preprocessing = replace(fitted.record_.preprocessing, treatment=None)
    record = replace(fitted.record_, preprocessing=preprocessing)
    plain.write_bytes(revise_model(fitted.to_onnx(), record).SerializeToString())
    out = str(tmp_path / "output.html")
    for command, arguments in {
        "predict": ["--json"],
        "evaluate": ["--json"],
        "report": ["-o", out, "--no-images"],
        "calibrate": ["-o", str(tmp_path / "new.onnx"), "--fpr", "0.1"],
        "explain": ["-o", str(tmp_path / "output.png")],
    }.items():
        said = []
        for chosen, data in ((model, raw), (plain, copies)):
            given = [write_manifest(tmp_path / "manifest.csv", data)]
            if command in {"predict", "explain"}:
                given = data.data[: 8 if command == "predict" else 1]
            assert main([command, str(chosen), *given, *arguments]) == 0
            text = capsys.readouterr().out.replace(str(chosen), "MODEL")
            for path in data.data:
                text = text.replace(path, "IMAGE")
            said.append([line for line in text.splitlines() if "reatment" not in line])
        assert said[0] == said[1], command


def test_images_as_they_are_have_no_side(photos, tmp_path, capsys):
    arguments = ["train", str(tmp_path), "-o", str(tmp_path / "m.onnx"), "--treatment", "none"]
    assert main([*arguments, "--side", "48"]) == 2
    assert "--side needs --treatment aligned" in capsys.readouterr().err
