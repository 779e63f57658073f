"""ONNX graphs of stacked features and their heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectorkit.features.block_dct import BLOCK, OFFSET, frequency_basis
from detectorkit.features.lbp import STEPS, code_numbers, tile_map
from detectorkit.graph.builder import GraphBuilder
from detectorkit.graph.hog import add_hog
from detectorkit.graph.record import ModelRecord
from detectorkit.graph.trees import add_trees
from detectorkit.heads.stacked import BoostingHead, LinearHead

if TYPE_CHECKING:
    import onnx

__all__ = ["add_families", "forensic_graph", "is_writable"]

FLOAT: Final = 1
INT64: Final = 7


def forensic_graph(
    record: ModelRecord, head: LinearHead | BoostingHead, n_features: int
) -> onnx.ModelProto:
    """Build the graph of a forensic detector, from pixels where ONNX can write all features."""
    graph = GraphBuilder()
    from_pixels = is_writable(record)
    features = "features"
    if from_pixels:
        parts = add_families(graph, record)
        features = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)
    if isinstance(head, LinearHead):
        graph.head(features, head.coef, head.intercept, record.calibration, head.centre)
    else:
        if head.components is not None and head.offset is not None:
            features = graph.add("MatMul", features, graph.constant(head.components))
            features = graph.add("Add", features, graph.constant(head.offset))
        score = add_trees(graph, features, head.clf)
        graph.add("Identity", score, name="score")
        graph.calibrate("score", record.calibration)
    return graph.to_model(record, n_features=None if from_pixels else n_features)


def is_writable(record: ModelRecord) -> bool:
    """Return whether all families can be written in ONNX for one size and these colours."""
    preprocessing = record.preprocessing
    return preprocessing.image_size is not None and all(
        family["name"] in _WRITERS
        and family["image_size"] is None
        and family["color_space"] == preprocessing.color_space
        and family.get("crop_size") is None
        and family.get("tile_size") is None
        and family.get("neighborhood", "square") == "square"
        for family in record.features
    )


def add_families(graph: GraphBuilder, record: ModelRecord) -> list[str]:
    """Add the features of each family of a record."""
    shape = record.preprocessing.array_shape
    families = []
    for family in record.features:
        settings = {k: v for k, v in family.items() if k not in _COMMON}
        if family["name"] == "hog":
            families.append(add_hog(graph, shape, **settings))
            continue
        write = _WRITERS[family["name"]]
        parts = [write(graph, plane, shape[:2], **settings) for plane in _planes(graph, shape)]
        families.append(parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1))
    return families


_COMMON: Final = ("name", "color_space", "image_size", "crop_size", "tile_size")


def _planes(graph: GraphBuilder, shape: tuple[int, ...]) -> list[str]:
    """Add the colour planes, each (n, row, column), float32, and return their names."""
    images = graph.add("Cast", "pixels", to=FLOAT)
    if len(shape) == 2:
        return [images]
    axis = graph.constant(np.array([3]))
    return [graph.add("Squeeze", graph.slice(images, 3, k, k + 1), axis) for k in range(3)]


def _add_block_dct(graph: GraphBuilder, plane: str, size: tuple[int, ...]) -> str:
    """Add the nodes of `block_dct_statistics`."""
    rows, columns = (side // BLOCK for side in size)
    whole = graph.slice(graph.slice(plane, 1, 0, rows * BLOCK), 2, 0, columns * BLOCK)
    split = graph.constant(np.array([0, rows, BLOCK, columns, BLOCK]))
    blocks = graph.add("Transpose", graph.add("Reshape", whole, split), perm=[0, 1, 3, 2, 4])
    flat = graph.constant(np.array([0, rows * columns, BLOCK * BLOCK]))
    blocks = graph.add("Reshape", blocks, flat)
    frequencies = graph.add("MatMul", blocks, graph.constant(frequency_basis()))
    magnitudes = graph.add("Abs", frequencies)
    mean = graph.add("ReduceMean", magnitudes, axes=[1], keepdims=1)
    apart = graph.add("Sub", magnitudes, mean)
    variance = graph.add("ReduceMean", graph.add("Mul", apart, apart), axes=[1], keepdims=0)
    mean = graph.add("Squeeze", mean, graph.constant(np.array([1])))
    both = graph.add("Concat", mean, graph.add("Sqrt", variance), axis=1)
    return graph.add("Log", graph.add("Add", both, graph.constant(np.float32(OFFSET))))


def _add_lbp(
    graph: GraphBuilder,
    plane: str,
    size: tuple[int, ...],
    *,
    radius: int,
    neighborhood: str,  # noqa: ARG001 - only "square" gets here
    codes: Any,
    grid: tuple[int, int],
    root: bool,
) -> str:
    """Add the nodes of `lbp_histograms`; each pixel is scattered to the bin of its code."""
    height, width = (side - 2 * radius for side in size)

    def shifted(down: int, right: int) -> str:
        top, left = radius * (1 + down), radius * (1 + right)
        return graph.slice(graph.slice(plane, 1, top, top + height), 2, left, left + width)

    center, total = shifted(0, 0), None
    for bit, (down, right) in enumerate(STEPS):
        is_set = graph.add("GreaterOrEqual", shifted(down, right), center)
        value = graph.add("Cast", is_set, to=INT64)
        value = graph.add("Mul", value, graph.constant(np.array(1 << bit)))
        total = value if total is None else graph.add("Add", total, value)
    numbers, n_codes = code_numbers(codes)
    tile, area = tile_map(height, width, *grid)
    bins = graph.add("Gather", graph.constant(numbers.astype(np.int64)), str(total))
    bins = graph.add("Add", bins, graph.constant((tile * n_codes).astype(np.int64)))
    bins = graph.add("Reshape", bins, graph.constant(np.array([0, height * width])))
    # A one for each pixel, and a row of zeros for each image: the graph does not know their number.
    ones = graph.add("Cast", graph.add("GreaterOrEqual", bins, bins), to=FLOAT)
    empty = graph.constant(np.zeros((1, len(area) * n_codes), np.float32))
    first = graph.add("Mul", graph.slice(ones, 1, 0, 1), graph.constant(np.float32(0)))
    counts = graph.add(
        "ScatterElements", graph.add("Add", empty, first), bins, ones, axis=1, reduction="add"
    )
    shares = graph.add("Div", counts, graph.constant(np.repeat(area, n_codes)))
    return graph.add("Sqrt", shares) if root else shares


_WRITERS: Final[dict[str, Callable[..., str]]] = {
    "hog": add_hog,
    "block_dct": _add_block_dct,
    "lbp": _add_lbp,
}
