"""Rules for the gradients of ONNX operators.

A rule takes the builder and the node with the gradient of its output; it returns the gradients of
the inputs, and None where a gradient is not needed. If a rule returns None for an input that
depends on the pixels, or does not know the value of an attribute, an error names the node.
"""

from detectorkit.graph.adjoint_rules import (
    arithmetic,
    convolution,
    elementwise,
    indexing,
    layout,
    normalization,
    pooling,
    products,
    quantization,
    reductions,
    resizing,
)
from detectorkit.graph.adjoint_rules.registry import RULES

__all__ = [
    "RULES",
    "arithmetic",
    "convolution",
    "elementwise",
    "indexing",
    "layout",
    "normalization",
    "pooling",
    "products",
    "quantization",
    "reductions",
    "resizing",
]
