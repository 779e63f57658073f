"""Rules for normalisations of layers, batches, instances and groups."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from detectorkit.graph.adjoint import AdjointBuilder, Parts, Step
from detectorkit.graph.adjoint_rules.registry import refuse, register_rule


class _Standardized:
    """A tensor that is standardised along some axes: mean 0, standard deviation 1."""

    def __init__(
        self, b: AdjointBuilder, x: str, shape: tuple[int, ...], axes: Sequence[int], eps: float
    ) -> None:
        self._b = b
        self._axes = b.constant(axes, np.int64)
        self._share = b.constant(1 / math.prod(shape[axis] for axis in axes))
        centred = b.add("Sub", x, self.mean(x))
        variance = self.mean(b.add("Mul", centred, centred))
        self.std = b.add("Sqrt", b.add("Add", variance, b.constant(eps)))
        self.value = b.add("Div", centred, self.std)

    def mean(self, tensor: str) -> str:
        """Return the mean along the axes."""
        total = self._b.add("ReduceSum", tensor, self._axes, keepdims=1)
        return self._b.add("Mul", total, self._share)

    def undo(self, part: str) -> str:
        """Return the gradient of the tensor, from that of `value`."""
        b = self._b
        along = b.add("Mul", self.value, self.mean(b.add("Mul", part, self.value)))
        rest = b.add("Sub", b.add("Sub", part, self.mean(part)), along)
        return b.add("Div", rest, self.std)

    def undo_mean(self, part: str) -> str:
        """Return the gradient of the tensor, from that of its mean."""
        return self._b.add("Mul", part, self._share)

    def undo_inverse(self, part: str) -> str:
        """Return the gradient of the tensor, from that of the inverse standard deviation."""
        b = self._b
        square = b.add("Mul", self.std, self.std)
        steep = b.add("Div", b.add("Mul", part, self._share), square)
        return b.add("Neg", b.add("Mul", self.value, steep))


def _affine(b: AdjointBuilder, at: Step, value: str, *, per_channel: bool) -> Parts:
    """Return the gradients of scale and bias, which are applied to `value`."""
    parts: Parts = []
    for k in (1, 2):
        if not at.wants(k):
            parts.append(None)
            continue
        part = b.add("Mul", at.dy, value) if k == 1 else at.dy
        parts.append(
            _over_channels(b, part, at.y) if per_channel else b.reduced_to(part, at.y, at.input(k))
        )
    return parts


def _over_channels(b: AdjointBuilder, part: str, tensor: str) -> str:
    """Sum a tensor over all axes but that of the channels."""
    axes = [axis for axis in range(len(b.shape(tensor))) if axis != 1]
    return b.add("ReduceSum", part, b.constant(axes, np.int64), keepdims=0)


def _by_channel(b: AdjointBuilder, tensor: str, rank: int) -> str:
    """Reshape one number for each channel so that it broadcasts with images."""
    value = b.value(tensor)
    shape = [-1, *[1] * (rank - 2)]
    if value is not None:
        return b.constant(value.reshape(shape))
    return b.add("Reshape", tensor, b.constant(shape, np.int64))


@register_rule("LayerNormalization")
def _layer_norm(b: AdjointBuilder, at: Step) -> Parts:
    shape = b.shape(at.x)
    rank = len(shape)
    attributes = at.attributes
    axes = range(attributes.get("axis", -1) % rank, rank)
    normal = _Standardized(b, at.x, shape, axes, attributes.get("epsilon", 1e-5))
    found = []
    parts: Parts = [None, None]
    if at.upstream[0]:
        found.append(normal.undo(b.add("Mul", at.dy, at.input(1))))
        parts = _affine(b, at, normal.value, per_channel=False)
    undo = (normal.undo_mean, normal.undo_inverse)
    for part, way in zip(at.upstream[1:], undo, strict=False):
        if part:
            found.append(b.add("Expand", way(part), b.add("Shape", at.x)))
    return [found[0] if len(found) == 1 else b.add("Sum", *found), *parts]


@register_rule("InstanceNormalization")
def _instance_norm(b: AdjointBuilder, at: Step) -> Parts:
    shape = b.shape(at.x)
    eps = at.attributes.get("epsilon", 1e-5)
    normal = _Standardized(b, at.x, shape, range(2, len(shape)), eps)
    scale = _by_channel(b, at.input(1), len(shape))
    parts = _affine(b, at, normal.value, per_channel=True)
    return [normal.undo(b.add("Mul", at.dy, scale)), *parts]


@register_rule("GroupNormalization")
def _group_norm(b: AdjointBuilder, at: Step) -> Parts:
    shape = b.shape(at.x)
    n_groups = at.attributes["num_groups"]
    size = math.prod(shape[1:]) // n_groups
    groups = b.constant([-1, n_groups, size], np.int64)
    eps = at.attributes.get("epsilon", 1e-5)
    x = b.add("Reshape", at.x, groups)
    normal = _Standardized(b, x, (shape[0], n_groups, size), [2], eps)
    if b.shape(at.input(1)) != (shape[1],):
        # Before opset 21 there was one number for each group.
        if at.wants(1) or at.wants(2):
            refuse(b, at, "has a scale of each group that changes from image to image")
        scale = _by_channel(b, at.input(1), 3)
        part = b.add("Mul", b.add("Reshape", at.dy, groups), scale)
        return [b.shaped_like(normal.undo(part), at.x)]
    scale = _by_channel(b, at.input(1), len(shape))
    part = b.add("Reshape", b.add("Mul", at.dy, scale), groups)
    value = b.shaped_like(normal.value, at.x)
    return [
        b.shaped_like(normal.undo(part), at.x),
        *_affine(b, at, value, per_channel=True),
    ]


@register_rule("BatchNormalization")
def _batch_norm(b: AdjointBuilder, at: Step) -> Parts:
    if at.attributes.get("training_mode", 0):
        refuse(b, at, "is in training mode, where images change each other")
    eps = at.attributes.get("epsilon", 1e-5)
    values = [b.value(one) for one in at.node.input[1:]]
    rank = max(len(b.shape(at.x)), 2)
    if values[0] is not None and values[3] is not None:
        factor = values[0] / np.sqrt(values[3] + eps)
        first = b.add("Mul", at.dy, b.constant(factor.reshape(-1, *[1] * (rank - 2))))
        if not any(at.wanted[1:]):
            return [first]
    scale, _, mean, variance = (_by_channel(b, one, rank) for one in at.node.input[1:])
    std = b.add("Sqrt", b.add("Add", variance, b.constant(eps)))
    normal = b.add("Div", b.add("Sub", at.x, mean), std)
    part = b.add("Div", b.add("Mul", at.dy, scale), std)
    steep = b.add("Div", b.add("Mul", part, normal), b.add("Mul", std, b.constant(-2)))
    makers = (b.add("Mul", at.dy, normal), at.dy, b.add("Neg", part), steep)
    others = [
        _over_channels(b, one, at.y) if at.wants(k) else None for k, one in enumerate(makers, 1)
    ]
    return [part, *others]


@register_rule("LRN")
def _local_response(b: AdjointBuilder, at: Step) -> Parts:
    attributes = at.attributes
    size, beta = attributes["size"], attributes.get("beta", 0.75)
    alpha = attributes.get("alpha", 1e-4) / size
    channels = b.shape(at.x)[1]
    far = np.arange(channels) - np.arange(channels)[:, np.newaxis]
    band = ((far >= -((size - 1) // 2)) & (far <= size // 2)).astype(np.float32)
    rows = b.constant([0, 0, -1], np.int64)

    def near(tensor: str, weights: np.ndarray) -> str:
        total = b.add("MatMul", b.constant(weights), b.add("Reshape", tensor, rows))
        return b.shaped_like(total, at.x)

    energy = near(b.add("Mul", at.x, at.x), band)
    base = b.add(
        "Add", b.add("Mul", energy, b.constant(alpha)), b.constant(attributes.get("bias", 1.0))
    )
    direct = b.add("Mul", at.dy, b.add("Pow", base, b.constant(-beta)))
    others = near(b.add("Div", b.add("Mul", at.dy, at.y), base), np.ascontiguousarray(band.T))
    others = b.add("Mul", b.add("Mul", at.x, others), b.constant(2 * alpha * beta))
    return [b.add("Sub", direct, others)]
