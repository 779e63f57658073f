import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.naive_bayes import GaussianNB

from detectorkit import HoGSVMDetector
from detectorkit.evaluation import (
    LeaveSourcesOut,
    SourceEvaluation,
    SourceLearningCurveDisplay,
    cap_images,
    cross_source_evaluation,
    merge_sources,
    source_learning_curve,
)
from detectorkit.metrics.ranking import Ranking


@pytest.fixture(scope="module")
def world():
    """Features of 30 sources, ten of each kind, whose look is easier to learn than the class."""
    random = np.random.RandomState(0)
    source = np.repeat([f"s{k:02}" for k in range(30)], 12)
    kind = np.repeat(np.arange(30) % 3, 12)
    y = np.where(kind == 2, np.arange(360) % 2, kind)
    look = np.repeat(random.normal(size=(30, 6)), 12, axis=0)
    X = random.normal(size=(360, 6)) + look
    X[:, 0] += 1.5 * y
    columns = {
        "generator": np.where(y == 1, np.char.add("g", (np.arange(360) // 6 % 3).astype(str)), ""),
        "subset": np.where(np.arange(360) % 5, "faces", "scenes"),
    }
    return X, y, source, columns


@pytest.fixture(scope="module")
def result(world):
    X, y, source, columns = world
    return cross_source_evaluation(LogisticRegression(), X, y, source, **columns)


def rate_by_hand(result, label):
    names = result.source if label == 0 else np.char.add(result.generator, result.source)
    called, mine = result.scores > result.threshold, result.y_true == label
    sizes = {name: np.sum(mine & (names == name)) for name in np.unique(names[mine])}
    kept = [name for name, n in sizes.items() if n >= result.min_images]
    return {name: called[mine & (names == name)].mean() for name in kept}


def test_the_metrics_are_those_of_their_definitions(result):
    found, y, scores = result.metrics, result.y_true, result.scores
    recall, false = (np.mean(list(rate_by_hand(result, label).values())) for label in (1, 0))
    assert_allclose(found["recall"].value, recall)
    assert_allclose(found["false_positive_rate"].value, false)
    assert_allclose(found["macro_balanced_accuracy"].value, (recall + 1 - false) / 2)
    assert_allclose(found["roc_auc"].value, roc_auc_score(y, scores))
    faces = result.subset == "faces"
    assert_allclose(found["roc_auc[faces]"].value, roc_auc_score(y[faces], scores[faces]))
    both = [f"s{k:02}" for k in range(2, 30, 3)]
    areas = [roc_auc_score(y[result.source == s], scores[result.source == s]) for s in both]
    assert_allclose(found["roc_auc_within"].value, np.mean(areas))
    # At the threshold for 5 %, the mean rate of the sources of photographs is just within it.
    real = [scores[(result.source == s) & (y == 0)] for s in np.unique(result.source[y == 0])]
    tried = np.sort(scores)
    t = next(t for t in tried if np.mean([np.mean(part > t) for part in real]) <= 0.05)
    assert_allclose(found["recall@fpr_5"].value, np.mean(scores[y == 1] > t))
    assert found["recall@fpr_2"].value <= found["recall@fpr_5"].value
    assert all(one.low <= one.value <= one.high for one in found.values())


def test_the_false_positive_rates_are_listed_by_source_and_summarized(result):
    assert result.false_positive_rates == pytest.approx(rate_by_hand(result, 0))
    content = json.loads(json.dumps(result.to_dict()))
    spread = content["false_positive_rate_over_sources"]
    rates = list(result.false_positive_rates.values())
    assert spread["worst"] == max(rates)
    assert result.false_positive_rates[spread["worst_source"]] == max(rates)
    assert spread["median"] == np.median(rates)
    assert content["n"] | {"generators": 3, "units": 30, "sources_within": 10} == content["n"]
    assert spread["worst_source"] in str(result)
    assert str(result.metrics["roc_auc"]) in str(result)


def test_each_image_is_scored_without_its_source(world, result):
    X, y, source, _ = world
    cv = LeaveSourcesOut(8, random_state=0)
    again = cross_val_predict(
        LogisticRegression(), X, y, groups=source, cv=cv, method="decision_function"
    )
    assert_allclose(again, result.scores)
    parallel = cross_source_evaluation(LogisticRegression(), X, y, source, n_jobs=2)
    assert_array_equal(parallel.scores, result.scores)


@pytest.mark.parametrize("pictures", [False, True])
def test_folds_hold_every_kind_of_source_and_share_no_picture(world, pictures):
    _, y, source, _ = world
    picture = (np.arange(len(y)) % 100).astype(str)
    picture[: len(y) // 2] = ""
    groups = np.column_stack([source, picture]) if pictures else source
    folds = list(LeaveSourcesOut(8, random_state=1).split(None, y, groups))
    assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(len(y)))
    for train, test in folds:
        assert not set(source[train]) & set(source[test])
        assert len(set(source[test])) in {3, 4}
        kinds = {(int(name[1:]) % 3) for name in source[test]}
        assert kinds == {0, 1, 2}
        if pictures:
            assert not (set(picture[train]) & set(picture[test])) - {""}
            assert np.any(picture[train] == "")


@pytest.mark.parametrize(
    ("y", "groups", "message"),
    [
        ([0, 1, 0, 1], ["a", "a", "b", ""], "has no source for 1 of 4"),
        ([0, 1, 0, 1], ["a"] * 4, "groups has only 1 sources"),
        ([0, 0, 1, 1], ["a", "b", "c", "c"], "one class has no images"),
        ([0, 1, 0, 1], None, "The 'groups' parameter should not be None"),
    ],
)
def test_splits_that_cannot_be_made_are_refused(y, groups, message):
    with pytest.raises(ValueError, match=message):
        list(LeaveSourcesOut(2, random_state=0).split(y, y, groups))


def test_merged_collections_are_left_out_together(world):
    X, y, source, columns = world
    unit = merge_sources(source, columns["generator"], ["g0"])
    assert set(unit) == {*source, "g0"}
    whole = cross_source_evaluation(GaussianNB(), X, y, source, unit=unit, **columns)
    # Without decision_function, scores are probabilities and the threshold is one half.
    assert set(whole.threshold) == {0.5}
    assert whole.counts["units"] == 31
    assert whole.counts["sources"] == 30
    with pytest.raises(ValueError, match="collections=\\['nothing'\\] do not occur"):
        merge_sources(source, columns["generator"], ["nothing"])


def test_large_groups_are_capped():
    group, other = np.repeat(["a", "b", "c"], [200, 100, 3]), np.tile(["x"], 303)
    index = cap_images(group, other, max_images=100, random_state=0)
    assert np.unique(group[index], return_counts=True)[1].tolist() == [100, 100, 3]
    assert np.all(np.diff(index) > 0)
    assert_array_equal(index, cap_images(group, other, max_images=100))
    assert not np.array_equal(index, cap_images(group, other, random_state=1))


def test_weights_are_as_good_as_repeated_images():
    random = np.random.RandomState(0)
    scores, y = random.randint(0, 8, 40).astype(float), np.tile([0, 1], 20)
    weight = random.randint(0, 3, (5, 40))
    ranking = Ranking.of(scores, y == 1)
    for row, area in zip(weight, ranking.roc_auc(weight.astype(float)), strict=True):
        many = np.repeat(np.arange(40), row)
        assert_allclose(area, roc_auc_score(y[many], scores[many]))
        t = next(t for t in np.sort(scores) if np.mean(scores[many][y[many] == 0] > t) <= 0.2)
        found = ranking.recall_at(0.2, row[None].astype(float), row[None].astype(float))
        assert_allclose(found, [np.mean(scores[many][y[many] == 1] > t)])
    only_real = np.where(y == 0, 1.0, 0.0)[None]
    assert np.isnan(ranking.roc_auc(only_real)).all()
    assert np.isnan(ranking.recall_at(0.2, 1 - only_real, 1 - only_real)).all()


def test_intervals_cover_the_choice_of_sources():
    # 20 sources that are wrong or right as a whole: as uncertain as 20 images, not as 400.
    source = np.repeat(np.arange(20), 20)
    y = np.tile([0, 1], 200)
    scores = np.where(source % 2, y, 1 - y).astype(float)
    found = SourceEvaluation(y, scores, np.full(400, 0.5), source, np.full(400, "g"), source)
    accuracy = found.metrics["macro_balanced_accuracy"]
    assert accuracy.value == 0.5
    assert 0.15 < accuracy.value - accuracy.low < 0.3


def test_metrics_without_photographs_are_not_defined():
    y, names = np.ones(6, int), np.array(["a"] * 6)
    found = SourceEvaluation(y, np.arange(6.0), np.zeros(6), names, names, names, n_resamples=5)
    assert found.metrics["recall"].value == pytest.approx(5 / 6)
    assert np.isnan(found.metrics["roc_auc"].value)
    assert "median" not in str(found)


def test_detectors_take_images_and_are_told_of_copies(upsampled):
    source = np.arange(120) // 10
    picture = np.repeat(np.arange(60), 2)
    result = cross_source_evaluation(
        HoGSVMDetector(random_state=0),
        upsampled.data,
        upsampled.target,
        source,
        picture=picture,
        n_splits=2,
        n_resamples=5,
        fit_params={"sample_weight": np.linspace(1, 2, 120)},
    )
    assert np.isfinite(result.scores).all()
    assert result.counts["units"] == 12


def test_more_sources_are_learned_from_and_plotted(world, tmp_path):
    X, y, source, columns = world
    options = {"train_sizes": (0.1, 0.5, 1), "n_resamples": 50, **columns}
    curve = source_learning_curve(LogisticRegression(), X, y, source, **options)
    assert curve.n_units[0] < 4
    assert curve.n_units[-1] == 30 - 30 / 8
    areas = [one.metrics["roc_auc"].value for one in curve.evaluations]
    assert areas[0] < areas[1] < areas[2]
    whole = cross_source_evaluation(LogisticRegression(), X, y, source, **columns)
    assert_array_equal(curve.evaluations[-1].scores, whole.scores)
    parallel = source_learning_curve(LogisticRegression(), X, y, source, n_jobs=2, **options)
    assert json.dumps(parallel.to_dict()) == json.dumps(curve.to_dict())
    assert len(str(curve).splitlines()) == 4

    plt = pytest.importorskip("matplotlib.pyplot")
    display = SourceLearningCurveDisplay.from_results(curve)
    assert_array_equal(display.lines_[0].get_xdata(), curve.n_units)
    assert_allclose(display.lines_[0].get_ydata(), areas)
    display.figure_.savefig(tmp_path / "curve.png")
    again = SourceLearningCurveDisplay.from_estimator(
        LogisticRegression(), X, y, source, ax=display.ax_, **options
    )
    assert again.ax_ is display.ax_
    assert len(again.plot(metrics=["recall"]).lines_) == 1
    plt.close("all")


@pytest.mark.parametrize("sizes", [(), (0, 1), (0.5, 1.5), 0.5])
def test_proportions_that_cannot_be_trained_on_are_refused(world, sizes):
    X, y, source, _ = world
    with pytest.raises(ValueError, match="must be proportions above 0"):
        source_learning_curve(LogisticRegression(), X, y, source, train_sizes=sizes)


def test_scores_are_compared_on_the_same_drawn_units():
    random = np.random.RandomState(0)
    unit = np.repeat(np.arange(30), 12)
    y = np.tile([0, 1], 180)
    hard = np.repeat(random.normal(size=30), 12)  # a unit is hard for both
    scores = random.normal(size=360) + 2 * y + 2 * hard
    columns = {"source": unit, "generator": np.full(360, "g"), "unit": unit}
    first = SourceEvaluation(y, scores, np.zeros(360), **columns)
    second = SourceEvaluation(y, scores + 0.1 * random.normal(size=360), np.zeros(360), **columns)
    found = first.compare(second)
    assert found.keys() == first.metrics.keys()
    for name, one in found.items():
        assert one.value == pytest.approx(first.metrics[name].value - second.metrics[name].value)
    own = first.metrics["roc_auc"]
    assert found["roc_auc"].high - found["roc_auc"].low < (own.high - own.low) / 2
    same = first.compare(first)["roc_auc"]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    with pytest.raises(ValueError, match="same images in the same order"):
        first.compare(SourceEvaluation(1 - y, scores, np.zeros(360), **columns))
