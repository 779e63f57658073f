"""The images of protocol E, and the scores that are kept of them.

All rows of the manifest of DATA, at most 100 of a generator in a source, are in 410 units: sources,
and the collections of MERGED each from all its sources. In benchmarks/results/sources, images.npz
has what is known of each image, and NAME.TREATMENT.npz the left-out score of each in the same order
and the threshold of its fold. All figures follow from them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.data import N_ROWS
from benchmarks.files import RESULTS
from detectorkit.datasets import align, load_images
from detectorkit.evaluation import SourceEvaluation
from detectorkit.model_selection import cap_images, merge_sources

FOLDER = RESULTS / "sources"
COLUMNS = ("source", "generator", "unit", "subset")
MERGED = ("ffhq", "stylegan", "stylegan2", "stylegan2-like")


class SourceImages:
    """The images with what is known of each."""

    def __init__(self, folder: Path) -> None:
        found = load_images(folder / "manifest.csv")
        source, generator = found.metadata["source"], found.metadata["generator"]
        chosen = cap_images(generator, source)
        self.paths, self.y = [found.data[i] for i in chosen], found.target[chosen]
        self.rows = chosen  # of the manifest
        self.in_first_layer = chosen < N_ROWS  # the images of the protocols A to D
        self.picture = found.metadata["photo"][chosen]
        self.columns = {
            "source": source[chosen],
            "generator": generator[chosen],
            "unit": merge_sources(source, generator, MERGED)[chosen],
            "subset": found.metadata["subset"][chosen],
        }
        rows = zip(found.metadata["sha256"][chosen], *self.columns.values(), strict=True)
        self.sha256 = hashlib.sha256("\n".join(map(",".join, rows)).encode()).hexdigest()

    def treated(self, treatment: str, cache: Path) -> list[Any]:
        """Return the paths of the images or of their treated copies, which are made once."""
        if treatment == "as-found":
            return self.paths
        copies = cache / f"{treatment}-{self.sha256[:8]}"
        if not copies.exists():
            cache.mkdir(parents=True, exist_ok=True)
            align(self.paths, self.y, copies, treatment=treatment, metadata=self.columns)
        return load_images(copies / "manifest.csv").data

    def describe(self) -> dict[str, Any]:
        """Count the images, and name them by the hash of their rows in the manifest."""
        counts = {"n_real": int(np.sum(self.y == 0)), "n_generated": int(np.sum(self.y == 1))}
        return {"rows_sha256": self.sha256, **counts}

    def keep(self, name: str, result: SourceEvaluation) -> None:
        """Write the scores of a detector and, where they are not there yet, the images."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        sha256 = np.array(self.sha256)
        if read_sha256(FOLDER / "images.npz") != self.sha256:
            coded: dict[str, Any] = {"label": self.y.astype(np.uint8), "sha256": sha256}
            for column, values in self.columns.items():
                coded[f"{column}_names"], number = np.unique(
                    values.astype(str), return_inverse=True
                )
                coded[column] = number.astype(np.uint16)
            np.savez_compressed(FOLDER / "images.npz", **coded)
        scores, threshold = result.scores.astype(np.float32), result.threshold.astype(np.float32)
        np.savez_compressed(
            FOLDER / f"{name}.npz", score=scores, threshold=threshold, sha256=sha256
        )


def read_sha256(path: Path) -> str:
    """Return which images a file is of; "" where there is none."""
    if not path.exists():
        return ""
    with np.load(path) as kept:
        return str(kept["sha256"])


def read_result(name: str) -> SourceEvaluation:
    """Read kept scores, by "detector.treatment"."""
    with np.load(FOLDER / "images.npz") as images, np.load(FOLDER / f"{name}.npz") as kept:
        if images["sha256"] != kept["sha256"]:
            raise ValueError(f"{name}.npz is of other images than images.npz: measure it anew.")
        columns = {column: images[f"{column}_names"][images[column]] for column in COLUMNS}
        return SourceEvaluation(
            y_true=images["label"].astype(np.int64),
            scores=kept["score"].astype(np.float64),
            threshold=kept["threshold"].astype(np.float64),
            **columns,
        )
