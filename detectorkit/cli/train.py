"""Fit a detector on a folder or a CSV manifest and save it as an ONNX file.

The images are shuffled and split 90/10, stratified, with copies of one image kept together, and
with them the images of one subject, seed or instance picture, where a ledger or the columns of a
manifest name these. The detector is fitted on the larger part and measured on the smaller one. If
the manifest has a column split, as that of `detectorkit prepare`, the detector is fitted on its
part train and measured on val; test is left for `detectorkit evaluate --part test`.

Every image is treated in the same way: centre square, one resize, one JPEG. Otherwise size and
compression of the files may tell photographs from generated images. The treatment is saved in the
model, and every command and `load_detector` apply it to the images that they are given.

The models: hog-svm, HoG with a linear SVM; forensic, a stack of classical features; clip, transfer
and deit, a pretrained network with a small head (or fine-tuned, with --set fine_tune=True); cnn and
resnet, networks that are trained from random weights; ensemble, the models of --members with their
scores combined, by weights that are fitted on generators and sources that were left out of their
training, so that it needs two or more of each.

hog-svm, forensic and clip need nothing more: the network of clip comes along. transfer and deit
need their backbones, see `detectorkit backbones list`. cnn, resnet and fine-tuning need the extra
"train", with torch.
"""

from __future__ import annotations

import ast
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from detectorkit.cli._common import (
    add_data,
    add_jobs,
    add_json,
    add_random_state,
    check_output,
    get_column,
    load_data,
    print_metrics,
    process_paths,
    take_rows,
)
from detectorkit.utils.json import dumps
from detectorkit.utils.progress import tell

__all__ = ["add_arguments", "run"]

_DETECTORS = {
    "hog-svm": "HoGSVMDetector",
    "forensic": "ForensicDetector",
    "clip": "BackboneDetector",
    "transfer": "BackboneDetector",
    "deit": "DeiTDetector",
    "cnn": "CNNDetector",
    "resnet": "ResNetDetector",
}
_CLIP = {
    "backbone": "clip-vit-b16-4bit",
    "layers": [6, 8, 10, 12],
    "pool": "cls+mean",
    "alpha": 0.05,
    "dropout": 0.4,
    "mixup": 0.4,
    "n_heads": 3,
    "batch_size": 128,
    "max_epochs": 25,
}
"""Parameters of the shipped detector "clip", except that some images are set aside."""

