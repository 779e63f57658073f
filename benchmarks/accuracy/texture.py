"""Ask whether generated skin is smoother than photographed skin, and where.

    python -m benchmarks texture DATA

Every image is brought to one size and
JPEG quality twice: "aligned" (all of the picture) and "crop" (the centre at native resolution).
Then the smoothness of its luma is measured on what has the colour of skin ("inside"), on the rest
("outside"), and as the difference of both, which says whether skin is smoother than its own picture
would make one expect. `detectorkit.features.skin_mask` is a rule of colour, which takes fair hair
and beige walls along.

An effect is the share of pairs of a generated image and a photograph in which the generated image
is smoother: 0.5 is no difference, 1 means always. Intervals of 95 % are DeLong's. A median has
the interval of its order statistics. Of copies of one photograph in a collection, one counts.

matched    generated images against photographs that went through the same hands and have the
           same size
by source  each generator against each collection of photographs, with the mean; the interval of
           the mean covers chance in the images, not in the choice of collections. FFHQ appears at
           256 pixels and, not in the mean, at 512
control    photographs of FFHQ at 512 pixels, compressed or resized once more, against the same
           photographs as they are: what the history of a file alone does. The intervals are too
           wide, as they take both for independent

No chance is involved. The results are benchmarks/results/texture.csv and texture.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom

from benchmarks.accuracy.data import Data
from benchmarks.accuracy.describe import describe
from benchmarks.accuracy.texture_table import (
    ABOUT,
    MEASURES,
    TextureKey,
    TextureRow,
    write_texture,
)
from benchmarks.arguments import add_data
from benchmarks.files import write_json
from detectorkit.datasets import align_image
from detectorkit.evaluation import Estimate, roc_auc_estimate
from detectorkit.evaluation.robustness.perturbations import Perturbation, jpeg, resize
from detectorkit.features import SmoothnessTransformer, skin_mask, smoothness_statistics
from detectorkit.images.decoding import load_image
from detectorkit.images.preprocessing import convert_color
from detectorkit.metrics.auc import placements

TREATMENTS = ("aligned", "crop")
REGIONS = ("inside", "outside", "difference")
MIN_PIXELS = 512  # of a region, 2 % of an image; with fewer, it is left out of this region
MIN_GROUP_SIZE = 30

WINDOWS = (3, 9)
NAMES = [
    name.removeprefix("smoothness_gray_")
    for name in SmoothnessTransformer(window_sizes=WINDOWS, glcm_distances=())
    .fit(np.zeros((1, 16, 16), np.uint8))
    .get_feature_names_out()
]


class Matched(NamedTuple):
    """Images of a generator and photographs with the same history."""

    generator: str
    generated_sources: tuple[str, ...]
    real_sources: tuple[str, ...]
    side: int


MATCHED = {
    "stylegan, 256 px": Matched("stylegan", ("zoya2244",), ("zoya2244",), 256),
    "stylegan2, 256 px": Matched("stylegan2", ("joujoucous", "junguler"), ("joujoucous",), 256),
    "stylegan2, 512 px": Matched("stylegan2", ("junguler",), ("dinablachman",), 512),
}
LARGE = "ffhq-512"
"""FFHQ once more, by the size of the file."""

CONTROLS = {
    "JPEG 75": jpeg(75),
    "JPEG 50": jpeg(50),
    "resized to 0.9 and back": resize(0.9, back=True),
}


class Measured(NamedTuple):
    """What was found of every image."""

    side: np.ndarray  # height of the file
    skin: np.ndarray  # share of the treated image, for each treatment
    values: dict[str, dict[str, np.ndarray]]  # (n, n_measures), nan where a region is too small


def measure(paths: Iterable[Any], change: Perturbation | None = None) -> Measured:
    """Measure all images, as they are or changed before."""
    sides, shares = [], []
    rows: dict[str, dict[str, list]] = {t: {r: [] for r in REGIONS} for t in TREATMENTS}
    for index, path in enumerate(paths):
        if index % 1000 == 0:
            print(f"image {index}", flush=True)
        image = load_image(path)
        if change is not None:
            image = change(image, np.random.RandomState(0))
        sides.append(image.shape[0])
        shares.append([])
        for treatment in TREATMENTS:
            treated = align_image(image, treatment)
            mask = skin_mask(treated[np.newaxis])
            shares[-1].append(mask.mean())
            luma = convert_color(treated, "gray")[np.newaxis]
            inside, outside = (describe_region(luma, region) for region in (mask, ~mask))
            for region, values in zip(REGIONS, (inside, outside, inside - outside), strict=True):
                rows[treatment][region].append(values)
    values = {t: {r: np.array(rows[t][r]) for r in REGIONS} for t in TREATMENTS}
    return Measured(np.array(sides), np.array(shares), values)


def describe_region(luma: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the measures of one region of an image."""
    if mask.sum() < MIN_PIXELS:
        return np.full(len(MEASURES), np.nan)
    found = smoothness_statistics(luma, window_sizes=WINDOWS, mask=mask)[0].astype(float)
    by_name = dict(zip(NAMES, found, strict=True))
    quantiles = [by_name[f"variance{size}_q50"] for size in WINDOWS]
    return np.array([*quantiles, *np.log1p([by_name["total_variation"], by_name["mscn_sd"]])])


