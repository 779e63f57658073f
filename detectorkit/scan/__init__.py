"""Scores of the images of folders, archives and manifests of any size, in bounded memory.

`scan` yields a row for each image, and `scan_to_file` writes a table, which a killed run goes on
with. `walking` and `archives` find the images, `judging` makes the rows, `journal` keeps them, and
`tables` writes them.
"""

from detectorkit.scan.judging import ScanRow
from detectorkit.scan.scanning import ScanSummary, scan, scan_to_file

__all__ = ["ScanRow", "ScanSummary", "scan", "scan_to_file"]
