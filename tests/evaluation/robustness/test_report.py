import json
import pickle
import threading

import cv2
import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from detectorkit import ImageReadError, load_detector
from detectorkit.evaluation import binary_metrics, perturbed_scores, wilson_interval
from detectorkit.evaluation.robustness.perturbations import (
    PERTURBATIONS,
    Perturbation,
    blur,
    crop,
    jpeg,
    light,
    noise,
    resize,
)
from detectorkit.evaluation.robustness.report import RobustnessReport, robustness_report


class Brightness:
    """Call bright images generated: the score is the mean grey level."""

    threshold_ = 100.0

    def decision_function(self, X):
        return np.array([np.mean(image) for image in X])


def keep(image, random):
    return image


SAME = Perturbation("same", keep)


@pytest.fixture
def flat():
    """Ten flat images, the first six real: grey levels and labels."""
    levels = [60, 70, 80, 90, 95, 110, 90, 120, 130, 140]
    return [np.full((16, 16 + i, 3), v, np.uint8) for i, v in enumerate(levels)], [0] * 6 + [1] * 4


def values(estimates):
    return [estimate.value for estimate in estimates]


def test_brightness_moves_both_classes_by_as_much_and_costs_what_can_be_counted(flat):
    X, y = flat
    report = robustness_report(
        Brightness(), X, y, perturbations=[light(brightness=15), light(brightness=-30)]
    )
    clean, brighter, darker = report.rows
    assert [row.name for row in report.rows] == ["clean", "brightness +15", "brightness -30"]
    assert values([clean.real.shift, clean.real.flips, clean.generated.flips]) == [0, 0, 0]
    assert values([clean.false_positive_rate, clean.true_positive_rate]) == [1 / 6, 3 / 4]

    assert brighter.n == 10
    assert (brighter.real.n, brighter.generated.n) == (6, 4)
    for figures in (brighter.real, brighter.generated):
        assert figures.shift == (15, 15, 15)
        assert_allclose(figures.relative_shift, [15 / np.std(report.scores[0])] * 3)
    assert values([brighter.false_positive_rate, brighter.true_positive_rate]) == [0.5, 1]
    assert values([brighter.real.flips, brighter.generated.flips]) == [2 / 6, 1 / 4]
    assert brighter.balanced_accuracy.value == 0.75
    assert brighter.roc_auc.value == clean.roc_auc.value

    assert darker.real.shift.value == -30
    assert values([darker.false_positive_rate, darker.true_positive_rate]) == [0, 0.25]
    assert values([darker.real.flips, darker.generated.flips]) == [1 / 6, 2 / 4]
    assert report.summary.startswith("No perturbation raises")  # the images are too few


def test_intervals_are_those_of_scipy_and_of_binary_metrics(upsampled, fitted):
    X, y = upsampled.data[:60], upsampled.target[:60]
    report = robustness_report(fitted, X, y, perturbations=[blur(1)], confidence=0.9)
    row, change = report.rows[1], report.scores[1] - report.scores[0]
    for label, figures in enumerate((row.real, row.generated)):
        expected = stats.ttest_1samp(change[y == label], 0).confidence_interval(0.9)
        assert_allclose(figures.shift[1:], expected)
        assert figures.shift.value == pytest.approx(change[y == label].mean())
        flips = int(((report.scores > 0)[0] != (report.scores > 0)[1])[y == label].sum())
        assert figures.flips[1:] == wilson_interval(flips, (y == label).sum(), confidence=0.9)
    metrics = binary_metrics(y, report.scores[1], confidence=0.9, n_resamples=2)
    assert row.false_positive_rate == metrics["false_positive_rate"]
    assert row.true_positive_rate == metrics["recall"]
    assert row.balanced_accuracy == metrics["balanced_accuracy"]
    assert row.roc_auc == metrics["roc_auc"]


