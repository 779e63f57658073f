"""Whether the files of a data set, and not what they show, tell photographs from the others."""

from detectorkit.datasets.auditing.audit import MAX_AUC, Audit, audit, judge_files
from detectorkit.datasets.auditing.file_facts import FileFacts, read_file_facts
from detectorkit.datasets.auditing.files import read_audit_files
from detectorkit.datasets.auditing.findings import Finding

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
