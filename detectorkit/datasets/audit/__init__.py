"""Test whether the files of a data set, without their pictures, give the labels away."""

from detectorkit.datasets.audit.audit import MAX_AUC, Audit, audit, judge_files
from detectorkit.datasets.audit.file_facts import FileFacts, read_file_facts
from detectorkit.datasets.audit.findings import Finding
from detectorkit.datasets.audit.reading import read_audit_files

__all__ = [
    "MAX_AUC",
    "Audit",
    "FileFacts",
    "Finding",
    "audit",
    "judge_files",
    "read_audit_files",
    "read_file_facts",
]