def test_what_changes_nothing_moves_nothing(upsampled, fitted):
    report = robustness_report(fitted, upsampled.data, upsampled.target, perturbations=[SAME])
    assert_array_equal(report.scores[1], report.scores[0])
    row = report.rows[1]
    assert values([row.real.shift, row.generated.shift, row.real.flips, row.generated.flips]) == [
        0,
        0,
        0,
        0,
    ]
    assert row.roc_auc == report.rows[0].roc_auc
    assert report.summary.startswith("No perturbation raises")


def test_labels_have_no_part_in_what_is_done_to_an_image(upsampled, fitted):
    X, y = upsampled.data[:40], upsampled.target[:40]
    one = robustness_report(fitted, X, y)
    other = robustness_report(fitted, X, 1 - y)
    assert_array_equal(one.scores, other.scores)
    for row, swapped in zip(one.rows, other.rows, strict=True):
        assert row.real == swapped.generated
        assert row.generated == swapped.real


def test_clean_scores_are_those_of_the_detector(upsampled, fitted):
    scores = perturbed_scores(fitted, upsampled.data[:20], [blur(1)])
    assert_allclose(scores[0], fitted.decision_function(upsampled.data[:20]), atol=1e-5)


def test_scores_are_those_of_the_changed_images_one_by_one(upsampled):
    detector = Brightness()
    X = upsampled.data[:10]
    scores = perturbed_scores(detector, X, [light(contrast=0.5), resize(0.5)])
    for row, perturbation in zip(scores[1:], [light(contrast=0.5), resize(0.5)], strict=True):
        changed = [perturbation(image, None) for image in X]
        assert_array_equal(row, detector.decision_function(changed))


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_neither_threads_nor_chunks_nor_other_perturbations_matter(chunk, upsampled, monkeypatch):
    detector, X = Brightness(), upsampled.data[:20]
    expected = perturbed_scores(detector, X, [noise(20), crop(0.5), jpeg(50)], n_jobs=1)
    monkeypatch.setattr("detectorkit.evaluation.robustness.scores._CHUNK", chunk)
    two = perturbed_scores(detector, X, [noise(20), crop(0.5), jpeg(50)], n_jobs=2)
    assert_array_equal(two, expected)
    fewer = perturbed_scores(detector, X, [crop(0.5), noise(20)], n_jobs=2)
    assert_array_equal(fewer, expected[[0, 2, 1]])
    monkeypatch.setattr("detectorkit.evaluation.robustness.scores._PIXELS_AT_A_TIME", 1)
    assert_array_equal(perturbed_scores(detector, X, [noise(20), crop(0.5), jpeg(50)]), expected)


def test_two_jobs_give_the_same_bits_with_a_real_detector(upsampled, fitted):
    X = upsampled.data[:60]
    assert_array_equal(perturbed_scores(fitted, X, n_jobs=2), perturbed_scores(fitted, X, n_jobs=1))


def test_processes_give_the_same_bits_as_threads(upsampled, fitted):
    X, perturbations = upsampled.data[:20], [noise(5), jpeg(75)]
    with joblib.parallel_config(backend="loky", n_jobs=2):
        scores = perturbed_scores(fitted, X, perturbations)
    assert_array_equal(scores, perturbed_scores(fitted, X, perturbations))


class Threaded(Brightness):
    """Work in threads of its own, and note which they were."""

    def __init__(self):
        self.threads = set()

    def decision_function(self, X):
        parallel = joblib.Parallel(n_jobs=4, prefer="threads")
        return np.array(parallel(joblib.delayed(self.score)(image) for image in X))

    def score(self, image):
        self.threads.add(threading.get_ident())
        return np.mean(image)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_detector_starts_no_threads_within_those_of_the_report(n_jobs, upsampled):
    detector = Threaded()
    perturbed_scores(detector, upsampled.data, [SAME], n_jobs=n_jobs)
    assert len(detector.threads) <= n_jobs


