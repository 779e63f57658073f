"""Treatment of images before a detector sees them, the same in training and in predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from detectorkit.images.crops import enlarge_to_cover
from detectorkit.images.decoding import MAX_PIXELS, decode_image
from detectorkit.images.encoding import encode_image
from detectorkit.images.preprocessing import ColorSpace, convert_color, resize_image
from detectorkit.utils.fields import Fields
from detectorkit.utils.validation import check_argument, check_count

__all__ = ["Treatment"]

_KINDS: Final = ("aligned", "crop")
_LARGEST_SIDE: Final = math.isqrt(MAX_PIXELS)


@dataclass(frozen=True)
class Treatment:
    """Treatment of images that is saved with a model, so that every image is treated alike.

    Attributes
    ----------
    kind : {"aligned", "crop"}, default="aligned"
        Part of the image that is used. "aligned" takes the centre square and resizes it once to
        `side`, by averaging over areas where it shrinks and linearly where it grows. "crop" takes
        `side` x `side` pixels from the centre at native resolution, after enlarging an image that
        is too small for that.
    side : int, default=160
        Height and width of the treated image, in pixels.
    quality : int or None, default=85
        Quality of the JPEG, with 4:2:0, as which the result is encoded once, from 1 to 100. None
        does not encode it.

    Raises
    ------
    ValueError
        If an attribute is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.images import Treatment
    >>> treatment = Treatment(side=224)
    >>> treatment.apply(np.zeros((300, 400, 3), np.uint8)).shape
    (224, 224, 3)
    >>> treatment.describe()
    'centre square, area 224 px, JPEG 85 4:2:0'
    """

    kind: Literal["aligned", "crop"] = "aligned"
    side: int = 160
    quality: int | None = 85

    def __post_init__(self) -> None:
        check_argument("Treatment", "kind", self.kind, _KINDS)
        if check_count("Treatment", "side", self.side, minimum=1) > _LARGEST_SIDE:
            raise ValueError(f"Treatment: side={self.side!r} must be at most {_LARGEST_SIDE}.")
        quality = self.quality
        if quality is not None and check_count("Treatment", "quality", quality, minimum=1) > 100:
            raise ValueError(f"Treatment: quality={quality!r} must be from 1 to 100, or None.")

    def apply(self, image: NDArray[np.uint8], color_space: ColorSpace = "rgb") -> NDArray[np.uint8]:
        """Treat an image.

        Parameters
        ----------
        image : ndarray of shape (height, width) or (height, width, 3), dtype uint8
            Grey or RGB image to treat, at its full size.
        color_space : {"gray", "rgb"}, default="rgb"
            Colour space of the result.

        Returns
        -------
        treated : ndarray of shape (side, side) or (side, side, 3), dtype uint8
            Treated image, as `load_image` reads it from the file that `encode` makes.
        """
        if self.quality is not None:
            return decode_image(self.encode(image), color_space=color_space)
        treated: NDArray[np.uint8] = convert_color(self._cut_and_resize(image), color_space)
        return treated

    def encode(self, image: NDArray[np.uint8]) -> bytes:
        """Treat an image and return the content of its file.

        Parameters
        ----------
        image : ndarray of shape (height, width) or (height, width, 3), dtype uint8
            Grey or RGB image to treat, at its full size.

        Returns
        -------
        data : bytes
            Content of a JPEG file; of a PNG file where `quality` is None.
        """
        treated = self._cut_and_resize(image)
        if self.quality is None:
            return encode_image(treated, "PNG")
        return encode_image(treated, "JPEG", quality=self.quality, subsampling="4:2:0")

    def _cut_and_resize(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        size = self.side, self.side
        whole: Any = convert_color(image, "rgb")
        if self.kind == "crop":
            whole = enlarge_to_cover(whole, size)
        treated: NDArray[np.uint8] = resize_image(whole[self.window(whole.shape[:2])], size)
        return treated

    def window(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Return the part of an image that the treated image shows.

        Parameters
        ----------
        shape : tuple of (int, int)
            Height and width of the image.

        Returns
        -------
        rows, columns : tuple of (slice, slice)
            Place of a square in the image.
        """
        edge = min(shape) if self.kind == "aligned" else min(self.side, *shape)
        row, column = ((length - edge) // 2 for length in shape)
        return slice(row, row + edge), slice(column, column + edge)

    def describe(self) -> str:
        """Describe the treatment in a few words.

        Returns
        -------
        text : str
            Description such as "centre square, area 160 px, JPEG 85 4:2:0".
        """
        how = "centre square, area" if self.kind == "aligned" else "centre crop"
        encoding = "" if self.quality is None else f", JPEG {self.quality} 4:2:0"
        return f"{how} {self.side} px{encoding}"

    def to_record(self) -> dict[str, Any]:
        """Return the form that is saved with a model.

        Returns
        -------
        record : dict
            Attributes by name, ready for JSON.
        """
        quality = None if self.quality is None else int(self.quality)
        return {"kind": self.kind, "side": int(self.side), "quality": quality}

    @classmethod
    def from_record(cls, fields: Fields) -> Self:
        """Read the form that `to_record` returns.

        Parameters
        ----------
        fields : Fields
            Fields of a record, read from JSON.

        Returns
        -------
        treatment : Treatment
            Treatment with the attributes of the record.

        Raises
        ------
        ModelFileError
            If a field is missing or wrong; the message names it.
        """
        kind: Any = fields.text("kind", _KINDS)
        side, quality = fields.integer("side"), fields.integer("quality")
        if side is None or side > _LARGEST_SIDE:
            raise fields.error("side", f"a whole number from 1 to {_LARGEST_SIDE}")
        if quality is not None and quality > 100:
            raise fields.error("quality", "a whole number from 1 to 100, or null,")
        return cls(kind, side, quality)
