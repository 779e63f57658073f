"""Ask whether generated skin is smoother than photographed skin, and where.

    python benchmarks/accuracy/texture.py DATA

DATA is a folder with a manifest.csv, as for protocols.py. Every image is brought to one size and
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

No chance is involved. The result is benchmarks/results/texture.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from protocols import RESULTS, Data, describe
from scipy.stats import binom

from detectorkit.datasets import align_image
from detectorkit.evaluation import Estimate, roc_auc_estimate
from detectorkit.evaluation.robustness.perturbations import Perturbation, jpeg, resize
from detectorkit.features import SmoothnessTransformer, skin_mask, smoothness_statistics
from detectorkit.images.decoding import load_image
from detectorkit.images.preprocessing import convert_color
from detectorkit.metrics.auc import placements

RESULT = RESULTS / "texture.json"
TREATMENTS = ("aligned", "crop")
REGIONS = ("inside", "outside", "difference")
MIN_PIXELS = 512  # of a region, 2 % of an image; with fewer, it is left out of this region
MIN_GROUP_SIZE = 30

WINDOWS = (3, 9)
MEASURES = {
    "variance3": "median of log(1 + variance in 3 x 3 pixels)",
    "variance9": "median of log(1 + variance in 9 x 9 pixels)",
    "total_variation": "log(1 + total variation)",
    "mscn_sd": "log(1 + standard deviation of the normalised coefficients)",
}
"""All are lower for a smoother image."""

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
    """Give the measures of one region of an image."""
    if mask.sum() < MIN_PIXELS:
        return np.full(len(MEASURES), np.nan)
    found = smoothness_statistics(luma, window_sizes=WINDOWS, mask=mask)[0].astype(float)
    by_name = dict(zip(NAMES, found, strict=True))
    quantiles = [by_name[f"variance{size}_q50"] for size in WINDOWS]
    return np.array([*quantiles, *np.log1p([by_name["total_variation"], by_name["mscn_sd"]])])


def median(values: np.ndarray) -> dict[str, Any]:
    """Give the median with the interval that order statistics give."""
    n, ordered = len(values), np.sort(values)
    low = int(binom.ppf(0.025, n, 0.5))
    limits = ordered[max(low - 1, 0)], ordered[min(n - low, n - 1)]
    return rounded(Estimate(float(np.median(values)), *map(float, limits)))


def rounded(estimate: Estimate) -> dict[str, Any]:
    """Give an estimate with as many digits as anybody could want."""
    return {key: round(value, 4) for key, value in estimate.to_dict().items()}


def effect(generated: np.ndarray, real: np.ndarray) -> dict[str, Any]:
    """Give how often the generated image is the smoother one."""
    y = np.repeat([0, 1], [len(real), len(generated)])
    return rounded(roc_auc_estimate(y, -np.concatenate([real, generated])))


def mean_effect(generated: np.ndarray, real: list[np.ndarray]) -> dict[str, Any]:
    """Give the mean of the effects against several collections.

    The collections are independent of each other; the generated images are the same for all.
    """
    pairs = [placements(-generated, -part) for part in real]
    found = np.mean([below for below, _ in pairs], axis=0)
    variance = found.var(ddof=1) / len(found)
    variance += sum(above.var(ddof=1) / len(above) for _, above in pairs) / len(pairs) ** 2
    value, half = float(found.mean()), 1.96 * float(np.sqrt(variance))
    return rounded(Estimate(value, max(value - half, 0.0), min(value + half, 1.0)))


def by_measure(make: Any, *parts: Any) -> dict[str, Any]:
    """Apply a function to each column of arrays, or of lists of arrays."""

    def column(part: Any, index: int) -> Any:
        return [p[:, index] for p in part] if isinstance(part, list) else part[:, index]

    return {
        name: make(*(column(part, index) for part in parts)) for index, name in enumerate(MEASURES)
    }


def summarize(data: Data, found: Measured, treatment: str) -> dict[str, Any]:
    """Give medians and effects under one treatment."""
    groups = group(data, found)
    photographs = [name for name, rows in groups.items() if data.y[rows[0]] == 0]
    taken = {
        region: {name: known(found, treatment, region, rows) for name, rows in groups.items()}
        for region in REGIONS
    }
    share = found.skin[:, TREATMENTS.index(treatment)]
    figures = {
        name: {
            "kind": "photographs" if name in photographs else "generator",
            "n": len(rows),
            "skin": round(float(np.median(share[rows])), 4),
            **{region: region_figures(taken[region][name]) for region in REGIONS},
        }
        for name, rows in groups.items()
    }
    by_source: dict[str, Any] = {name: {} for name in groups if name not in photographs}
    for region, by_name in taken.items():
        large = {name: v for name, v in by_name.items() if len(v) >= MIN_GROUP_SIZE}
        sources = {name: large[name] for name in photographs if name in large}
        for name in by_source.keys() & large.keys():
            by_source[name][region] = against(large[name], sources)
    matched = {name: match(data, found, treatment, pair) for name, pair in MATCHED.items()}
    return {"groups": figures, "matched": matched, "by_source": by_source}


def group(data: Data, found: Measured) -> dict[str, np.ndarray]:
    """Give the images of every generator and collection that is large enough."""
    groups = {name: np.flatnonzero(data.origin == name) for name in np.unique(data.origin).tolist()}
    is_large = found.side[groups["ffhq"]] == 512
    groups[LARGE], groups["ffhq"] = groups["ffhq"][is_large], groups["ffhq"][~is_large]
    groups = {name: once(data, groups[name]) for name in sorted(groups)}
    return {name: rows for name, rows in groups.items() if len(rows) >= MIN_GROUP_SIZE}


def once(data: Data, rows: np.ndarray) -> np.ndarray:
    """Keep the first of the images that show one picture."""
    return rows[np.sort(np.unique(data.picture[rows], return_index=True)[1])]


def known(found: Measured, treatment: str, region: str, rows: np.ndarray) -> np.ndarray:
    """Give the values of those images where the region is large enough."""
    values = found.values[treatment][region][rows]
    return values[np.isfinite(values[:, 0])]


def region_figures(values: np.ndarray) -> dict[str, Any]:
    """Give how many images have the region, and their medians."""
    return {"n": len(values), **by_measure(median, values)}


def match(data: Data, found: Measured, treatment: str, pair: Matched) -> dict[str, Any]:
    """Compare generated images with photographs that have the same history."""
    has_size = found.side == pair.side
    sources = {pair.generator: pair.generated_sources, "ffhq": pair.real_sources}
    generated, real = (
        once(data, np.flatnonzero(has_size & (data.origin == o) & np.isin(data.source, s)))
        for o, s in sources.items()
    )
    figures: dict[str, Any] = {"n_generated": len(generated), "n_real": len(real)}
    for region in REGIONS:
        values = [known(found, treatment, region, rows) for rows in (generated, real)]
        figures[region] = {
            "n_generated": len(values[0]),
            "n_real": len(values[1]),
            **by_measure(effect, *values),
        }
    return figures


def against(generated: np.ndarray, photographs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Compare a generator with every collection of photographs."""
    independent = [values for name, values in photographs.items() if name != LARGE]
    return {
        "mean": by_measure(mean_effect, generated, independent),
        "sources": {name: by_measure(effect, generated, p) for name, p in photographs.items()},
    }