def test_seeds_differ_between_images_and_random_states():
    X = np.full((3, 32, 32), 128, np.uint8)
    one, two, other = (
        perturbed_scores(Brightness(), X, [noise(20)], random_state=seed)[1] for seed in (0, 0, 1)
    )
    assert len(np.unique(one)) == 3
    assert_array_equal(one, two)
    assert not np.isin(one, other).any()


@pytest.mark.parametrize("form", ["grey", "float", "paths"])
def test_images_come_in_every_form(form, upsampled, tmp_path):
    X = upsampled.data[:6]
    expected = perturbed_scores(Brightness(), X, [jpeg(75)])
    if form == "grey":
        X = X[..., 0]
        expected = perturbed_scores(Brightness(), np.repeat(X[..., None], 3, 3), [jpeg(75)])
    elif form == "float":
        X = X / 255
    else:
        paths = [tmp_path / f"{index}.png" for index in range(len(X))]
        for path, image in zip(paths, X, strict=True):
            cv2.imwrite(str(path), image[..., ::-1])
        X = paths
    assert_array_equal(perturbed_scores(Brightness(), X, [jpeg(75)]), expected)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_broken_file_is_named_with_its_index(n_jobs, tmp_path, upsampled, fitted):
    paths = [tmp_path / f"{index}.png" for index in range(20)]
    for path, image in zip(paths, upsampled.data[:20], strict=True):
        cv2.imwrite(str(path), image)
    paths[17].write_bytes(paths[17].read_bytes()[:200])
    with pytest.raises(ImageReadError, match=r"17\.png") as caught:
        robustness_report(fitted, paths, [0, 1] * 10, n_jobs=n_jobs)
    assert caught.value.index == 17


def test_a_perturbation_cannot_spoil_the_image_for_the_next(upsampled, fitted):
    def spoil(image, random):
        image[:] = 0
        return image

    with pytest.raises(ValueError, match="read-only"):
        perturbed_scores(fitted, upsampled.data[:2], [Perturbation("spoil", spoil)])


def test_report_as_json_has_none_for_nan(flat):
    X, _ = flat
    report = robustness_report(Brightness(), X, [0] * 10, perturbations=[light(brightness=15)])
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (content["n"], content["n_real"], content["n_generated"]) == (10, 10, 0)
    row = content["rows"][1]
    assert row["shift_real"] == {"value": 15, "low": 15, "high": 15}
    assert row["true_positive_rate"] == {"value": None, "low": None, "high": None}
    assert row["roc_auc"]["value"] is None
    assert report.summary.startswith("No perturbation raises")
    assert "nan" in report.to_text()


def test_equal_scores_have_no_spread_to_measure_in():
    report = robustness_report(
        Brightness(), np.full((4, 8, 8), 99, np.uint8), [0, 0, 1, 1], perturbations=[SAME]
    )
    assert report.spread == 0
    assert np.isnan(report.rows[1].real.relative_shift.value)


def test_report_as_text_is_a_table_with_a_sentence_at_the_end(flat):
    report = robustness_report(Brightness(), *flat, perturbations=[light(brightness=15), SAME])
    lines = report.to_text().splitlines()
    assert lines[0].startswith("6 photographs, 4 generated images.")
    table = lines[2:6]
    assert len({len(line) for line in table}) == 1
    assert [line.split("  ")[0] for line in table] == [
        "perturbation",
        "clean",
        "brightness +15",
        "same",
    ]
    assert "0.50 [0.19, 0.81]" in table[2]  # three false positives of six
    assert lines[-1] == report.summary


def report_of(*rates):
    """A report of 100 images of each class, of which given numbers are called generated."""
    scores = [np.r_[np.arange(100) < real, np.arange(100) < generated] for real, generated in rates]
    names = ("clean", *(f"change {number}" for number in range(1, len(rates))))
    return RobustnessReport(names, np.repeat([0, 1], 100), np.stack(scores) - 0.5, 0.0)


