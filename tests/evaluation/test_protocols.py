import json

import numpy as np
import pytest

from detectorkit import HoGSVMDetector
from detectorkit.evaluation import (
    cross_generator_report,
    leave_one_generator_out_trials,
    leave_one_source_out_trials,
    run_trial,
    same_generator_trials,
    self_and_foreign_trials,
    summarize_trials,
)


@pytest.fixture(scope="module")
def columns(upsampled):
    """Labels, origins, and the pair that each image belongs to."""
    y = upsampled.target
    kind = np.isin(upsampled.source, ["astronaut", "camera", "chelsea", "coffee", "coins"])
    source = np.where(kind, "people", "things")  # two sources, so that folds are not tiny
    return y, np.where(y == 1, upsampled.generator, source), np.repeat(np.arange(60), 2)


@pytest.fixture(scope="module")
def report(upsampled, columns):
    y, origin, picture = columns
    detector = HoGSVMDetector(random_state=0)
    return cross_generator_report(
        detector, upsampled.data, y, origin, picture=picture, n_resamples=20
    )


def all_trials(y, origin, picture):
    yield from same_generator_trials(y, origin, picture=picture)
    yield from self_and_foreign_trials(y, origin, ["people", "bilinear"], picture=picture)
    yield from leave_one_generator_out_trials(y, origin, picture=picture)
    yield from leave_one_source_out_trials(y, origin, picture=picture)


def test_no_picture_is_on_two_sides_and_every_part_has_images(columns):
    y, _, picture = columns
    for trial in all_trials(*columns):
        parts = [trial.train, trial.val, *trial.test.values()]
        assert all(len(part) for part in parts)
        pictures = [set(picture[part]) for part in parts]
        assert not any(pictures[0] & other for other in pictures[1:])
        assert not any(pictures[1] & other for other in pictures[2:])
        assert set(y[trial.train]) == {0, 1}


def test_what_is_foreign_was_not_trained_on(columns):
    _, origin, _ = columns
    for trial in all_trials(*columns):
        known = set(origin[np.concatenate([trial.train, trial.val])])
        assert set(origin[trial.test["self"]]) <= known
        if "foreign" in trial.test:
            assert not set(origin[trial.test["foreign"]]) & known


def test_every_generator_and_every_source_is_left_out_once(columns):
    y, origin, picture = columns
    trials = leave_one_generator_out_trials(y, origin, picture=picture)
    tested = [set(origin[trial.test["foreign"]]) for trial in trials]
    generators = set(origin[y == 1])
    assert [next(iter(names & generators)) for names in tested] == sorted(generators)
    assert set().union(*tested) == set(origin)
    sources = leave_one_source_out_trials(y, origin, picture=picture)
    assert [trial.name for trial in sources] == ["people", "things"]
    assert all((y[trial.test["foreign"]] == 0).all() for trial in sources)


def test_parts_are_eighty_ten_ten_and_repeatable():
    y = np.arange(1000) % 2
    origin = np.array(["lfw", "sdxl"])[y]
    (one,), (two,) = (same_generator_trials(y, origin) for _ in range(2))
    assert [len(p) for p in (one.train, one.val, one.test["self"])] == [800, 100, 100]
    assert (one.train == two.train).all()
    (other,) = same_generator_trials(y, origin, random_state=1)
    assert set(other.train) != set(one.train)


def test_a_trial_sets_its_thresholds_on_validation_alone(upsampled, columns):
    y, origin, picture = columns
    (trial,) = same_generator_trials(y, origin, picture=picture)
    detector = HoGSVMDetector(random_state=0)
    result = run_trial(detector, upsampled.data, y, origin, trial, picture=picture, n_resamples=20)
    scores = result.detector.decision_function(upsampled.data[trial.val])
    assert (result.val.scores == scores).all()
    at_best = result.val.at(result.thresholds["validation"])
    assert at_best.metrics["calibration_gap"].value == pytest.approx(0, abs=1e-12)
    assert np.isnan(result.thresholds["fpr_5"])  # six photographs are too few to promise 5 %
    again = HoGSVMDetector(random_state=0)
    again.fit(upsampled.data[trial.train], y[trial.train], groups=picture[trial.train])
    assert (result.detector.coef_ == again.coef_).all()


def test_the_report_has_self_and_foreign_side_by_side(report, columns):
    y, origin, _ = columns
    assert len(report.trials) == len(set(origin[y == 1]))
    text = report.to_text()
    assert "of known origins" in text
    assert "of unknown origins" in text
    assert all(result.trial.name in text for result in report.trials)
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(content["trials"]) == {result.trial.name for result in report.trials}


def test_the_summary_is_the_mean_over_origins(report):
    foreign = report.summary["foreign"]["default"]
    rows = [row for result in report.trials for row in result.test["foreign"].origins]
    recalls = [row.called_generated.value for row in rows if row.is_generator]
    assert foreign["recall"] == pytest.approx(np.mean(recalls))
    by_source = {}
    for row in rows:
        if not row.is_generator:
            by_source.setdefault(row.name, []).append(row.called_generated.value)
    rates = {name: np.mean(values) for name, values in by_source.items()}
    assert foreign["false_positive_rate"] == pytest.approx(np.mean(list(rates.values())))
    assert foreign["worst_source"]["name"] == max(rates, key=rates.get)
    expected = (foreign["recall"] + 1 - foreign["false_positive_rate"]) / 2
    assert foreign["macro_balanced_accuracy"]["value"] == pytest.approx(expected)


def test_a_summary_of_photographs_alone_has_no_recall(upsampled, columns):
    y, origin, picture = columns
    detector = HoGSVMDetector(random_state=0)
    trials = leave_one_source_out_trials(y, origin, picture=picture)
    summary = summarize_trials(
        run_trial(detector, upsampled.data, y, origin, trial, n_resamples=5).to_dict()
        for trial in trials
    )
    assert summary["foreign"]["default"]["recall"] is None
    assert summary["foreign"]["default"]["macro_balanced_accuracy"] is None
    assert summary["foreign"]["mean_roc_auc"] is None
    assert 0 <= summary["foreign"]["default"]["false_positive_rate"] <= 1


def test_any_classifier_of_images_can_be_measured(upsampled, columns):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from detectorkit.features import HoGTransformer

    y, origin, _ = columns
    transformer = HoGTransformer(image_size=(64, 64))
    pipeline = make_pipeline(transformer, StandardScaler(), LogisticRegression())
    (trial,) = same_generator_trials(y, origin)
    result = run_trial(pipeline, list(upsampled.data), y, origin, trial, n_resamples=5)
    assert result.test["self"].threshold == 0


@pytest.mark.parametrize(
    ("known", "message"),
    [(["people", "dalle"], "must be some"), (None, "must be some, but not all")],
)
def test_unknown_names_are_an_error(columns, known, message):
    y, origin, _ = columns
    with pytest.raises(ValueError, match=message):
        self_and_foreign_trials(y, origin, known or set(origin))
