"""Scores are kept whole or not at all, and figures follow from them without training."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from benchmarks.__main__ import BENCHMARKS, main, summary_of
from benchmarks.accuracy import measuring
from benchmarks.accuracy.measuring import Measured
from benchmarks.accuracy.metrics import rows_of_detector
from benchmarks.accuracy.rows import trial_rows
from benchmarks.accuracy.scores import read_scores
from benchmarks.accuracy.table import MEAN, Row, read_rows, write_rows
from benchmarks.files import ROOT, read_json, to_json, write_json
from detectorkit.evaluation import leave_one_generator_out_trials, run_trial

KEYS = {"treatment": "aligned", "protocol": "C"}


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    origin = np.repeat(["gan", "flow", "studio", "web"], 60)
    y = np.repeat([1, 0], 120)
    X = random.normal(size=(240, 4)) + y[:, None] * [1.0, 0.5, 0.0, 0.0]
    columns = {"origin": origin, "picture": np.arange(240).astype(str)}
    trials = leave_one_generator_out_trials(y, origin)
    return SimpleNamespace(X=X, y=y, origin=origin, columns=columns, trials=trials)


@pytest.fixture
def measured(data, tmp_path):
    def make():
        return Measured("hog-svm", data, scores=tmp_path, table=tmp_path / "trials.csv")

    return make


def keys_of(data):
    return [("aligned", "C", trial.name) for trial in data.trials]


def run_all(one, data, make=LogisticRegression):
    for key, trial in zip(keys_of(data), data.trials, strict=True):
        if not one.is_done(key, again=False):
            one.run(key, trial, make, data.X)
    one.finish("aligned", "C", data.trials)


def test_figures_are_those_of_the_trial(measured, data, tmp_path):
    run_all(measured(), data)
    key, trial = keys_of(data)[0], data.trials[0]
    direct = run_trial(LogisticRegression(), data.X, data.y, trial=trial, **data.columns)
    expected = list(trial_rows(("hog-svm", *key), direct.to_dict()))
    found = [row for row in read_rows(tmp_path / "trials.csv") if row.trial == trial.name]
    assert [row[:8] for row in found] == [row[:8] for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert row.estimate == pytest.approx(other.estimate, abs=1e-6, nan_ok=True)


def test_scores_and_probabilities_are_kept(measured, data, tmp_path):
    run_all(measured(), data)
    kept = read_scores(tmp_path / "hog-svm.npz")
    content = kept.measure(keys_of(data)[0])
    trial = data.trials[0]
    direct = run_trial(LogisticRegression(), data.X, data.y, trial=trial, **data.columns).to_dict()
    for part, found in content["test"].items():
        for name, estimate in found["probability_metrics"].items():
            expected = direct["test"][part]["probability_metrics"][name]
            assert estimate == pytest.approx(expected, abs=1e-6)


def test_what_is_there_is_not_trained_again(measured, data):
    run_all(measured(), data)

    def refuse():
        raise AssertionError

    run_all(measured(), data, make=refuse)


def test_a_run_that_was_stopped_goes_on(measured, data, tmp_path):
    first = measured()
    first.run(keys_of(data)[0], data.trials[0], LogisticRegression, data.X)
    table = tmp_path / "trials.csv"
    assert MEAN not in {row.trial for row in read_rows(table)}
    table.unlink()  # as if it had been stopped between scores and rows
    second = measured()
    assert {row.trial for row in read_rows(table)} == {data.trials[0].name}
    run_all(second, data)
    trials = {row.trial for row in read_rows(table)}
    assert trials == {MEAN, *(trial.name for trial in data.trials)}


def test_a_stop_while_writing_leaves_the_scores_as_they_were(measured, data, tmp_path, monkeypatch):
    measured().run(keys_of(data)[0], data.trials[0], LogisticRegression, data.X)
    before = (tmp_path / "hog-svm.npz").read_bytes()

    def stop(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", stop)
    with pytest.raises(KeyboardInterrupt):
        measured().run(keys_of(data)[1], data.trials[1], LogisticRegression, data.X)
    assert (tmp_path / "hog-svm.npz").read_bytes() == before
    assert {row.trial for row in read_rows(tmp_path / "trials.csv")} == {data.trials[0].name}


def test_figures_from_before_scores_count_as_done(measured, data, tmp_path):
    key = keys_of(data)[0]
    old = Row("hog-svm", *key, "self", "", "roc_auc", 10, 0.5)
    write_rows([old], tmp_path / "trials.csv")
    one = measured()
    assert one.is_done(key, again=False)
    assert not one.is_done(key, again=True)
    assert not one.is_done(keys_of(data)[1], again=False)


def test_means_from_before_scores_count_for_all_trials(measured, data, tmp_path):
    old = Row("hog-svm", "aligned", "C", MEAN, "foreign", "", "mean_roc_auc", 2, 0.5)
    write_rows([old], tmp_path / "trials.csv")
    one = measured()
    assert all(one.is_done(key, again=False) for key in keys_of(data))
    one.run(keys_of(data)[0], data.trials[0], LogisticRegression, data.X)
    one.finish("aligned", "C", data.trials)
    rows = read_rows(tmp_path / "trials.csv")
    assert old[:9] in {row[:9] for row in rows}
    made = rows_of_detector("hog-svm", one.scores, rows)
    assert MEAN not in {row.trial for row in made}  # of one trial, in place of two
    one.run(keys_of(data)[1], data.trials[1], LogisticRegression, data.X)
    made = rows_of_detector("hog-svm", one.scores, rows)
    assert {row.n for row in made if row.trial == MEAN} == {2}


def test_scores_of_other_images_are_refused(measured, data, tmp_path):
    run_all(measured(), data)
    others = SimpleNamespace(y=1 - data.y, origin=data.origin, columns=data.columns)
    with pytest.raises(ValueError, match=r"hog-svm\.npz is of other images"):
        Measured("hog-svm", others, scores=tmp_path, table=tmp_path / "trials.csv")


def test_a_new_metric_needs_no_training(measured, data, tmp_path, monkeypatch):
    run_all(measured(), data)
    monkeypatch.setitem(measuring.trial_rows.__globals__["PARTS"], ("C", "foreign"), ("f1",))
    scores = read_scores(tmp_path / "hog-svm.npz")
    rows = list(measuring.rows_of("hog-svm", scores, scores.trials))
    new = [row for row in rows if row.metric == "f1"]
    assert {row.trial for row in new} == {trial.name for trial in data.trials}
    assert all(0 <= row.value <= 1 for row in new)


def test_json_has_short_parts_on_one_line(tmp_path):
    content = {"estimate": [0.123456789, None, float("nan")], "long": {"a": ["b" * 90, "c" * 90]}}
    assert to_json(content).splitlines() == [
        "{",
        ' "estimate": [0.1234568, null, null],',
        ' "long": {',
        '  "a": [',
        f'   "{"b" * 90}",',
        f'   "{"c" * 90}"',
        "  ]",
        " }",
        "}",
    ]
    write_json(tmp_path / "a.json", {"x": 1.5})
    assert read_json(tmp_path / "a.json") == {"x": 1.5}
    assert read_json(tmp_path / "nothing.json") == {}


def test_the_list_names_every_benchmark(capsys):
    main([])
    shown = capsys.readouterr().out
    for name, module in BENCHMARKS.items():
        assert re_line(shown, name).endswith(summary_of(module))
        assert summary_of(module)


def re_line(text, name):
    return next(line for line in text.splitlines() if line.split()[:1] == [name])


def test_the_list_needs_nothing_but_python():
    code = "import sys, benchmarks.__main__ as b; b.main([]); print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_an_unknown_benchmark_is_named():
    with pytest.raises(SystemExit, match="NAME='nothing' must be one of"):
        main(["nothing"])
