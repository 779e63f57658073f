import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    StratifiedShuffleSplit,
    check_cv,
    cross_val_score,
    cross_validate,
)

from detectorkit import HoGSVMDetector
from detectorkit.model_selection.splitters import (
    GeneratorDateSplit,
    LeaveOneFamilyOut,
    LeaveOneGeneratorOut,
    LeaveOneSourceOut,
    StratifiedGroupShuffleSplit,
)

SOURCES = ["celeba", "ffhq", "lfw", "utkface", "web"]
DATES = {
    "dalle": "2022-04",
    "flux": "2024-08",
    "sd-1.4": "2022-08",
    "sdxl": "2023-07",
    "stylegan": "2018-12",
    "stylegan2": "2019-12",
}
GENERATORS = list(DATES)
SPLITTERS = [
    LeaveOneGeneratorOut(),
    LeaveOneGeneratorOut(3, shuffle=True, random_state=0),
    LeaveOneFamilyOut(),
    LeaveOneSourceOut(),
    GeneratorDateSplit(DATES),
    StratifiedGroupShuffleSplit(random_state=0),
]
ids = [f"{type(cv).__name__}-{k}" for k, cv in enumerate(SPLITTERS)]


@st.composite
def collections(draw, most_pictures=0):
    """Labels and groups of images of at least two sources and two generators."""
    origins = [
        draw(st.lists(st.sampled_from(names), min_size=2, unique=True))
        for names in (SOURCES, GENERATORS)
    ]
    rows = [(label, name) for label in (0, 1) for name in origins[label]] * 4
    rows += draw(st.lists(st.sampled_from(rows), max_size=40))
    y, origin = zip(*draw(st.permutations(rows)), strict=True)
    if not most_pictures:
        return np.array(y), np.array(origin)
    pictures = st.sampled_from(["", *map(str, range(most_pictures))])
    picture = draw(st.lists(pictures, min_size=len(y), max_size=len(y)))
    return np.array(y), np.column_stack([origin, picture])


def images_of(origin, name):
    return set(np.flatnonzero(origin == name).tolist())


@settings(max_examples=40, deadline=None)
@given(collections(), st.integers(1, 6), st.booleans())
def test_each_generator_is_tested_once_and_no_origin_is_on_both_sides(data, minimum, shuffle):
    y, origin = data
    names, counts = np.unique(origin[y == 1], return_counts=True)
    tested = names[counts >= minimum]
    cv = LeaveOneGeneratorOut(minimum, shuffle=shuffle, random_state=0 if shuffle else None)
    if len(tested) < 2:
        with pytest.raises(ValueError, match="Two or more"):
            list(cv.split(None, y, origin))
        return
    folds = list(cv.split(y, y, origin))
    assert len(folds) == cv.get_n_splits(None, y, origin) == len(tested)
    for name, (train, test) in zip(tested, folds, strict=True):
        assert set(origin[test][y[test] == 1]) == {name}
        assert images_of(origin, name) <= set(test)
        assert sorted([*train, *test]) == list(range(len(y)))
        assert not set(origin[train]) & set(origin[test])
        assert set(y[train]) == set(y[test]) == {0, 1}


@settings(max_examples=40, deadline=None)
@given(collections(), st.booleans())
def test_every_source_is_tested_and_none_more_often_than_needed(data, shuffle):
    y, origin = data
    sources = set(origin[y == 0])
    cv = LeaveOneGeneratorOut(shuffle=shuffle, random_state=3 if shuffle else None)
    tested = [set(origin[test]) & sources for _, test in cv.split(y, y, origin)]
    assert set.union(*tested) == sources
    times = [sum(name in fold for fold in tested) for name in sources]
    assert max(times) - min(times) <= 1
    assert sum(times) == max(len(tested), len(sources))


@settings(max_examples=40, deadline=None)
@given(
    collections(most_pictures=25),
    st.sampled_from([LeaveOneGeneratorOut(), LeaveOneSourceOut(), GeneratorDateSplit(DATES)]),
)
def test_no_picture_and_no_origin_is_on_both_sides(data, cv):
    y, groups = data
    origin, picture = groups.T
    folds = cv.split(y, y, groups)
    for all_train, all_test in cv.split(y, y, origin):
        shown = set(picture[all_test]) - {""}
        expected = [i for i in all_train if picture[i] not in shown]
        if set(y[expected]) != {0, 1}:
            with pytest.raises(ValueError, match="is left to train on"):
                next(folds)
            return
        train, test = next(folds)
        assert train.tolist() == expected
        assert test.tolist() == all_test.tolist()


