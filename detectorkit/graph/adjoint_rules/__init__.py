"""What each operator does to a gradient.

A rule takes the builder and the node with the gradient of its output; it returns the gradients of
the inputs, and None where none is wanted. A rule that returns None for an input that depends on the
pixels, or that does not know what an attribute says, is an error that names the node.
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