_AUDITED = 2000
"""Number of files whose format, size and compression are looked at before the training."""
_ENSEMBLE: Final = "ensemble"
_MEMBERS: Final = ("hog-svm", "forensic")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit train``."""
    add_data(parser)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "-m",
        "--model",
        choices=(*_DETECTORS, _ENSEMBLE),
        default="hog-svm",
        help="detector to train, see above for what each needs (default: hog-svm)",
    )
    kind.add_argument(
        "--pipeline",
        metavar="MODULE:OBJECT",
        help="own classifier of scikit-learn that begins with transformers of "
        "detectorkit.features, or a function that returns one; the module is looked for in this "
        "folder first, and its code is run",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        help="ONNX file to write, such as model.onnx; one that exists is replaced",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help="parameter of the detector, such as C=0.01 or 'pixels_per_cell=(4, 4)'; repeatable",
    )
    parser.add_argument(
        "--members",
        type=lambda text: text.split(","),
        metavar="NAME,...",
        help="models of an ensemble: those above, which are trained too, and names or files of "
        f"trained ones, such as clip, to which the images must be new (default: "
        f"{','.join(_MEMBERS)})",
    )
    parser.add_argument(
        "--treatment",
        choices=("none", "aligned"),
        default="aligned",
        help="aligned: cut the centre square, resize it once and encode it once as JPEG; none: "
        "take images as they are (default: aligned)",
    )
    parser.add_argument(
        "--side",
        type=int,
        metavar="N",
        help="height and width of the aligned images, in pixels; best not larger than the "
        "smallest image (default: 224 for networks, 160 for others)",
    )
    parser.add_argument(
        "--quality",
        type=int,
        metavar="N",
        help="JPEG quality of the aligned images, from 1 to 100 (default: 85)",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="file to which the state of a network's training is written after each epoch; if it "
        "exists, training continues from it",
    )
    parser.add_argument(
        "--groups",
        metavar="COLUMN",
        help="column of the manifest; images with the same value stay in the same part",
    )
    add_random_state(parser)
    add_json(parser)
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit train``."""
    output = check_output(arguments.output, ".onnx")  # before the imports, which take seconds

    from sklearn.utils.validation import has_fit_parameter

    from detectorkit.datasets import perceptual_hash
    from detectorkit.evaluation import binary_metrics

    detector = _make_detector(arguments)
    _check_ready(detector, arguments.model)
    found = _drop_other_parts(load_data(arguments))
    column = get_column(found, "--groups", arguments.groups)
    hash_paths = partial(perceptual_hash, n_jobs=arguments.jobs)
    hashes, read, failures = process_paths(hash_paths, found.data, "Reading images")
    _warn_of_files(arguments, found, read, hashes)
    ledger = _ledger_groups(found)
    together = _together(hashes, ledger[read], None if column is None else column[read])
    train, test, groups = _split(found, read, together, arguments.random_state)

    start = time.monotonic()
    columns = {"groups": groups, "origin": found.origin[train]}
    taken = {name: column for name, column in columns.items() if has_fit_parameter(detector, name)}
    detector.fit([found.data[i] for i in train], found.target[train], **taken)
    seconds = time.monotonic() - start
    detector.save(output)

    scores = detector.decision_function([found.data[i] for i in test])
    metrics = binary_metrics(found.target[test], scores, threshold=detector.threshold_)
    if arguments.json:
        summary = {
            "model": str(output),
            "n_train": len(train),
            "n_test": len(test),
            "n_unreadable": len(failures),
            "treatment": detector.record_.treatment_text(),
            "training": detector.training_summary_,
            "metrics": {name: estimate.to_dict() for name, estimate in metrics.items()},
        }
        print(dumps(summary, indent=1))
    else:
        print(f"Fitted {arguments.model} on {len(train)} images in {seconds:.1f} s: {output}")
        print(f"Treatment of every image: {detector.record_.treatment_text()}")
        print_metrics(f"Held-out {len(test)} images of the same generators and sources:", metrics)
        print(
            "These metrics say nothing about other generators or other photographs: measure "
            "those with `detectorkit evaluate`."
        )
    return 1 if failures else 0


def _make_detector(arguments: Namespace) -> Any:
    """Make the unfitted detector, with the parameters of the command line."""
    if arguments.pipeline is not None:
        return _make_pipeline(arguments)
    if arguments.model == _ENSEMBLE:
        detector = _make_ensemble(arguments)
    elif arguments.members is None:
        detector = _make_single(arguments, arguments.model)
    else:
        raise ValueError("--members needs -m ensemble.")
    _set_parameters(detector, arguments)
    if arguments.checkpoint is not None:
        parameters = detector.get_params()
        if "checkpoint" not in parameters or not parameters.get("fine_tune", True):
            raise ValueError(
                f"--checkpoint: {arguments.model} does not have checkpoints. Only networks that "
                "are trained as a whole have: cnn, resnet, and others with --set fine_tune=True."
            )
        detector.set_params(checkpoint=check_output(arguments.checkpoint))
    return detector


def _make_single(arguments: Namespace, model: str) -> Any:
    """Make an unfitted detector with the treatment of the command line."""
    from detectorkit import detectors

    detector = getattr(detectors, _DETECTORS[model])(
        n_jobs=arguments.jobs, random_state=arguments.random_state, verbose=True
    )
    if model == "clip":
        detector.set_params(**_CLIP)
    return detector.set_params(treatment=_treatment(arguments, detector))


def _make_ensemble(arguments: Namespace) -> Any:
    """Make an unfitted ensemble of detectors to train and of trained ones."""
    from detectorkit.detectors import EnsembleDetector

    members = [
        (Path(name).stem, _make_single(arguments, name) if name in _DETECTORS else name)
        for name in arguments.members or _MEMBERS
    ]
    return EnsembleDetector(members, n_jobs=arguments.jobs, verbose=True)


