"""Predict for each image whether it is real or generated.

Prints a line for each image, as soon as it is known: verdict, probability of being generated, path,
with control characters escaped. The verdict is "can't tell" where the score lies in the band that
the record of the model has for this, and for images that are too small or of one colour, with the
reason in a line below. The probability holds only for images like those on which the model was
trained.

The model is an ONNX file that `detectorkit train` wrote, or the name of a shipped detector. Pass it
with -m, or as the first argument if that ends in .onnx or is such a name and not a file. Otherwise
the default detector is used. What it is worth is said on standard error. With -m all, every shipped
detector is used, and the verdicts are a table with a column for each; each line says whether those
agree that may say "can't tell", that is, whether none says generated where another says real. The
others are hardly better than a coin, and have no part in that.

What a file says of itself, such as the name of a generator, is printed below the verdict. It can be
forged and removed, and has no part in the verdict.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from detectorkit.cli._common import add_fpr, add_jobs, find_threshold
from detectorkit.cli._request import Request, find_paths, find_request
from detectorkit.exceptions import BackboneNotFoundError, ImageReadError
from detectorkit.utils.json import dumps
from detectorkit.utils.progress import progress_bar, tell
from detectorkit.utils.text import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from detectorkit.provenance import Provenance

__all__ = ["add_arguments", "run"]

_Row = dict[str, Any]
_BATCH: Final = 8  # images that a thread judges at a time
_WIDTH: Final = 17  # of a verdict with its probability
_AGREE: Final = 10  # of the word whether the detectors agree
_UNKNOWN: Final = (
    "Its record does not say how good it is on images from sources on which it was not trained: "
    "detectorkit evaluate MODEL OTHER-IMAGES. It is never undecided."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit predict``."""
    parser.usage = "%(prog)s [-h] [-m MODEL] [--fpr RATE] [--json] [--jobs N] [MODEL] IMAGE ..."
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image file, or folder of image files"
    )
    parser.add_argument(
        "-m",
        "--model",
        help="ONNX file, name of a shipped detector, or all; then all other arguments are images",
    )
    add_fpr(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit predict``."""
    asked = find_request(arguments)
    paths = find_paths(arguments, asked.images)
    judges = _open_judges(asked, len(paths), arguments)
    failures: list[ImageReadError] = []
    put = _put_json if arguments.json else _put_text
    if len(judges) > 1 and not arguments.json:
        names = (f"{judge.name:{_WIDTH}}" for judge in judges)
        print("  ".join([*names, f"{'together':{_AGREE}}", "image"]))
    # Verdicts that are printed on a terminal are a progress of their own.
    show = not sys.stdout.isatty()
    with progress_bar("Predicting", len(paths), show=show) as advance:
        for found in zip(*(judge.judge_all(paths) for judge in judges), strict=True):
            failed = [one for one in found if isinstance(one, ImageReadError)]
            if failed:
                failures.append(failed[0])
            else:
                put(found)
            advance(1)
    for failure in failures:
        tell(str(failure))
    if len(failures) == len(paths):
        raise ValueError(f"none of the {len(paths)} images could be read.")
    if arguments.json:
        for failure in failures:
            print(dumps({"path": str(failure.path), "error": failure.reason}))
    return 1 if failures else 0


def _open_judges(asked: Request, n_images: int, arguments: Namespace) -> list[_Judge]:
    """Read the models, and leave out those of several that lack their backbone."""
    judges = []
    for name, file in asked.models.items():
        try:
            judges.append(_Judge(name, file, n_images, arguments))
        except BackboneNotFoundError as error:
            if len(asked.models) == 1:
                raise
            tell(f"{name} is left out: {error}")
    if len(judges) > 1 and not arguments.json:
        from detectorkit.cli.models import describe_best

        tell(describe_best())
    if not judges:
        raise ValueError("none of the shipped detectors can be run. Install their backbones.")
    if not arguments.json and len(judges) == 1:
        _explain(judges[0], "Default model" if asked.is_default else "Model")
    return judges


class _Judge:
    """A detector that gives one verdict after the other."""

    def __init__(self, name: str, file: Path, n_images: int, arguments: Namespace) -> None:
        from detectorkit.graph.runner import GraphRunner, threads_of_run

        self.name = name
        self.n_jobs: int = arguments.jobs
        self.runner = GraphRunner.from_file(
            file, n_threads=threads_of_run(n_images, arguments.jobs)
        )
        self.decision = self.runner.record.decision
        if arguments.fpr is not None:
            threshold = find_threshold(self.runner.record, arguments.fpr, name)
            self.decision = replace(self.decision, threshold=threshold, band=None)

    def judge_all(self, paths: Sequence[str]) -> Iterator[_Row | ImageReadError]:
        """Judge images in their order, a few at a time."""
        from detectorkit.images.batches import iter_slices
        from detectorkit.utils.parallel import map_in_order

        if len(paths) <= _BATCH:  # the threads work on one run of a network together
            yield from self._judge_batch(self.n_jobs, paths)
            return
        batches = (paths[part] for part in iter_slices(len(paths), _BATCH))
        for rows in map_in_order(partial(self._judge_batch, 1), batches, n_jobs=self.n_jobs):
            yield from rows

    def _judge_batch(self, n_jobs: int, paths: Sequence[str]) -> list[_Row | ImageReadError]:
        from detectorkit.images.sequence import check_images

        try:
            images = check_images(paths).noting()
            scores = self.runner.score(images, n_jobs=n_jobs)
            return self._rows(paths, scores, images.unfit(self.runner.record.min_side))
        except ImageReadError as error:
            if len(paths) == 1:
                return [ImageReadError(paths[0], error.reason)]
        # One by one, to find those that are broken.
        return [row for path in paths for row in self._judge_batch(n_jobs, [path])]

    def _rows(
        self, paths: Sequence[str], scores: NDArray[np.float64], unfit: Sequence[str | None]
    ) -> list[_Row | ImageReadError]:
        own = {"model": self.name, "treatment": self.runner.record.treatment_text()}
        decided = self.decision.describe(scores, unfit)
        return [{"path": path} | row | own for path, row in zip(paths, decided, strict=True)]


def _put_text(rows: Sequence[_Row]) -> None:
    """Print the verdicts on an image in one line, and their reasons and provenance below it."""
    path = rows[0]["path"]
    cells = [f"{row['verdict']:10}  {row['probability']:.3f}" for row in rows]
    widths = [max(len(row["model"]), _WIDTH) if len(rows) > 1 else _WIDTH for row in rows]
    cells = [f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)]
    if len(rows) > 1:
        cells.append(f"{_agreement_text(rows):{_AGREE}}")
    reasons = dict.fromkeys(row["unfit"] for row in rows if row["unfit"])
    below = (f"    {line}" for line in [*reasons, *_said_by(path).lines()])
    print("\n".join(["  ".join([*cells, printable(path)]), *below]), flush=True)


def _put_json(rows: Sequence[_Row]) -> None:
    """Print the verdicts on an image as one JSON object each."""
    more: _Row = {"provenance": _said_by(rows[0]["path"]).to_dict()}
    if len(rows) > 1:
        more["agreement"] = _agreement(rows)
    print("\n".join(dumps(row | more) for row in rows), flush=True)


def _agreement(rows: Sequence[_Row]) -> _Row:
    """Return whether the detectors agree, and which of them gave each verdict.

    Those without a band are never undecided, however unsure; they count only if no others are
    there.
    """
    from detectorkit.calibration.decision import VERDICTS

    asked = [row for row in rows if row["band"]] or rows
    said = {word: [row["model"] for row in asked if row["verdict"] == word] for word in VERDICTS}
    return {"agree": not (said["real"] and said["generated"])} | said


def _agreement_text(rows: Sequence[_Row]) -> str:
    found = _agreement(rows)
    decided = {*found["real"], *found["generated"]}
    if found["agree"]:
        return "agree" if decided else "can't tell"
    said = (f"{row['model']} {row['verdict']}" for row in rows if row["model"] in decided)
    return f"disagree: {', '.join(said)}"


def _said_by(path: str) -> Provenance:
    """Return what a file says of itself: nothing, if it can no longer be read."""
    from detectorkit.provenance import Provenance, read_provenance

    try:
        return read_provenance(path)
    except ImageReadError:
        return Provenance()


def _explain(judge: _Judge, title: str) -> None:
    """Print on standard error what a detector is worth, and what its lines mean."""
    import numpy as np

    from detectorkit.cli.models import describe_macro
    from detectorkit.models import shipped_detectors

    record, decision, band = judge.runner.record, judge.decision, judge.decision.band
    lines = [f"{title} {printable(judge.name)}. A verdict is not a proof."]
    edges = [decision.threshold] if band is None else [band.low, band.high]
    probabilities = [f"{one:.3f}" for one in decision.probabilities(np.array(edges))]
    if band is None:
        lines.append(describe_macro(record) or _UNKNOWN)
        bounds = f"generated above {probabilities[0]}"
    else:
        lines += [f"{costs}."] if (costs := band.describe_costs()) else []
        bounds = f"can't tell from {' to '.join(probabilities)}"
    lines.append(f"Treatment of images: {record.treatment_text()}.")
    if judge.name in shipped_detectors():
        lines.append(f"What it was trained on and where it fails: detectorkit models {judge.name}")
    lines.append(f"Verdict, probability of being generated ({bounds}), image:")
    for line in lines:
        tell(line)
