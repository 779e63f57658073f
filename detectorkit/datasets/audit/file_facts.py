"""Facts of an image file apart from its picture: its format, size and compression.

Photographs and generated images that were collected in different ways often differ in these
facts, and then a detector can learn them in place of the traces of generation. They are read from
the bytes of the file, without decoding it.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectorkit.exceptions import ImageReadError
from detectorkit.images.decoding import read_image_bytes
from detectorkit.images.headers import FORMATS, read_header
from detectorkit.images.jpeg import JPEG_FRAMES, jpeg_segments

__all__ = ["FileFacts", "parse_file_facts", "read_file_facts"]

_TABLES = 0xDB
_APP1, _APP2 = 0xE1, 0xE2
_PROGRESSIVE_FRAMES = {0xC2, 0xC6, 0xCA, 0xCE}

_SUBSAMPLINGS: Final[dict[tuple[float, float], str]] = {
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
    (1, 2): "4:4:0",
    (4, 1): "4:1:1",
    (4, 2): "4:1:0",
}


class FileFacts(NamedTuple):
    """Format, size and compression of an image file.

    Attributes
    ----------
    format : str
        Format of the file: "AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG 2000", "PNG", "TIFF" or
        "WebP".
    height, width : int
        Size in pixels as stored, before any EXIF orientation is applied.
    n_bytes : int
        Length of the file in bytes.
    jpeg_quality : float
        Quality of a JPEG from 1 to 100, in the scale of libjpeg; nan for other formats.
    standard_tables : bool
        Whether the luma of a JPEG was quantised exactly as libjpeg does at that quality. If it
        was not, as in files of Photoshop and of many cameras, `jpeg_quality` is the nearest one.
    subsampling : str
        Chroma subsampling of a JPEG, such as "4:2:0"; "4:0:0" if it has no colour; empty for
        other formats.
    progressive : bool
        Whether the file is a progressive JPEG.
    has_profile : bool
        Whether a JPEG, PNG or WebP file has a colour profile (ICC).
    has_exif : bool
        Whether a JPEG, PNG or WebP file has EXIF data.
    sha256 : str
        Digest of the whole file, as 64 hexadecimal digits.
    """

    format: str
    height: int
    width: int
    n_bytes: int
    jpeg_quality: float
    standard_tables: bool
    subsampling: str
    progressive: bool
    has_profile: bool
    has_exif: bool
    sha256: str

    @property
    def aspect(self) -> float:
        """Width divided by height."""
        return self.width / self.height

    @property
    def bytes_per_pixel(self) -> float:
        """Length of the file divided by the number of pixels."""
        return self.n_bytes / (self.height * self.width)


def read_file_facts(path: str | os.PathLike[str]) -> FileFacts:
    """Read the format, size and compression of an image file.

    Parameters
    ----------
    path : str or Path
        Path of the image file.

    Returns
    -------
    facts : FileFacts
        Format, size and compression of the file.

    Raises
    ------
    ImageReadError
        If the file is missing, empty, not an image, or ends before its picture begins.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from detectorkit.datasets.audit.file_facts import read_file_facts
    >>> from detectorkit.images.encoding import encode_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.jpg"
    ...     _ = path.write_bytes(encode_image(np.zeros((40, 60, 3), np.uint8), "JPEG", quality=85))
    ...     facts = read_file_facts(path)
    >>> facts.format, facts.height, facts.width, facts.jpeg_quality, facts.subsampling
    ('JPEG', 40, 60, 85.0, '4:2:0')
    """
    return parse_file_facts(read_image_bytes(path), path=path)


def parse_file_facts(
    data: bytes, *, path: str | os.PathLike[str] = "(bytes)", index: int | None = None
) -> FileFacts:
    """Find the format, size and compression in the content of an image file."""
    if not data:
        raise ImageReadError(path, "the file is empty.", index)
    header = read_header(data)
    if header is None or header.height * header.width == 0:
        fault = "" if header is None else header.fault
        reason = fault or f"not an {FORMATS} image, whatever its name."
        raise ImageReadError(path, reason, index)
    jpeg = _Jpeg()
    if header.format == "JPEG":
        try:
            jpeg = _read_jpeg(data)
        except (struct.error, IndexError) as error:
            raise ImageReadError(path, "the JPEG data are broken or truncated.", index) from error
    chunks: set[bytes] = set()
    if header.format in _CHUNKS:
        chunks.update(_CHUNKS[header.format](data))
    return FileFacts(
        format=header.format,
        height=header.height,
        width=header.width,
        n_bytes=len(data),
        jpeg_quality=jpeg.quality,
        standard_tables=jpeg.standard_tables,
        subsampling=jpeg.subsampling,
        progressive=jpeg.progressive,
        has_profile=jpeg.has_profile or not chunks.isdisjoint({b"iCCP", b"ICCP"}),
        has_exif=jpeg.has_exif or not chunks.isdisjoint({b"eXIf", b"EXIF"}),
        sha256=hashlib.sha256(data).hexdigest(),
    )


class _Jpeg(NamedTuple):
    """Facts that only a JPEG has; the defaults stand for all other formats."""

    quality: float = float("nan")
    standard_tables: bool = False
    subsampling: str = ""
    progressive: bool = False
    has_profile: bool = False
    has_exif: bool = False


def _read_jpeg(data: bytes) -> _Jpeg:
    tables: dict[int, NDArray[np.int64]] = {}
    components: list[tuple[int, int, int]] = []
    facts = _Jpeg()
    for marker, content in jpeg_segments(data):
        if marker == _TABLES:
            tables |= _read_tables(content)
        elif marker in JPEG_FRAMES:
            components = _read_components(content)
            facts = facts._replace(progressive=marker in _PROGRESSIVE_FRAMES)
        elif marker == _APP1 and content.startswith(b"Exif\0"):
            facts = facts._replace(has_exif=True)
        elif marker == _APP2 and content.startswith(b"ICC_PROFILE\0"):
            facts = facts._replace(has_profile=True)
    facts = facts._replace(subsampling=_name_subsampling(components))
    if components and components[0][2] in tables:
        quality, is_standard = _estimate_quality(tables[components[0][2]])
        facts = facts._replace(quality=quality, standard_tables=is_standard)
    return facts


def _read_tables(content: bytes) -> dict[int, NDArray[np.int64]]:
    """Return the quantisation tables of a segment by their number, in zigzag order."""
    tables = {}
    position = 0
    while position < len(content):
        precision, number = divmod(content[position], 16)
        kind = ">64H" if precision else "64B"
        tables[number] = np.array(struct.unpack_from(kind, content, position + 1), np.int64)
        position += 1 + struct.calcsize(kind)
    return tables


def _read_components(content: bytes) -> list[tuple[int, int, int]]:
    """Return horizontal and vertical sampling and table number of each component."""
    return [
        (content[start + 1] >> 4, content[start + 1] & 15, content[start + 2])
        for start in range(6, 6 + 3 * content[5], 3)
    ]


def _name_subsampling(components: list[tuple[int, int, int]]) -> str:
    if len(components) < 3:
        return "4:0:0" if components else ""
    luma, *chroma = [component[:2] for component in components[:3]]
    if chroma[0] == chroma[1] and 0 not in chroma[0]:
        steps = luma[0] / chroma[0][0], luma[1] / chroma[0][1]
        if steps in _SUBSAMPLINGS:
            return _SUBSAMPLINGS[steps]
    return ",".join(f"{across}x{down}" for across, down in (luma, *chroma))


# Table K.1 of the JPEG standard (ITU-T T.81), row by row.
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


def _zigzag() -> NDArray[np.int64]:
    """List the positions in an 8 x 8 block in the order in which a JPEG stores them."""
    places = [(row, col) for row in range(8) for col in range(8)]
    # Along the diagonals, downwards on the odd ones and upwards on the even ones.
    places.sort(key=lambda place: (sum(place), place[sum(place) % 2 == 0]))
    return np.array([row * 8 + col for row, col in places])


def _standard_tables() -> NDArray[np.int64]:
    """Compute the luma tables of libjpeg for the qualities 1 to 100."""
    quality = np.arange(1, 101)[:, np.newaxis]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((_LUMA.ravel()[_zigzag()] * scale + 50) // 100, 1, 255)


_STANDARD_TABLES: Final = _standard_tables()


def _estimate_quality(table: NDArray[np.int64]) -> tuple[float, bool]:
    """Find the nearest quality, and tell whether the table is exactly that of libjpeg."""
    # With logarithms, large and small steps that differ by the same factor count alike.
    distance = np.abs(np.log(np.maximum(table, 1) / _STANDARD_TABLES)).mean(axis=1)
    nearest = int(distance.argmin())
    return float(nearest + 1), bool((table == _STANDARD_TABLES[nearest]).all())


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """Yield the names of the chunks; a truncated file has fewer."""
    position = 8
    while position + 8 <= len(data):
        yield data[position + 4 : position + 8]
        position += 12 + int.from_bytes(data[position : position + 4], "big")


def _webp_chunks(data: bytes) -> Iterator[bytes]:
    position = 12
    while position + 8 <= len(data):
        yield data[position : position + 4]
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + length + length % 2  # chunks begin at even positions


_CHUNKS: Final = {"PNG": _png_chunks, "WebP": _webp_chunks}