def _make_pipeline(arguments: Namespace) -> Any:
    """Make the classifier of the user, as a detector."""
    from detectorkit.base import BaseImageDetector
    from detectorkit.cli._pipeline import PipelineDetector, import_pipeline

    if arguments.checkpoint is not None:
        raise ValueError("--checkpoint: the classifier of --pipeline does not have checkpoints.")
    classifier = import_pipeline(arguments.pipeline)
    arguments.model = arguments.pipeline  # its name in what is printed
    is_detector = isinstance(classifier, BaseImageDetector)
    detector = classifier if is_detector else PipelineDetector(classifier)
    detector.set_params(treatment=_treatment(arguments, detector))
    _set_parameters(detector, arguments)
    return detector


def _set_parameters(detector: Any, arguments: Namespace) -> None:
    """Set the parameters of ``--set``, and name an unknown one without the whole detector."""
    known = detector.get_params()
    for name, value in arguments.set:
        if name not in known:
            own = ", ".join(one for one in known if "__" not in one)
            raise ValueError(
                f"--set {name}: {arguments.model} does not have this parameter. It has: {own}."
            )
        detector.set_params(**{name: value})


def _treatment(arguments: Namespace, detector: Any) -> Any:
    """Make the treatment that the command line asks for."""
    from detectorkit.images.treatment import Treatment

    if arguments.treatment == "aligned":
        is_network = "max_epochs" in detector.get_params()
        side = (224 if is_network else 160) if arguments.side is None else arguments.side
        quality = 85 if arguments.quality is None else arguments.quality
        return Treatment(side=side, quality=quality)
    for option in ("side", "quality"):
        if getattr(arguments, option) is not None:
            raise ValueError(f"--{option} needs --treatment aligned: images as they are have none.")
    return None


def _check_ready(detector: Any, model: str) -> None:
    """Check that packages and backbone of the training are installed, before images are read."""
    from detectorkit.backbones import find_backbone
    from detectorkit.exceptions import BackboneNotFoundError
    from detectorkit.utils.extras import require_extra

    parameters = detector.get_params()
    for name, member in parameters.get("estimators", ()):
        if not isinstance(member, str):
            _check_ready(member, name)
    if "max_epochs" not in parameters:
        return  # no network
    if parameters.get("fine_tune", True):
        require_extra("train", "torch", "onnxscript", caller=f"To train, {model}")
    else:
        size = parameters["image_size"]
        try:
            find_backbone(parameters["backbone"], parameters["network_input"], image_size=size)
        except (BackboneNotFoundError, ImportError) as error:
            missing = str(error).rstrip(".")
            raise ValueError(
                f"-m {model}: {missing}. Or train -m clip, whose network comes along."
            ) from error


