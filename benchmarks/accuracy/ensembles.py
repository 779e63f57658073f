"""Measure ensembles against their members by the protocols B, C and E.

    python -m benchmarks ensembles DATA --treatment as-found --cache FOLDER

The members of `MEMBERS` are fitted on the training images of each trial, and for the combination
again without each of a few parts of the origins, so that it sees scores of left-out origins only.
All of `COMBINATIONS` are fitted on these scores. The scores of a trial are kept in the folder
--cache, so a run that was stopped goes on where it was; figures go to
benchmarks/results/ensembles.json, scores of protocol E to benchmarks/results/sources.

B and C are of those images of the first layer that protocol E takes from it, at most 100 of a
generator in a source.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logit

from benchmarks.accuracy.data import Data, make_trials
from benchmarks.accuracy.detectors import (
    CLIP,
    Remembering,
    RememberingBackbone,
    RememberingForensic,
    RememberingHoG,
)
from benchmarks.accuracy.source_images import SourceImages
from benchmarks.accuracy.table import TREATMENTS
from benchmarks.arguments import add_data
from benchmarks.files import CACHE, RESULTS, read_json, write_json
from benchmarks.machine import find_versions
from detectorkit.evaluation import LeaveSourcesOut, SourceEvaluation, compare_detectors
from detectorkit.evaluation.cross_source import SourceData
from detectorkit.heads.combination import COMBINATIONS, fit_combination, weigh_origins
from detectorkit.metrics.scoring import own_threshold, score_images

RESULT = RESULTS / "ensembles.json"
N_INNER = 3  # parts of the origins, each left out once for the combination
PROTOCOLS = "BCE"
MANY = 200  # images of an origin of which the difference is stated

MEMBERS = ("clip", "transfer", "forensic", "hog-svm")
COMMON: dict[str, Any] = {"n_jobs": 1, "random_state": 0}
CLASSICAL = ("residual", "block_dct", "spectrum", "smoothness")  # HoG is a member of its own


def make_members(cache: Path) -> dict[str, Any]:
    """Make the unfitted members."""
    return {
        "clip": RememberingBackbone(**CLIP, **COMMON, cache_dir=cache),
        "transfer": RememberingTransfer(**COMMON, cache_dir=cache),
        "forensic": RememberingForensic(CLASSICAL, **COMMON),
        "hog-svm": RememberingHoG(**COMMON),
    }


class RememberingTransfer(RememberingBackbone):
    """The same under a name of its own, by which features are kept."""


class Nested(NamedTuple):
    """Log-odds of the members, for images of origins that they were not trained on."""

    train: np.ndarray  # indices
    left_out: np.ndarray  # (n_train, n_members), on which combinations are fitted
    test: np.ndarray
    found: np.ndarray  # (n_test, n_members)


class Images(NamedTuple):
    """Images with what the trials need to know of each."""

    data: SourceData
    trials: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]  # of a protocol: train, test


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--treatment", choices=TREATMENTS, action="append", help="default: all")
    parser.add_argument("--protocol", choices=PROTOCOLS, action="append", help="default: all")
    parser.add_argument("--without", choices=MEMBERS, action="append", default=[], help="a member")
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="folder, best outside the checkout"
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure by the treatments and protocols that are asked for."""
    sources = SourceImages(arguments.data)
    members = make_members(arguments.cache)
    members = {name: one for name, one in members.items() if name not in arguments.without}
    for treatment in arguments.treatment or TREATMENTS:
        Remembering.known.clear()
        for protocol in arguments.protocol or PROTOCOLS:
            make = by_sources if protocol == "E" else by_origins
            images = make(arguments, sources, treatment)
            parts = [treatment, protocol, *(f"without-{name}" for name in arguments.without)]
            folder = arguments.cache / "ensembles" / "-".join(parts)
            nested = {
                name: kept(folder / f"{number}.npz", partial(nest, images.data, members, *cut))
                for number, (name, cut) in enumerate(images.trials[protocol].items())
            }
            measure = measure_sources if protocol == "E" else measure_trials
            row = measure(nested, list(members), images.data, (sources, treatment))
            write_row(f"{protocol}.{treatment}", row)


def by_sources(arguments: argparse.Namespace, images: SourceImages, treatment: str) -> Images:
    """Return the images of protocol E with its folds."""
    paths = images.treated(treatment, arguments.cache)
    data = SourceData.check("ensembles", paths, images.y, **images.columns, picture=images.picture)
    return Images(data, {"E": {f"fold {n}": fold for n, fold in enumerate(data.folds(8, 0))}})