def median(values: np.ndarray) -> Estimate:
    """Return the median with the interval that order statistics give."""
    n, ordered = len(values), np.sort(values)
    low = int(binom.ppf(0.025, n, 0.5))
    limits = ordered[max(low - 1, 0)], ordered[min(n - low, n - 1)]
    return Estimate(float(np.median(values)), *map(float, limits))


def effect(generated: np.ndarray, real: np.ndarray) -> Estimate:
    """Return how often the generated image is the smoother one."""
    y = np.repeat([0, 1], [len(real), len(generated)])
    return roc_auc_estimate(y, -np.concatenate([real, generated]))


def mean_effect(generated: np.ndarray, real: list[np.ndarray]) -> Estimate:
    """Return the mean of the effects against several collections.

    The collections are independent of each other; the generated images are the same for all.
    """
    pairs = [placements(-generated, -part) for part in real]
    found = np.mean([below for below, _ in pairs], axis=0)
    variance = found.var(ddof=1) / len(found)
    variance += sum(above.var(ddof=1) / len(above) for _, above in pairs) / len(pairs) ** 2
    value, half = float(found.mean()), 1.96 * float(np.sqrt(variance))
    return Estimate(value, max(value - half, 0.0), min(value + half, 1.0))


def by_measure(make: Callable[..., Estimate], *parts: Any) -> dict[str, Estimate]:
    """Apply a function to each column of arrays, or of lists of arrays."""

    def column(part: Any, index: int) -> Any:
        return [p[:, index] for p in part] if isinstance(part, list) else part[:, index]

    return {
        name: make(*(column(part, index) for part in parts)) for index, name in enumerate(MEASURES)
    }


def group(data: Data, found: Measured) -> dict[str, np.ndarray]:
    """Return the images of every generator and collection that is large enough."""
    groups = {name: np.flatnonzero(data.origin == name) for name in np.unique(data.origin).tolist()}
    is_large = found.side[groups["ffhq"]] == 512
    groups[LARGE], groups["ffhq"] = groups["ffhq"][is_large], groups["ffhq"][~is_large]
    groups = {name: once(data, groups[name]) for name in sorted(groups)}
    return {name: rows for name, rows in groups.items() if len(rows) >= MIN_GROUP_SIZE}


def once(data: Data, rows: np.ndarray) -> np.ndarray:
    """Keep the first of the images that show one picture."""
    return rows[np.sort(np.unique(data.picture[rows], return_index=True)[1])]


def known(found: Measured, treatment: str, region: str, rows: np.ndarray) -> np.ndarray:
    """Return the values of those images where the region is large enough."""
    values = found.values[treatment][region][rows]
    return values[np.isfinite(values[:, 0])]


