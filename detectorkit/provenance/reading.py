"""Read what an image file says of itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from detectorkit.exceptions import ImageReadError
from detectorkit.images.decoding import read_image_bytes
from detectorkit.images.headers import FORMATS
from detectorkit.provenance.containers import read_pieces
from detectorkit.provenance.credentials import check_credentials
from detectorkit.provenance.findings import Finding, Provenance, clean, merge
from detectorkit.provenance.pieces import Damage, Effort, Field, Manifest, Piece
from detectorkit.provenance.rules import Cameras, judge_field

__all__ = ["read_provenance"]

_MAX_PIECES: Final = 1000
_MAX_EFFORT: Final = 24_000_000  # characters of all fields, and bytes inflated and parsed


def read_provenance(
    path: str | os.PathLike[str] | bytes, *, trust_anchors: str | os.PathLike[str] | None = None
) -> Provenance:
    r"""Read what an image file says of itself: content credentials and metadata.

    Nothing is decoded, fetched or executed. The findings are never part of a detector's score:
    without a trusted signature they are text that anyone can write, and a file without any says
    nothing, because most services strip metadata.

    Parameters
    ----------
    path : str, Path or bytes
        Path of an AVIF, BMP, GIF, HEIF, JPEG, PNG, TIFF or WebP file, or its content.
    trust_anchors : str or Path, default=None
        Path of a PEM file with the certificates of the authorities that you trust to name signers,
        such as the C2PA trust list. With None no signer is trusted, and an intact signature is
        reported as "signed" only.

    Returns
    -------
    provenance : Provenance
        The findings, with `lines` and `to_dict`.

    Raises
    ------
    ImageReadError
        If the file is missing, empty, not a regular file, larger than 512 MB or not an image.
        Malformed metadata is a finding of the kind "damaged metadata", not an error.
    OSError
        If `trust_anchors` cannot be read.
    ValueError
        If `trust_anchors` has no certificates.

    Notes
    -----
    The signature of content credentials (C2PA) is checked if the extra ``provenance`` is installed
    (c2pa-python). Without it a finding says that there are some.
    Manifests that are kept elsewhere and lists of revoked certificates (OCSP) are not fetched.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image, PngImagePlugin
    >>> from detectorkit.provenance import read_provenance
    >>> texts = PngImagePlugin.PngInfo()
    >>> texts.add_text("parameters", "a fox\nSteps: 20, Sampler: Euler a, Seed: 1, Model: v1-5")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.png"
    ...     Image.new("RGB", (8, 8)).save(path, pnginfo=texts)
    ...     provenance = read_provenance(path)
    >>> provenance.findings[0].says, provenance.findings[0].detail
    ('generated', 'model v1-5, sampler Euler a')
    """
    anchors = None if trust_anchors is None else _read_anchors(trust_anchors)
    data = path if isinstance(path, bytes) else read_image_bytes(path)
    name = "(bytes)" if isinstance(path, bytes) else path
    if not data:
        raise ImageReadError(name, "the file is empty.")
    pieces = read_pieces(data)
    if pieces is None:
        raise ImageReadError(name, f"not an {FORMATS} image, whatever its name.")
    return Provenance(merge(_findings(data, pieces, anchors)))


def _read_anchors(path: str | os.PathLike[str]) -> str:
    text = Path(path).read_text("utf-8", errors="replace")
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ValueError(
            f"read_provenance: trust_anchors={os.fspath(path)!r} has no certificates. Pass the "
            "path of a PEM file."
        )
    return text


def _findings(data: bytes, pieces: Iterator[Piece], anchors: str | None) -> Iterator[Finding]:
    cameras = Cameras()
    checked = False
    for piece in _bounded(pieces):
        if isinstance(piece, Damage):
            yield Finding(
                "damaged metadata", "unknown", place=clean(piece.place, 60), detail=piece.reason
            )
        elif isinstance(piece, Field):
            cameras.note(piece)
            yield from judge_field(piece)
        elif isinstance(piece, Manifest) and not checked:  # the package reads the whole file, once
            checked = True
            yield check_credentials(data, piece, anchors)
    yield from cameras.findings()


def _bounded(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Stop where a file holds more metadata than any tool writes."""
    effort = 0
    for number, piece in enumerate(pieces):
        if isinstance(piece, Field):
            effort += len(piece.text)
        elif isinstance(piece, Effort):
            effort += piece.n_bytes
        if number >= _MAX_PIECES or effort > _MAX_EFFORT:
            yield Damage("file", "more metadata than is read")
            return
        yield piece
