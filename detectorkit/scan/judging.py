"""Rows from batches of images: each file is read once, and all is found out from its bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, Self

from detectorkit.calibration.decision import Decision
from detectorkit.exceptions import ImageReadError
from detectorkit.graph.runner import GraphRunner
from detectorkit.images.decoding import read_image_bytes
from detectorkit.images.sequence import check_images
from detectorkit.models import default_detector, find_detector
from detectorkit.provenance.reading import read_provenance
from detectorkit.scan.archives import Entry
from detectorkit.utils.json import dumps

__all__ = ["Judge", "ScanRow"]


class ScanRow(NamedTuple):
    """What a scan found out about an image.

    Attributes
    ----------
    path : str
        Path of the image; ``archive!member`` for a member of an archive.
    size : int or None
        Number of bytes; None if the file could not be read.
    sha256 : str or None
        SHA-256 of the bytes, in hexadecimal; None if the file could not be read.
    score, probability : float or None
        Score, and probability of being generated; None if the image could not be decoded.
    verdict : {"real", "generated", "can't tell"} or None
        Verdict; None if the image could not be decoded.
    unfit : str or None
        Why the image cannot be judged, so that the verdict is "can't tell"; None if it can.
    provenance : str or None
        What the file says of itself, as JSON in the form of `Provenance.to_dict`; None if it says
        nothing.
    model : str
        Name of the shipped detector, or path of the ONNX file.
    model_sha256 : str
        SHA-256 of the ONNX file.
    seconds : float
        Time that a thread took for the image.
    error : str or None
        Why the image could not be scanned; None if it was.
    """

    path: str
    size: int | None
    sha256: str | None
    score: float | None
    probability: float | None
    verdict: str | None
    unfit: str | None
    provenance: str | None
    model: str
    model_sha256: str
    seconds: float
    error: str | None


@dataclass
class Judge:
    """A detector that makes a row of each image; it can be sent to another process.

    Attributes
    ----------
    runner : GraphRunner
        The detector.
    name, sha256 : str
        Name and SHA-256 of the model.
    decision : Decision
        Threshold, band and calibration of the verdicts.
    folder : str
        Folder to which paths are relative, wherever the judge is sent.
    """

    runner: GraphRunner
    name: str
    sha256: str
    decision: Decision
    folder: str

    @classmethod
    def open(cls, model: str | os.PathLike[str] | None, threshold: float | None) -> Self:
        """Read a model; a threshold replaces its own threshold and band."""
        runner = GraphRunner.from_file(find_detector(model))
        name = default_detector() if model is None else os.fspath(model)
        decision = runner.record.decision
        if threshold is not None:
            decision = replace(decision, threshold=threshold, band=None)
        sha256 = hashlib.sha256(runner.content).hexdigest()
        return cls(runner, name, sha256, decision, str(Path.cwd()))

    def __call__(self, entries: Sequence[Entry]) -> list[ScanRow]:
        """Make the rows of a batch of images."""
        rows: list[ScanRow] = []
        good: list[int] = []
        images: list[Any] = []
        for entry in entries:
            row, image = self._read(entry)
            if image is not None:
                good.append(len(rows))
                images.append(image)
            rows.append(row)
        if not good:
            return rows
        begin = perf_counter()
        scores = self.runner.score_prepared(images, [rows[index].path for index in good])
        verdicts = self.decision.verdicts(scores, [rows[index].unfit for index in good])
        found = (scores, self.decision.probabilities(scores), verdicts)
        seconds = (perf_counter() - begin) / len(good)
        for index, score, probability, verdict in zip(good, *found, strict=True):
            rows[index] = rows[index]._replace(
                score=float(score),
                probability=float(probability),
                verdict=str(verdict),
                seconds=round(rows[index].seconds + seconds, 6),
            )
        return rows

    def _read(self, entry: Entry) -> tuple[ScanRow, Any]:
        """Read, hash and decode an image, and read what it says of itself."""
        begin = perf_counter()
        found: dict[str, Any] = dict.fromkeys(ScanRow._fields)
        found |= {"path": entry.path, "model": self.name, "model_sha256": self.sha256}
        image = None
        try:
            data = self._read_bytes(entry)
            found |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            images = check_images([data]).noting()
            image = images.read(0, self.runner.record.preprocessing)
            (found["unfit"],) = images.unfit(self.runner.record.min_side)
            said = read_provenance(data)
            found["provenance"] = dumps(said.to_dict()) if said.findings else None
        except ImageReadError as error:
            found["error"] = error.reason
        return ScanRow(**found | {"seconds": round(perf_counter() - begin, 6)}), image

    def _read_bytes(self, entry: Entry) -> bytes:
        if entry.error:
            raise ImageReadError(entry.path, entry.error)
        if entry.content is not None:
            return entry.content
        return read_image_bytes(Path(self.folder, entry.path))
