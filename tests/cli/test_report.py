import hashlib
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from detectorkit import load_detector
from detectorkit.cli import main
from detectorkit.datasets import load_images
from detectorkit.evaluation import evaluate
from detectorkit.report import hash_files


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    assert main(["train", str(folder), "-o", str(path), "--set", "C=0.003"]) == 0
    return path


@pytest.fixture(scope="module")
def written(model, folder, tmp_path_factory):
    page = tmp_path_factory.mktemp("report") / "report.html"
    assert main(["report", str(model), str(folder), "-o", str(page)]) == 0
    return page


def test_three_files_are_written_and_named(model, folder, tmp_path, capsys):
    page = tmp_path / "r.html"
    assert main(["report", str(model), str(folder), "-o", str(page)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("60 photographs from ")
    assert "The macro balanced accuracy" in out
    for name in ("r.html", "r.json", "r.md"):
        assert str(tmp_path / name) in out
        assert (tmp_path / name).stat().st_size > 1000


def test_its_figures_are_those_of_the_library(model, folder, written):
    found = load_images(folder)
    detector = load_detector(model)
    expected = evaluate(detector, found.data, found.target, origin=found.origin)
    content = json.loads(written.with_suffix(".json").read_text())
    assert content["evaluation"]["metrics"] == expected.to_dict()["metrics"]
    assert content["record"] == json.loads(detector.record_.to_json())
    assert content["hashes"] == {
        "model": hashlib.sha256(model.read_bytes()).hexdigest(),
        "data": hash_files(found.data),
    }
    assert content["evaluation"]["probability_metrics"] == expected.to_dict()["probability_metrics"]


def test_what_was_in_training_is_known_from_the_model(written):
    content = json.loads(written.with_suffix(".json").read_text())
    assert "nearest" in content["trained_on"]["generators"]
    rows = {row["name"]: row["training"] for row in content["evaluation"]["origins"]}
    assert rows["nearest"] == "in training"


def test_images_are_shown_under_their_names_below_the_folder(written, folder):
    text = written.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") >= 8
    names = re.findall(r"<figcaption>([^<]*\.png) \(", text)
    assert len(names) >= 8
    assert all((folder / name).is_file() for name in names)
    assert str(folder) not in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)


def test_images_that_must_not_be_published_are_neither_shown_nor_named(model, folder, tmp_path):
    page = tmp_path / "r.html"
    arguments = ["report", "-m", str(model), str(folder), "-o", str(page), "--no-images", "--audit"]
    assert main(arguments) == 0
    names = {path.name for path in folder.rglob("*.png")}
    for suffix in (".html", ".json", ".md"):
        text = page.with_suffix(suffix).read_text(encoding="utf-8")
        assert "data:image/jpeg" not in text
        assert not any(name in text for name in names)
        assert "because of --no-images" in text


def test_broken_images_are_named_and_left_out(model, folder, tmp_path, capsys):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "real" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    page = tmp_path / "r.html"
    assert main(["report", str(model), str(copy), "-o", str(page)]) == 1
    assert "bad.jpg" in capsys.readouterr().err
    content = json.loads(page.with_suffix(".json").read_text())
    assert content["evaluation"]["n"] == 120
    assert content["notes"] == ["Images that could not be read and are left out: 1."]


def test_robustness_and_audit_are_added_on_demand(model, folder, tmp_path):
    small = tmp_path / "small"
    found = load_images(folder)
    for index in range(0, 120, 5):
        kind = ("generated", "g") if found.target[index] else ("real", "s")
        target = small.joinpath(*kind, f"{index}.png")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found.data[index], target)
    page = tmp_path / "r.html"
    arguments = ["report", str(model), str(small), "-o", str(page), "--robustness", "--audit"]
    arguments += ["--explain", "gradient"]
    assert main(arguments) == 0
    content = json.loads(page.with_suffix(".json").read_text())
    assert content["robustness"]["rows"][0]["name"] == "clean"
    assert content["audit"]["findings"]
    text = page.read_text(encoding="utf-8")
    assert "When files are re-encoded" in text
    assert "Would the files alone give the answer away?" in text
    assert "bytes per pixel alone" in text
    assert content["robustness"]["rows"][1]["name"] in text
    command = "r.html --robustness --audit --explain gradient --random-state 0"
    assert content["command"].endswith(command)


def test_photographs_alone_are_enough_but_not_for_an_audit(model, folder, tmp_path, capsys):
    shutil.copytree(folder / "real", tmp_path / "data" / "real")
    arguments = ["report", str(model), str(tmp_path / "data"), "-o", str(tmp_path / "r.html")]
    assert main(arguments) == 0
    assert "Photographs alone do not show" in capsys.readouterr().out
    assert main([*arguments, "--audit"]) == 2
    assert "--audit needs photographs and generated images" in capsys.readouterr().err


def test_two_runs_differ_by_their_date_alone(model, folder, written, tmp_path):
    page = tmp_path / "report.html"
    assert main(["report", str(model), str(folder), "-o", str(page), "--jobs", "1"]) == 0
    first, second = (json.loads(p.with_suffix(".json").read_text()) for p in (written, page))
    for content in (first, second):
        del content["date"], content["command"]
    assert first == second


@pytest.mark.parametrize("output", ["report.pdf", "no/such/folder/report.html"])
def test_a_wrong_place_is_said_before_the_work(model, output, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(model), "nowhere", "-o", output]) == 2
    assert "report" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_matplotlib_is_said_before_the_work(model, folder, tmp_path):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from detectorkit.cli import main\n"
        f"sys.exit(main(['report', {str(model)!r}, {str(folder)!r}, '-o', 'r.html']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "pip install matplotlib" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_hostile_file_names_are_only_shown(model, folder, tmp_path):
    found = load_images(folder)
    place = tmp_path / "data"
    names = [
        "<img src=x onerror=alert(1)>.png",
        "a|b.png",
        "line\nbreak.png",
        "no utf-8 \udcff.png",
    ]
    for number, name in enumerate(names):
        kind = ("generated", "<b>g|</b>") if number % 2 else ("real", '"s')
        target = place.joinpath(*kind, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        index = int(np.flatnonzero(found.target == number % 2)[number])
        shutil.copy(found.data[index], target)
    page = tmp_path / "r.html"
    assert main(["report", str(model), str(place), "-o", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;.png" in text
    assert r"line\nbreak.png" in text
    assert r"no utf-8 \udcff.png" in text
    assert r"&lt;b&gt;g\|&lt;/b&gt;" in page.with_suffix(".md").read_text(encoding="utf-8")


def test_maps_are_shown_where_they_are_asked_for(model, folder, tmp_path):
    plain, explained = tmp_path / "plain.html", tmp_path / "explained.html"
    assert main(["report", str(model), str(folder), "-o", str(plain)]) == 0
    assert (
        main(["report", str(model), str(folder), "-o", str(explained), "--explain", "gradient"])
        == 0
    )
    assert explained.stat().st_size > plain.stat().st_size
