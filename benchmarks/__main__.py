"""The command line of the benchmarks: ``python -m benchmarks NAME [options]``.

A benchmark is a module with `add_arguments(parser)` and `run(arguments)`. Only the one that is
asked for is imported.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

BENCHMARKS = {
    "protocols": "accuracy.protocols",
    "protocol-e": "accuracy.protocol_e",
    "side-by-side": "accuracy.side_by_side",
    "ensembles": "accuracy.ensembles",
    "features": "accuracy.features",
    "metrics": "accuracy.metrics",
    "false-positives": "accuracy.false_positives",
    "robustness": "accuracy.robustness",
    "saliency": "accuracy.saliency",
    "gradients": "accuracy.backend_gradients",
    "texture": "accuracy.texture",
    "fingerprints": "accuracy.fingerprints",
    "train-generator": "accuracy.train_generator",
    "measure-generator": "accuracy.measure_generator",
    "study-data": "accuracy.study_data",
    "choose-hog-svm": "accuracy.choose_hog_svm",
    "choose-forensic": "accuracy.choose_forensic",
    "choose-networks": "accuracy.choose_networks",
    "ship": "accuracy.ship",
    "report": "accuracy.report",
    "speed-hog": "speed.hog",
    "speed-ratios": "speed.ratios",
    "speed-features": "speed.features",
    "speed-networks": "speed.networks",
    "speed-gradients": "speed.gradients",
    "speed-allocation": "speed.allocation",
    "speed-stream": "speed.stream",
    "speed-scan": "speed.scan",
    "speed-training": "speed.training",
    "speed-start": "speed.start",
    "speed-shipped": "speed.shipped",
    "speed-server": "speed.server",
    "pages": "pages.pages",
    "figures": "pages.figures",
}
"""Modules of this package, by the name of the command."""


def summary_of(module: str) -> str:
    """Return the first line of a module's docstring, without importing the module."""
    path = Path(__file__).parent / (module.replace(".", "/") + ".py")
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that is named first, or list all."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help"}:
        print("python -m benchmarks NAME [options]; NAME --help says which.\n")
        width = max(map(len, BENCHMARKS))
        for name, module in BENCHMARKS.items():
            print(f"  {name:{width}}  {summary_of(module)}")
        return
    name, *rest = words
    if name not in BENCHMARKS:
        raise SystemExit(f"python -m benchmarks: NAME={name!r} must be one of {list(BENCHMARKS)}.")
    module = importlib.import_module(f"benchmarks.{BENCHMARKS[name]}")
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    module.run(parser.parse_args(rest))


if __name__ == "__main__":
    main()
