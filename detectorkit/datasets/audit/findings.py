"""What the audit found, in plain words and with a grade."""

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
_COMMON = 0.1  # a difference between shares below this says less than the medians do
_TOLD = 4  # facts that the verdict names at most


class Finding(NamedTuple):
    """One result of the audit.

    Attributes
    ----------
    severity : {"fail", "warn", "ok"}
        "fail" means that a detector trained or measured on these files cannot be trusted,
        "warn" that it must be known when results are read.
    topic : str
        "container", "bytes_per_pixel", "sharpness", "copies_across_classes",
        "copies_across_splits" or "copies_within_class".
    text : str
        What was found, and the cure, in sentences.
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
    """Judge what the facts of the files, and their sharpness, say of the class.

    Parameters
    ----------
    files : ndarray of shape (n_samples,), dtype FILE_DTYPE
        As `read_audit_files` gives them.
    y : ndarray of shape (n_samples,)
        0 for real, 1 for generated.
    metadata : MetadataAuc
        As `metadata_auc` gives it.
    sharpness : Estimate
        Area under the ROC curve of the sharpness itself.
    max_auc : float
        What is tolerated.

    Returns
    -------
    findings : list of Finding
        On the topics container, bytes_per_pixel and sharpness.
    """
    if np.isnan(metadata.container.value):
        text = (
            "Too few images to judge whether the files give the classes away: each class needs at "
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
        "A classifier that sees no pixel, only format, size, JPEG settings, colour profile and "
        f"EXIF, tells the classes apart with AUC {_words(auc)}{_weigh(auc, max_auc)} With the "
        f"length of the file too it reaches {_words(metadata.everything)}."
    )
    if auc.value <= max_auc:
        return Finding("ok", "container", text)
    alone = {fact: area for fact, area in metadata.alone.items() if fact in CONTAINER_FACTS}
    told = [fact for fact, area in alone.items() if area.value > max_auc] or [*alone][:1]
    text += " " + _contrasts(files, y, told, alone)
    if auc.low <= max_auc:
        return Finding("warn", "container", f"{text} Audit more images.")
    end = (
        "Any detector trained on these files as they are may have learned the files. Run "
        "`detectorkit align`."
    )
    return Finding("fail", "container", f"{text} {end}")


def _weigh(auc: Estimate, max_auc: float) -> str:
    """End a sentence about an area: whether it is more than chance, and than the limit."""
    if auc.low > max_auc:
        return "."
    if auc.value > max_auc:
        return f"; that is above the limit of {max_auc:g}, but the interval reaches below it."
    if auc.low <= 0.5:
        return "; that is no more than chance."
    return f"; that is not chance, but within the limit of {max_auc:g}."


def _contrasts(
    files: NDArray[np.void], y: NDArray[Any], facts: list[str], alone: dict[str, Estimate]
) -> str:
    """Say how the classes differ in some facts; height, width and aspect are one."""
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
        names = np.where(values, "of libjpeg", "others")
    names = np.where(names == "", "none", names)
    name = CONTAINER_FACTS[fact][0].upper() + CONTAINER_FACTS[fact][1:]
    return f"{name}: {_most_telling(names, y, values)} (alone: AUC {auc.value:.2f})."


def _most_telling(
    names: NDArray[Any], y: NDArray[Any], values: NDArray[Any], median: str = "median"
) -> str:
    """Tell of the value whose share differs most, or of medians where no value is common."""
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
            " With equal compression this is the content or an earlier resize. It cannot be mended "
            "by encoding again: read results by generator and by source."
        )
    else:
        text += (
            " Part of it may be the compression; what an audit of the aligned copy still finds is "
            "the content or an earlier resize, and cannot be mended by encoding again."
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
        " This is the content or an earlier resize, and cannot be mended by encoding again. A "
        "detector may learn it: add images of the other kind to both classes, and read results by "
        "generator and by source."
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
    """Judge pictures of which there are several files.

    Parameters
    ----------
    within_class, across_classes : Copies
        Those within a class, and those in both.
    across_splits : Copies, default=None
        Those in several parts of a split; None where there is none.
    allow_pairs : bool, default=False
        Whether only identical files may not be in both classes.

    Returns
    -------
    findings : list of Finding
        On the topics copies_across_classes, copies_across_splits and copies_within_class.
    """
    is_meant = allow_pairs and across_classes.exact == 0
    cure = (
        "Keep each photograph and what was made from it on one side of every split, as "
        "`train_val_test_split` does."
        if is_meant
        else "One label must be wrong, or the generated image was made from the photograph. "
        "Correct the labels or remove the files; pairs that are meant can be allowed (allow_pairs)."
    )
    severity: Severity = "warn" if is_meant else "fail"
    findings = [_judge(across_classes, "copies_across_classes", severity, "in both classes", cure)]
    if across_splits is not None:
        cure = "What is measured on one part was learned on another. Split again, for example by "
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
