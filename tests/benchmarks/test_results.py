"""The committed figures have the form that they promise, and the pages are made from them."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SCHEMA = json.loads((ROOT / "benchmarks" / "accuracy" / "protocols.schema.json").read_text())


@pytest.fixture
def page(monkeypatch):
    """Give a page of the documentation as its script writes it."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))

    def make(name):
        module = importlib.import_module(f"{name}_page")
        sys.modules.pop(f"{name}_page")
        return getattr(module, f"{name}_page")()

    return make


@pytest.mark.parametrize("path", sorted(RESULTS.glob("protocols_*.json")), ids=lambda p: p.stem)
def test_protocol_results_follow_their_schema(path):
    Draft202012Validator.check_schema(SCHEMA)
    errors = list(Draft202012Validator(SCHEMA).iter_errors(json.loads(path.read_text())))
    assert not errors


@pytest.mark.parametrize("path", sorted(RESULTS.glob("protocols_*.json")), ids=lambda p: p.stem)
def test_no_training_took_more_images_than_its_budget(path):
    for found in json.loads(path.read_text())["results"].values():
        for entry in found.values():
            most = entry.get("budget", {}).get("max_images")
            taken = [trial["n_train"] for trial in entry["trials"].values()]
            assert most is None or max(taken) <= most


def test_the_schema_refuses_what_is_no_result():
    result = json.loads((RESULTS / "protocols_hog_svm.json").read_text())
    del result["results"]["aligned"]["A"]["trials"]["all"]["test"]["self"]["metrics"]
    assert not Draft202012Validator(SCHEMA).is_valid(result)


@pytest.mark.parametrize("name", ["accuracy", "performance", "texture"])
def test_the_pages_are_made_from_the_results(page, name):
    assert (ROOT / "docs" / f"{name}.md").read_text() == page(name)


def test_every_result_names_a_script_that_exists():
    for path in RESULTS.glob("*.json"):
        script = json.loads(path.read_text())["script"]
        assert (ROOT / script).exists(), path.name


def test_no_result_names_a_path_of_a_machine():
    for path in RESULTS.glob("*.json"):
        assert not re.search(r'"/(home|root|tmp|work|Users)/', path.read_text()), path.name
