"""`detectorkit scan`: exit statuses, the summary, thresholds, and a full disk."""

import csv
import os
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest
from PIL import Image

from detectorkit import load_detector
from detectorkit.cli import main


@pytest.fixture(scope="module")
def model(fitted, tmp_path_factory):
    detector = deepcopy(fitted)
    detector.training_summary_ |= {"thresholds": {"fpr_5": 0.25}}
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    detector.save(path)
    return str(path)


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_table(folder, model, tmp_path, capsys):
    output = tmp_path / "out.csv"
    assert main(["scan", str(folder), "-m", model, "-o", str(output)]) == 0
    rows = read_rows(output)
    detector = load_detector(model)
    scores = detector.decision_function([row["path"] for row in rows])
    assert np.allclose([float(row["score"]) for row in rows], scores, atol=1e-6)
    n_generated = (scores > detector.threshold_).sum()
    said = capsys.readouterr().out
    expected = f"120 images: {120 - n_generated} real, {n_generated} generated, 0 can't tell, "
    assert said.startswith(f"{expected}0 failed; ")
    assert said.endswith(" images a second.\n")
    arguments = ["-m", model, "-o", str(output), "--again", "--fpr", "0.05"]
    assert main(["scan", str(folder), *arguments]) == 0
    verdicts = [row["verdict"] == "generated" for row in read_rows(output)]
    assert verdicts == (scores > 0.25).tolist()


def test_exit_statuses(folder, model, tmp_path, capsys):
    (tmp_path / "bad.png").write_text("no image")
    output = str(tmp_path / "out.csv")
    good = next(map(str, folder.rglob("*.png")))
    assert main(["scan", good, str(tmp_path / "bad.png"), "-m", model, "-o", output]) == 1
    assert "1 failed" in capsys.readouterr().out
    assert main(["scan", good, "-m", model, "-o", output]) == 2
    expected = f"{output} exists. To scan again and overwrite it, pass --again.\n"
    assert capsys.readouterr().err == f"detectorkit scan: {expected}"
    assert main(["scan", "none", "-m", model, "-o", output, "--again"]) == 2
    assert "there is no folder, archive, manifest or image 'none'" in capsys.readouterr().err
    assert main(["scan", good, "-m", model, "-o", output, "--again", "--fpr", "0.3"]) == 2
    assert "has thresholds for 0.05" in capsys.readouterr().err


def test_without_dask_the_extra_is_named(folder, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    arguments = ["-m", model, "-o", str(tmp_path / "a.csv"), "--scheduler", "tcp://localhost:1"]
    assert main(["scan", str(folder), *arguments]) == 2
    assert "pip install dask" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_full_disk_keeps_the_journal(folder, model, tmp_path):
    """The same command goes on when there is room again."""
    code = (
        "import resource, signal, detectorkit.__main__ as command\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "command.main()"
    )
    arguments = ["scan", str(folder), "-m", model, "-o", "out.csv"]
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "out.csv.journal: File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv.journal"]
    n_kept = (tmp_path / "out.csv.journal").read_bytes().count(b"\n") - 1
    command = [sys.executable, "-m", "detectorkit", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert f"Going on after the {n_kept} images in out.csv.journal." in done.stderr
    paths = [row["path"] for row in read_rows(tmp_path / "out.csv")]
    assert len(paths) == len(set(paths)) == 120


def test_names_that_are_not_text_are_written_with_escapes(model, tmp_path):
    name = os.fsdecode(b"\xff.png") if os.name == "posix" else "a.png"
    try:
        Image.new("RGB", (64, 64)).save(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes text only")
    output = tmp_path / "out.csv"
    assert main(["scan", str(tmp_path), "-m", model, "-o", str(output)]) == 0
    assert read_rows(output)[0]["path"].endswith("\\udcff.png" if os.name == "posix" else "a.png")
