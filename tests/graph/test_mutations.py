"""Models and records with random damage are read, or refused by `ModelFileError`; nothing else."""

import json
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectorkit import ModelFileError, OnnxDetector
from detectorkit.graph import sessions
from detectorkit.graph.record import ModelRecord
from detectorkit.graph.runner import GraphRunner, read_record
from detectorkit.models import shipped_detectors
from tests.graph.test_strange_graphs import X, make_model

MODEL = make_model()
CONTENT = MODEL.SerializeToString()
ODD = [None, True, 0, -1, 1.5, 1e308, 10**400, float("nan"), "", "x", "\ud800", "/dev/zero", ".."]
ODD += [[], {}, [0, 0], [10**5, 10**5], [[1]], {"name": "x"}, [{"name": "x"}]]
thorough = settings(max_examples=150, derandomize=True, deadline=None, database=None)


@pytest.fixture(autouse=True, scope="module")
def _short_limits():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "LOAD_SECONDS", 5.0)
        patch.setattr(sessions, "RUN_SECONDS", 1.0)
        patch.setattr(sessions, "ROW_SECONDS", 0.0)
        yield


def places(value, place=()):
    """List the places of all values in a value of JSON."""
    inside = value.items() if isinstance(value, dict) else ()
    inside = enumerate(value) if isinstance(value, list) else inside
    return [place] * bool(place) + [p for k, one in inside for p in places(one, (*place, k))]


@cache
def records():
    shipped = [read_record(path) for path in shipped_detectors().values()]
    return [json.loads(one.to_json()) for one in (GraphRunner(CONTENT).record, *shipped)]


@thorough
@given(st.data())
def test_records(data):
    record = json.loads(json.dumps(data.draw(st.sampled_from(records()))))
    *outer, last = data.draw(st.sampled_from(places(record)))
    part = record
    for key in outer:
        part = part[key]
    part[last] = data.draw(st.sampled_from(ODD))
    with suppress(ModelFileError):
        read = ModelRecord.from_json(json.dumps(record), "m.onnx")
        assert ModelRecord.from_json(read.to_json()) == read
        assert all(map(np.isfinite, read.fpr_thresholds.values()))
        assert read.treatment_text()
        assert read.preprocessing.array_shape


@thorough
@given(
    st.lists(st.tuples(st.integers(0, len(CONTENT)), st.binary(max_size=4), st.integers(0, 4))),
    st.integers(0, len(CONTENT)),
)
def test_bytes(changes, end):
    content = bytearray(CONTENT[: end or None])
    for start, new, length in changes:
        content[start : start + length] = new
    with suppress(ModelFileError):
        scores = OnnxDetector(bytes(content)).fit(X).decision_function(X)
        assert np.isfinite(scores).all()
        assert scores.shape == (len(X),)
