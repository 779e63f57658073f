"""Findings of the audit, in plain words and with a grade."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectorkit.datasets.audit.groups import Copies, percent, quality_names
from detectorkit.datasets.audit.metadata_auc import CONTAINER_FACTS, MIN_PICTURES, MetadataAuc
from detectorkit.metrics.estimates import Estimate

__all__ = ["Finding", "Severity", "judge_auc", "judge_copies"]

Severity = Literal["fail", "warn", "ok"]

_SIZE: Final = ("height", "width", "aspect")
_COMMON = 0.1  # if proportions differ by less than this, medians say more
_TOLD = 4  # maximum number of facts that a finding names


class Finding(NamedTuple):
    """One result of the audit.

    Attributes
    ----------
    severity : {"fail", "warn", "ok"}
        Grade of the finding. "fail" means that a detector trained or measured on these files
        cannot be trusted, "warn" that results must be read with this finding in mind.
    topic : str
        Topic of the finding: "container", "bytes_per_pixel", "sharpness",
        "copies_across_classes", "copies_across_splits" or "copies_within_class", and for a ledger
        "subjects_across_splits", "seeds_across_splits", "instance_pictures_across_splits" or
        "instance_pictures_among_photographs".
    text : str
        Finding and cure, in sentences.
    """

    severity: Severity
    topic: str
    text: str


def judge_auc(
    files: NDArray[np.void],
    y: NDArray[Any],
    metadata: MetadataAuc,
    sharpness: Estimate,
    max_auc: float,
) -> list[Finding]:
    """Judge how well the facts of the files, and the sharpness, tell the classes apart."""
    if np.isnan(metadata.container.value):
        text = (
            "Too few images to judge whether the files tell the classes apart: each class needs at "
            f"least {MIN_PICTURES} different pictures."
        )
        return [Finding("warn", "container", text)]
    container = _judge_container(files, y, metadata, max_auc)
    is_same = container.severity == "ok"
    return [
        container,
        _judge_bytes(files, y, metadata.alone["bytes_per_pixel"], max_auc, is_same=is_same),
        _judge_sharpness(files, y, sharpness, max_auc),
    ]


def _judge_container(
    files: NDArray[np.void], y: NDArray[Any], metadata: MetadataAuc, max_auc: float
) -> Finding:
    auc = metadata.container
    text = (
        "A classifier that sees no pixels, only format, size, JPEG settings, colour profile and "
        f"EXIF data, tells the classes apart with AUC {_words(auc)}{_weigh(auc, max_auc)} If it "
        f"also sees the length of the file, its AUC is {_words(metadata.everything)}."
    )
    if auc.value <= max_auc:
        return Finding("ok", "container", text)
    alone = {fact: area for fact, area in metadata.alone.items() if fact in CONTAINER_FACTS}
    told = [fact for fact, area in alone.items() if area.value > max_auc] or [*alone][:1]
    text += " " + _contrasts(files, y, told, alone)
    if auc.low <= max_auc:
        return Finding("warn", "container", f"{text} Audit more images to be certain.")
    end = (
        "A detector that is trained on these files as they are may learn these facts instead of "
        "the traces of generation. Make an aligned copy with `detectorkit align`."
    )
    return Finding("fail", "container", f"{text} {end}")


def _weigh(auc: Estimate, max_auc: float) -> str:
    """End a sentence about an area: compare it with chance and with the limit."""
    if auc.low > max_auc:
        return "."
    if auc.value > max_auc:
        return f"; that is above the limit of {max_auc:g}, but the interval reaches below it."
    if auc.low <= 0.5:
        return "; that is not better than chance."
    return f"; that is better than chance, but within the limit of {max_auc:g}."


def _contrasts(
    files: NDArray[np.void], y: NDArray[Any], facts: list[str], alone: dict[str, Estimate]
) -> str:
    """Describe how the classes differ in some facts; height, width and aspect count as one."""
    sentences: dict[str, str] = {}
    for fact in facts:
        if fact in _SIZE:
            sentences.setdefault("size", _contrast_sizes(files, y, fact, alone[fact]))
        else:
            sentences[fact] = _contrast_values(files, y, fact, alone[fact])
    return " ".join([*sentences.values()][:_TOLD])


def _contrast_sizes(files: NDArray[np.void], y: NDArray[Any], fact: str, auc: Estimate) -> str:
    height, width = files["height"], files["width"]
    sizes = np.array([f"{h} x {w}" for h, w in zip(height, width, strict=True)])
    ranges = []
    for label in (0, 1):
        mine = np.flatnonzero(y == label)
        area = height[mine] * width[mine]
        ends = sizes[mine[[area.argmin(), area.argmax()]]]
        ranges.append(" to ".join(dict.fromkeys(map(str, ends))))
    name = CONTAINER_FACTS[fact]
    told = _most_telling(sizes, y, files[fact], f"median {name}")
    return (
        f"Photographs are {ranges[0]} px (height x width), generated images {ranges[1]}; {told} "
        f"({name} alone: AUC {auc.value:.2f})."
    )


def _contrast_values(files: NDArray[np.void], y: NDArray[Any], fact: str, auc: Estimate) -> str:
    values = files[fact]
    names = np.where(values, "yes", "no") if values.dtype == bool else values
    if fact == "jpeg_quality":
        names = np.array(quality_names(files))
    elif fact == "standard_tables":
        names = np.where(values, "those of libjpeg", "other ones")
    names = np.where(names == "", "none", names)
    name = CONTAINER_FACTS[fact][0].upper() + CONTAINER_FACTS[fact][1:]
    return f"{name}: {_most_telling(names, y, values)} (alone: AUC {auc.value:.2f})."


def _most_telling(
    names: NDArray[Any], y: NDArray[Any], values: NDArray[Any], median: str = "median"
) -> str:
    """Describe the value whose proportions differ most, or the medians if none is common."""
    known, number = np.unique(names, return_inverse=True)
    counts = [np.bincount(number[y == label], minlength=len(known)) for label in (0, 1)]
    shares = np.array([count / count.sum() for count in counts])
    most = int(np.abs(shares[0] - shares[1]).argmax())
    if abs(shares[0, most] - shares[1, most]) < _COMMON and values.dtype.kind in "if":
        real, generated = (np.nanmedian(values[y == label]) for label in (0, 1))
        return f"{median} {real:.3g} for photographs and {generated:.3g} for generated images"
    real, generated = (percent(share) for share in shares[:, most])
    return f"{known[most]} for {real} of the photographs and {generated} of the generated images"


def _judge_bytes(
    files: NDArray[np.void], y: NDArray[Any], auc: Estimate, max_auc: float, *, is_same: bool
) -> Finding:
    text = (
        f"Bytes per pixel alone ({_medians(files['bytes_per_pixel'], y)}) tell the classes apart "
        f"with AUC {_words(auc)}{_weigh(auc, max_auc)}"
    )
    if auc.value <= max_auc:
        return Finding("ok", "bytes_per_pixel", text)
    if is_same:
        text += (
            " The compression is equal, so this comes from the content or from an earlier resize. "
            "Encoding again cannot remove it: read results by generator and by source."
        )
    else:
        text += (
            " Part of this may come from the compression. What an audit of the aligned copy still "
            "finds comes from the content or from an earlier resize; encoding again cannot remove "
            "it."
        )
    return Finding("warn", "bytes_per_pixel", text)


def _judge_sharpness(
    files: NDArray[np.void], y: NDArray[Any], auc: Estimate, max_auc: float
) -> Finding:
    sharper = "generated images"
    if auc.value < 0.5:
        sharper, auc = "photographs", Estimate(1 - auc.value, 1 - auc.high, 1 - auc.low)
    text = (
        f"After the same resize and compression the {sharper} are sharper "
        f"({_medians(files['sharpness'], y)}), with AUC {_words(auc)}{_weigh(auc, max_auc)}"
    )
    if auc.value <= max_auc:
        return Finding("ok", "sharpness", text)
    text += (
        " This comes from the content or from an earlier resize; encoding again cannot remove it. "
        "A detector may learn it: add sharp and smooth images to both classes, and read results "
        "by generator and by source."
    )
    return Finding("warn", "sharpness", text)


def _medians(values: NDArray[Any], y: NDArray[Any]) -> str:
    real, generated = (np.median(values[y == label]) for label in (0, 1))
    return f"median {real:.2f} for photographs, {generated:.2f} for generated images"


def judge_copies(
    within_class: Copies,
    across_classes: Copies,
    across_splits: Copies | None = None,
    *,
    allow_pairs: bool = False,
) -> list[Finding]:
    """Judge pictures that are in several files."""
    is_meant = allow_pairs and across_classes.exact == 0
    cure = (
        "Keep each photograph and the images made from it on one side of every split, as "
        "`train_val_test_split` does."
        if is_meant
        else "Either a label is wrong, or the generated image was made from the photograph. "
        "Correct the labels or remove the files; if such pairs are intended, set allow_pairs."
    )
    severity: Severity = "warn" if is_meant else "fail"
    findings = [_judge(across_classes, "copies_across_classes", severity, "in both classes", cure)]
    if across_splits is not None:
        cure = "A detector would be measured on pictures that it has learned. Split again with "
        findings.append(
            _judge(
                across_splits,
                "copies_across_splits",
                "fail",
                "in more than one part of the split",
                cure + "`train_val_test_split`, which keeps copies together.",
            )
        )
    findings.append(
        _judge(
            within_class,
            "copies_within_class",
            "warn",
            "more than once in one class",
            "Keep copies on one side of every split, as `train_val_test_split` does.",
        )
    )
    return findings


def _judge(copies: Copies, topic: str, severity: Severity, where: str, cure: str) -> Finding:
    if copies.near == 0:
        return Finding("ok", topic, f"No picture occurs {where}.")
    subject = "1 picture occurs" if copies.near == 1 else f"{copies.near} pictures occur"
    exact = f"{copies.exact} as identical files" if copies.exact else "none as identical files"
    example = " and ".join(copies.examples[0])
    text = f"{subject} {where} ({exact}), such as {example}. {cure}"
    return Finding(severity, topic, text)


def _words(auc: Estimate) -> str:
    return f"{auc.value:.2f} [{auc.low:.2f}, {auc.high:.2f}]"
