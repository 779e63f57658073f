"""Files with strange names, and what a search passes over, are told and never lost."""

import csv
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from detectorkit.cli import main
from detectorkit.datasets import find_images, load_images

pytestmark = pytest.mark.skipif(os.name != "posix", reason="such names and files are of POSIX")

FORGED = "a\nreal       0.001  b.png"
COLOURED = "\x1b[31mred.png"
NOT_UTF8 = os.fsdecode(b"\xff.png")
ESCAPED = [r"\udcff.png", r"\x1b[31mred.png", r"a\nreal       0.001  b.png"]


@pytest.fixture
def model(fitted, tmp_path):
    fitted.save(tmp_path / "m.onnx")
    return str(tmp_path / "m.onnx")


@pytest.fixture
def strange(folder, tmp_path):
    """Images with strange names in folders with strange names, photographs and generated."""
    place = tmp_path / "strange"
    images = sorted(folder.rglob("*.png"))
    if sys.platform == "darwin":
        pytest.skip("its file systems only have names in UTF-8")
    for kind, chosen in (("real", images[-3:]), ("generated", images[:3])):
        for name, image in zip((FORGED, COLOURED, NOT_UTF8), chosen, strict=True):
            path = place / kind / f"=1+{name[:1]}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(image, path)
    return place


def lines_of(text):
    """Lines, none of which holds what a terminal would act on or UTF-8 cannot hold."""
    text.encode()
    lines = text.rstrip("\n").split("\n")
    assert all(character.isprintable() for line in lines for character in line)
    return lines


def test_names_are_escaped_and_no_verdict_is_lost_or_forged(model, strange, tmp_path, capsys):
    real = strange / "real"
    assert main(["predict", "-m", model, str(real)]) == 0
    lines = lines_of(capsys.readouterr().out)
    assert sorted(line.rpartition("/")[2] for line in lines) == ESCAPED
    assert main(["predict", "-m", model, str(real), "--json"]) == 0
    rows = [json.loads(line) for line in lines_of(capsys.readouterr().out)]
    assert [row["path"] for row in rows] == [str(path) for path in find_images(real)]
    picture = str(tmp_path / "e.png")
    assert main(["explain", "-m", model, str(real), "-o", picture, "--method", "occlusion"]) == 0
    assert len(lines_of(capsys.readouterr().out)) == 3


@pytest.mark.parametrize("command", ["predict", "explain", "evaluate", "audit", "train"])
def test_broken_files_are_named_in_one_line_each(command, model, strange, tmp_path, capsys):
    for path in find_images(strange):
        path.write_bytes(b"no image")
    images = [str(strange / ("real" if command in {"predict", "explain"} else ""))]
    names = {"explain": "o.png", "train": "o.onnx"}
    output = ["-o", str(tmp_path / names[command])] if command in names else []
    named = [] if command in {"audit", "train"} else [model]
    assert main([command, *named, *images, *output]) == 2
    said = [line for line in lines_of(capsys.readouterr().err) if line.startswith("Cannot read")]
    assert len(said) == len(find_images(images[0]))


def test_origins_with_strange_names_are_measured(model, strange, capsys):
    assert main(["evaluate", model, str(strange)]) == 0
    assert any("=1+\\x1b" in line for line in lines_of(capsys.readouterr().out))
    assert main(["report", model, str(strange), "-o", str(strange / "r.html")]) == 0
    lines_of(capsys.readouterr().out)
    lines_of((strange / "r.md").read_text("utf-8"))


def test_a_copy_of_strange_names_can_be_read_and_runs_no_formula(strange, tmp_path):
    copy = tmp_path / "copy"
    assert main(["align", str(strange), "-o", str(copy), "--side", "32"]) == 0
    for place in (copy, copy / "manifest.csv"):
        found = load_images(place)
        assert len(found.data) == 6
        assert all(Path(path).exists() for path in found.data)
    with (copy / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["source"].startswith("'=1+") for row in rows if row["label"] == "0")
    assert sum(row["original_path"].endswith(r"\udcff.png") for row in rows) == 2