@settings(max_examples=40, deadline=None)
@given(collections())
def test_each_source_is_tested_alone(data):
    y, origin = data
    folds = list(LeaveOneSourceOut().split(y, y, origin))
    for name, (train, test) in zip(np.unique(origin[y == 0]), folds, strict=True):
        assert set(test) == images_of(origin, name)
        assert len(train) == len(y) - len(test)


@settings(max_examples=40, deadline=None)
@given(collections(), st.dictionaries(st.sampled_from(GENERATORS), st.integers(2018, 2021)))
def test_only_older_generators_are_trained_on(data, years):
    y, origin = data
    years = dict.fromkeys(GENERATORS, 2020) | years
    date = np.array([years.get(name, 0) for name in origin])
    later = np.unique(date[y == 1])[1:]
    cv = GeneratorDateSplit(years)
    if not len(later):
        with pytest.raises(ValueError, match="two or more different"):
            cv.get_n_splits(None, y, origin)
        return
    folds = list(cv.split(y, y, origin))
    for year, (train, test) in zip(later, folds, strict=True):
        assert (date[test][y[test] == 1] == year).all()
        assert (np.flatnonzero((date == year) & (y == 1)) == test[y[test] == 1]).all()
        assert (np.flatnonzero((date < year) & (y == 1)) == train[y[train] == 1]).all()
        assert set(y[train]) == set(y[test]) == {0, 1}
        photographs = np.concatenate([train, test])
        assert sorted(photographs[y[photographs] == 0]) == np.flatnonzero(y == 0).tolist()
        assert not set(origin[train]) & set(origin[test])
    tested = set.union(*(set(origin[test][y[test] == 0]) for _, test in folds))
    sources = sorted(set(origin[y == 0]))
    assert tested == set(sources if len(folds) > 1 else sources[::2])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.1, 0.25, 0.5]))
def test_parts_are_stratified_and_no_group_straddles(seed, test_size):
    random = np.random.default_rng(seed)
    y = (random.random(400) < 0.3).astype(int)
    groups = random.integers(0, 300, 400)
    cv = StratifiedGroupShuffleSplit(3, test_size=test_size, random_state=seed)
    folds = list(cv.split(y, y, groups))
    assert len(folds) == cv.get_n_splits() == 3
    for train, test in folds:
        assert sorted([*train, *test]) == list(range(400))
        assert not set(groups[train]) & set(groups[test])
        for label in (0, 1):
            assert abs((y[test] == label).sum() - test_size * (y == label).sum()) <= 3
    assert set(folds[0][1]) != set(folds[1][1])


def test_without_groups_parts_are_as_large_as_those_of_scikit_learn():
    y = np.array([0] * 70 + [1] * 30)
    own = np.full(100, "")  # nothing is known: each image is a picture of its own
    for cv in (
        StratifiedGroupShuffleSplit(2, test_size=0.2, random_state=0),
        StratifiedShuffleSplit(2, test_size=0.2, random_state=0),
    ):
        for train, test in cv.split(y, y, *([own] if "Group" in str(cv) else [])):
            assert (len(train), len(test), y[test].sum()) == (80, 20, 6)
            assert list(test) != sorted(test)


def test_folds_together_are_those_of_leave_one_group_out():
    """With a source for each generator, the test parts join two of its test parts."""
    random = np.random.default_rng(0)
    number = random.integers(0, 8, 200)
    origin, y = np.array([*SOURCES[:4], *GENERATORS[:4]])[number], number // 4
    alone = [set(test) for _, test in LeaveOneGroupOut().split(y, y, origin)]
    real = [test for test in alone if y[min(test)] == 0]
    generated = [test for test in alone if y[min(test)] == 1]
    folds = [set(test) for _, test in LeaveOneGeneratorOut().split(y, y, origin)]
    assert folds == [a | b for a, b in zip(real, generated, strict=True)]
    assert [set(test) for _, test in LeaveOneSourceOut().split(y, y, origin)] == real


