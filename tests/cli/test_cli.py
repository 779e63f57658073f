import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from detectorkit import BackboneDetector, HoGSVMDetector, load_detector
from detectorkit.backbones.store import installed_backbones
from detectorkit.cli import COMMANDS, main
from detectorkit.datasets import load_images


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    assert main(["train", str(folder), "-o", str(path), "--set", "C=0.003"]) == 0
    return path


def lines_of(capsys):
    return capsys.readouterr().out.strip().splitlines()


def test_train_saves_a_detector_and_says_how_good_it_is(folder, tmp_path, capsys):
    output = tmp_path / "model.onnx"
    arguments = ["--set", "pixels_per_cell=(16, 16)", "--set", "color_space=rgb", "--json"]
    assert main(["train", str(folder), "-o", str(output), *arguments]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["n_train"] + summary["n_test"] == 120
    assert 0 <= summary["metrics"]["accuracy"]["low"] <= summary["metrics"]["accuracy"]["value"]
    record = load_detector(output).record_
    assert record.features[0]["pixels_per_cell"] == [16, 16]
    assert record.preprocessing.color_space == "rgb"
    assert "nearest" in record.training["generators"]


def test_a_folder_without_a_label_is_told(folder, model, tmp_path, capsys):
    """So that nobody takes the metrics of photographs alone for those of both classes."""
    shutil.copytree(folder / "real", tmp_path / "data" / "real")
    shutil.copytree(folder / "generated", tmp_path / "data" / "fake")
    assert main(["evaluate", str(model), str(tmp_path / "data")]) == 0
    said = "folders that are neither real nor generated: fake/ (images: 60)"
    assert said in capsys.readouterr().err


def test_train_prints_figures_with_intervals_and_a_warning(folder, tmp_path, capsys):
    assert main(["train", str(folder), "-o", str(tmp_path / "m.onnx")]) == 0
    out = capsys.readouterr().out
    assert "balanced accuracy" in out
    assert "say nothing about other generators" in out


def test_train_tells_of_data_that_fail_the_audit(folder, tmp_path, capsys):
    for path in folder.rglob("*.png"):
        if "generated" in path.parts:
            image = cv2.imread(str(path))
            suffix = ".png"
        else:
            image, suffix = cv2.imread(str(path))[:60], ".jpg"
        copy = (tmp_path / "data" / path.relative_to(folder)).with_suffix(suffix)
        copy.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(copy), image)
    arguments = ["train", str(tmp_path / "data"), "-o", str(tmp_path / "m.onnx"), "--side", "64"]
    assert main(arguments) == 0
    said = capsys.readouterr().err
    assert "compression of the files tell the classes apart with AUC 1.00. The treatment" in said
    assert f"More: detectorkit audit {tmp_path / 'data'}" in said


