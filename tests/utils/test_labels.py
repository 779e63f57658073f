"""Labels, scores and confidences: one rule each, whatever function is asked."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import detectorkit
from detectorkit import HoGSVMDetector, OnnxDetector, evaluation
from detectorkit.calibration.fit import fit_calibration
from detectorkit.datasets.aligning import align
from detectorkit.datasets.audit import audit
from detectorkit.evaluation import robustness_report
from detectorkit.evaluation.protocols import leave_one_source_out_trials
from detectorkit.evaluation.robustness.perturbations import jpeg
from detectorkit.model_selection import LeaveOneGeneratorOut, StratifiedGroupShuffleSplit
from detectorkit.saliency import GradientSaliency
from detectorkit.saliency.statistics import gradient_statistics
from detectorkit.utils.labels import check_labels, encode_labels, find_classes

X = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
Y = np.array([0, 1] * 4)
SCORES = np.linspace(-1, 1, 8)
ORIGIN = np.array(list("abcdefgh"))


@pytest.fixture(scope="module")
def detector():
    return HoGSVMDetector(image_size=(64, 64), random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("labels")


TAKERS = {
    "fit": lambda *_, y: HoGSVMDetector(image_size=(64, 64)).fit(X, y),
    "onnx fit": lambda detector, _, y: OnnxDetector(detector.to_onnx().SerializeToString()).fit(
        X, y
    ),
    "evaluate": lambda detector, _, y: evaluation.evaluate(detector, X, y, n_resamples=2),
    "calibrate": lambda detector, _, y: evaluation.calibrate(detector, X, y),
    "robustness": lambda detector, _, y: robustness_report(
        detector, X, y, perturbations=[jpeg(90)]
    ),
    "binary_metrics": lambda *_, y: evaluation.binary_metrics(y, SCORES, n_resamples=2),
    "roc_auc": lambda *_, y: evaluation.roc_auc_estimate(y, SCORES),
    "probabilities": lambda *_, y: evaluation.probability_metrics(y, SCORES / 2 + 0.5),
    "comparison": lambda *_, y: evaluation.compare_detectors(y, SCORES, SCORES),
    "fit_calibration": lambda *_, y: fit_calibration(SCORES, y),
    "balanced_threshold": lambda *_, y: evaluation.balanced_threshold(SCORES, y),
    "abstention": lambda *_, y: evaluation.ConformalAbstention(fpr=0.3, fnr=0.3).fit(SCORES, y),
    "abstention_metrics": lambda *_, y: evaluation.abstention_metrics(y, np.zeros(8)),
    "protocols": lambda *_, y: leave_one_source_out_trials(
        np.tile(y, 10), np.tile(ORIGIN, 10), picture=None
    ),
    "origins": lambda *_, y: list(LeaveOneGeneratorOut().split(X, y, ORIGIN)),
    "shuffle": lambda *_, y: list(
        StratifiedGroupShuffleSplit(1, test_size=0.5, random_state=0).split(X, y, ORIGIN)
    ),
    "gradient": lambda detector, _, y: GradientSaliency(detector).gradient(X, y, of="loss"),
    "statistics": lambda detector, _, y: gradient_statistics(
        detector, np.repeat(X[..., None], 3, axis=-1), y, n_resamples=2
    ),
}


@pytest.fixture(params=TAKERS)
def take(request, detector, folder):
    return lambda y: TAKERS[request.param](detector, folder, y=y)


@pytest.mark.parametrize("kind", [list, float, bool, np.uint8, object])
def test_zero_and_one_are_taken_everywhere(take, kind):
    take(Y.tolist() if kind is list else Y.astype(kind))


@pytest.mark.parametrize(
    "words", [("ai", "human"), ("generated", "photo"), ("fake", "genuine"), ("0", "1")]
)
def test_words_are_refused_everywhere(take, words):
    """The second in sorted order is the photograph, which nobody would have noticed."""
    with pytest.raises(
        ValueError, match=r"not numbers: .* for example np.asarray\(y\) == 'ai'"
    ) as bad:
        take(np.array(words[::-1])[Y])
    assert repr(list(words[::-1])) in str(bad.value)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_labels_are_refused_everywhere(take, missing):
    with pytest.raises(ValueError, match=r"NaN|not numbers"):
        take([*Y[:-1].tolist(), missing])


def test_masked_labels_are_refused_everywhere(take):
    """Else numpy takes what is behind the mask, without a word."""
    with pytest.raises(ValueError, match=r"of \d+ entries of y\w* are masked"):
        take(np.ma.masked_array(Y, mask=np.arange(8) == 3))
    take(np.ma.masked_array(Y))


def test_files_need_labels_too(tmp_path):
    for call in (lambda y: audit(["a.png", "b.png"], y), lambda y: align(["a.png"] * 2, y, "x")):
        with pytest.raises(ValueError, match="not numbers"):
            call(["ai", "human"])


def test_a_foreign_classifier_of_words_is_not_measured():
    rows = np.array([[0.0], [1.0], [2.0], [3.0]])
    words = np.array(["human", "human", "ai", "ai"])
    foreign = LogisticRegression().fit(rows, words)
    with pytest.raises(ValueError, match="nothing says which means generated"):
        evaluation.evaluate(foreign, rows, words)


def test_a_saved_model_may_still_have_words(detector):
    old = OnnxDetector(detector.to_onnx().SerializeToString()).fit(X)
    old.classes_ = np.array(["photo", "ai"])
    words = old.classes_[Y]
    assert encode_labels("f", words, old).tolist() == Y.tolist()
    assert evaluation.evaluate(old, X, words, n_resamples=2).y_true.tolist() == Y.tolist()


def test_the_larger_of_two_numbers_means_generated():
    for labels in ([-1, 1], [3, 4], [False, True], [2.0, 7.0]):
        classes, codes = find_classes("f", np.array(labels)[Y])
        assert classes.tolist() == labels
        assert codes.tolist() == Y.tolist()
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        find_classes("f", [0, 1, 2])
    with pytest.raises(ValueError, match=r"f: y has the labels \[2\]"):
        check_labels("f", [1, 2])


def test_labels_are_decided_in_one_file():
    """Nobody else asks whether labels are 0 and 1, or which two there are."""
    root = Path(detectorkit.__file__).parent
    rule = re.compile(r"np\.isin\(\w*(y|labels)\w*, \(0, 1\)\)|np\.unique\(y(_true)?\)\) ?[!=]=")
    found = [path.name for path in root.rglob("*.py") if rule.search(path.read_text())]
    assert found in ([], ["labels.py"])


@pytest.mark.parametrize("wrong", [-1, 0, 1, 2, np.nan, "95", True])
def test_a_confidence_lies_between_0_and_1(wrong, detector):
    for call in (
        lambda c: evaluation.wilson_interval(1, 2, confidence=c),
        lambda c: evaluation.binary_metrics(Y, SCORES, confidence=c),
        lambda c: evaluation.roc_auc_estimate(Y, SCORES, confidence=c),
        lambda c: evaluation.probability_metrics(Y, SCORES / 2 + 0.5, confidence=c),
        lambda c: evaluation.reliability_table(Y, SCORES / 2 + 0.5, confidence=c),
        lambda c: evaluation.precision_at_prevalence(1, 2, 1, 2, 0.1, confidence=c),
        lambda c: evaluation.compare_detectors(Y, SCORES, SCORES, confidence=c),
        lambda c: evaluation.fpr_threshold(SCORES, 0.3, confidence=c),
        lambda c: evaluation.abstention_metrics(Y, Y, confidence=c),
        lambda c: evaluation.evaluate(detector, X, Y, confidence=c),
        lambda c: robustness_report(detector, X, Y, confidence=c),
        lambda c: evaluation.cross_source_evaluation(detector, X, Y, ORIGIN, confidence=c),
        lambda c: gradient_statistics(detector, X, Y, confidence=c),
    ):
        with pytest.raises(ValueError, match=r"confidence=.* must be a number above 0 and below 1"):
            call(wrong)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.append(SCORES[:-1], np.nan), "must be finite, but 1 of 8 are not"),
        (np.append(SCORES[:-1], np.inf), "must be finite, but 1 of 8 are not"),
        (np.append(SCORES[:-1], 1e39), "must be finite, but 1 of 8 are not"),
        (np.ma.masked_array(SCORES, mask=Y), "4 of 8 entries of .* are masked. Leave these"),
        (SCORES + 1j, "must be real numbers, one per image"),
        (["a"] * 8, "must be real numbers, one per image"),
        ([[0], [1, 2], *SCORES[2:]], "must be real numbers, one per image"),
    ],
)
def test_scores_are_finite_numbers(scores, message):
    abstention = evaluation.ConformalAbstention(fpr=0.3, fnr=0.3).fit(SCORES, Y)
    for call in (
        lambda: fit_calibration(scores, Y),
        lambda: fit_calibration(scores, Y, method="isotonic"),
        lambda: fit_calibration(scores, Y, method="shift", slope=1.0),
        lambda: evaluation.binary_metrics(Y, scores),
        lambda: evaluation.balanced_threshold(scores, Y),
        lambda: evaluation.fpr_threshold(scores, 0.3),
        lambda: evaluation.ConformalAbstention().fit(scores, Y),
        lambda: abstention.predict(scores),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("wrong", [np.nan, "0.5", None])
def test_a_threshold_is_a_number(wrong, detector):
    with pytest.raises(ValueError, match=r"binary_metrics: threshold=.* must be a number"):
        evaluation.binary_metrics(Y, SCORES, threshold=wrong)
    if wrong is not None:
        with pytest.raises(ValueError, match=r"evaluate: threshold=.* must be a number"):
            evaluation.evaluate(detector, X, Y, threshold=wrong)
    assert evaluation.binary_metrics(Y, SCORES, threshold=np.inf)["recall"].value == 0


@pytest.mark.parametrize("successes", [-1, 3, np.nan])
def test_there_are_no_more_successes_than_trials(successes):
    with pytest.raises(ValueError, match="must be a number from 0 to n=2"):
        evaluation.wilson_interval(successes, 2)


@pytest.mark.parametrize(
    "verdicts",
    [[0, np.nan], ["real", "ai"], [[0, 1], [1, 0]], [0, 2], np.ma.masked_array([0, 1], [0, 1])],
)
def test_verdicts_are_one_of_three(verdicts):
    with pytest.raises(ValueError, match=r"abstention_metrics: (verdicts of shape|1 of 2 entries)"):
        evaluation.abstention_metrics([0, 1], verdicts)


def test_a_bootstrap_needs_a_sample(detector):
    for call in (
        lambda: evaluation.binary_metrics(Y, SCORES, n_resamples=0),
        lambda: evaluation.probability_metrics(Y, SCORES / 2 + 0.5, n_resamples=0),
        lambda: evaluation.evaluate(detector, X, Y, n_resamples=0),
        lambda: evaluation.source_learning_curve(detector, X, Y, ORIGIN, n_resamples=0),
    ):
        with pytest.raises(ValueError, match="n_resamples=0 must be a whole number of at least 1"):
            call()