def by_origins(arguments: argparse.Namespace, images: SourceImages, treatment: str) -> Images:
    """Return the images of the protocols B and C with their trials; validation images train."""
    chosen = np.flatnonzero(images.in_first_layer)
    treated = images.treated(treatment, arguments.cache)
    paths = [treated[i] for i in chosen]
    found: Any = SimpleNamespace(
        y=images.y[chosen],
        origin=images.columns["generator"][chosen],
        source=images.columns["source"][chosen],
        picture=Data(arguments.data).picture[images.rows[chosen]],
    )
    data = SourceData.check(
        "ensembles", paths, found.y, found.source, found.origin, found.origin, None, found.picture
    )
    cuts = {
        protocol: {
            trial.name: (np.concatenate([trial.train, trial.val]), trial.test["foreign"])
            for trial in trials
        }
        for protocol, trials in make_trials(found).items()
        if protocol in PROTOCOLS
    }
    return Images(data, cuts)


def kept(path: Path, compute: Any) -> Nested:
    """Read what was computed before, or compute and write it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_name(path.name + ".partial")
        with partial_path.open("wb") as file:
            np.savez_compressed(file, **compute()._asdict())
        partial_path.replace(path)
        print(path.parent.name, path.name, flush=True)
    with np.load(path) as file:
        return Nested(*(file[name] for name in Nested._fields))


def nest(data: SourceData, members: dict[str, Any], train: np.ndarray, test: np.ndarray) -> Nested:
    """Score the test images, and the training images by members that do not know their origin."""
    left_out = np.full((len(train), len(members)), np.nan)
    found = np.empty((len(test), len(members)))
    groups = np.column_stack([data.unit[train], data.picture[train]])
    inner = list(LeaveSourcesOut(N_INNER, random_state=0).split(train, data.y[train], groups))
    for column, (name, member) in enumerate(members.items()):
        found[:, column] = fit_and_score(data, member, train, test)
        light = member.set_params(n_heads=1) if name == "clip" else member
        for rest, out in inner:
            left_out[out, column] = fit_and_score(data, light, train[rest], train[out])
        if name == "clip":
            member.set_params(n_heads=CLIP["n_heads"])
    return Nested(train, left_out, test, found)


def fit_and_score(data: SourceData, member: Any, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the log-odds of the test images, relative to the member's own threshold."""
    fitted = data.fit(member, train)
    probabilities = score_images(fitted, [data.X[i] for i in test])[1]
    return logit(np.clip(probabilities, 1e-9, 1 - 1e-9)) - own_odds(fitted)


def own_odds(fitted: Any) -> float:
    """Return the log-odds at the member's threshold."""
    (probability,) = fitted.calibration_.predict(np.array([own_threshold(fitted)]))
    return float(logit(probability))


def combined(nested: Nested, data: SourceData) -> Iterator[tuple[str, np.ndarray, Any]]:
    """Fit every combination; yield its name, its scores of the test images, and itself."""
    y = data.y[nested.train]
    weight = weigh_origins(y, data.unit[nested.train])
    for kind in COMBINATIONS:
        rule = fit_combination(nested.left_out, y, weight, kind)
        yield kind, rule.score(nested.found), rule


def scores_of(nested: Nested, names: list[str], data: SourceData) -> dict[str, np.ndarray]:
    """Return the scores of the test images, of every member and every combination."""
    alone = dict(zip(names, nested.found.T, strict=True))
    return alone | {kind: scores for kind, scores, _ in combined(nested, data)}


def measure_sources(
    nested: dict[str, Nested], names: list[str], data: SourceData, kept_as: Any
) -> dict[str, Any]:
    """Work out protocol E: metrics, and differences from the best member on drawn units."""
    sources, treatment = kept_as
    scores = {name: np.empty(len(data.y)) for name in [*names, *COMBINATIONS]}
    for fold in nested.values():
        for name, found in scores_of(fold, names, data).items():
            scores[name][fold.test] = found
    zero = np.zeros(len(data.y))
    columns = data.source, data.generator, data.unit, data.subset
    found = {name: SourceEvaluation(data.y, one, zero, *columns) for name, one in scores.items()}
    best = max(names, key=lambda name: found[name].metrics["roc_auc"].value)
    sources.keep(f"ensemble.{treatment}", found["log_odds"])
    return {
        "best_member": best,
        "n": found[best].counts,
        "metrics": {name: one.metrics for name, one in found.items()},
        "minus_best": {kind: found[kind].compare(found[best]) for kind in COMBINATIONS},
        "right_minus_best": large_origins(data, scores, best),
        "weights": mean_weights(nested, names, data),
    }


