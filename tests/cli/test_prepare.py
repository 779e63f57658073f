"""One data set from folders: the study's, with a split that cuts nothing that belongs together."""

import csv
import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from detectorkit.cli import main
from detectorkit.datasets import Ledger, LedgerRow, load_images
from detectorkit.datasets.audit.metadata_auc import MetadataAuc
from detectorkit.images.encoding import encode_image


@pytest.fixture(autouse=True)
def _small_forests(monkeypatch):
    """What is tested here shows with few trees too, and sooner."""
    monkeypatch.setattr(sys.modules[MetadataAuc.__module__], "_TREES", 2)


def write(path, seed, side=96):
    """Write noise of a few sizes of grain: pictures that no hash takes for copies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (12, 12, 3), np.uint8)
    pixels = np.kron(small, np.ones((side // 12, side // 12, 1), np.uint8))
    path.write_bytes(encode_image(pixels, "JPEG" if path.suffix == ".jpg" else "PNG"))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """CelebA and LFW as they lie on a disk, a folder of one generator, and a ledger of another."""
    place = tmp_path_factory.mktemp("study")
    for i in range(40):
        write(place / f"celeba/img_align_celeba/{i + 1:06}.jpg", i)
    people = "".join(f"{i + 1:06}.jpg {i // 4}\n" for i in range(40))
    (place / "celeba/Anno").mkdir()
    (place / "celeba/Anno/identity_CelebA.txt").write_text(people)
    photographs = {}
    for i in range(40):
        name = f"Person_{'ABCDEFGHIJ'[i % 10]}"
        path = place / f"home/lfw_home/lfw_funneled/{name}/{name}_{i // 10 + 1:04}.jpg"
        photographs[i] = write(path, 100 + i)
    for i in range(40):
        write(place / f"stylegan/{i}.png", 200 + i)
        write(place / f"lora/sub/{i}.png", 300 + i)
    ledger = Ledger(place / "lora")
    ledger.append(
        LedgerRow(
            f"sub/{i}.png",
            "sd-lora",
            subject=f"=person {i // 4}",
            seed=i,
            base_model="sd-1",
            prompt="a photo\nof a person",
            instance=(photographs[i // 4], f"{i // 4:064}"),
        )
        for i in range(40)
    )
    return place


def run(study, out, monkeypatch, *more):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(study / "home"))
    folders = ["--real", f"celeba={study}/celeba/img_align_celeba", "--lfw"]
    folders += ["--generated", f"stylegan={study}/stylegan", "--ledger", str(study / "lora")]
    return main(["prepare", str(out), *folders, "--jobs", "1", *more])


def rows_of(out):
    with (out / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_study_is_put_together_split_audited_trained_and_measured(
    study, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    assert run(study, out, monkeypatch) == 0
    said = capsys.readouterr().out
    assert (out / "audit.txt").read_text("utf-8").strip() in said
    assert "No subject is in more than one part of the split." in said
    assert "No instance picture is in more than one part of the split." in said
    assert "FAILED" in said  # PNG and JPEG, as they are
    assert f"detectorkit evaluate model.onnx {out / 'manifest.csv'} --part test" in said
    assert sorted(path.name for path in out.iterdir()) == ["audit.txt", "manifest.csv"]

    rows = rows_of(out)
    assert list(rows[0])[:5] == ["path", "label", "generator", "source", "split"]
    assert all((out / row["path"]).is_file() for row in rows)
    assert not Path(rows[0]["path"]).is_absolute()
    counts = Counter((row["generator"] or row["source"], row["split"]) for row in rows)
    for origin in ("celeba", "lfw", "stylegan", "sd-lora"):
        assert [counts[origin, part] for part in ("train", "val", "test")] == [32, 4, 4]
    assert rows[0]["subject"] == "celeba-0"
    assert rows[40]["subject"] == "Person_A"

    found = load_images(out / "manifest.csv")
    parts = [set(found.groups[found.metadata["split"] == part]) for part in ("train", "val")]
    assert not parts[0] & parts[1]
    # The photographs of a person from whose picture fakes were made are where these are.
    assert found.groups[40] == found.groups[-40]

    model = tmp_path / "model.onnx"
    train = ["train", str(out / "manifest.csv"), "-o", str(model), "--jobs", "1"]
    assert main([*train, "--json", "--set", "pixels_per_cell=(32, 32)"]) == 0
    trained, told = capsys.readouterr()
    assert json.loads(trained)["n_train"] == 128
    assert json.loads(trained)["n_test"] == 16
    assert "By the column split (test: 16, train: 128, val: 16), the detector is fitted" in told
    assert "groups with a common subject, seed or instance picture." in told
    evaluate = ["evaluate", str(model), str(out / "manifest.csv"), "--json", "--jobs", "1"]
    assert main([*evaluate, "--part", "test"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 16
    assert main(evaluate) == 0
    assert "All parts of the column split are used (test, train, val)." in capsys.readouterr().err
    assert main([*evaluate, "--part", "dev"]) == 2
    assert "--part dev: the column split of the data has the parts: test" in capsys.readouterr().err


def test_copies_are_alike_and_keep_what_is_known(study, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert run(study, out, monkeypatch, "--size", "64", "--max-per-source", "20") == 0
    rows = rows_of(out)
    assert len(rows) == 80
    assert {(row["width"], row["height"]) for row in rows} == {("64", "64")}
    assert all((out / row["path"]).read_bytes()[:2] == b"\xff\xd8" for row in rows)
    audit = (out / "audit.txt").read_text("utf-8")
    assert str(tmp_path / ".") not in audit or str(out) in audit
    assert ".out-" not in audit + capsys.readouterr().out  # no name of an unfinished folder
    assert rows[-1]["subject"].startswith("'=person")
    again = tmp_path / "again"
    assert run(study, again, monkeypatch, "--size", "64", "--max-per-source", "20") == 0
    assert [row["sha256"] for row in rows_of(again)] == [row["sha256"] for row in rows]


def test_nothing_is_overwritten_or_half_written(study, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    assert run(study, out, monkeypatch) == 2
    assert "exists and is not an empty folder" in capsys.readouterr().err
    assert main(["prepare", str(tmp_path / "new"), "--real", f"a={study}/celeba"]) == 2
    assert "prepare: pass folders of photographs" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["prepare", str(tmp_path / "new"), "--real", str(study / "celeba")])
    assert "is not NAME=FOLDER" in capsys.readouterr().err
    assert run(study, tmp_path / "new", monkeypatch, "--max-per-source", "0") == 2
    assert "--max-per-source 0: pass a number of at least 1" in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["prepare", str(tmp_path / "new"), "--real", f"a={empty}"]) == 2
    assert f"--real a: there are no images in {empty}" in capsys.readouterr().err
    # All fakes of one person cannot be in three parts.
    lora = tmp_path / "lora"
    for i in range(12):
        write(lora / f"{i}.png", 400 + i)
    Ledger(lora).append(LedgerRow(f"{i}.png", "lora", subject="Ada") for i in range(12))
    command = ["prepare", str(tmp_path / "new"), "--real", f"a={study}/celeba", "--ledger"]
    assert main([*command, str(lora)]) == 2
    assert "the generated images 1 that must not be split apart" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "lora", "out"]
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_lfw_is_fetched_where_it_is_not_there(study, tmp_path, monkeypatch):
    asked = []

    def fetch(**how):
        asked.append(how)
        for i in range(30):
            name = f"Person_{i}"
            write(tmp_path / f"home/lfw_home/lfw_funneled/{name}/{name}_0001.jpg", 500 + i)

    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", fetch)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "home"))
    generated = ["--generated", f"stylegan={study}/stylegan"]
    assert main(["prepare", str(tmp_path / "out"), "--lfw", *generated]) == 0
    assert len(asked) == 1  # as little as scikit-learn can read of what it downloads
    assert asked[0]["min_faces_per_person"] >= 500
    assert {row["source"] for row in rows_of(tmp_path / "out")} == {"lfw", ""}


def test_a_broken_file_is_named_and_left_out(study, tmp_path, monkeypatch, capsys):
    broken = tmp_path / "more/broken.png"
    broken.parent.mkdir()
    broken.write_bytes(b"no image")
    out = tmp_path / "out"
    assert run(study, out, monkeypatch, "--generated", f"more={broken.parent}") == 1
    assert str(broken) in capsys.readouterr().err
    assert len(rows_of(out)) == 160
