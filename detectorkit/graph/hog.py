"""ONNX graphs of histograms of oriented gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.features.hog import EPS, HYSTERESIS, hog_shape
from detectorkit.graph.builder import GraphBuilder

if TYPE_CHECKING:
    import onnx

    from detectorkit.graph.record import ModelRecord

__all__ = ["add_hog", "hog_svm_graph"]


def hog_svm_graph(
    record: ModelRecord, coef: NDArray[np.float64], intercept: float
) -> onnx.ModelProto:
    """Build the graph of a detector with HoG features and a linear head."""
    graph = GraphBuilder()
    hog = {key: value for key, value in record.features[0].items() if key != "name"}
    features = add_hog(graph, record.preprocessing.array_shape, **hog)
    graph.head(features, coef, intercept, record.calibration)
    return graph.to_model(record)


def add_hog(
    graph: GraphBuilder,
    shape: tuple[int, ...],
    *,
    orientations: int,
    pixels_per_cell: tuple[int, int],
    cells_per_block: tuple[int, int],
    block_norm: str,
    transform_sqrt: bool,
) -> str:
    """Add nodes that compute `hog_features`."""
    # From here on, images are (n, channel, row, column).
    images = graph.add("Cast", "pixels", to=1)
    if len(shape) == 3:
        images = graph.add("Transpose", images, perm=[0, 3, 1, 2])
    else:
        images = graph.add("Unsqueeze", images, graph.constant(np.array([1])))
    if transform_sqrt:
        images = graph.add("Sqrt", images)
    by_row, by_column, magnitude = _gradients(graph, images, shape)
    votes = _votes(graph, by_row, by_column, magnitude, orientations)
    cells = graph.add(
        "AveragePool", votes, kernel_shape=list(pixels_per_cell), strides=list(pixels_per_cell)
    )
    blocks = hog_shape(shape[:2], orientations, pixels_per_cell, cells_per_block)
    return _normalised_blocks(graph, cells, blocks, block_norm)


def _gradients(graph: GraphBuilder, images: str, shape: tuple[int, ...]) -> tuple[str, str, str]:
    """Add the gradients, zero at the border; each pixel takes its strongest channel."""
    steps = [_difference(graph, images, axis, shape[axis - 2]) for axis in (2, 3)]
    squares = [graph.add("Mul", step, step) for step in steps]
    energy = graph.add("Add", *squares)
    if len(shape) == 3:
        strongest = graph.add("ArgMax", energy, axis=1, keepdims=1)
        steps = [graph.add("GatherElements", step, strongest, axis=1) for step in steps]
        energy = graph.add("GatherElements", energy, strongest, axis=1)
    return steps[0], steps[1], graph.add("Sqrt", energy)


def _difference(graph: GraphBuilder, images: str, axis: int, length: int) -> str:
    after = graph.slice(images, axis, 2, length)
    before = graph.slice(images, axis, 0, length - 2)
    pads = np.zeros(8, np.int64)
    pads[[axis, axis + 4]] = 1
    return graph.add("Pad", graph.add("Sub", after, before), graph.constant(pads))


def _votes(
    graph: GraphBuilder, by_row: str, by_column: str, magnitude: str, orientations: int
) -> str:
    """Add a channel for each orientation, with the magnitudes of the pixels that have it.

    An angle from 0 to 180 degrees is past the edge of a bin where the gradient lies to the left
    of the edge's direction, so bins follow from signs, without an arctangent.
    """
    zero = graph.constant(np.float32(0))
    is_down = graph.add("Less", by_row, zero)
    is_level = graph.add("Equal", by_row, zero)
    is_left = graph.add("And", is_level, graph.add("Less", by_column, zero))
    is_opposite = graph.add("Or", is_down, is_left)
    plus, minus = graph.constant(np.float32(1)), graph.constant(np.float32(-1))
    sign = graph.add("Where", is_opposite, minus, plus)
    by_row, by_column = graph.add("Mul", by_row, sign), graph.add("Mul", by_column, sign)

    angles = np.deg2rad(180.0 / orientations * np.arange(1, orientations))
    cosine, sine = np.cos(angles), np.sin(angles)
    cosine[np.abs(cosine) < 1e-12] = 0  # 90 degrees exactly, as a whole gradient can have it
    edges = [graph.constant(_channels(values)) for values in (cosine, sine)]
    left = graph.add("Mul", by_row, edges[0])
    right = graph.add("Mul", by_column, edges[1])
    is_past = graph.add("Cast", graph.add("GreaterOrEqual", left, right), to=1)
    past = graph.add("Mul", is_past, magnitude)
    # In bin b: past its lower edge (every pixel is past the first) but not past its upper one.
    lower = graph.add("Concat", magnitude, past, axis=1)
    nothing = graph.add("Mul", magnitude, zero)
    upper = graph.add("Concat", past, nothing, axis=1)
    return graph.add("Sub", lower, upper)


def _channels(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)[np.newaxis, :, np.newaxis, np.newaxis]


def _normalised_blocks(
    graph: GraphBuilder, cells: str, shape: tuple[int, int, int, int, int], block_norm: str
) -> str:
    """Gather cells (n, orientation, row, column) into blocks and normalise each."""
    block_rows, block_cols, cell_rows, cell_cols, orientations = shape
    cells = graph.add("Transpose", cells, perm=[0, 2, 3, 1])
    parts: list[str] = []
    for row in range(cell_rows):
        rows = graph.slice(cells, 1, row, row + block_rows)
        parts += [graph.slice(rows, 2, col, col + block_cols) for col in range(cell_cols)]
    blocks = graph.add("Concat", *parts, axis=3)
    if block_norm in {"L1", "L1-sqrt"}:
        axes = graph.constant(np.array([3]))
        total = graph.add("ReduceSum", blocks, axes, keepdims=1)
        blocks = graph.add("Div", blocks, graph.add("Add", total, graph.constant(np.float32(EPS))))
        if block_norm == "L1-sqrt":
            blocks = graph.add("Sqrt", blocks)
    else:
        blocks = _unit_length(graph, blocks)
        if block_norm == "L2-Hys":
            blocks = graph.add("Min", blocks, graph.constant(np.float32(HYSTERESIS)))
            blocks = _unit_length(graph, blocks)
    n_features = block_rows * block_cols * cell_rows * cell_cols * orientations
    return graph.add("Reshape", blocks, graph.constant(np.array([-1, n_features])))


def _unit_length(graph: GraphBuilder, blocks: str) -> str:
    axes: dict[str, Any] = {"axes": [3], "keepdims": 1}
    energy = graph.add("ReduceSumSquare", blocks, **axes)
    length = graph.add("Sqrt", graph.add("Add", energy, graph.constant(np.float32(EPS**2))))
    return graph.add("Div", blocks, length)
