"""Write the report on a detector that the documentation shows.

    python benchmarks/accuracy/report.py DATA --detector hog-svm

The detector of protocol B, aligned: trained on StyleGANs against three collections of photographs,
measured on others of the same ("self") and on what it never saw ("foreign"). The report is written
to docs/reports/NAME.html, with .json and .md beside it. It holds no pictures and no names of files:
the images may not be published.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
from protocols import DETECTORS, Data, make_trials

from detectorkit.detectors.onnx import OnnxDetector
from detectorkit.evaluation import evaluate, robustness_report, run_trial
from detectorkit.report import make_report

REPORTS = Path(__file__).parents[2] / "docs" / "reports"
NOTE = (
    "Images: the evaluation faces, aligned (centre square, 160 x 160, one JPEG encode at quality "
    "85, for both classes). Protocol B of docs/accuracy.md. Several of the collections are for "
    "research only, so no picture is shown."
)


def main() -> None:
    """Fit, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--detector", choices=DETECTORS, default="hog-svm")
    arguments = parser.parse_args()
    name = arguments.detector
    data = Data(arguments.data)
    (trial,) = make_trials(data)["B"]
    images = data.images("aligned")
    columns = {"origin": data.origin, "picture": data.picture}
    fitted = run_trial(DETECTORS[name](), images, data.y, trial=trial, **columns).detector
    for label, key in enumerate(("sources", "generators")):
        used = data.origin[trial.train][data.y[trial.train] == label]
        fitted.training_summary_[key] = np.unique(used).tolist()
    # From here on the saved form is measured, as anybody would who was given it.
    model = fitted.to_onnx().SerializeToString()
    detector = OnnxDetector(model, n_jobs=-1).fit(images[:1])
    chosen = np.concatenate(list(trial.test.values()))
    X, y = [images[i] for i in chosen], data.y[chosen]
    report = make_report(
        evaluate(detector, X, y, origin=data.origin[chosen]),
        title=f"{name}: trained on StyleGANs, measured on them and on what it never saw",
        record=detector.record_,
        robustness=robustness_report(detector, X, y, n_jobs=-1, progress=True),
        hashes={"model": hashlib.sha256(model).hexdigest(), "manifest": data.sha256},
        command=f"python benchmarks/accuracy/report.py DATA --detector {name}",
        notes=[NOTE],
    )
    REPORTS.mkdir(exist_ok=True)
    for path in report.write(REPORTS / f"{name.replace('-', '_')}.html"):
        print(path.name)
    print(report.headline)


if __name__ == "__main__":
    main()
