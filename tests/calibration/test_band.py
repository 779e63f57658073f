"""The band in which a detector cannot tell: what it keeps to, what it costs, and where it stays."""

from copy import deepcopy
from dataclasses import asdict, replace

import numpy as np
import pytest

from detectorkit import EnsembleDetector, load_detector
from detectorkit.calibration import Band, Decision, SigmoidCalibration, fit_band
from detectorkit.evaluation import calibrate


def draw(n=4000, gap=2.0, seed=0):
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return random.normal(size=n) + gap * y, y


def rates(scores, y, band):
    verdicts = Decision([0, 1], (band.low + band.high) / 2, SigmoidCalibration(1.0), band).verdicts(
        scores
    )
    return {
        (code, word): np.mean(verdicts[y == code] == word)
        for code in (0, 1)
        for word in ("real", "generated", "can't tell")
    }


@pytest.mark.parametrize("gap", [0.7, 2.0, 6.0])
def test_it_keeps_to_its_limits_and_says_what_that_costs(gap):
    scores, y = draw(gap=gap)
    band = fit_band(scores, y)
    found = rates(scores, y, band)
    assert found[0, "generated"] <= 0.02
    assert found[1, "real"] <= 0.1 * (found[1, "real"] + found[1, "generated"]) + 1e-9
    assert band == replace(
        band,
        wrong_photographs=found[0, "generated"],
        wrong_generated=pytest.approx(found[1, "real"]),
        undecided_photographs=pytest.approx(found[0, "can't tell"]),
        undecided_generated=pytest.approx(found[1, "can't tell"]),
        found=found[1, "generated"],
        n_images=4000,
        n_units=None,
    )
    # No narrower one does: a step further at either end breaks a limit.
    beyond = rates(scores, y, replace(band, high=np.sort(scores)[scores < band.high].max()))
    further = rates(scores, y, replace(band, low=np.min(scores[(scores > band.low) & (y == 1)])))
    if gap < 6:
        assert max(beyond[0, "generated"], 0.02) >= 0.02
        wrong, right = further[1, "real"], further[1, "generated"]
        assert wrong > 0.1 * (wrong + right)
    else:  # the classes hardly overlap: nothing is undecided
        assert band.low == band.high


def draw_sources(n, random):
    """Most photographs are from easy sources, but a tenth of the sources look generated."""
    size = np.where(np.arange(n) % 10 == 0, 2, random.integers(1, 40, n))
    shift = random.normal(size=n) + 1.5 * (np.arange(n) % 10 == 0)
    origin = np.repeat(np.arange(n), size)
    return random.normal(size=len(origin)) + shift[origin], origin


def mean_rate(scores, origin, high):
    return np.mean(np.bincount(origin, scores > high) / np.bincount(origin))