@pytest.fixture
def deep(tmp_path):
    """A folder that no program can open by its path, whose name is too long: root neither."""
    home, depth = Path.cwd(), 0
    place = tmp_path / "data" / "real" / "deep"
    place.mkdir(parents=True)
    os.chdir(place)
    for depth in range(40):  # noqa: B007
        os.mkdir("d" * 200)  # noqa: PTH102
        os.chdir("d" * 200)
    os.chdir(home)
    yield tmp_path / "data"
    shutil.rmtree(place)


def test_what_a_search_passes_over_is_told_once_with_its_reason(
    deep, model, folder, tmp_path, capsys
):
    shutil.copytree(folder, deep, dirs_exist_ok=True)
    for name in ("notes.txt", "more.txt", "README"):
        (deep / "real" / name).write_text("text")
    (deep / "real" / "gone").symlink_to("nowhere")
    with pytest.warns(UserWarning, match=r"load_images: Passed over: 2 that could not be read"):
        assert len(load_images(deep).data) == 120
    with pytest.warns(UserWarning, match="find_images: Passed over: 2 that"):
        find_images(deep)
    commands = {
        "predict": ["-m", model, str(deep / "real")],
        "evaluate": [model, str(deep)],
        "align": [str(deep), "-o", str(tmp_path / "copy"), "--side", "32"],
        "calibrate": [model, str(deep), "-o", str(tmp_path / "c.onnx"), "--method", "sigmoid"],
        "train": [str(deep), "-o", str(tmp_path / "t.onnx")],
        "report": [model, str(deep), "-o", str(tmp_path / "r.html")],
    }
    for command, arguments in commands.items():
        assert main([command, *arguments]) == 1
        (said,) = (li for li in capsys.readouterr().err.splitlines() if "Passed over" in li)
        assert "2 that could not be read (" in said
        assert "File name too long" in said
        assert "gone: No such file" in said
        assert "3 files that are not images (.txt, no suffix)" in said


def test_other_files_are_only_mentioned(model, folder, tmp_path, capsys):
    place = shutil.copytree(folder / "real", tmp_path / "images")
    (place / "a.txt").write_text("text")
    assert main(["predict", "-m", model, str(place)]) == 0
    assert "Passed over: 1 file that is not an image (.txt)." in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["predict", "-m", model, str(empty)]) == 2
    assert "there are no images in" in capsys.readouterr().err
    assert main(["predict", "-m", model, ""]) == 2
    assert "an IMAGE is empty text" in capsys.readouterr().err


def test_a_named_pipe_is_named_and_passed_over(model, folder, tmp_path, capsys):
    place = tmp_path / "images"
    place.mkdir()
    shutil.copy(next(folder.rglob("*.png")), place / "photograph")  # by its content
    for name in ("x.jpg", "pipe"):
        os.mkfifo(place / name)
    assert main(["predict", "-m", model, str(place)]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0].endswith("photograph")
    assert captured.err.count("not a regular file") == 2


def test_an_image_whose_name_is_too_long_is_one_that_cannot_be_read(model, folder, capsys):
    images = ["n" * 300, str(next(folder.rglob("*.png")))]
    assert main(["predict", "-m", model, *images]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert "File name too long" in captured.err


def test_a_report_does_not_replace_files_that_are_not_its_own(model, folder, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("precious")
    command = ["report", model, str(folder), "-o", str(tmp_path / "README.html"), "--no-images"]
    assert main(command) == 2
    assert "README.md" in capsys.readouterr().err
    assert readme.read_text() == "precious"
    readme.unlink()
    assert main(command) == 0
    assert main(command) == 0  # its own are replaced


def test_a_copy_tells_of_what_a_killed_run_left(strange, tmp_path, capsys):
    left = tmp_path / f".copy-{'0f' * 16}"
    left.mkdir()
    assert main(["align", str(strange), "-o", str(tmp_path / "copy"), "--side", "32"]) == 0
    assert str(left) in capsys.readouterr().err


@pytest.mark.parametrize("jobs", ["100000", "-100000", "0", "3"])
def test_any_number_of_jobs_is_bounded_or_refused(jobs, model, folder, capsys):
    images = sorted(map(str, folder.rglob("*.png")))[:3]
    for name in (model, "cnn"):
        assert main(["predict", "-m", name, "--jobs", jobs, *images]) == (2 if jobs == "0" else 0)
        assert ("n_jobs" in capsys.readouterr().err) == (jobs == "0")
