"""Judge whether subjects, seeds and instance pictures of a ledger are split apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.datasets.audit.findings import Finding
from detectorkit.datasets.ledger import list_links
from detectorkit.utils.names import as_names

__all__ = ["judge_links"]

_CURE = (
    "Split again, with groups=load_images(...).groups or with `detectorkit train`, which keep what "
    "belongs together in one part."
)


def judge_links(
    files: NDArray[np.void], y: NDArray[Any], ledger: Mapping[str, Any], split: Any = None
) -> list[Finding]:
    """Judge what is in several parts of a split, and photographs that fakes were made from."""
    columns = {name: as_names(cells).tolist() for name, cells in ledger.items()}
    columns["sha256"] = [digest.decode("ascii") for digest in files["sha256"]]
    links = list_links(columns, len(files))
    instances = zip(columns.get("instance", ()), y, strict=False)
    made_from = set(" ".join(cell for cell, label in instances if label).lower().split())
    links["instance picture"] = [
        tuple(made_from.intersection(pictures)) for pictures in links["instance picture"]
    ]
    findings = []
    if split is not None:
        parts = as_names(split).tolist()
        findings = [_judge_split(kind, values, parts) for kind, values in links.items()]
    findings.append(_judge_photographs(links["instance picture"], y, is_split=split is not None))
    return [finding for finding in findings if finding is not None]


def _judge_split(
    kind: str, links: Iterable[tuple[str, ...]], parts: Sequence[str]
) -> Finding | None:
    """Judge one kind of link; None if no image is known to have one."""
    found: dict[str, set[str]] = defaultdict(set)
    for values, part in zip(links, parts, strict=True):
        for value in values:
            found[value] |= {part} - {""}
    if not found:
        return None
    topic = f"{kind.replace(' ', '_')}s_across_splits"
    apart = sorted(value for value, where in found.items() if len(where) > 1)
    if not apart:
        return Finding("ok", topic, f"No {kind} is in more than one part of the split.")
    some = f"1 {kind} is" if len(apart) == 1 else f"{len(apart)} {kind}s are"
    text = (
        f"{some} in more than one part of the split, such as {apart[0]}. A detector would be "
        f"measured on what it has learned. {_CURE}"
    )
    return Finding("fail", topic, text)


def _judge_photographs(
    pictures: Sequence[tuple[str, ...]], y: NDArray[Any], *, is_split: bool
) -> Finding | None:
    """Judge photographs that generated images, or their generator, were made from."""
    is_known = np.array([bool(values) for values in pictures])
    if not is_known.any():
        return None
    n = int(is_known[y == 0].sum())
    topic = "instance_pictures_among_photographs"
    if n == 0:
        text = "None of the photographs is an instance picture of the generated images."
        return Finding("ok", topic, text)
    text = (
        f"{n} of the photographs are instance pictures, from which generated images or the adapter "
        "of their generator were made. That is a leak only where the two are in different parts "
        "of a split."
    )
    if is_split:  # what is split apart fails above
        return Finding("ok", topic, text)
    return Finding("warn", topic, f"{text} {_CURE}")
