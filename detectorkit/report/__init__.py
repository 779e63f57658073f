"""Reports on detectors, as an HTML page, a model card in Markdown, and JSON."""

from detectorkit.report.curves import Curve, draw_curves
from detectorkit.report.page import Page
from detectorkit.report.report import Report, check_report_path, make_report
from detectorkit.utils.files import hash_files

__all__ = [
    "Curve",
    "Page",
    "Report",
    "check_report_path",
    "draw_curves",
    "hash_files",
    "make_report",
]