def test_the_summary_names_what_does_most_harm_to_each_class():
    """And not the changes that help, nor those that chance may explain."""
    report = report_of((5, 80), (60, 80), (90, 30), (86, 99), (7, 75), (30, 5))
    assert report.summary == (
        "Photographs called generated: 5 % if unchanged, but 90 % after change 2, 86 % after "
        "change 3 and 60 % after change 1. Generated images found: 80 % if unchanged, but 5 % "
        "after change 5 and 30 % after change 2."
    )
    assert report_of((5, 80), (1, 20)).summary == (
        "Generated images found: 80 % if unchanged, but 20 % after change 1."
    )


def test_what_chance_may_explain_is_not_told():
    assert report_of((5, 80), (7, 75)).summary == (
        "No perturbation raises the proportion of photographs that are called generated, or lowers "
        "that of generated images that are found, by more than chance."
    )


def test_thresholds_are_those_of_the_detector_unless_given(flat, fitted, upsampled):
    assert robustness_report(Brightness(), *flat, perturbations=[SAME]).threshold == 100
    report = robustness_report(Brightness(), *flat, perturbations=[SAME], threshold=85)
    assert report.rows[0].false_positive_rate.value == 0.5


def test_every_default_perturbation_runs_end_to_end(upsampled, fitted, tmp_path):
    X, y = upsampled.data[:40], upsampled.target[:40]
    report = robustness_report(fitted, X, y, n_jobs=2)
    assert report.names == ("clean", *(p.name for p in PERTURBATIONS))
    assert report.scores.shape == (1 + len(PERTURBATIONS), 40)
    assert np.isfinite(report.scores).all()
    assert all(row.real.shift.value != 0 for row in report.rows[1:])
    assert_array_equal(pickle.loads(pickle.dumps(report)).scores, report.scores)
    fitted.save(tmp_path / "model.onnx")
    loaded = robustness_report(load_detector(tmp_path / "model.onnx"), X, y, n_jobs=2)
    assert_allclose(loaded.scores, report.scores, atol=2e-4)


def test_progress_is_shown_when_it_takes_long(flat, capsys, monkeypatch):
    monkeypatch.setattr("detectorkit.utils.progress._PATIENCE", -1)
    perturbed_scores(Brightness(), flat[0], [SAME], verbose=True)
    assert "Scoring changed images: 10 in" in capsys.readouterr().err


class TwoColumns(Brightness):
    def decision_function(self, X):
        return np.zeros((len(X), 2))


class NotFinite(Brightness):
    def decision_function(self, X):
        return np.full(len(X), np.nan)


@pytest.mark.parametrize(
    ("detector", "y", "perturbations", "message"),
    [
        (Brightness(), [0, 1, 2], [SAME], r"has the labels \[2\], but the detector knows"),
        (Brightness(), [0, 1], [SAME], "inconsistent"),
        (Brightness(), [0, 1, 1], [], "Pass at least one"),
        (Brightness(), [0, 1, 1], [SAME, SAME], "each with a different name"),
        (Brightness(), [0, 1, 1], [Perturbation("clean", keep)], "none with the name 'clean'"),
        (TwoColumns(), [0, 1, 1], [SAME], "TwoColumns: decision_function gave"),
        (NotFinite(), [0, 1, 1], [SAME], "NotFinite: .* must be finite"),
    ],
)
def test_senseless_input_is_an_error(detector, y, perturbations, message):
    X = np.zeros((3, 8, 8), np.uint8)
    with pytest.raises(ValueError, match=message):
        robustness_report(detector, X, y, perturbations=perturbations)


def test_any_classifier_of_images_can_be_tried(upsampled):
    """Without a threshold of its own, it has that of scikit-learn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from detectorkit.features import HoGTransformer

    X, y = list(upsampled.data[:40]), upsampled.target[:40]
    transformer = HoGTransformer(image_size=(64, 64))
    pipeline = make_pipeline(transformer, StandardScaler(), LogisticRegression()).fit(X, y)
    report = robustness_report(pipeline, X, y, perturbations=[blur(1)])
    assert report.threshold == 0
    assert_array_equal(report.scores[0] > 0, pipeline.predict(X) == 1)