Line = tuple[TextureKey, TextureRow]


def median_rows(data: Data, found: Measured, treatment: str) -> Iterator[Line]:
    """Take the median of every group."""
    for name, rows in group(data, found).items():
        for region in REGIONS:
            values = known(found, treatment, region, rows)
            key = TextureKey("median", treatment, region, name)
            yield key, TextureRow(len(values), None, by_measure(median, values))


def matched_rows(data: Data, found: Measured, treatment: str) -> Iterator[Line]:
    """Compare generated images with photographs that have the same history."""
    for name, pair in MATCHED.items():
        has_size = found.side == pair.side
        sources = {pair.generator: pair.generated_sources, "ffhq": pair.real_sources}
        chosen = [
            once(data, np.flatnonzero(has_size & (data.origin == o) & np.isin(data.source, s)))
            for o, s in sources.items()
        ]
        for region in REGIONS:
            generated, real = (known(found, treatment, region, rows) for rows in chosen)
            figures = by_measure(effect, generated, real)
            key = TextureKey("matched", treatment, region, name)
            yield key, TextureRow(len(generated), len(real), figures)


def source_rows(data: Data, found: Measured, treatment: str) -> Iterator[Line]:
    """Compare every generator with every collection, on skin; of all regions, with their mean."""
    groups = group(data, found)
    for region in REGIONS:
        taken = {name: known(found, treatment, region, rows) for name, rows in groups.items()}
        large = {name: values for name, values in taken.items() if len(values) >= MIN_GROUP_SIZE}
        is_generated = {name: data.y[rows[0]] == 1 for name, rows in groups.items()}
        photographs = {name: values for name, values in large.items() if not is_generated[name]}
        independent = [values for name, values in photographs.items() if name != LARGE]
        for name, generated in large.items():
            if not is_generated[name]:
                continue
            key = TextureKey("mean", treatment, region, name)
            figures = by_measure(mean_effect, generated, independent)
            yield key, TextureRow(len(generated), None, figures)
            for source, real in photographs.items() if region == "inside" else ():
                figures = by_measure(effect, generated, real)
                key = TextureKey("source", treatment, region, name, source)
                yield key, TextureRow(len(generated), len(real), figures)


def control_rows(data: Data, found: Measured) -> Iterator[Line]:
    """Compare changed photographs with the same photographs."""
    rows = group(data, found)[LARGE]
    everything = np.arange(len(rows))
    for name, change in CONTROLS.items():
        changed = measure([data.paths[row] for row in rows], change)
        for treatment in TREATMENTS:
            for region in REGIONS:
                figures = by_measure(
                    effect,
                    known(changed, treatment, region, everything),
                    known(found, treatment, region, rows),
                )
                key = TextureKey("control", treatment, region, name)
                yield key, TextureRow(len(rows), len(rows), figures)


def describe_groups(data: Data, found: Measured) -> dict[str, Any]:
    """Return what every group is, and the median share of skin in its images."""
    return {
        name: {
            "kind": "generator" if data.y[rows[0]] else "photographs",
            "n": len(rows),
            "skin": {
                treatment: float(np.median(found.skin[rows, column]))
                for column, treatment in enumerate(TREATMENTS)
            },
        }
        for name, rows in group(data, found).items()
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure, and write the results."""
    data = Data(arguments.data)
    found = measure(data.paths)
    lines = [
        line
        for rows in (median_rows, matched_rows, source_rows)
        for treatment in TREATMENTS
        for line in rows(data, found, treatment)
    ]
    lines += control_rows(data, found)
    order = ("median", "matched", "source", "mean", "control")
    write_texture(sorted(lines, key=lambda line: (order.index(line[0].table), line[0].treatment)))
    about = describe("python -m benchmarks texture DATA", data) | {
        "min_pixels": MIN_PIXELS,
        "min_group_size": MIN_GROUP_SIZE,
        "measures": MEASURES,
        "n_control": len(group(data, found)[LARGE]),
        "groups": describe_groups(data, found),
    }
    write_json(ABOUT, about)
