"""Audit whether format, size or compression alone tell photographs from generated images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from detectorkit.datasets.audit.findings import Finding, Severity, judge_auc, judge_copies
from detectorkit.datasets.audit.groups import Copies, FileGroup, describe_groups, find_copies
from detectorkit.datasets.audit.links import judge_links
from detectorkit.datasets.audit.metadata_auc import MetadataAuc, metadata_auc
from detectorkit.datasets.audit.reading import read_audit_files
from detectorkit.datasets.audit.to_text import audit_to_text
from detectorkit.metrics.auc import roc_auc_estimate
from detectorkit.metrics.estimates import Estimate
from detectorkit.model_selection.duplicates import near_duplicate_groups
from detectorkit.utils.json import to_plain
from detectorkit.utils.labels import check_labels
from detectorkit.utils.results import ResultMixin

__all__ = ["MAX_AUC", "Audit", "audit", "judge_files"]

MAX_AUC = 0.6
"""Largest AUC that a classifier without pixels may reach before the data fail the audit."""


@dataclass(frozen=True, repr=False)
class Audit(ResultMixin):
    """Result of an audit: what the files tell apart from their pictures, and a verdict.

    `to_frame` has the tables "findings" and "facts": how well classifiers that see only facts of
    the files tell the classes apart, which `plot` draws.

    Attributes
    ----------
    by_class, by_generator, by_source : tuple of FileGroup
        Descriptions of the files of each class, generator and source; empty if that column was
        not passed.
    copies : dict of str to Copies
        Pictures that are in several files: "within_class", "across_classes" and, if a split was
        passed, "across_splits".
    sharpness : Estimate
        Area under the ROC curve of the sharpness after alignment; it is above 0.5 if generated
        images are sharper.
    metadata : MetadataAuc
        Areas under the ROC curve of classifiers that see only facts of the files.
    max_auc : float
        Largest area that was tolerated.
    findings : tuple of Finding
        Findings with a grade, the gravest first.
    """

    by_class: tuple[FileGroup, ...]
    by_generator: tuple[FileGroup, ...]
    by_source: tuple[FileGroup, ...]
    copies: dict[str, Copies]
    sharpness: Estimate
    metadata: MetadataAuc
    max_auc: float
    findings: tuple[Finding, ...]

    _title = "Audit of the files"
    _plotted = "facts", ("roc_auc",)

    @property
    def verdict(self) -> Severity:
        """Gravest severity among the findings."""
        return self.findings[0].severity

    @property
    def passed(self) -> bool:
        """Whether none of the findings is a "fail"; too few images to judge are a "warn"."""
        return self.verdict != "fail"

    def to_text(self) -> str:
        """Format tables, verdict and findings as plain text.

        Returns
        -------
        text : str
            Several lines, without a newline at the end.
        """
        return audit_to_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Convert the result to a form that JSON can hold.

        Returns
        -------
        content : dict
            All attributes by name, and "passed" and "verdict"; None stands for nan.
        """
        content: dict[str, Any] = {"passed": self.passed, "verdict": self.verdict}
        return content | to_plain(self)

    def _tables(self) -> dict[str, list[dict[str, Any]]]:
        facts = self.metadata.in_words() | {"sharpness itself, no classifier": self.sharpness}
        return {
            "findings": [finding._asdict() for finding in self.findings],
            "facts": [{"fact": name, "roc_auc": area} for name, area in facts.items()],
        }


def audit(
    paths: Sequence[str | os.PathLike[str]],
    y: Any,
    *,
    generator: Any = None,
    source: Any = None,
    split: Any = None,
    ledger: Mapping[str, Any] | None = None,
    max_auc: float = MAX_AUC,
    allow_pairs: bool = False,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
    verbose: bool = False,
) -> Audit:
    """Look for facts of the files by which a detector could tell the classes apart.

    Parameters
    ----------
    paths : sequence of str or Path
        Paths of the image files. The files themselves are audited, so arrays cannot be passed.
    y : array-like of shape (n_samples,)
        0 for real, 1 for generated.
    generator, source : array-like of shape (n_samples,), default=None
        Generator and source of each image, for the tables.
    split : array-like of shape (n_samples,), default=None
        Part of the split of each image, such as "train" or "test"; "" if it is in none. The same
        picture in two parts fails the audit.
    ledger : dict of str to array-like of shape (n_samples,), default=None
        Columns of a ledger, such as ``load_images(...).metadata``. A subject, seed or instance
        picture in two parts of the split fails the audit; see `Ledger`.
    max_auc : float, default=0.6
        Limit, from 0.5 to below 1. The data fail if the area under the ROC curve of a classifier
        that sees only format, size and compression is above it, and the lower end of its interval
        is above it too.
    allow_pairs : bool, default=False
        Whether photographs and generated images that were made from them, such as their
        reconstructions, are intended. Then the same picture in both classes is only a warning;
        identical files still fail.
    n_jobs : int, default=None
        Number of threads; -1 means all processors. The result does not depend on it.
    random_state : int, RandomState instance or None, default=0
        Draws folds and classifiers.
    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    audit : Audit
        Tables, measurements and a verdict; ``print(audit.to_text())`` shows them.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.
    ValueError
        If a class has no images, the lengths differ, or `max_auc` is out of range.

    See Also
    --------
    align : Write copies with the same format, size and compression.
    read_audit_files, judge_files : The two halves, for data with broken files.

    Notes
    -----
    Photographs and generated images that were collected in different ways can often be told
    apart by the files alone, and then a detector may have learned little else [1]_. The audit
    measures this by the cross-validated area under the ROC curve of a classifier that sees only
    facts of the files; copies of one picture stay in one fold. Bytes per pixel and sharpness are
    judged separately, because they depend on the picture too: they cannot fail the audit.

    The audit does not look at what the pictures show. Photographs of one place and generated faces
    on plain backgrounds pass it.

    References
    ----------
    .. [1] Grommelt, P., Weiss, L., Pfreundt, F.-J. and Keuper, J. (2024). Fake or JPEG?
       Revealing common biases in generated image detection datasets.
       :doi:`10.48550/arXiv.2403.17608`

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from detectorkit.datasets.audit.audit import audit
    >>> from detectorkit.images.encoding import encode_image
    >>> images = np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)
    >>> y = np.arange(24) % 2
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = [Path(folder) / str(number) for number in range(24)]
    ...     for path, image, label in zip(paths, images, y):
    ...         _ = path.write_bytes(encode_image(image, "PNG" if label else "JPEG"))
    ...     result = audit(paths, y)
    >>> result.passed, result.metadata.container.value
    (False, 1.0)
    """
    _check(paths, y, max_auc)
    files = read_audit_files(paths, n_jobs=n_jobs, verbose=verbose)
    return judge_files(
        files,
        paths,
        y,
        generator=generator,
        source=source,
        split=split,
        ledger=ledger,
        max_auc=max_auc,
        allow_pairs=allow_pairs,
        n_jobs=n_jobs,
        random_state=random_state,
        verbose=verbose,
    )


