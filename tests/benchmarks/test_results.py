"""The committed results have the form that they promise."""

import json
import math
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from benchmarks.__main__ import BENCHMARKS
from benchmarks.accuracy.detectors import DETECTORS
from benchmarks.accuracy.metrics import rows_of_detector
from benchmarks.accuracy.rows import MEANS, ORIGINS, PARTS
from benchmarks.accuracy.scores import FOLDER, read_scores
from benchmarks.accuracy.table import MEAN, TABLE, TREATMENTS, read_rows, write_rows
from benchmarks.accuracy.texture_table import TABLE as TEXTURE
from benchmarks.accuracy.texture_table import read_texture, write_texture
from benchmarks.feature_sets import FEATURES
from benchmarks.files import RESULTS, ROOT, rounded, to_json

JSON = sorted(RESULTS.rglob("*.json"))
ABOUT = sorted((RESULTS / "detectors").glob("*.json"))
SCORES = sorted(FOLDER.glob("*.npz"))
SCHEMA = json.loads((ROOT / "benchmarks" / "accuracy" / "detector.schema.json").read_text())


def name_of(path):
    return path.stem


@pytest.fixture(scope="module")
def rows():
    return read_rows()


def test_no_figure_is_there_twice(rows):
    keys = [row[:7] for row in rows]
    assert len(set(keys)) == len(keys)


def test_rows_are_of_what_is_known(rows):
    for row in rows:
        assert row.detector in {*DETECTORS, *FEATURES}
        assert row.treatment in TREATMENTS
        assert row.protocol in "ABCD"
        assert row.n > 0


def test_every_metric_is_one_that_the_table_keeps(rows):
    # What was kept of families of features before scores were: also the accuracy and the areas.
    for row in rows:
        place = row.protocol, row.part
        if row.trial == MEAN:
            assert row.metric in MEANS[place]
        elif row.origin:
            assert row.metric in ORIGINS[place]
        else:
            assert row.metric in PARTS[place]


def test_a_value_lies_in_its_interval(rows):
    for row in rows:
        assert not math.isnan(row.value), row
        if not math.isnan(row.low):
            assert row.low <= row.high, row
        if not math.isnan(row.low) and row.metric != "ece":  # resampling makes that one larger
            assert row.low - 1e-9 <= row.value <= row.high + 1e-9, row


def test_the_table_is_written_as_it_is_read(rows, tmp_path):
    write_rows(rows, tmp_path / "trials.csv")
    assert (tmp_path / "trials.csv").read_bytes() == TABLE.read_bytes()


def test_the_table_of_texture_is_written_as_it_is_read(tmp_path):
    write_texture(read_texture().items(), tmp_path / "texture.csv")
    assert (tmp_path / "texture.csv").read_bytes() == TEXTURE.read_bytes()


@pytest.mark.parametrize("path", JSON, ids=name_of)
def test_json_is_written_as_it_is_read(path):
    text = path.read_text()
    assert to_json(json.loads(text)) + "\n" == text


@pytest.mark.parametrize("path", ABOUT, ids=name_of)
def test_what_is_said_of_a_detector_follows_its_schema(path):
    Draft202012Validator.check_schema(SCHEMA)
    assert not list(Draft202012Validator(SCHEMA).iter_errors(json.loads(path.read_text())))


def test_the_schema_refuses_what_says_too_little():
    about = json.loads(ABOUT[0].read_text())
    del about["trainings"]["aligned"]["A"]["fit_seconds"]
    assert not Draft202012Validator(SCHEMA).is_valid(about)


def test_every_detector_with_figures_is_described(rows):
    described = {path.stem for path in ABOUT}
    assert described == {row.detector for row in rows} - set(FEATURES)
    for path in ABOUT:
        about = json.loads(path.read_text())
        assert about["detector"]["name"] == path.stem
        places = {(row.treatment, row.protocol) for row in rows if row.detector == path.stem}
        trained = {(t, p) for t, found in about["trainings"].items() for p in found}
        assert places == trained


@pytest.mark.parametrize("path", ABOUT, ids=name_of)
def test_no_training_took_more_images_than_its_budget(path):
    for found in json.loads(path.read_text())["trainings"].values():
        for training in found.values():
            most = training.get("budget", {}).get("max_images")
            assert most is None or training["n_train"][1] <= most


@pytest.mark.parametrize("path", JSON, ids=name_of)
def test_every_result_names_the_benchmark_that_made_it(path):
    command = json.loads(path.read_text())["command"]
    assert re.match(r"python -m benchmarks ([\w-]+)", command)[1] in BENCHMARKS


@pytest.mark.parametrize("path", [*JSON, TABLE, TEXTURE], ids=name_of)
def test_no_result_names_a_path_of_a_machine(path):
    assert not re.search(r'"/(home|root|tmp|work|Users)/', path.read_text())


@pytest.mark.parametrize("path", SCORES, ids=name_of)
def test_the_rows_follow_from_the_scores(path, rows):
    # Optimisation of sums differs between processors; no page shows more than three digits.
    known = {row[:7]: row for row in rows}
    scores = read_scores(path)
    made = rows_of_detector(path.stem, scores, rows)
    assert made
    for row in made:
        for new, old in zip(row.estimate, known[row[:7]].estimate, strict=True):
            assert new == pytest.approx(old, rel=1e-6, abs=1e-9, nan_ok=True), row


def test_scores_are_kept_of_what_was_measured_last():
    assert Path(FOLDER / "hog-svm.npz") in SCORES


def test_figures_keep_seven_digits():
    assert rounded(1 / 3) == 0.3333333
