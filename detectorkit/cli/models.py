"""List the detectors that come along, or print the card of one.

The metrics are those of protocol E: on images of sources that were left out of the training. Their
names are macro balanced accuracy, area under the ROC curve, and the proportion of generated images
that is found where 5 % of the photographs are called generated. A card says on what they were
measured, and where the detector fails.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detectorkit.cli._common import add_json
from detectorkit.utils.fields import is_finite
from detectorkit.utils.json import dumps
from detectorkit.utils.tables import text_table

if TYPE_CHECKING:
    from detectorkit.graph.record import ModelRecord

__all__ = ["add_arguments", "describe_best", "describe_macro", "run"]

_METRICS = {"macro_balanced_accuracy": "macro", "roc_auc": "AUC", "found_at_5": "found at 5 %"}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit models``."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="detector whose card is printed (default: a table)"
    )
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit models``."""
    from detectorkit.models import default_detector, model_card, shipped_detectors

    if arguments.name is not None:
        try:
            print(model_card(arguments.name))
        except ValueError as error:  # in the words of the command line
            raise ValueError(str(error).removeprefix("model_card: name=")) from error
        return 0
    default = default_detector()
    rows = [_describe(name, path, default) for name, path in shipped_detectors().items()]
    if arguments.json:
        print(dumps(rows, indent=1))
        return 0
    cells = [
        (
            f"{row['name']} (default)" if row["is_default"] else row["name"],
            f"{row['bytes'] / 1e6:.2f}",
            "-" if row["ms_per_image"] is None else f"{row['ms_per_image']:.0f}",
            *("-" if row[key] is None else f"{row[key]:.3f}" for key in _METRICS),
            row["summary"],
        )
        for row in rows
    ]
    headings = ("name", "MB", "ms/image", *_METRICS.values(), "what it is")
    print("\n".join(text_table(cells, headings, align="<>>>>><")))
    if text := describe_best(rows):
        print(f"\n{text}")
    print("The card of a detector, with its data and its limits: detectorkit models NAME")
    return 0


def describe_best(rows: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Write which shipped detector is best on unseen sources, by the cards; "" if none says it."""
    if rows is None:
        from detectorkit.models import default_detector, shipped_detectors

        default = default_detector()
        rows = [_describe(name, path, default) for name, path in shipped_detectors().items()]
    key = "macro_balanced_accuracy"
    measured = sorted((row for row in rows if row[key] is not None), key=lambda row: -row[key])
    if not measured:
        return ""
    best, *others = (f"{row['name']} ({row[key]:.3f})" for row in measured)
    text = (
        f"By their cards, the best on sources that were left out of training is {best} by macro "
        "balanced accuracy, of which 0.5 is chance"
    )
    return f"{text}; then {', '.join(others)}." if others else f"{text}."


def describe_macro(record: ModelRecord) -> str:
    """Write how good a detector is on unseen sources, by its record; "" if that does not say."""
    found = _measured(record)["macro_balanced_accuracy"]
    if found is None:
        return ""
    return (
        f"On sources left out of its training, its macro balanced accuracy is {found:.2f}; a coin "
        "has 0.5. It is never undecided."
    )


def _measured(record: ModelRecord) -> dict[str, float | None]:
    """Return the metrics on unseen sources that a record has; None for the others."""
    measured = record.training.get("protocol_e")
    measured = measured if isinstance(measured, dict) else {}
    return {key: _number(measured.get(key)) for key in _METRICS}


def _describe(name: str, path: Path, default: str) -> dict[str, Any]:
    """Return what the record and the card of a detector say of it; None for what they do not."""
    from detectorkit.graph.runner import read_record
    from detectorkit.models import SHIPPED_BACKBONES, model_card, read_speeds

    record = read_record(path)
    backbone = SHIPPED_BACKBONES / f"{record.backbone.name}.onnx" if record.backbone else None
    title = model_card(name).partition("\n")[0]
    return {
        "name": name,
        "is_default": name == default,
        "bytes": sum(one.stat().st_size for one in (path, backbone) if one and one.exists()),
        "ms_per_image": read_speeds().get(name),
        **_measured(record),
        "summary": title.partition(":")[2].strip() or "-",
    }


def _number(value: Any) -> float | None:
    """Return a number, also that of an estimate with its interval; None if it is neither."""
    if isinstance(value, dict):
        value = value.get("value")
    return float(value) if is_finite(value) else None