def judge_files(
    files: NDArray[np.void],
    paths: Sequence[str | os.PathLike[str]],
    y: Any,
    *,
    generator: Any = None,
    source: Any = None,
    split: Any = None,
    ledger: Mapping[str, Any] | None = None,
    max_auc: float = MAX_AUC,
    allow_pairs: bool = False,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
    verbose: bool = False,
) -> Audit:
    """Judge files that have been read; this is the second half of `audit`.

    Parameters
    ----------
    files : ndarray of shape (n_samples,), dtype FILE_DTYPE
        Facts of each file, as `read_audit_files` returns them.
    paths : sequence of str or Path
        Paths of these files, for the examples.
    y : array-like of shape (n_samples,)
        Labels of the files, as in `audit`.
    generator, source, split : array-like of shape (n_samples,), default=None
        Generator, source and part of the split of each image, as in `audit`.
    ledger : dict of str to array-like of shape (n_samples,), default=None
        Columns of a ledger, as in `audit`.
    max_auc : float, default=0.6
        Area under the ROC curve above which the data fail, as in `audit`.
    allow_pairs : bool, default=False
        Whether photographs and images made from them are intended, as in `audit`.
    n_jobs : int, default=None
        Number of threads; -1 means all processors. The result does not depend on it.
    random_state : int, RandomState instance or None, default=0
        As in `audit`.
    verbose : bool, default=False
        As in `audit`.

    Returns
    -------
    audit : Audit
        Tables, measurements and a verdict.

    Raises
    ------
    ValueError
        If a class has no images, the lengths differ, or `max_auc` is out of range.
    """
    check_consistent_length(files, *(c for c in (generator, source, split) if c is not None))
    labels = _check(paths, y, max_auc)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    pictures = near_duplicate_groups(files["picture"])
    copies = {
        "within_class": find_copies(paths, files, pictures, labels, across=False),
        "across_classes": find_copies(paths, files, pictures, labels, across=True),
    }
    if split is not None:
        copies["across_splits"] = find_copies(paths, files, pictures, split, across=True)
    metadata = metadata_auc(
        files, labels, pictures, n_jobs=n_jobs, random_state=seed, verbose=verbose
    )
    sharpness = roc_auc_estimate(labels, files["sharpness"])
    findings = judge_auc(files, labels, metadata, sharpness, max_auc)
    findings += judge_copies(**copies, allow_pairs=allow_pairs)
    findings += judge_links(files, labels, ledger or {}, split)
    order = ("fail", "warn", "ok")
    return Audit(
        by_class=describe_groups(files, labels),
        by_generator=() if generator is None else describe_groups(files, labels, generator),
        by_source=() if source is None else describe_groups(files, labels, source),
        copies=copies,
        sharpness=sharpness,
        metadata=metadata,
        max_auc=max_auc,
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.severity))),
    )


def _check(paths: Sequence[str | os.PathLike[str]], y: Any, max_auc: float) -> NDArray[np.int64]:
    """Check the parameters before a file is read; return the labels."""
    if isinstance(paths, str | os.PathLike):
        raise TypeError(f"audit: paths is the single path {os.fspath(paths)!r}. Pass a list.")
    for index, path in enumerate(paths):
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                f"audit: paths[{index}] is of the type {type(path).__name__}. Pass the paths of "
                "image files, as the files themselves are audited."
            )
    if not 0.5 <= max_auc < 1:
        raise ValueError(f"audit: max_auc={max_auc!r} must be at least 0.5 and below 1.")
    check_consistent_length(paths, y)
    return check_labels("audit", y, need_both=True)
