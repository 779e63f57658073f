"""What the library writes as JSON is JSON."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import detectorkit
from detectorkit.metrics.estimates import Estimate
from detectorkit.utils.json import dumps, to_plain


@dataclass(frozen=True)
class Record:
    name: str
    figures: dict
    parts: tuple


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (np.float32("inf"), None),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.array([True])[0], True),
        (np.str_("a"), "a"),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        (np.array([1, 2], object), [1, 2]),
        (Estimate(0.5, float("-inf"), np.float64(1)), {"value": 0.5, "low": None, "high": 1}),
        ({1: (True, None), "a": Path("b/c")}, {"1": [True, None], "a": "b/c"}),
        (
            Record("x", {"auc": Estimate(0, 0, 0)}, (np.arange(2),)),
            {"name": "x", "figures": {"auc": {"value": 0, "low": 0, "high": 0}}, "parts": [[0, 1]]},
        ),
    ],
)
def test_everything_has_a_plain_form(value, expected):
    assert to_plain(value) == expected
    text = dumps([value], indent=1)
    assert json.loads(text, parse_constant=pytest.fail) == [expected]


def test_the_rest_is_an_error():
    with pytest.raises(TypeError):
        dumps({"x": object()})


def test_json_is_written_in_one_place():
    root = Path(detectorkit.__file__).parent
    allowed = {
        "utils/json.py",
        "graph/record.py",  # a record is read again to the bit
        "training/loop.py",  # a checkpoint too; its best loss may be infinite
    }
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"\bjson\.dumps?\(", path.read_text())
    }
    assert found <= allowed
