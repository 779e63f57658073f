"""Names as Python's text: one endless name among many does not make all of them long."""

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import detectorkit
from detectorkit.calibration.band import fit_band
from detectorkit.datasets import load_images
from detectorkit.datasets.audit.groups import find_copies
from detectorkit.datasets.audit.reading import FILE_DTYPE
from detectorkit.evaluation import cap_images, merge_sources
from detectorkit.evaluation.evaluate import Evaluation
from detectorkit.evaluation.protocols import same_generator_trials
from detectorkit.evaluation.sources import name_origins
from detectorkit.model_selection import (
    LeaveOneGeneratorOut,
    LeaveSourcesOut,
    StratifiedGroupShuffleSplit,
)
from detectorkit.utils.names import as_names
from detectorkit.utils.tables import text_table

N = 400
LONG = "x" * 130_000  # as numpy's text of fixed width: 200 MB for 400 of them
Y = np.tile([0, 1], N // 2)
NAMES = [f"{'photos' if y == 0 else 'model'} {number % 20}" for number, y in enumerate(Y)]
NAMES[7] = LONG
SCORES = np.arange(N) / N

CONSUMERS = {
    "evaluation": lambda: Evaluation(Y, SCORES, 0.5, None, as_names(NAMES)).origins,
    "band": lambda: fit_band(SCORES + Y, Y, origin=NAMES, max_wrong_photographs=0.1),
    "copies": lambda: find_copies(NAMES, np.zeros(N, FILE_DTYPE), Y, NAMES, across=True),
    "trials": lambda: same_generator_trials(Y, NAMES),
    "origins": lambda: list(
        LeaveOneGeneratorOut().split(Y, Y, np.column_stack([as_names(NAMES)] * 2))
    ),
    "sources": lambda: list(LeaveSourcesOut(5).split(Y, Y, as_names(NAMES))),
    "shuffle": lambda: list(StratifiedGroupShuffleSplit(1, test_size=0.5).split(Y, Y, NAMES)),
    "merge": lambda: merge_sources(NAMES, NAMES, [LONG]),
    "cap": lambda: cap_images(NAMES, NAMES, max_images=2),
    "name": lambda: name_origins(Y, NAMES, NAMES),
    "table": lambda: text_table([(name, 1) for name in NAMES], ["name", "n"]),
}


@pytest.mark.parametrize("name", CONSUMERS)
def test_one_long_name_costs_what_it_is_long(name):
    tracemalloc.start()
    try:
        CONSUMERS[name]()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6


def test_a_manifest_with_one_long_cell_is_read(tmp_path):
    rows = [
        f"{number}.png,{y},{name}" for number, (y, name) in enumerate(zip(Y, NAMES, strict=True))
    ]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,generator", *rows]))
    tracemalloc.start()
    try:
        found = load_images(tmp_path / "m.csv")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.metadata["generator"].tolist() == NAMES
    assert peak < 20e6


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["a", None, np.nan, 1], ["a", "None", "nan", "1"]),
        (np.array([1.5, 2]), ["1.5", "2.0"]),
        (np.array([b"a", b"bc"]), ["a", "bc"]),
        (np.array(["a", "bc"]), ["a", "bc"]),
        ([], []),
        ([["a", 1]], [["a", "1"]]),
    ],
)
def test_any_value_has_a_name(values, names):
    found = as_names(values)
    assert found.dtype == object
    assert found.tolist() == names
    assert all(type(one) is str for one in found.ravel())


def test_names_become_text_in_one_file():
    root = Path(detectorkit.__file__).parent
    rule = re.compile(r"astype\((str|np\.str_)\)|dtype=(str|np\.str_)\b")
    found = [path.name for path in root.rglob("*.py") if rule.search(path.read_text())]
    assert found == ["names.py"]