def test_every_source_counts_alike_and_a_further_one_is_within_the_limit_on_average():
    random = np.random.default_rng(0)
    others, of = draw_sources(2000, random)
    rates = []
    for _ in range(30):
        scores, origin = draw_sources(100, random)
        y = np.repeat([0, 1], [len(scores), 400])
        given = np.append(scores, random.normal(size=400) + 4), y
        band = fit_band(*given, [*map(str, origin), *["generator"] * 400])
        assert mean_rate(scores, origin, band.high) == pytest.approx(band.wrong_photographs)
        rates.append((band.wrong_photographs, mean_rate(others, of, band.high)))
    assert band.high > fit_band(*given).high
    assert band.n_units == 101
    assert fit_band(*given, units=np.arange(len(y)) // 10).n_units == -(-len(y) // 10)
    here, elsewhere = np.mean(rates, axis=0)
    assert here <= (0.02 * 101 - 1) / 100 < elsewhere < 0.02


def test_it_contains_the_threshold():
    scores, y = draw(gap=4.0)
    free = fit_band(scores, y)
    above, below = (fit_band(scores, y, threshold=at) for at in (free.high + 1, free.low - 1))
    assert above.high == free.high + 1
    assert below.low == free.low - 1
    assert below.high == free.high


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_wrong_photographs": 0}, "max_wrong_photographs=0 must be a number"),
        ({"origin": np.arange(100) % 5}, "5 sources .* too few .* at least 49, or .* 0.167"),
        ({"max_wrong": "x"}, "max_wrong='x' must be a number"),
        ({"threshold": np.nan}, "threshold=nan must be a number"),
        ({"origin": ["a"]}, "inconsistent numbers of samples"),
        ({"y": np.zeros(100)}, "no generated images"),
        ({"scores": -np.arange(100)}, "no band keeps .* on these 100 images|on these 100 images"),
    ],
)
def test_what_cannot_be_done_is_an_error(options, message):
    given = {"scores": np.arange(100.0), "y": np.arange(100) // 50} | options
    with pytest.raises(ValueError, match=message):
        fit_band(**given)


def test_a_verdict_never_contradicts_the_label():
    scores = np.array([-3.0, -1.0, -0.5, 1.0, 1.5, 3.0])
    decision = Decision([0, 1], 0.0, SigmoidCalibration(1.0), Band(-1.0, 1.0))
    assert (decision.low, decision.high) == (-1, 1)
    r, g, c = "real", "generated", "can't tell"
    assert decision.verdicts(scores).tolist() == [r, r, c, c, g, g]
    for threshold, expected in {2.0: [r, r, c, c, c, g], -2.0: [r, c, c, c, g, g]}.items():
        assert replace(decision, threshold=threshold).verdicts(scores).tolist() == expected
    alone = replace(decision, band=None)
    assert alone.verdicts(scores).tolist() == [r, r, r, g, g, g]
    assert (alone.low, alone.high) == (None, None)


def test_it_is_saved_with_a_detector_and_kept_by_a_new_calibration(upsampled, fitted, tmp_path):
    detector = calibrate(fitted, upsampled.data, upsampled.target)
    assert detector.band_ is None
    scores = detector.decision_function(upsampled.data)
    labels = detector.predict(upsampled.data)
    detector.band_ = fit_band(scores, upsampled.target, units=upsampled.generator)
    assert (detector.predict(upsampled.data) == labels).all()
    detector.save(tmp_path / "a.onnx")
    loaded = load_detector(tmp_path / "a.onnx")
    assert asdict(loaded.band_) == asdict(detector.band_)
    assert calibrate(loaded, upsampled.data, upsampled.target, method="shift").band_ == loaded.band_
    verdicts = loaded.predict_verdict(upsampled.data)
    assert set(verdicts) <= {"real", "generated", "can't tell"}
    detector.fit(upsampled.data, upsampled.target)
    assert detector.band_ is None


@pytest.mark.parametrize("kind", ["fitted", "saved", "ensemble"])
def test_verdicts_in_words_are_those_of_the_band(kind, upsampled, fitted, tmp_path):
    detector, X = deepcopy(fitted), upsampled.data[:40]
    if kind == "saved":
        detector.save(tmp_path / "a.onnx")
        detector = load_detector(tmp_path / "a.onnx")
    elif kind == "ensemble":
        members = [("a", detector), ("b", detector)]
        detector = EnsembleDetector(members, cv="prefit").fit(X, upsampled.target[:40])
    scores = detector.decision_function(X)
    labels = np.where(scores > detector.threshold_, "generated", "real")
    verdicts = detector.predict_verdict(X)
    assert verdicts.dtype.kind == "U"
    assert verdicts.tolist() == labels.tolist()
    low, high = np.sort(scores)[[9, 29]] + 1e-3
    detector.band_ = Band(low, high)
    detector.threshold_ = (low + high) / 2
    within = (scores > low) & (scores <= high)
    assert 10 < within.sum() < 30
    labels = np.where(within, "can't tell", np.where(scores > high, "generated", "real"))
    assert detector.predict_verdict(X).tolist() == labels.tolist()


def test_it_is_described():
    scores, y = draw()
    text = fit_band(scores, y, units=y).describe()
    assert "on 4000 images from 2 independent sources" in text
    assert "it calls 1.9 generated" in text
    assert Band(-1, 1).describe() == "can't tell at scores from -1 to 1"