def control(data: Data, found: Measured) -> dict[str, Any]:
    """Compare changed photographs with the same photographs."""
    rows = group(data, found)[LARGE]
    effects: dict[str, Any] = {treatment: {} for treatment in TREATMENTS}
    for name, change in CONTROLS.items():
        changed = measure([data.paths[row] for row in rows], change)
        everything = np.arange(len(rows))
        for treatment, by_name in effects.items():
            by_name[name] = {
                region: by_measure(
                    effect,
                    known(changed, treatment, region, everything),
                    known(found, treatment, region, rows),
                )
                for region in REGIONS
            }
    return {"n": len(rows), **effects}


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    data = Data(arguments.data)
    command = "python benchmarks/accuracy/texture.py DATA"
    about = describe("texture", SmoothnessTransformer(), data, command)
    found = measure(data.paths)
    result = {
        "script": "benchmarks/accuracy/texture.py",
        **{key: about[key] for key in ("command", "data", "versions")},
        "measures": MEASURES,
        "min_pixels": MIN_PIXELS,
        "min_group_size": MIN_GROUP_SIZE,
        "control": control(data, found),
        "results": {treatment: summarize(data, found, treatment) for treatment in TREATMENTS},
    }
    partial = arguments.output.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    partial.replace(arguments.output)


if __name__ == "__main__":
    main()
