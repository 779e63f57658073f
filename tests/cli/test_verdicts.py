"""What `detectorkit predict` and `detectorkit models` say of several detectors, and of doubt."""

import json
import re
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from detectorkit import load_detector
from detectorkit.calibration import Band
from detectorkit.cli import main
from detectorkit.cli.models import describe_best
from detectorkit.provenance import read_provenance


@pytest.fixture
def shipped(fitted, folder, tmp_path, monkeypatch):
    """An installation with two detectors, of which the default cannot tell everything."""
    place = tmp_path / "models"
    place.mkdir()
    monkeypatch.setattr("detectorkit.models._FOLDER", place)
    fitted.save(place / "forensic.onnx")
    (place / "forensic.md").write_text("# forensic: classical features\n\nThe card.\n")
    banded = deepcopy(fitted)
    scores = fitted.decision_function(sorted(str(path) for path in folder.rglob("*.png")))
    low, high = np.quantile(scores, [0.3, 0.7]).tolist()
    banded.band_ = Band(min(low, -1e-6), max(high, 1e-6), 0.02, 0.05, 0.4, 0.3, 0.65, 120, 7)
    banded.training_summary_ |= {
        "thresholds": {"fpr_5": 0.0},
        "protocol_e": {"macro_balanced_accuracy": {"value": 0.85, "low": 0.8}, "roc_auc": 0.91},
    }
    banded.save(place / "clip.onnx")
    (place / "clip.md").write_text("# clip: layers of CLIP\n")
    (place / "speed.csv").write_text("name,ms_per_image\nclip,41.7\n")
    return place


def predict(capsys, *arguments):
    status = main(["predict", *arguments])
    captured = capsys.readouterr()
    return status, captured.out.splitlines(), captured.err


def test_verdicts_are_those_of_the_band_and_labels_those_of_the_threshold(shipped, folder, capsys):
    detector = load_detector()
    paths = sorted(str(path) for path in folder.rglob("*.png"))
    status, lines, said = predict(capsys, *paths)
    assert status == 0
    scores = detector.decision_function(paths)
    expected = detector.predict_verdict(paths).tolist()
    assert set(expected) == {"real", "generated", "can't tell"}
    assert [line[:10].rstrip() for line in lines] == expected
    assert [line[19:] for line in lines] == paths  # the columns are aligned
    assert said.startswith("Default model clip. A verdict is not a proof.\n")
    assert "where it fails: detectorkit models clip\n" in said
    assert "\nTreatment of images: " in said
    edges = np.array([detector.band_.low, detector.band_.high])
    low, high = detector.record_.decision.probabilities(edges)
    assert f"probability of being generated (can't tell from {low:.3f} to {high:.3f})" in said
    assert "set on 120 images from 7 independent sources" in said
    assert (
        "trained, it calls 2 generated, and can't tell for 40. Of 100 generated images, it finds 65"
        in said
    )
    _, lines, said = predict(capsys, "--json", *paths)
    rows = [json.loads(line) for line in lines]
    assert [row["verdict"] for row in rows] == expected
    assert [row["label"] for row in rows] == detector.predict(paths).tolist()
    assert rows[0]["band"] == {"low": detector.band_.low, "high": detector.band_.high}
    assert rows[0]["treatment"]
    assert re.fullmatch(r"(Predicting: \d+ in [\d.]+ s\n)?", said)  # what took over a second
    # A threshold that is asked for decides alone.
    _, _, said = predict(capsys, "--fpr", "0.05", *paths)
    assert "(generated above 0." in said
    assert "can't tell" not in said
    _, lines, _ = predict(capsys, "--fpr", "0.05", "--json", *paths)
    rows = [json.loads(line) for line in lines]
    assert [row["verdict"] == "generated" for row in rows] == (scores > 0).tolist()
    assert {row["band"] for row in rows} == {None}


def test_all_detectors_make_a_table(shipped, folder, tmp_path, capsys):
    good = sorted(str(path) for path in folder.rglob("*.png"))[:3]
    (tmp_path / "bad.png").write_text("no image")
    images = [good[0], str(tmp_path / "bad.png"), good[1], good[0], good[2]]
    status, lines, said = predict(capsys, "-m", "all", *images)
    assert status == 1
    assert lines[0].split() == ["clip", "forensic", "together", "image"]
    assert {line.split()[-2] for line in lines[1:]} <= {"agree", "tell"}  # where neither is sure
    assert [line.split()[-1] for line in lines[1:]] == [good[0], good[1], good[0], good[2]]
    assert len({line.index("/") for line in lines[1:]}) == 1
    assert said.count("bad.png") == 1
    status, lines, _ = predict(capsys, "-m", "all", "--json", *images)
    *rows, error = (json.loads(line) for line in lines)
    assert status == 1
    assert [row["model"] for row in rows] == ["clip", "forensic"] * 4
    for name in ("clip", "forensic"):
        mine = [row["score"] for row in rows if row["model"] == name]
        paths = [good[0], good[1], good[0], good[2]]
        assert np.allclose(mine, load_detector(name).decision_function(paths), atol=1e-6)
    assert error["path"] == str(tmp_path / "bad.png")


