import csv
import json
import shutil

import cv2
import numpy as np
import pytest

from detectorkit.cli import main
from detectorkit.datasets import load_images
from detectorkit.images.encoding import encode_image


@pytest.fixture
def biased(tmp_path):
    """A folder with photographs as JPEG 75 and generated images as PNG."""
    place = tmp_path / "biased"
    for number in range(24):
        label = number % 2
        path = place / ("real/flickr/{}.jpg", "generated/sdxl/{}.png")[label].format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        small = np.random.default_rng(number).integers(0, 256, (10, 10, 3), np.uint8)
        image = cv2.resize(small, (100, 120), interpolation=cv2.INTER_CUBIC)
        path.write_bytes(encode_image(image, ("JPEG", "PNG")[label], quality=75))
    return place


@pytest.fixture
def even(biased, tmp_path, capsys):
    """Its aligned copy."""
    assert main(["align", str(biased), "-o", str(tmp_path / "even"), "--side", "96"]) == 0
    assert "24 images in" in capsys.readouterr().out
    return tmp_path / "even"


def test_biased_data_fail_and_the_aligned_copy_passes(biased, even, capsys):
    assert main(["audit", str(biased)]) == 3
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "photographs: flickr" in out
    assert "generated: sdxl" in out
    assert "Format: JPEG for 100 % of the photographs" in " ".join(out.split())
    assert main(["audit", str(even)]) == 0
    assert "PASSED" in capsys.readouterr().out
    assert main(["audit", str(even / "manifest.csv")]) == 0


def test_the_limit_can_be_set(biased, capsys):
    assert main(["audit", str(biased), "--max-auc", "0.7", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["max_auc"] == 0.7
    # Of so few files, not even complete separation says for certain that it is above this.
    assert main(["audit", str(biased), "--max-auc", "0.9"]) == 0
    assert "AUC 1.00 [0." in capsys.readouterr().out
    assert main(["audit", str(biased), "--max-auc", "2"]) == 2
    assert "max_auc=2.0" in capsys.readouterr().err


def test_audit_as_json_has_the_verdict(biased, capsys):
    assert main(["audit", str(biased), "--json"]) == 3
    content = json.loads(capsys.readouterr().out)
    assert content["n"] == 24
    assert content["n_unreadable"] == 0
    assert not content["passed"]
    assert content["metadata"]["container"]["value"] == 1
    assert {finding["severity"] for finding in content["findings"]} >= {"fail", "ok"}
    assert [group["name"] for group in content["by_source"]] == ["flickr", "(none)"]


def test_broken_images_are_named_and_the_others_audited_and_aligned(biased, even, tmp_path, capsys):
    for place, status in ((even, 1), (biased, 3)):
        (place / "real" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
        assert main(["audit", str(place), "--json"]) == status
        captured = capsys.readouterr()
        assert json.loads(captured.out)["n_unreadable"] == 1
        assert "bad.jpg" in captured.err
    assert main(["align", str(biased), "-o", str(tmp_path / "other")]) == 1
    captured = capsys.readouterr()
    assert "bad.jpg" in captured.err
    assert "24 images in" in captured.out
    assert len(load_images(tmp_path / "other").data) == 24


def test_leakage_across_the_split_column_fails(even, capsys):
    manifest = even / "manifest.csv"
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["part"] = "train" if number < 12 else "test"
    for extra, status in (([], 0), ([{**rows[0], "part": "test", "path": "copy.jpg"}], 3)):
        shutil.copy(even / rows[0]["path"], even / "copy.jpg")
        with manifest.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0]])
            writer.writeheader()
            writer.writerows(rows + extra)
        assert main(["audit", str(manifest), "--split", "part"]) == status
    assert "1 picture occurs in more than one part of the split" in " ".join(
        capsys.readouterr().out.split()
    )
    assert main(["audit", str(manifest)]) == 0  # then it is only more than once in a class


def test_crops_keep_the_native_resolution(biased, tmp_path):
    output = tmp_path / "crops"
    arguments = ["--treatment", "crop", "--side", "64", "--quality", "90"]
    assert main(["align", str(biased), "-o", str(output), *arguments]) == 0
    assert "centre crop 64 px, JPEG 90" in (output / "manifest.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit", "nowhere"], "no folder or CSV file"),
        (["audit", "biased", "--split", "part"], "--split part"),
        (["audit", "biased/real"], "has no images"),
        (["align", "nowhere", "-o", "copy"], "no folder or CSV file"),
        (["align", "biased", "-o", "biased"], "not an empty folder"),
        (["align", "biased", "-o", "no/such/place"], "there is no folder"),
        (["align", "biased", "-o", "copy", "--side", "0"], "side=0"),
        (["align", "biased", "-o", "copy", "--treatment", "crop"], "a crop with side=160"),
    ],
)
def test_unusable_input_is_status_2_and_says_why(
    arguments, message, biased, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()


def test_one_class_alone_cannot_be_audited(biased, capsys):
    shutil.rmtree(biased / "real")
    assert main(["audit", str(biased)]) == 2
    assert "only one class" in capsys.readouterr().err


def test_help_says_what_the_exit_statuses_mean(capsys):
    with pytest.raises(SystemExit):
        main(["audit", "--help"])
    assert "3 the data failed" in " ".join(capsys.readouterr().out.split())
