"""The operators that gradients are known for, against the guide and the cases of ONNX."""

import re
from pathlib import Path

import pytest

from detectorkit.graph.adjoint_rules import RULES
from detectorkit.graph.dependence import FLAT
from detectorkit.graph.preparation import EXPANDED

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide" / "explanations.md"
N_ROWS = 6  # of each operator
FAST = {
    "ArgMax", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "ConvTranspose",
    "DepthToSpace", "Einsum", "Elu", "Gather", "GatherElements", "GatherND", "Gemm",
    "GroupNormalization", "InstanceNormalization", "LRN", "LayerNormalization", "LogSoftmax",
    "MatMul", "Max", "MaxPool", "MeanVarianceNormalization", "Min", "Mish", "PRelu", "Pad", "Pow",
    "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum",
    "Resize", "ScatterElements", "ScatterND", "Slice", "Softmax", "Softplus", "SpaceToDepth",
    "Split", "Tile", "TopK", "Where",
}  # fmt: skip


@pytest.mark.parametrize(
    ("heading", "operators"),
    [
        ("What has a rule:", set(RULES)),
        ("What is written with these", EXPANDED),
        ("What has the derivative 0:", FLAT),
    ],
)
def test_the_guide_lists_the_operators(heading, operators):
    text = GUIDE.read_text().split(heading)[1].split("\n\n")[1]
    assert set(re.findall(r"`(\w+)`", text)) == operators


def test_cases_of_onnx_are_right_or_refused_by_name(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    pytest.importorskip("onnx.backend.test.case.node")
    from benchmarks.accuracy.backend_gradients import collect_rows, judge, operators_of

    rows = collect_rows()
    operators = operators_of(rows)
    chosen = [
        row
        for operator in sorted(FAST)
        for row in [
            one
            for one in rows
            if operators[one.case.name] == operator and "_expanded" not in one.case.name
        ][:N_ROWS]
    ]
    found = {row.name: judge(row, n_places=5) for row in chosen}
    bad = {name: one for name, one in found.items() if one[0] in {"wrong", "crashed"}}
    assert not bad
    assert sum(verdict == "right" for verdict, _ in found.values()) > 190