def test_each_line_says_whether_the_detectors_agree(shipped, folder, capsys):
    image = str(min(folder.rglob("*.png")))
    for name, threshold in (("clip", -9.0), ("forensic", 9.0)):
        detector = load_detector(name)
        detector.threshold_, detector.band_ = threshold, None
        detector.save(shipped / f"{name}.onnx")
    _, lines, _ = predict(capsys, "-m", "all", image)
    assert f"disagree: clip generated, forensic real  {image}" in lines[1]
    _, lines, _ = predict(capsys, "-m", "all", "--json", image)
    expected = {"agree": False, "generated": ["clip"], "real": ["forensic"], "can't tell": []}
    assert [json.loads(line)["agreement"] for line in lines] == [expected] * 2
    _, lines, _ = predict(capsys, "-m", "clip", "--json", image)
    assert "agreement" not in json.loads(lines[0])


def test_detectors_that_never_abstain_have_no_part_in_the_agreement(shipped, folder, capsys):
    image = str(min(folder.rglob("*.png")))
    clip, forensic = load_detector("clip"), load_detector("forensic")
    clip.threshold_ = 9.0
    clip.band_ = replace(clip.band_, low=8.0, high=9.0)
    forensic.threshold_, forensic.band_ = -9.0, None
    for name, detector in (("clip", clip), ("forensic", forensic)):
        detector.save(shipped / f"{name}.onnx")
    _, lines, _ = predict(capsys, "-m", "all", image)
    assert lines[1].split()[::2] == ["real", "generated", "agree"]
    clip.band_ = replace(clip.band_, low=-9.0, high=9.0)
    clip.save(shipped / "clip.onnx")
    _, lines, _ = predict(capsys, "-m", "all", image)
    assert f"  can't tell  {image}" in lines[1]


def test_own_models_are_described_too(fitted, folder, tmp_path, capsys):
    fitted.save(tmp_path / "own.onnx")
    image = str(min(folder.rglob("*.png")))
    _, _, said = predict(capsys, "-m", str(tmp_path / "own.onnx"), image)
    assert "own.onnx. A verdict is not a proof.\nIts record does not say how good it is" in said
    assert "(generated above 0." in said


def test_what_a_file_says_of_itself_is_shown_below_the_verdict(shipped, tmp_path, capsys):
    path = str(tmp_path / "drawn.png")
    settings = PngInfo()
    settings.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1")
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(path, pnginfo=settings)
    said = read_provenance(path)
    assert said.lines()
    for model in ("clip", "all"):
        _, lines, _ = predict(capsys, "-m", model, path)
        assert lines[-len(said.lines()) :] == [f"    {line}" for line in said.lines()]
        assert lines[-len(said.lines()) - 1].endswith(path)
    _, lines, _ = predict(capsys, "-m", "all", "--json", path)
    assert [json.loads(line)["provenance"] for line in lines] == [said.to_dict()] * 2


def test_it_says_why_an_image_cannot_be_judged(shipped, odd_images, capsys):
    paths = list(odd_images.values())
    reasons = [
        *(f"its shorter side is {n} px, and at least 96" for n in (1, 40)),
        *["one colour"] * 2,
    ]
    for rate in ([], ["--fpr", "0.05"]):
        _, lines, _ = predict(capsys, *rate, *paths)
        for path, reason in zip(paths, reasons, strict=False):
            (verdict, why), lines = lines[:2], lines[2:]
            assert verdict.startswith("can't tell ")
            assert verdict.endswith(path)
            assert why.startswith("    cannot be judged: ")
            assert reason in why
        assert len(lines) == 1
        assert lines[0].endswith(paths[-1])
    _, lines, _ = predict(capsys, "--json", *paths)
    rows = [json.loads(line) for line in lines]
    assert [row["verdict"] for row in rows[:-1]] == ["can't tell"] * 4
    for row, reason in zip(rows, reasons, strict=False):
        assert reason in row["unfit"]
    assert rows[-1]["unfit"] is None
    _, lines, _ = predict(capsys, "-m", "all", *paths)
    assert sum("cannot be judged" in line for line in lines) == 4  # once for both detectors


def test_models_are_listed_with_what_their_records_and_cards_say(shipped, capsys):
    assert main(["models"]) == 0
    table, _, words = capsys.readouterr().out.partition("\n\n")
    headings, clip, forensic = (line.split() for line in table.splitlines())
    assert headings[:5] == ["name", "MB", "ms/image", "macro", "AUC"]
    assert clip[:2] == ["clip", "(default)"]
    assert clip[3:] == ["42", "0.850", "0.910", "-", "layers", "of", "CLIP"]
    assert forensic[2:] == ["-", "-", "-", "-", "classical", "features"]
    assert "the best on sources that were left out of training is clip (0.850)" in words
    assert words.endswith("detectorkit models NAME\n")
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["is_default"] for row in rows] == [True, False]
    assert rows[0]["bytes"] == (shipped / "clip.onnx").stat().st_size
    assert rows[1]["roc_auc"] is None


def test_the_best_detector_is_that_of_the_cards(shipped, capsys):
    row = {"name": "a", "macro_balanced_accuracy": 0.6}
    text = describe_best([row, row | {"name": "b", "macro_balanced_accuracy": 0.8}])
    assert text.endswith(
        "is b (0.800) by macro balanced accuracy, of which 0.5 is chance; then a (0.600)."
    )
    assert describe_best([row | {"macro_balanced_accuracy": None}]) == ""
    assert describe_best().endswith(
        "clip (0.850) by macro balanced accuracy, of which 0.5 is chance."
    )


def test_a_card_is_printed(shipped, capsys):
    assert main(["models", "forensic"]) == 0
    assert capsys.readouterr().out.strip().endswith("The card.")
    assert main(["models", "nonsense"]) == 2
    assert "the shipped detectors: clip, forensic" in capsys.readouterr().err