def test_a_seed_repeats_the_folds_and_another_deals_anew():
    origin = np.array([*SOURCES, *GENERATORS])
    y = np.array([0] * 5 + [1] * 6)

    def tests(seed):
        cv = LeaveOneGeneratorOut(shuffle=True, random_state=seed)
        return [test.tolist() for _, test in cv.split(y, y, origin)]

    assert tests(0) == tests(0)
    assert len({str(tests(seed)) for seed in range(5)}) > 1
    y, groups = np.arange(100) % 2, np.arange(100) // 3
    parts = [
        [
            test.tolist()
            for _, test in StratifiedGroupShuffleSplit(random_state=s).split(y, y, groups)
        ]
        for s in (0, 0, 1)
    ]
    assert parts[0] == parts[1] != parts[2]


def test_groups_may_be_lists_frames_numbers_and_labels_bool():
    y = np.array([0, 0, 1, 1])
    expected = [([1, 3], [0, 2]), ([0, 2], [1, 3])]
    frame = pd.DataFrame({"origin": ["a", "b", "c", "d"], "picture": ["", None, np.nan, "x"]})
    for labels, groups in (
        (y, ["a", "b", "c", "d"]),
        (y.tolist(), [("a", ""), ("b", ""), ("c", ""), ("d", "")]),
        (y.astype(float), np.array([1, 2, 3, 4])),
        (y == 1, pd.Series(["a", "b", "c", "d"], dtype="category")),
        (pd.Series(y), frame),
        (y, frame.astype("string")),
    ):
        folds = LeaveOneGeneratorOut().split(list("wxyz"), labels, groups)
        assert [(train.tolist(), test.tolist()) for train, test in folds] == expected


@pytest.fixture(scope="module")
def world():
    """Two features; the second tells generators apart, so only the first is worth anything."""
    random = np.random.default_rng(0)
    number = np.tile(np.arange(8), 30)
    y = number // 4
    X = np.column_stack([y + 0.3 * random.normal(size=240), number + random.normal(size=240)])
    origin = np.array([*SOURCES[:4], *GENERATORS[:4]])[number]
    return X, y, origin


def scored_by_hand(cv, X, y, groups):
    model = LogisticRegression()
    return [model.fit(X[a], y[a]).score(X[b], y[b]) for a, b in cv.split(X, y, groups)]


@pytest.mark.parametrize("cv", SPLITTERS, ids=ids)
def test_scikit_learn_takes_them_with_groups_and_with_routing(cv, world):
    X, y, origin = world
    groups = np.arange(240) // 3 if "Shuffle" in repr(cv) else origin
    expected = scored_by_hand(cv, X, y, groups)
    model = LogisticRegression()
    assert cross_val_score(model, X, y, groups=groups, cv=cv).tolist() == expected
    with config_context(enable_metadata_routing=True):
        results = cross_validate(model, X, y, params={"groups": groups}, cv=cv)
        assert results["test_score"].tolist() == expected
        renamed = clone(cv, safe=False).set_split_request(groups="pictures")
        results = cross_validate(model, X, y, params={"pictures": groups}, cv=renamed)
        assert results["test_score"].tolist() == expected
    search = GridSearchCV(model, {"C": [1.0]}, cv=cv).fit(X, y, groups=groups)
    by_fold = [search.cv_results_[f"split{k}_test_score"][0] for k in range(search.n_splits_)]
    assert by_fold == expected
    assert clone(search).fit(X, y, groups=groups).best_score_ == search.best_score_
    assert check_cv(cv, y, classifier=True) is cv


def test_two_columns_go_through_scikit_learn(world):
    X, y, origin = world
    groups = np.column_stack([origin, np.arange(240) % 50])
    cv = LeaveOneGeneratorOut()
    expected = scored_by_hand(cv, X, y, groups)
    model = LogisticRegression()
    assert cross_val_score(model, X, y, groups=groups, cv=cv).tolist() == expected
    search = GridSearchCV(model, {"C": [0.1, 1.0]}, cv=cv).fit(X, y, groups=groups)
    assert search.n_splits_ == 4


