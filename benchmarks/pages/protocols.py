"""Tables of detectors by the protocols A to D."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from typing import Any

import sklearn.ensemble

import detectorkit
from benchmarks.accuracy.rows import ALL
from benchmarks.accuracy.table import MEAN, Row, figures
from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import TREATMENTS, cost, figure, table, value

__all__ = [
    "detectors",
    "glance",
    "macro_c",
    "networks_d",
    "protocol_a",
    "protocol_b",
    "protocol_c",
    "protocol_d",
]

CLASSICAL = ("forensic", "hog-svm", "hog-svm-fine")
NETWORKS = (
    "clip-8-bit",
    "clip-and-crops",
    "efficientnet-crops",
    "efficientnet-frozen",
    "efficientnet-tuned",
    "cnn",
    "resnet",
)
N_TRIALS = 8  # of C and of D
IN_WORDS = {
    "accuracy@validation": "accuracy at the validation threshold",
    "accuracy_at_one_half": "accuracy at probability 0.5",
    "precision@0.5": "precision where 50% is generated",
    "precision@0.1": "precision where 10% is generated",
    "precision@0.01": "precision where 1% is generated",
}


def glance() -> str:
    """Return one line a detector and treatment."""
    head = ["", "A: accuracy / AUC", "B self: balanced accuracy / AUC", "B foreign: mean AUC"]
    head += ["B foreign: macro", "C foreign: macro", "D: mean FPR (worst)"]
    rows = [
        [f"{name}, {label}", *(cell or "not measured" for cell in glance_cells(name, treatment))]
        for name in (*CLASSICAL, *NETWORKS)
        for treatment, label in TREATMENTS.items()
        if any(figures().where(detector=name, treatment=treatment))
    ]
    return table(head, rows)


def glance_cells(name: str, treatment: str) -> Iterator[str]:
    """Go over what is known of a detector and a treatment; empty where it was not measured."""

    def find(protocol: str, trial: str, part: str, metric: str) -> Row | None:
        return figures().get(name, treatment, protocol, trial, part, "", metric)

    def pair(protocol: str, first: str) -> str:
        shown = [find(protocol, "all", "self", metric) for metric in (first, "roc_auc")]
        if None in shown:
            return ""
        return f"{figure(shown[0].estimate)} / {value(shown[1].estimate)}"

    yield pair("A", "accuracy")
    yield pair("B", "balanced_accuracy")
    for protocol, trial, metric in (
        ("B", "all", "mean_roc_auc"),
        ("B", "all", "macro_balanced_accuracy"),
        ("C", MEAN, "macro_balanced_accuracy"),
    ):
        row = find(protocol, trial, "foreign", metric)
        yield "" if row is None or (trial == MEAN and row.n < N_TRIALS) else figure(row.estimate)
    yield mean_rate(name, treatment)


def mean_rate(name: str, treatment: str) -> str:
    """Return the mean false-positive rate of D, and the worst with its source."""
    means = figures().where(
        detector=name, treatment=treatment, protocol="D", trial=MEAN, part="foreign"
    )
    found = {row.metric: row for row in means}
    if not found or found["worst_source@fpr_5"].n < N_TRIALS:
        return ""
    worst = found["worst_source@fpr_5"]
    rate = found["false_positive_rate@fpr_5"]
    return f"{rate.value:.3f} ({worst.origin} {worst.value:.3f})"


def detectors() -> str:
    """List the detectors with what makes them and the command that measured them."""
    found = [read_json(RESULTS / "detectors" / f"{name}.json") for name in (*CLASSICAL, *NETWORKS)]
    return "\n".join(map(settings_line, found))


def settings_line(about: dict[str, Any]) -> str:
    """Name a detector and the command that measured it."""
    detector = about["detector"]
    name = detector["class"]
    kind = getattr(detectorkit, name, None) or getattr(sklearn.ensemble, name)
    default = {
        name: list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
    } | {"random_state": 0}
    shown = {k: v for k, v in detector["parameters"].items() if default.get(k, v) != v}
    call = f"{name}({as_arguments(shown)})"
    return f"- `{detector['name']}` is `{call}`: `{about['command']}`" + "".join(budgets(about))


def as_arguments(settings: dict[str, Any]) -> str:
    """Write settings as they would be in a call."""
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in settings.items())


def budgets(about: dict[str, Any]) -> Iterator[str]:
    """Say how short the trainings of each treatment were."""
    for treatment, label in TREATMENTS.items():
        found = about["trainings"].get(treatment, {})
        costs = [f"{key} {cost(one['budget'])}" for key, one in found.items() if "budget" in one]
        if costs:
            yield f"\n    - {label}, at most: " + ", ".join(costs)


def protocol_a() -> str:
    """Return all metrics on the same generator."""
    columns = [(name, treatment) for name in CLASSICAL for treatment in TREATMENTS]

    def sizes(name: str, treatment: str) -> str:
        training = read_json(RESULTS / "detectors" / f"{name}.json")["trainings"][treatment]["A"]
        n_test = figures()[name, treatment, "A", "all", "self", "", "accuracy"].n
        return f"{training['n_train'][0]} / {training['n_val'][0]} / {n_test}"

    rows = [["images: training / validation / test", *(sizes(*column) for column in columns)]]
    rows += [
        [
            IN_WORDS.get(metric, metric.replace("_", " ")),
            *(figure(figures()[*c, "A", "all", "self", "", metric].estimate) for c in columns),
        ]
        for metric in ALL
    ]
    heads = [f"{name}, {TREATMENTS[treatment]}" for name, treatment in columns]
    return table(["", *heads], rows)


def protocol_b(name: str, *chosen: str) -> str:
    """Return self and foreign of a detector, by generator and by source."""
    treatments = chosen or tuple(TREATMENTS)
    rows = []
    for part in ("self", "foreign"):
        found = {
            treatment: list(
                figures().where(
                    detector=name, treatment=treatment, protocol="B", trial="all", part=part
                )
            )
            for treatment in treatments
        }
        origins = [row for row in found["aligned"] if row.metric == "called_generated"]
        for row in origins:
            cells = [origin_cell(found[treatment], row.origin) for treatment in treatments]
            kind = "generator" if has_area(found["aligned"], row.origin) else "photograph"
            rows.append([part, f"{row.origin} ({kind}, n = {row.n})", *cells])
        for label, metric in (
            ("mean AUC over generators", "mean_roc_auc"),
            ("macro balanced accuracy", "macro_balanced_accuracy"),
            ("the same at the validation threshold", "macro_balanced_accuracy@validation"),
        ):
            cells = [figure(pick(found[treatment], "", metric)) for treatment in treatments]
            rows.append([part, f"**{label}**", *cells])
    heads = [f"{TREATMENTS[treatment]}: called generated" for treatment in treatments]
    return table(["", "origin", *heads], rows)


def pick(rows: Iterable[Row], origin: str, metric: str) -> Any:
    """Find a figure among rows; not a number where it is not there."""
    found = (row.estimate for row in rows if (row.origin, row.metric) == (origin, metric))
    return next(found, (None, None, None))


def has_area(rows: Iterable[Row], origin: str) -> bool:
    """Whether an origin is a generator, as photographs have no area of their own."""
    return any((row.origin, row.metric) == (origin, "roc_auc") for row in rows)


def origin_cell(rows: list[Row], origin: str) -> str:
    """Return the share called generated and, of generators, the area."""
    cell = figure(pick(rows, origin, "called_generated"))
    if has_area(rows, origin):
        cell += f"; AUC {area_cell(pick(rows, origin, 'roc_auc'))}"
    return cell


def area_cell(area: Any) -> str:
    """Return an area, and say where it is the wrong way round."""
    return figure(area) + " *inverted*" * (area[0] < 0.5)


def protocol_c(name: str) -> str:
    """Return every left-out generator, aligned, beside what the same detector knows."""
    rows = []
    found = list(figures().where(detector=name, treatment="aligned", protocol="C"))
    for trial in dict.fromkeys(row.trial for row in found if row.trial != MEAN):
        own, foreign = (
            [row for row in found if (row.trial, row.part) == (trial, part)]
            for part in ("self", "foreign")
        )
        generator, source = trial.split(" + ")
        counts = {row.origin: row.n for row in foreign}
        rows.append(
            [
                trial,
                " / ".join(value(pick(own, "", m)) for m in ("balanced_accuracy", "roc_auc")),
                f"{counts[generator]} / {counts[source]}",
                figure(pick(foreign, generator, "called_generated")),
                figure(pick(foreign, source, "called_generated")),
                area_cell(pick(foreign, generator, "roc_auc")),
            ]
        )
    head = ["left out", "self: balanced accuracy / AUC", "n foreign: generated / real"]
    head += ["foreign: found", "foreign: false positives", "foreign: AUC"]
    return table(head, rows)


def macro_c() -> str:
    """Return the macro balanced accuracy over all trials of C, aligned, of every detector."""
    rows = []
    for name in (*CLASSICAL, *NETWORKS):
        cells = [
            figures()[name, "aligned", "C", MEAN, part, "", metric].estimate
            for metric in ("macro_balanced_accuracy", "macro_balanced_accuracy@validation")
            for part in ("self", "foreign")
        ]
        rows.append([name, *map(figure, cells)])
    head = ["self", "foreign"]
    heads = [*head, *(f"{part}, validation threshold" for part in head)]
    return table(["", *heads], rows)


def protocol_d(name: str) -> str:
    """Return the false-positive rate of every left-out collection, by treatment."""
    return rates_of({label: rates(name, t) for t, label in TREATMENTS.items()})


def networks_d() -> str:
    """Return the false-positive rate of every left-out collection, aligned, by network."""
    return rates_of({name: rates(name, "aligned") for name in NETWORKS})


def rates(name: str, treatment: str) -> dict[str, Row]:
    """Return the rates of D at the threshold that gives 5 %, and their mean."""
    place = {"detector": name, "treatment": treatment, "protocol": "D", "part": "foreign"}
    metrics = {"called_generated@fpr_5", "false_positive_rate@fpr_5"}
    found = figures().where(**place, metric=metrics.__contains__)
    return {row.trial: row for row in found}


def rates_of(columns: dict[str, dict[str, Row]]) -> str:
    """Return a table of rates, with the means below."""
    rows = []
    for trial, row in next(iter(columns.values())).items():
        name, n = ("**mean**", "") if trial == MEAN else (trial, str(row.n))
        rows.append([name, n, *(figure(found[trial].estimate) for found in columns.values())])
    return table(["left out", "n", *columns], rows)