def test_metrics_of_both_classes_are_not_printed_of_one(model, folder, tmp_path, capsys):
    shutil.copytree(folder / "real", tmp_path / "real")
    assert main(["evaluate", str(model), str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "All images are photographs, so that metrics of both classes mean nothing:" in said
    assert "false positive rate" in said
    assert not any(word in said for word in ("accuracy", "precision", "recall", "brier"))


def test_calibrate_takes_a_plain_folder_of_photographs(model, folder, tmp_path, capsys):
    plain = tmp_path / "plain"
    shutil.copytree(folder / "real", plain / "holidays")
    output = tmp_path / "m.onnx"
    assert main(["calibrate", str(model), str(plain), "-o", str(output), "--fpr", "0.1"]) == 0
    out, err = capsys.readouterr()
    assert "set on 60 photographs" in out
    assert f"All 60 images in {plain} are taken to be photographs." in err
    arguments = ["calibrate", str(model), str(plain), "-o", str(output), "--method", "shift"]
    assert main(arguments) == 2
    assert "has no images in real/" in capsys.readouterr().err


def test_train_combines_members(folder, tmp_path, capsys):
    HoGSVMDetector(image_size=(32, 32), random_state=0).fit(
        paths := [str(path) for path in sorted(folder.rglob("*.png"))],
        ["generated" in path for path in paths],
    ).save(tmp_path / "saved.onnx")
    output = tmp_path / "ensemble.onnx"
    members = ["--members", f"hog-svm,{tmp_path / 'saved.onnx'}", "--set", "hog-svm__C=0.003"]
    assert (
        main(["train", str(folder), "-m", "ensemble", "-o", str(output), "--json", *members]) == 0
    )
    training = json.loads(capsys.readouterr().out)["training"]
    assert training["combined_on"] == "left-out generators and sources"
    assert list(training["weights"]) == ["hog-svm", "saved"]
    assert main(["evaluate", str(output), str(folder)]) == 0
    assert main(["train", str(folder), "-o", str(output), "--members", "cnn"]) == 2
    assert "--members needs -m ensemble" in capsys.readouterr().err


def test_training_is_repeatable(folder, tmp_path):
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path in paths:
        main(["train", str(folder), "-o", str(path), "--random-state", "3", "--json"])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_train_keeps_a_column_together(upsampled, folder, tmp_path, capsys, monkeypatch):
    """What the detector is fitted on, and what it is measured on, share no value of the column."""
    paths = sorted(folder.rglob("*.png"))
    place = {str(path): upsampled.source[int(path.stem)] for path in paths}
    parts = {}

    def note(name, method):
        def noting(self, X, *arguments, **named):
            parts[name] = {place[path] for path in X}
            return method(self, X, *arguments, **named)

        return noting

    for name in ("fit", "decision_function"):
        monkeypatch.setattr(HoGSVMDetector, name, note(name, getattr(HoGSVMDetector, name)))
    manifest = tmp_path / "manifest.csv"
    rows = [f"{path},{upsampled.target[int(Path(path).stem)]},{place[path]}" for path in place]
    manifest.write_text("\n".join(["path,label,place", *rows]))
    arguments = ["train", str(manifest), "-o", str(tmp_path / "m.onnx"), "--groups"]
    assert main([*arguments, "place"]) == 0
    assert parts["fit"]
    assert parts["decision_function"]
    assert not parts["fit"] & parts["decision_function"]
    assert main([*arguments, "nothing"]) == 2
    assert "--groups nothing" in capsys.readouterr().err


def test_predict_prints_a_line_an_image(model, folder, capsys):
    assert main(["predict", str(model), str(folder)]) == 0
    lines = lines_of(capsys)
    assert len(lines) == 120
    verdict, probability, path = lines[0].split(maxsplit=2)
    assert verdict in {"real", "generated"}
    assert 0 <= float(probability) <= 1
    assert path.startswith(str(folder))


def test_predict_as_json_agrees_with_the_library(model, folder, capsys):
    paths = sorted(str(path) for path in folder.rglob("*.png"))[:5]
    assert main(["predict", str(model), "--json", *paths]) == 0
    rows = [json.loads(line) for line in lines_of(capsys)]
    expected = load_detector(model).predict_proba(paths)[:, 1]
    assert [row["path"] for row in rows] == paths
    assert np.allclose([row["probability"] for row in rows], expected, atol=1e-6)
    assert all((row["verdict"] == "generated") == (row["label"] == 1) for row in rows)


@pytest.fixture
def shipped(model, tmp_path, monkeypatch):
    """An installation with two detectors; the default one has thresholds in its record."""
    place = tmp_path / "models"
    place.mkdir()
    detector = load_detector(model)
    detector.save(place / "cnn.onnx")
    thresholds = {"fpr_1": 1e6, "fpr_5": -1e6}
    detector.training_summary_["thresholds"] = thresholds
    detector.save(place / "transfer.onnx")
    (place / "transfer.md").write_text("# transfer")
    monkeypatch.setattr("detectorkit.models._FOLDER", place)
    return place


def test_predict_needs_no_model(shipped, folder, capsys):
    paths = sorted(str(path) for path in folder.rglob("*.png"))[:2]
    assert main(["predict", *paths]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    first, worth, treatment, limits, columns = captured.err.splitlines()
    assert first == "Default model transfer. A verdict is not a proof."
    assert worth.startswith("Its record does not say how good it is")
    assert treatment.startswith("Treatment of images: ")
    assert columns.startswith("Verdict, probability of being generated (generated above 0.")
    _, _, command = limits.partition(" fails: detectorkit ")
    assert main(command.split()) == 0
    assert capsys.readouterr().out.strip() == (shipped / "transfer.md").read_text().strip()
    assert main(["predict", "--json", *paths]) == 0
    captured = capsys.readouterr()
    assert {json.loads(line)["model"] for line in captured.out.splitlines()} == {"transfer"}
    assert captured.err == ""


def test_the_model_is_named_by_an_option_or_by_the_first_argument(
    shipped, model, folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    path = str(next(folder.rglob("*.png")))
    unusual = shutil.copy(model, tmp_path / "model.v2")
    ways = {
        "cnn": [["cnn", path], ["-m", "cnn", path], [path, "-m", "cnn"]],
        str(model): [[str(model), path], [str(model), "--jobs", "1", path]],
        str(unusual): [["-m", str(unusual), path]],
    }
    for name, commands in ways.items():
        for command in commands:
            assert main(["predict", "--json", *command]) == 0
            rows = [json.loads(line) for line in lines_of(capsys)]
            assert [(row["model"], row["path"]) for row in rows] == [(name, path)]
    shutil.copy(path, "cnn")  # a file of that name is an image
    shutil.copy(path, "transfer")  # and no model
    assert main(["predict", "--json", "cnn", path]) == 0
    rows = [json.loads(line) for line in lines_of(capsys)]
    assert [(row["model"], row["path"]) for row in rows] == [
        ("transfer", "cnn"),
        ("transfer", path),
    ]


def test_predict_uses_the_threshold_for_a_false_positive_rate(shipped, folder, capsys):
    path = str(next(folder.rglob("*.png")))
    assert main(["predict", "--fpr", "0.01", "--json", path]) == 0
    (row,) = (json.loads(line) for line in lines_of(capsys))
    assert (row["verdict"], row["threshold"]) == ("real", 1e6)
    assert main(["predict", "--fpr", "0.05", path]) == 0
    assert lines_of(capsys)[0].startswith("generated")
    assert main(["predict", "--fpr", "0.1", path]) == 2
    said = capsys.readouterr().err
    assert "--fpr 0.1: the model transfer has thresholds for 0.01, 0.05" in said
    assert "calibrate --fpr 0.1" in said
    assert main(["predict", "cnn", "--fpr", "0.05", path]) == 2
    said = capsys.readouterr().err
    assert "the model cnn has thresholds for none" in said
    assert "calibrate --fpr 0.05" in said


@pytest.mark.parametrize("fpr", ["5", "0", "1", "-0.05", "nan"])
def test_a_false_positive_rate_is_a_proportion(shipped, folder, fpr, capsys):
    path = str(next(folder.rglob("*.png")))
    assert main(["predict", f"--fpr={fpr}", path]) == 2
    assert "a proportion between 0 and 1. Write 5 % as 0.05" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cnn", "transfer"])
def test_predict_and_the_library_say_the_same_to_the_last_bit(shipped, folder, name, capsys):
    paths = sorted(str(path) for path in folder.rglob("*.png"))[:30]
    assert main(["predict", "--json", "-m", name, *paths]) == 0
    rows = [json.loads(line) for line in lines_of(capsys)]
    detector = load_detector(shipped / f"{name}.onnx")
    assert [row["score"] for row in rows] == detector.decision_function(paths).tolist()
    assert [row["probability"] for row in rows] == detector.predict_proba(paths)[:, 1].tolist()
    assert [row["label"] for row in rows] == detector.predict(paths).tolist()
    assert {row["threshold"] for row in rows} == {detector.threshold_}


def test_predict_without_images_or_models_says_so(shipped, capsys):
    assert main(["predict", "cnn"]) == 2
    assert "there are no images, only the model cnn" in capsys.readouterr().err
    assert main(["predict", "-m", "nonsense", "a.png"]) == 2
    assert "shipped detectors (cnn, transfer)" in capsys.readouterr().err
    for path in shipped.iterdir():
        path.unlink()
    assert main(["predict", "a.png"]) == 2
    assert "no detector is shipped" in capsys.readouterr().err


def test_a_verdict_on_one_image_imports_no_heavy_module(model, folder):
    path = str(next(folder.rglob("*.png")))
    code = (
        "import sys; from detectorkit.cli import main\n"
        f"main(['predict', {str(model)!r}, {path!r}])\n"
        "print([m for m in ('sklearn', 'scipy', 'onnx', 'pandas', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_broken_images_are_named_and_the_others_done(model, folder, tmp_path, capsys):
    good = sorted(str(path) for path in folder.rglob("*.png"))[:3]
    (tmp_path / "bad.png").write_text("no image")
    images = [good[0], str(tmp_path / "bad.png"), good[1], str(tmp_path / "none.png"), good[2]]
    assert main(["predict", str(model), *images]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.strip().splitlines()) == 3
    assert "bad.png" in captured.err
    assert "none.png" in captured.err
    assert main(["predict", str(model), "--json", *images]) == 1
    rows = [json.loads(line) for line in lines_of(capsys)]
    assert sum("error" in row for row in rows) == 2


def test_broken_images_do_not_stop_training(folder, tmp_path, capsys):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "real" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    assert main(["train", str(copy), "-o", str(tmp_path / "m.onnx"), "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["n_unreadable"] == 1
    assert "bad.jpg" in captured.err


def test_evaluate_measures_groups(model, folder, capsys):
    assert main(["evaluate", str(model), str(folder), "--groups", "generator", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["n"] == 120
    rows = {row["name"]: row for row in summary["origins"]}
    assert rows["(none)"]["kind"] == "photographs"
    assert sum(row["n"] for row in rows.values()) == 120
    assert summary["training"]["generators"] == sorted(set(rows) - {"(none)"})
    assert main(["evaluate", str(model), str(folder), "--groups", "generator"]) == 0
    out = capsys.readouterr().out
    assert "pixel-shuffle" in out
    assert "trained on: bilinear, nearest" in out
    assert "Generators of these images that were in training: bilinear, nearest" in out


def test_evaluate_counts_the_generators_of_a_large_training(folder, capsys):
    assert main(["evaluate", "forensic", str(folder)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"trained on: \d+ generators, which --json lists\n", out)
    assert "were in training" not in out


def test_a_model_that_does_not_exist_is_named_without_an_error_number(folder, capsys):
    assert main(["evaluate", "gone.onnx", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "detectorkit evaluate: gone.onnx: No such file or directory\n" in said


def test_without_a_command_the_help_is_shown(capsys):
    assert main([]) == 2
    assert "predict for each image whether it is real or generated" in capsys.readouterr().err


def test_evaluate_measures_every_source_and_generator(model, folder, capsys):
    assert main(["evaluate", str(model), str(folder), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    kinds = {row["name"]: row["kind"] for row in summary["origins"]}
    assert kinds["camera"] == "photographs"
    assert kinds["nearest"] == "generator"
    assert main(["evaluate", str(model), str(folder), "--json", "--threshold", "99"]) == 0
    strict = json.loads(capsys.readouterr().out)
    assert strict["metrics"]["recall"]["value"] == 0
    assert strict["metrics"]["roc_auc"] == summary["metrics"]["roc_auc"]


def test_a_model_is_named_by_its_place_or_by_an_option(model, folder, tmp_path, capsys):
    said = []
    for words in (
        [str(model), str(folder)],
        [str(model), "--part", "test", str(folder)],
        ["-m", str(model), str(folder)],
        [str(folder), "--model", str(model)],
    ):
        parted = "--part" in words
        assert main(["evaluate", *words]) == (2 if parted else 0)
        captured = capsys.readouterr()
        if parted:  # found, but without parts
            assert "--part test: the column split of the data has the parts: none" in captured.err
        else:
            said.append(captured.out)
    assert len(set(said)) == 1
    strict = ["-o", str(tmp_path / "m.onnx"), "--fpr", "0.1"]
    assert main(["calibrate", *strict, "-m", str(model), str(folder)]) == 0
    for words in ([str(folder)], ["-m", str(model), "a", "b"], [str(model), "a", "b"]):
        assert main(["evaluate", *words]) == 2
        assert "pass one MODEL and one DATA" in capsys.readouterr().err


def test_calibrate_sets_a_threshold_that_photographs_keep(model, folder, tmp_path, capsys):
    output = tmp_path / "strict.onnx"
    shutil.copytree(folder / "real", tmp_path / "data" / "real")
    command = ["calibrate", str(model), str(tmp_path / "data"), "-o", str(output)]
    assert main([*command, "--fpr", "0.05"]) == 0
    assert "Nothing is promised for photographs from elsewhere" in capsys.readouterr().out
    detector = load_detector(output)
    scores = detector.decision_function([str(p) for p in (tmp_path / "data").rglob("*.png")])
    assert np.sum(scores > detector.threshold_) == 2  # the third largest of 60, 3 / 61 < 0.05
    assert detector.record_.training["calibrated_on"]["n_real"] == 60
    assert main([*command, "--fpr", "0.01"]) == 2
    assert "60 photographs are too few" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "shift"])
def test_calibrate_fits_probabilities_like_the_library(model, folder, tmp_path, method):
    from detectorkit.datasets import load_images
    from detectorkit.evaluation import calibrate

    output = tmp_path / "fitted.onnx"
    command = ["calibrate", str(model), str(folder), "-o", str(output), "--method", method]
    assert main(command) == 0
    found = load_images(folder)
    expected = calibrate(load_detector(model), found.data, found.target, method=method)
    loaded = load_detector(output)
    assert loaded.calibration_ == expected.calibration_
    assert loaded.threshold_ == expected.threshold_
    assert loaded.record_.training["generators"]  # what it was trained on is kept


def test_calibrate_sets_a_band_that_a_new_threshold_removes(model, folder, tmp_path, capsys):
    banded, strict = (str(tmp_path / name) for name in ("banded.onnx", "strict.onnx"))
    assert main(["calibrate", str(model), str(folder), "-o", banded, "--band", "0.5"]) == 0
    assert "The detector can't tell at scores from" in capsys.readouterr().out
    band = load_detector(banded).band_
    assert (band.n_images, band.wrong_photographs < 0.5) == (120, True)
    assert main(["calibrate", str(model), str(folder), "-o", banded, "--band"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"detectorkit calibrate: \d+ sources .* too few .* or --band of at least", said)
    command = ["calibrate", banded, str(folder), "-o", strict]
    assert main([*command, "--method", "sigmoid"]) == 0
    assert load_detector(strict).band_ == band
    assert main([*command, "--fpr", "0.05"]) == 0
    assert 'The band of "can\'t tell" is removed' in capsys.readouterr().out
    assert load_detector(strict).band_ is None


def test_photographs_alone_give_a_false_positive_rate(model, folder, tmp_path, capsys):
    shutil.copytree(folder / "real", tmp_path / "real")
    assert main(["evaluate", str(model), str(tmp_path), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert 0 <= metrics["false_positive_rate"]["value"] <= 1
    assert metrics["roc_auc"]["value"] is None
    assert main(["train", str(tmp_path), "-o", str(tmp_path / "m.onnx")]) == 2
    assert "only one class" in capsys.readouterr().err


def test_a_reader_that_closes_the_pipe_is_no_error(model, folder):
    predict = [sys.executable, "-m", "detectorkit", "predict", str(model)] + [str(folder)] * 20
    command = f"{shlex.join(predict)} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1
    assert done.returncode in {0, 141}
    assert "rror" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "none.onnx", "a.png"],
        ["predict", __file__, "a.png"],
        ["evaluate", "none.onnx", "."],
        ["calibrate", "none.onnx", ".", "-o", "m.onnx", "--method", "shift", "--guarantee"],
        ["calibrate", "none.onnx", ".", "-o", "no/such/folder/m.onnx", "--fpr", "0.1"],
        ["train", "nowhere", "-o", "m.onnx"],
        ["train", ".", "-o", "no/such/folder/m.onnx"],
        ["train", ".", "-o", "m.onnx", "--set", "C=-1"],
        ["train", ".", "-o", "m.onnx", "--set", "nonsense=1"],
        ["train", ".", "-o", "m.onnx", "--checkpoint", "state.pt"],
        ["train", ".", "-o", "m.onnx", "-m", "transfer", "--checkpoint", "state.pt"],
        ["train", ".", "-o", "m.onnx", "-m", "cnn", "--checkpoint", "no/such/folder/state.pt"],
        ["train", ".", "-o", "m.onnx", "-m", "deit"],
    ],
)
def test_unusable_input_is_status_2_and_says_why(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DETECTORKIT_HOME", str(tmp_path))
    assert main(arguments) == 2
    assert f"detectorkit {arguments[0]}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["dance"],
        ["train", "."],
        ["train", ".", "-o", "m", "--set", "C"],
        ["train", ".", "-o", "m", "more"],
        ["predict"],
        ["predict", "--fpr", "five", "a.png"],
        ["predict", "a.png", "--nonsense", "b.png"],
        ["predict", "--js", "a.png"],  # an option is not abbreviated
        ["backbones", "list", "--js"],
    ],
)
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as info:
        main(arguments)
    assert info.value.code == 2
    command = f" {arguments[0]}" if arguments[0] in COMMANDS else ""
    assert capsys.readouterr().err.startswith(f"usage: detectorkit{command} [-h]")


def test_a_misspelt_command_is_suggested(capsys):
    with pytest.raises(SystemExit):
        main(["pedict", "a.png"])
    assert "there is no command 'pedict'. Did you mean 'predict'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["train", "."], "m.onnx"),
        (["calibrate", "none.onnx", ".", "--fpr", "0.1"], "m.onnx"),
        (["report", "none.onnx", "."], "r.html"),
        (["explain", "-m", "none.onnx", "a.png"], "map.png"),
        (["explain", "-m", "none.onnx", "a.png", "-o", "map.png", "--numbers"], "map.npy"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_first(
    command, name, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    command = command if "-o" in command else [*command, "-o"]
    if name != "map.png":  # in a folder, each image has a picture
        assert main([*command, name]) == 2
        assert f"{name} is a folder. Pass the name of a file in it." in capsys.readouterr().err
    assert main([*command, f"nowhere/{name}"]) == 2
    assert f"the folder nowhere for {name} does not exist" in capsys.readouterr().err
    if name != "map.npy":
        assert main([*command, "m.pkl"]) == 2
        assert f"a name that ends in {Path(name).suffix}" in capsys.readouterr().err
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    assert main([*command, f"other-{name}"]) == 2
    assert "must be writable for the output" in capsys.readouterr().err


def test_errors_are_in_the_words_of_the_command_line(folder, tmp_path, monkeypatch, capsys):
    """Neither the names of Python functions nor a whole detector are printed."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "real", tmp_path / "data" / "real")
    assert main(["audit", "data"]) == 2
    assert capsys.readouterr().err.startswith("detectorkit audit: only one class is present")
    assert main(["train", "data", "-o", "m.onnx", "--set", "foo=1"]) == 2
    said = "detectorkit train: --set foo: hog-svm does not have this parameter. It has: C, "
    assert capsys.readouterr().err.startswith(said)
    assert main(["models", "hogsvm"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("detectorkit models: 'hogsvm' must be one of the shipped detectors: ")
    assert said.endswith(". Did you mean 'hog-svm'?\n")
    for option in ("--fpr", "--band"):
        assert main(["calibrate", "none.onnx", "data", "-o", "m.onnx", option, "5"]) == 2
        said = f"detectorkit calibrate: {option} 5: pass a proportion between 0 and 1. Write 5 % as"
        assert capsys.readouterr().err == f"{said} 0.05.\n"
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert main(["serve"]) == 2
    assert capsys.readouterr().err.startswith("detectorkit serve needs starlette, which is not")


def test_what_is_not_an_image_is_told_before_the_model_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("path\na.png\n")
    for image, said in (
        ("list.csv", "use `detectorkit scan list.csv -o verdicts.csv`."),
        ("http://a.org/a.png", "is an address. Download the image, and pass the file."),
        ("none.png", "there is no file or folder none.png."),
    ):
        assert main(["predict", image]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(said)


@pytest.mark.parametrize("command", ["train", "calibrate", "explain", "report"])
def test_the_help_tells_that_an_output_is_replaced(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"-o \w+, --output \w+ [^-]* (is|are) replaced", said)


def test_no_command_prints_the_help(capsys):
    assert main([]) == 2
    assert "audit" in capsys.readouterr().err


def test_demo_writes_a_report_and_a_model(tmp_path):
    resource = pytest.importorskip("resource")  # not on Windows
    command = [sys.executable, "-W", "error", "-m", "detectorkit", "demo", "-o", str(tmp_path)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # It takes some 6 s of the processors' time, however busy they are with other things.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20
    assert "a decoder it never saw" in done.stdout
    verdicts = [line for line in done.stdout.splitlines() if " -> " in line]
    assert {line.split()[-2] for line in verdicts if "photograph " in line} >= {"real"}
    assert {line.split()[-2] for line in verdicts if "faces64" in line} == {"generated"}
    assert done.stderr == ""
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "are not AI-generated images" in report
    assert report.count("data:image/png;base64,") == 32
    assert (
        "pixel-shuffle" not in load_detector(tmp_path / "model.onnx").record_.training["generators"]
    )


def test_demo_measures_on_what_it_was_not_fitted_on():
    from detectorkit.cli.demo import _make_parts

    parts = _make_parts(0)
    sources = {name: set(part.source) for name, part in parts.items()}
    generators = {name: set(part.generator) - {"photograph"} for name, part in parts.items()}
    assert not sources["train"] & sources["val"]
    test = sources["known"] | sources["faces"] | sources["unseen"] | {"astronaut"}
    assert not (sources["train"] | sources["val"]) & test
    assert generators["known"] <= generators["train"]
    assert generators["unseen"] == {"pixel-shuffle"}
    assert generators["faces"] == {"faces64"} < generators["train"]
    assert "pixel-shuffle" not in generators["train"] | generators["val"] | generators["known"]


def test_help_and_version_are_quick_and_import_no_heavy_module():
    code = (
        "import sys; from detectorkit.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'sklearn', 'scipy', 'onnx', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as info:
        main([command, "--help"])
    assert info.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: detectorkit {command}")


def test_a_stack_of_features_is_trained_saved_and_reported(folder, tmp_path, capsys):
    model = tmp_path / "forensic.onnx"
    arguments = ["--set", "feature_set=['residual', 'block_dct']", "--json"]
    assert main(["train", str(folder), "-m", "forensic", "-o", str(model), *arguments]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(model), str(folder), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["metrics"]["roc_auc"]["value"] > 0.8
    report = tmp_path / "report.html"
    assert main(["report", str(model), str(folder), "-o", str(report), "--no-images"]) == 0
    assert '"name": "block_dct"' in report.with_suffix(".md").read_text()


def test_a_head_on_a_backbone_is_trained_with_origins(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTORKIT_HOME", str(tmp_path / "home"))
    backbone = install_tiny_backbone()
    model = tmp_path / "transfer.onnx"
    seen = []
    fit = BackboneDetector.fit

    def remember(self, X, y, sample_weight=None, groups=None, origin=None):
        seen.append((groups, origin))
        return fit(self, X, y, sample_weight, groups, origin)

    monkeypatch.setattr(BackboneDetector, "fit", remember)
    settings = ["--set", f"backbone={backbone}", "--set", "max_epochs=3", "--set", "balance=origin"]
    assert main(["train", str(folder), "-m", "transfer", "-o", str(model), *settings]) == 0
    ((groups, origin),) = seen
    assert len(groups) == len(origin)
    assert {"camera", "nearest"} <= set(origin)
    assert load_detector(model).record_.training["backbone"] == "tiny"
    assert main(["predict", str(model), str(folder)]) == 0


def install_tiny_backbone():
    """Means of the colours, as a backbone."""
    from onnx import TensorProto, helper

    from detectorkit.backbones import write_backbone
    from detectorkit.graph.inputs import NetworkInput

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["means"]),
            helper.make_node("Flatten", ["means"], ["features"]),
        ],
        "tiny",
        [value("images", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [value("features", TensorProto.FLOAT, ["n", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    write_backbone(
        model, "tiny", NetworkInput((16, 16)), licence="MIT", source="here", checksum="ab"
    )
    return "tiny"


@pytest.mark.parametrize("model", ["cnn", "resnet"])
def test_networks_need_the_extra(model, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    assert main(["train", str(folder), "-m", model, "-o", str(tmp_path / "m.onnx")]) == 2
    err = capsys.readouterr().err
    assert f"{model} needs torch" in err
    assert 'the extra "train": pip install ' in err


def test_without_torch_or_backbone_another_model_is_offered(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTORKIT_HOME", str(tmp_path))  # where no backbone is installed
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["train", str(folder), "-m", "transfer", "-o", str(tmp_path / "m.onnx")]) == 2
    err = capsys.readouterr().err
    assert "pip install " in err
    assert "Or train -m clip, whose network comes along." in err


@pytest.mark.skipif("clip-vit-b16-4bit" not in installed_backbones(), reason="it is left out here")
def test_clip_is_trained_without_torch(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    found, few, model = load_images(folder), tmp_path / "few", tmp_path / "m.onnx"
    for index in [*range(0, 60, 12), *range(60, 120, 12)]:
        place = few / ("generated" if found.target[index] else "real") / f"{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found.data[index], place)
    settings = ["--set", "max_epochs=2", "--json"]
    assert main(["train", str(few), "-m", "clip", "-o", str(model), *settings]) == 0
    training = json.loads(capsys.readouterr().out)["training"]
    assert training["backbone"] == "clip-vit-b16-4bit"
    assert (training["layers"], training["pool"]) == ([6, 8, 10, 12], "cls+mean")
    assert main(["predict", "-m", str(model), str(few / "real" / "0.png")]) == 0


def test_a_network_is_trained_and_goes_on_from_its_checkpoint(folder, tmp_path, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    model, state = tmp_path / "cnn.onnx", tmp_path / "state.pt"
    command = ["train", str(folder), "-m", "cnn", "-o", str(model), "--checkpoint", str(state)]
    command += ["--set", "image_size=(32, 32)", "--set", "max_epochs=1", "--json"]
    assert main(command) == 0
    assert state.exists()
    first = model.read_bytes()
    assert main(command) == 0
    assert "Going on after epoch 1" in capsys.readouterr().err
    assert model.read_bytes() == first
