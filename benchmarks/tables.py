"""Write the figures of benchmarks/results into pages of docs.

python benchmarks/tables.py
"""

from __future__ import annotations

from pathlib import Path

from accuracy_page import accuracy_page
from performance_page import performance_page
from saliency_page import saliency_page
from texture_page import texture_page

DOCS = Path(__file__).parents[1] / "docs"

if __name__ == "__main__":
    (DOCS / "accuracy.md").write_text(accuracy_page())
    (DOCS / "performance.md").write_text(performance_page())
    (DOCS / "explanations.md").write_text(saliency_page())
    (DOCS / "texture.md").write_text(texture_page())
