"""Write the report on a detector that the documentation shows.

    python -m benchmarks report DATA --detector hog-svm

The detector of protocol B, aligned: trained on StyleGANs against three collections of photographs,
measured on others of the same ("self") and on what it never saw ("foreign"). The report is written
to docs/reports/NAME.html. It holds no pictures and no names of files:
the images may not be published.
"""

from __future__ import annotations

import argparse
import hashlib

import numpy as np

from benchmarks.accuracy.data import Data, make_trials
from benchmarks.accuracy.detectors import DETECTORS
from benchmarks.arguments import add_data
from benchmarks.files import DOCS, write_text
from benchmarks.pages.markup import squeeze
from detectorkit.detectors.onnx import OnnxDetector
from detectorkit.evaluation import evaluate, robustness_report, run_trial
from detectorkit.report import make_report

REPORTS = DOCS / "reports"
NOTE = (
    "Images: the evaluation faces, aligned (centre square, 160 x 160, one JPEG encode at quality "
    "85, for both classes). Protocol B of docs/accuracy_details.md. Several of the collections are "
    "for research only, so no picture is shown."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--detector", choices=DETECTORS, default="hog-svm")


def run(arguments: argparse.Namespace) -> None:
    """Fit a detector, measure its saved form, and write the report."""
    name = arguments.detector
    data = Data(arguments.data)
    (trial,) = make_trials(data)["B"]
    images = data.images("aligned")
    fitted = run_trial(DETECTORS[name](), images, data.y, trial=trial, **data.columns).detector
    # From here on the saved form is measured, as anybody would who was given it.
    model = fitted.to_onnx().SerializeToString()
    detector = OnnxDetector(model, n_jobs=-1).fit(images[:1])
    chosen = np.concatenate(list(trial.test.values()))
    X, y = [images[i] for i in chosen], data.y[chosen]
    report = make_report(
        evaluate(detector, X, y, origin=data.origin[chosen]),
        title=f"{name}: trained on StyleGANs, measured on them and on what it never saw",
        record=detector.record_,
        robustness=robustness_report(detector, X, y, n_jobs=-1, verbose=True),
        hashes={"model": hashlib.sha256(model).hexdigest(), "rows of the manifest": data.sha256},
        command=f"python -m benchmarks report DATA --detector {name}",
        notes=[NOTE],
    )
    write_text(REPORTS / f"{name.replace('-', '_')}.html", squeeze(report.to_html()))
    print(report.headline)
