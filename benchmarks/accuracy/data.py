"""The images that are measured on, what is known of each, and the trials of the protocols.

DATA is a folder with a manifest.csv that has the columns path, label, generator, source and photo.
The protocols are of the first layer of the collection, which its first rows are:

A  same generator: the photographs and StyleGAN faces of one source, 80/10/10
B  self and foreign: trained on StyleGANs against FFHQ, CelebA and UTKFace; foreign are diffusion
   and flow generators against all other photographs
C  leave out each generator with 48 images or more, and a collection of photographs with it
D  leave out each collection of photographs

"Origin" is the column generator: of a photograph it names the collection. Copies of a photograph,
by the column photo or by their looks, are on one side of every cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from detectorkit.datasets import align_image, load_images, near_duplicate_groups, perceptual_hash
from detectorkit.evaluation import (
    Trial,
    leave_one_generator_out_trials,
    leave_one_source_out_trials,
    same_generator_trials,
    self_and_foreign_trials,
)
from detectorkit.images.decoding import load_image
from detectorkit.model_selection.split import merge_groups

N_ROWS = 7058  # of the manifest, in the first layer
PAIRED_SOURCE = "zoya2244"  # FFHQ and StyleGAN through the same hands
KNOWN = ("stylegan", "stylegan2", "stylegan2-like", "ffhq", "celeba", "utkface")
MIN_GROUP_SIZE = 48  # of a generator that is left out; the five of "dreambooth" are an anecdote


class Data:
    """The images with what is known of each."""

    def __init__(self, folder: Path) -> None:
        found = load_images(folder / "manifest.csv")
        self.paths, self.y = found.data[:N_ROWS], found.target[:N_ROWS]
        columns = {name: found.metadata[name][:N_ROWS] for name in ("generator", "source", "photo")}
        self.origin, self.source = columns["generator"], columns["source"]
        self._photo = columns["photo"]
        names = [str(Path(path).relative_to(folder)) for path in self.paths]
        rows = zip(names, self.y.astype(str), *columns.values(), strict=True)
        self.sha256 = hashlib.sha256("\n".join(map(",".join, rows)).encode()).hexdigest()

    @cached_property
    def picture(self) -> np.ndarray:
        """The picture of each image, which copies share; all images are read for it."""
        return _pictures(self.paths, self._photo)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """What trials are told of the images."""
        return {"origin": self.origin, "picture": self.picture}

    def images(self, treatment: str) -> list[Any]:
        """Return the treated images in memory, or the paths where nothing is done to them."""
        if treatment == "as-found":
            return self.paths
        treat = delayed(lambda path: align_image(load_image(path), treatment))
        return Parallel(n_jobs=-1, prefer="threads")(treat(path) for path in self.paths)

    def describe(self) -> dict[str, Any]:
        """Count the images, and name them by the hash of their rows in the manifest."""
        counts = {"n_real": int(np.sum(self.y == 0)), "n_generated": int(np.sum(self.y == 1))}
        return {"rows_sha256": self.sha256, **counts}


def _pictures(paths: list[str], photo: np.ndarray) -> np.ndarray:
    """Count pictures, and return that of each image, by the column photo and by its looks."""
    named = np.where(photo == "", [f"row {i}" for i in range(len(photo))], photo)
    copies = near_duplicate_groups(perceptual_hash(paths, n_jobs=-1, verbose=True))
    by_name = np.unique(named, return_inverse=True)[1]
    return merge_groups([by_name, copies], len(photo)).astype(str)


def make_trials(data: Data) -> dict[str, list[Trial]]:
    """Make the trials of every protocol, with indices into all images."""
    y, origin, picture = data.y, data.origin, data.picture
    paired = np.flatnonzero(data.source == PAIRED_SOURCE)
    names, counts = np.unique(origin, return_counts=True)
    large = np.flatnonzero(np.isin(origin, names[counts >= MIN_GROUP_SIZE]) | (y == 0))
    known = _within(large, self_and_foreign_trials, data, known=KNOWN)
    return {
        "A": _within(paired, same_generator_trials, data),
        "B": [replace(trial, name="all") for trial in known],
        "C": leave_one_generator_out_trials(
            y, origin, picture=picture, min_group_size=MIN_GROUP_SIZE
        ),
        "D": leave_one_source_out_trials(y, origin, picture=picture),
    }


def _within(
    chosen: np.ndarray, make: Callable[..., list[Trial]], data: Data, **more: Any
) -> list[Trial]:
    """Make the trials of some images only."""
    trials = make(data.y[chosen], data.origin[chosen], picture=data.picture[chosen], **more)
    return [
        Trial(
            trial.name,
            chosen[trial.train],
            chosen[trial.val],
            {name: chosen[index] for name, index in trial.test.items()},
        )
        for trial in trials
    ]
