"""Protocol E and the comparison with another detector, from a folder of images to the tables."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.accuracy import protocol_e, side_by_side, source_images
from benchmarks.accuracy.detectors import DETECTORS, Remembering
from benchmarks.accuracy.source_images import MERGED, read_result
from benchmarks.files import RESULTS, read_json
from benchmarks.pages import side_by_side as compared_page
from benchmarks.pages import sources as pages
from detectorkit import ForensicDetector, HoGSVMDetector
from detectorkit.images.encoding import encode_image

OTHER = """
from pathlib import Path
from types import SimpleNamespace
def warm(): pass
def detect(path):
    with open({log!r}, "a") as file: file.write(path + "\\n")
    if path.endswith("/3-3.png"): raise ValueError("refused")
    score = sum(Path(path).read_bytes()) % 100 / 100
    verdict = "likely_ai" if score > 0.7 else "likely_real" if score < 0.3 else "inconclusive"
    return SimpleNamespace(verdict=verdict, ai_probability=score)
"""


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Sixteen sources of ten noisy images of both classes; results go to another folder."""
    random = np.random.default_rng(0)
    names = ("path", "label", "subset", "generator", "source", "photo", "sha256")
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for number in range(160):
            source, place = divmod(number, 10)
            path, label = f"{source}-{place}.png", number % 2
            image = random.integers(0, 128 + 64 * label, (40, 40, 3), np.uint8)
            (tmp_path / path).write_bytes(encode_image(image))
            generator = "sdxl" if label else "phone"
            subset = "faces" if source < 8 else "scenes"
            writer.writerow([path, label, subset, generator, f"s{source}", "", str(number)])
    kept = tmp_path / "kept"
    monkeypatch.setattr(source_images, "MERGED", ())
    for module, name in ((protocol_e, "protocol_e.json"), (side_by_side, "side_by_side.json")):
        monkeypatch.setattr(module, "RESULT", kept / name)
    monkeypatch.setattr(side_by_side, "PROTOCOL_E", kept / "protocol_e.json")
    monkeypatch.setattr(pages, "RESULTS", kept)
    monkeypatch.setattr(compared_page, "RESULTS", kept)
    monkeypatch.setattr(source_images, "FOLDER", kept / "sources")
    return tmp_path


def test_detectors_are_measured_and_compared(data, monkeypatch):
    kept, cache = data / "kept", data / "cache"
    options = ["--cache", str(cache), "--treatment", "as-found"]
    main(["protocol-e", str(data), "hog-svm", *options, "--treatment", "aligned"])
    row = read_json(kept / "protocol_e.json")["rows"]["hog-svm.as-found"]
    result = read_result("hog-svm.as-found")
    for name, one in result.metrics.items():
        assert row["metrics"][name] == pytest.approx(one.to_dict(), abs=1e-6, nan_ok=True)
    assert row["n"]["units"] == 16
    assert row["bytes"] > 1000
    assert len(list(cache.glob("aligned-*/*/*/*.jpg"))) == 160
    variant = ["--name", "coarse", "--parameters", '{"pixels_per_cell": [16, 16]}', "--curve"]
    main(["protocol-e", str(data), "hog-svm", *options, *variant])
    rows = read_json(kept / "protocol_e.json")["rows"]
    assert set(rows) == {"hog-svm.as-found", "hog-svm.aligned", "coarse.as-found"}
    assert rows["coarse.as-found"]["detector"]["parameters"]["pixels_per_cell"] == [16, 16]
    assert "| hog-svm, aligned | " in pages.protocol_e()
    assert "| coarse, as found | " in pages.source_curve()
    with pytest.raises(SystemExit, match="pass --name"):
        main(["protocol-e", str(data), "hog-svm", "--parameters", '{"C": 1}'])

    # The other detector runs in a process of its own, and a run that was stopped goes on.
    log = cache / "log"
    (cache / "sahu65.py").write_text(OTHER.format(log=str(log)))
    monkeypatch.setenv("PYTHONPATH", str(cache))
    monkeypatch.setattr(side_by_side, "install", lambda _: Path(sys.executable))
    monkeypatch.setattr(side_by_side, "size_of", lambda _: 5_000_000)
    compared = ["side-by-side", str(data), "--cache", str(cache), "--detector", "hog-svm"]
    main([*compared, "--limit", "16"])
    assert not (kept / "side_by_side.json").exists()
    main(compared)
    scored = cache / "sahu65-160.csv"
    whole = scored.read_text()
    scored.write_text("".join(whole.splitlines(keepends=True)[:150]))
    log.unlink()
    main(compared)
    assert len(log.read_text().splitlines()) == 10
    assert [line.split(",")[:3] for line in whole.splitlines()] == [
        line.split(",")[:3] for line in scored.read_text().splitlines()
    ]
    rows = read_json(kept / "side_by_side.json")["rows"]
    assert rows["sahu65"]["refused"] == 1
    assert rows["sahu65"]["undecided"]["real"]["value"] > 0.1
    assert rows["hog-svm"]["recall"] == pytest.approx(result.metrics["recall"].to_dict(), abs=1e-6)
    assert compared_page.side_by_side().count("\n") == 3


def test_a_band_leaves_scores_undecided(data):
    images = source_images.SourceImages(data)
    scores = np.tile([0.0, 1.0, 2.0, 3.0], 40)
    index = np.arange(160)
    found = side_by_side.undecided(images, index, (scores > 0) & (scores <= 2))["undecided"]
    assert found["real"]["value"] == found["generated"]["value"] == pytest.approx(0.5)


@pytest.mark.parametrize("key", sorted(read_json(RESULTS / "protocol_e.json").get("rows", {})))
def test_the_figures_follow_from_the_kept_scores(key):
    row = read_json(RESULTS / "protocol_e.json")["rows"][key]
    for name, one in read_result(key).metrics.items():
        assert row["metrics"][name] == pytest.approx(one.to_dict(), rel=1e-5, abs=1e-6)
    assert set(MERGED) <= set(read_result(key).unit)


@pytest.mark.parametrize("name", ["forensic", "hog-svm"])
def test_remembered_features_are_the_same(name, upsampled):
    X, y = list(upsampled.data[:40]), upsampled.target[:40]
    plain_class = {"forensic": ForensicDetector, "hog-svm": HoGSVMDetector}[name]
    Remembering.known.clear()
    remembering = DETECTORS[name]().fit(X[:30], y[:30])
    assert len(Remembering.known) == 30
    again = DETECTORS[name]().fit(X[10:], y[10:])
    plain = plain_class(random_state=0)
    for fitted, part in ((remembering, slice(30)), (again, slice(10, None))):
        expected = plain.fit(X[part], y[part]).decision_function(X)
        np.testing.assert_allclose(fitted.decision_function(X), expected, rtol=1e-4, atol=1e-5)
    Remembering.known.clear()