def large_origins(
    data: SourceData, scores: dict[str, np.ndarray], best: str
) -> dict[str, dict[str, Any]]:
    """Return how much more often combinations are right, of each origin of many images."""
    origin = np.where(data.y == 1, data.generator, data.source)
    rows = {}
    for name in np.unique(origin):
        own = origin == name
        if own.sum() >= MANY:
            right = {key: np.mean((one[own] > 0) == data.y[own]) for key, one in scores.items()}
            rows[str(name)] = {
                "n": int(own.sum()),
                "best_member": float(right[best]),
                **{kind: float(right[kind] - right[best]) for kind in COMBINATIONS},
            }
    return rows


def measure_trials(
    nested: dict[str, Nested], names: list[str], data: SourceData, _kept_as: Any
) -> dict[str, Any]:
    """Work out B foreign or C: areas of each generator, and paired tests against the best."""
    trials, by_name = {}, {name: [] for name in [*names, *COMBINATIONS]}
    everything: dict[str, list[np.ndarray]] = {name: [] for name in by_name}
    for trial, one in nested.items():
        scores, y = scores_of(one, names, data), data.y[one.test]
        generator = data.generator[one.test]
        rows = {}
        for name in np.unique(generator[y == 1]):
            chosen = (y == 0) | (generator == name)
            rows[str(name)] = {
                "n_generated": int(np.sum(generator == name)),
                "n_real": int(np.sum(y == 0)),
                **{key: area(y[chosen], found[chosen]) for key, found in scores.items()},
            }
        trials[trial] = rows
        for key, found in scores.items():
            by_name[key] += [row[key] for row in rows.values()]
            everything[key].append(found)
    mean = {name: float(np.mean(values)) for name, values in by_name.items()}
    best = max(names, key=mean.__getitem__)
    test = np.concatenate([one.test for one in nested.values()])
    pooled = {key: np.concatenate(found) for key, found in everything.items()}
    tests = {k: compare_detectors(data.y[test], pooled[k], pooled[best]) for k in COMBINATIONS}
    cut = SimpleNamespace(
        y=data.y[test], generator=data.generator[test], source=data.generator[test]
    )
    return {
        "best_member": best,
        "n": {"trials": len(trials), "images": len(test), "distinct": len(np.unique(test))},
        "mean_roc_auc": mean,
        "macro_balanced_accuracy": {key: macro(cut, one) for key, one in pooled.items()},
        "paired_tests": {key: one._asdict() for key, one in tests.items()},
        "trials": trials,
        "right_minus_best": large_origins(cut, pooled, best),
        "weights": mean_weights(nested, names, data),
    }


def area(y: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve."""
    found = compare_detectors(y, scores, np.zeros(len(y)))
    return 0.5 + found.auc_difference.value


def macro(data: Any, scores: np.ndarray) -> float:
    """Return the mean over the origins of both classes of how often they are judged right."""
    rates = [
        np.mean([np.mean((scores[data.generator == o] > 0) == label) for o in origins])
        for label in (0, 1)
        for origins in [np.unique(data.generator[data.y == label])]
    ]
    return float(np.mean(rates))


def mean_weights(
    nested: dict[str, Nested], names: list[str], data: SourceData
) -> dict[str, dict[str, float]]:
    """Return the mean weight of each member over the trials."""
    fitted: dict[str, list[Any]] = {kind: [] for kind in COMBINATIONS}
    for one in nested.values():
        for kind, _, rule in combined(one, data):
            fitted[kind].append(rule.weights)
    return {
        kind: dict(zip(names, np.mean(weights, axis=0).tolist(), strict=True))
        for kind, weights in fitted.items()
    }


def write_row(key: str, row: dict[str, Any]) -> None:
    """Put a row in the place of the one with its key."""
    rows = read_json(RESULT).get("rows", {}) | {key: row}
    write_json(
        RESULT,
        {
            "command": "python -m benchmarks ensembles DATA",
            "versions": find_versions("detectorkit", "numpy", "scikit-learn"),
            "rows": dict(sorted(rows.items())),
        },
    )
