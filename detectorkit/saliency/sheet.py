"""One picture of several explained images, with a legend; drawn without matplotlib."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from detectorkit.images.preprocessing import resize_image
from detectorkit.saliency._base import Map
from detectorkit.saliency.display import BLUE, RED, overlay_map

__all__ = ["draw_legend", "draw_overlay", "draw_row"]

_SIDE: Final = 480  # longer side of a picture on the sheet, in pixels
_LINE: Final = 26  # height of a line of text
_GAP: Final = 8
_WIDTH: Final = 2 * _SIDE + 3 * _GAP
_STRIPE: Final = 6  # width of the stripes over what the detector did not look at


def draw_row(
    image: NDArray[np.uint8], found: Map, window: tuple[slice, slice], caption: str
) -> NDArray[np.uint8]:
    """Draw an image and its saliency map side by side under a caption.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB image.
    found : ndarray of shape (height, width)
        Saliency map of the image.
    window : tuple of (slice, slice)
        Rows and columns of the image that the detector looked at. The rest is striped.
    caption : str
        Text above the image. A long text is cut, accents are left out, and other
        letters than those of English are boxes.

    Returns
    -------
    row : ndarray of shape (n_rows, n_columns, 3), dtype uint8
        The row, as wide as all others.
    """
    small, overlay = draw_overlay(image, found, window)
    height, width = small.shape[:2]
    row = np.full((_LINE + height + _GAP, _WIDTH, 3), 255, np.uint8)
    for left, picture in ((_GAP, small), (2 * _GAP + _SIDE, overlay)):
        row[_LINE : _LINE + height, left : left + width] = picture
    _write(row, caption, _GAP)
    return row


def draw_overlay(
    image: NDArray[np.uint8], found: Map, window: tuple[slice, slice]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a small copy of an image, and its saliency map over another; see `draw_row`."""
    factor = _SIDE / max(image.shape[:2])
    size = max(round(factor * image.shape[0]), 1), max(round(factor * image.shape[1]), 1)
    small = resize_image(image, size)
    overlay = overlay_map(small, resize_image(found, size))
    places = (slice(*(round(factor * end) for end in (one.start, one.stop))) for one in window)
    is_seen = np.zeros(size, np.bool_)
    is_seen[tuple(places)] = True
    return small, np.where(is_seen[..., np.newaxis], overlay, _striped(overlay))


def draw_legend(title: str, entries: Sequence[tuple[str, str]], note: str) -> NDArray[np.uint8]:
    """Draw what the maps are and what their colours mean.

    Parameters
    ----------
    title : str
        Text of the first line.
    entries : sequence of (str, str)
        Pairs of "red", "blue" or "striped", and what it means.
    note : str
        Text of the last line.

    Returns
    -------
    legend : ndarray of shape (n_rows, n_columns, 3), dtype uint8
        The legend, as wide as a row.
    """
    first, last = (np.full((_LINE, _WIDTH, 3), 255, np.uint8) for _ in range(2))
    _write(first, title, _GAP)
    _write(last, note, _GAP)
    lines = [first]
    for colour, meaning in entries:
        line: Any = np.full((_LINE, _WIDTH, 3), 255, np.uint8)
        box = line[4:-4, _GAP : _GAP + 2 * _LINE]
        box[:] = {"red": RED, "blue": BLUE}.get(colour, 160)
        if colour == "striped":
            box[:] = _striped(box)
        _write(line, f"{colour}: {meaning}", 2 * _GAP + 2 * _LINE)
        lines.append(line)
    return np.concatenate([*lines, last])


def _striped(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Dim a picture and lay oblique stripes over it."""
    rows, columns = np.indices(picture.shape[:2])
    is_dark = (rows + columns) // _STRIPE % 2 == 0
    striped: NDArray[np.uint8] = np.where(is_dark[..., np.newaxis], picture // 4, picture // 2)
    return striped


def _write(picture: NDArray[np.uint8], text: str, left: int) -> None:
    """Write a line of text at the top of a picture."""
    # The font has letters of English; of others it has those without their accents.
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    canvas = Image.fromarray(picture)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    if pen.textlength(text, font) > _WIDTH - left:
        while pen.textlength(f"{text}...", font) > _WIDTH - left:
            text = text[:-1]
        text = f"{text}..."
    pen.text((left, _LINE // 2), text, "black", font, anchor="lm")
    picture[:] = np.asarray(canvas)
