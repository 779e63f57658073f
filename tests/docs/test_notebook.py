"""The notebook of the examples runs, cell after cell."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_verdicts.ipynb"


def test_the_notebook_runs(capsys):
    pytest.importorskip("matplotlib").use("agg")
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert len(capsys.readouterr().out.splitlines()) == len(names["images"])
    assert "<table" in names["result"]._repr_html_()
    names["plt"].close("all")