def test_a_detector_is_searched_on_unseen_decoders(upsampled):
    origin = np.where(upsampled.target == 1, upsampled.generator, upsampled.source)
    search = GridSearchCV(
        HoGSVMDetector(image_size=(32, 32), random_state=0),
        {"C": [0.01]},
        cv=LeaveOneGeneratorOut(),
    )
    search.fit(upsampled.data, upsampled.target, groups=origin)
    assert search.n_splits_ == len(np.unique(origin[upsampled.target == 1]))
    assert 0 <= search.best_score_ <= 1


def test_they_say_what_they_are():
    assert [repr(cv) for cv in SPLITTERS[:4]] == [
        "LeaveOneGeneratorOut(min_group_size=1, random_state=None, shuffle=False)",
        "LeaveOneGeneratorOut(min_group_size=3, random_state=0, shuffle=True)",
        "LeaveOneFamilyOut(min_group_size=1, random_state=None, shuffle=False)",
        "LeaveOneSourceOut()",
    ]
    assert "dates={'dalle': '2022-04'" in repr(SPLITTERS[4])
    assert repr(SPLITTERS[5]) == (
        "StratifiedGroupShuffleSplit(n_splits=5, random_state=0, test_size=0.1)"
    )


GOOD = ([0, 0, 1, 1], ["a", "b", "c", "d"])


@pytest.mark.parametrize(
    ("cv", "y", "groups", "message"),
    [
        (LeaveOneGeneratorOut(), GOOD[0], None, "'groups' parameter should not be None"),
        (LeaveOneGeneratorOut(), None, GOOD[1], "the target y is None"),
        (LeaveOneGeneratorOut(), [0, 0, 1, 1, 1], GOOD[1], "inconsistent"),
        (LeaveOneGeneratorOut(), [0, 0, 0, 0], GOOD[1], "only one class is present in y: 0"),
        (LeaveOneGeneratorOut(), ["real", "real", "fake", "fake"], GOOD[1], "not numbers"),
        (LeaveOneGeneratorOut(), GOOD[0], [["a"] * 3] * 4, r"shape \(4, 3\)"),
        (LeaveOneGeneratorOut(), GOOD[0], ["a", "b", "a", "d"], r"\['a'\] are origins of real"),
        (LeaveOneGeneratorOut(), GOOD[0], ["a", "b", None, "d"], "no origin for 1 of 4"),
        (LeaveOneGeneratorOut(), GOOD[0], ["a", "b", "c", "c"], r"generators \['c'\]. Two"),
        (LeaveOneGeneratorOut(), GOOD[0], ["a", "a", "c", "d"], r"real sources \['a'\]. Two"),
        (LeaveOneGeneratorOut(2), GOOD[0], GOOD[1], "of at least 2 images"),
        (LeaveOneFamilyOut(0), *GOOD, "LeaveOneFamilyOut: min_group_size=0"),
        (LeaveOneGeneratorOut(random_state=0), *GOOD, "random_state=0 must be None"),
        (LeaveOneSourceOut(), GOOD[0], ["a", "a", "c", "d"], "LeaveOneSourceOut: groups has"),
        (
            LeaveOneGeneratorOut(),
            GOOD[0],
            [("a", "1"), ("b", "2"), ("c", "2"), ("d", "1")],
            "no photograph is left to train on",
        ),
        (GeneratorDateSplit({"c": 1}), *GOOD, r"no date for the generators \['d'\]"),
        (GeneratorDateSplit({"c": 1, "d": None}), *GOOD, r"no date for the generators \['d'\]"),
        (GeneratorDateSplit({"c": 1, "d": 1}), *GOOD, "two or more different values"),
        (GeneratorDateSplit({"c": 1, "d": "2"}), *GOOD, "must be of one kind"),
        (StratifiedGroupShuffleSplit(), GOOD[0], None, "'groups' parameter should not be None"),
        (StratifiedGroupShuffleSplit(), GOOD[0], [["a", "b"]] * 4, r"shape \(4, 2\)"),
        (StratifiedGroupShuffleSplit(), *GOOD, "one of the sets lacks a label"),
        (StratifiedGroupShuffleSplit(test_size=1), *GOOD, "test_size=1 must be"),
        (StratifiedGroupShuffleSplit(0), *GOOD, "n_splits=0 must be"),
    ],
)
def test_what_cannot_be_cut_is_an_error_that_says_why(cv, y, groups, message):
    with pytest.raises(ValueError, match=message):
        list(cv.split(None, y, groups))
