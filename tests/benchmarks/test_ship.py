"""What is shipped agrees with the results and with the table of what it was trained on."""

import csv
import json

import numpy as np
import pytest

from benchmarks.files import MODELS, RESULTS, to_json
from benchmarks.pages.cards import SHIPPED
from detectorkit import load_detector

each = pytest.mark.parametrize("name", SHIPPED)


@each
def test_the_record_says_what_the_result_says(name):
    result = json.loads((RESULTS / f"shipped_{name}.json").read_text())
    path = MODELS / f"{name}.onnx"
    record = load_detector(path).record_
    assert json.loads(to_json(record.training)) == result["training"]
    assert record.treatment_text() == result["treatment"]
    assert path.stat().st_size == result["bytes"]
    metrics, known = result["left_out"]["metrics"], result["training"]["protocol_e"]
    for key, metric in (
        ("macro_balanced_accuracy", "macro_balanced_accuracy"),
        ("roc_auc", "roc_auc"),
        ("found_at_5", "recall@fpr_5"),
    ):
        assert known[key] == metrics[metric]["value"]


@each
def test_the_table_lists_what_was_trained_on(name):
    training = load_detector(MODELS / f"{name}.onnx").record_.training
    if "rows_sha256" not in training:  # it was trained on other images, which its record names
        assert len(training["sources"]) == 8
        return
    with (MODELS / "sources.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    photographs = [row for row in rows if row["label"] == "0"]
    assert set(training["sources"]) <= {row["source"] for row in photographs}
    if training["n_samples"] == sum(int(row["n"]) for row in rows):
        assert training["n_real"] == sum(int(row["n"]) for row in photographs)
        generators = {row["generator"] for row in rows if row["label"] == "1"}
        assert set(training["generators"]) == generators


def test_a_threshold_weighs_sources_of_photographs_alike():
    evaluation = pytest.importorskip("detectorkit.evaluation.sources").SourceEvaluation
    pytest.importorskip("detectorkit.calibration.band")
    from benchmarks.accuracy import ship

    random = np.random.default_rng(0)
    source = np.repeat(["a", "b", "c"], [400, 40, 60])
    y = (source == "c").astype(int)
    scores = random.normal(size=500) + 3 * (source == "b")  # of a few photographs, half the weight
    result = evaluation(y, scores, np.zeros(500), source, source, source)
    threshold = ship.threshold_at(result, 0.05)
    rates = [np.mean(scores[source == name] > threshold) for name in "ab"]
    assert 0.03 < np.mean(rates) <= 0.05
    assert ship.threshold_at(result, 0.01) > threshold
    assert ship.found_above(result, threshold) == result.metrics["recall@fpr_5"].value