def _setting(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a bare word is a string


def _drop_other_parts(found: Any) -> Any:
    """Keep the parts train and val of the column split, if it has them, and tell."""
    parts = found.metadata.get("split")
    if parts is None:
        return found
    counts = {name: int((parts == name).sum()) for name in np.unique(parts)}
    text = ", ".join(f"{name or 'none'}: {n}" for name, n in counts.items())
    if "train" not in counts:
        tell(f"The column split has no part train ({text}): it is not used.")
        return found
    tell(
        f"By the column split ({text}), the detector is fitted on train and measured on "
        f"{'val' if 'val' in counts else 'a tenth of it'}; other images are not used."
    )
    return take_rows(found, np.flatnonzero(np.isin(parts, ["train", "val"])))


def _ledger_groups(found: Any) -> Any:
    """Return the groups of a ledger, with photographs known by the content of their files."""
    from detectorkit.datasets.ledger import group_images
    from detectorkit.utils.files import hash_file

    groups = found.groups
    metadata = found.metadata
    if any(metadata.get("instance", ())):
        known = metadata.get("sha256", np.full(len(groups), ""))
        sha256 = known.copy().astype(object)
        for i in np.flatnonzero((known == "") & (found.target == 0)):
            with suppress(OSError):  # told when it is read
                sha256[i] = hash_file(found.data[i])
        groups = group_images({**metadata, "sha256": sha256}, len(groups))
    members = np.bincount(groups)
    if members.max() > 1:
        tell(
            f"{members[members > 1].sum()} images are kept together in {(members > 1).sum()} "
            "groups with a common subject, seed or instance picture."
        )
    return groups


def _warn_of_files(arguments: Namespace, found: Any, read: Any, hashes: Any) -> None:
    """Report data that fail the gravest checks of the audit; facts of some files are enough."""
    from detectorkit.datasets import near_duplicate_groups
    from detectorkit.datasets.audit import MAX_AUC, read_file_facts
    from detectorkit.datasets.audit.metadata_auc import container_auc
    from detectorkit.datasets.audit.reading import FILE_DTYPE

    y, pictures = found.target[read], near_duplicate_groups(hashes)
    more = f"More: detectorkit audit {arguments.data}"
    if n := len(np.intersect1d(pictures[y == 0], pictures[y == 1])):
        tell(f"Audit: {n} pictures are in both classes, perhaps with a wrong label. {more}")
    some = np.random.RandomState(0).permutation(len(read))[:_AUDITED]
    files = np.zeros(len(some), FILE_DTYPE)
    for row, i in enumerate(some):
        facts = read_file_facts(found.data[read[i]])
        for name, value in (facts._asdict() | {"aspect": facts.aspect}).items():
            files[name][row] = value
    auc = container_auc(files, y[some], pictures[some], n_jobs=arguments.jobs)
    if auc.low > MAX_AUC:
        left = (
            "The treatment makes these equal, but an earlier resize or compression leaves traces"
            if arguments.treatment == "aligned"
            else "With --treatment none these are traces"
        )
        tell(
            f"Audit: format, size and compression of the files tell the classes apart with AUC "
            f"{auc.value:.2f}. {left} that the detector may learn. {more}"
        )


def _together(hashes: Any, ledger: Any, column: Any) -> Any:
    """Assign one number to copies, images linked by a ledger, and those of one column value."""
    from detectorkit.datasets import near_duplicate_groups
    from detectorkit.model_selection.split import merge_groups

    together = [near_duplicate_groups(hashes), ledger]
    if column is not None:
        # Where the column is empty, the value is unknown: such images are not grouped.
        named = np.where(column == "", [f"row {i}" for i in range(len(column))], column)
        together.append(np.unique(named, return_inverse=True)[1])
    return merge_groups(together, len(ledger))


def _split(found: Any, read: Any, groups: Any, random_state: int) -> tuple[Any, Any, Any]:
    """Return indices of the training and test images, and the groups of the training images."""
    from detectorkit.datasets import train_val_test_split

    part = found.metadata.get("split", np.full(len(found.data), ""))[read]
    if (part == "train").any() and (part == "val").any():
        is_train = part == "train"
        shared = np.intersect1d(groups[is_train], groups[~is_train])
        if len(shared):
            n = int(np.isin(groups[~is_train], shared).sum())
            tell(
                f"{n} images of val are copies, or have the subject, seed or instance picture, of "
                "images of train: the metrics are too good. See `detectorkit audit`."
            )
        return read[is_train], read[~is_train], groups[is_train]
    parts = train_val_test_split(
        read,
        found.target[read],
        groups,
        groups=groups,
        keep_near_duplicates=False,  # they are in the groups
        random_state=random_state,
    )
    train, test = np.concatenate(parts[:2]), parts[2]
    if (
        min(len(np.unique(found.target[index])) for index in (train, test))
        < 2
        <= len(np.unique(found.target))
    ):
        raise ValueError(
            f"the {len(read)} images make only {len(np.unique(groups))} groups that must not be "
            "split apart, and no split has both classes on both sides. Add images of other "
            "subjects, made from other seeds and instance pictures."
        )
    return train, test, np.concatenate(parts[6:8])
