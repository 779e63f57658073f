"""The only reader of X: it takes files and arrays and returns uint8 or float images.

Every function that takes images calls `check_images`, which checks the form of X without reading
a pixel, and then reads them one by one, or in batches, from the `ImageSequence` that it returns.
Which forms and values are allowed is decided here and nowhere else. Files are decoded in
`detectorkit.images.decoding`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.exceptions import ImageReadError
from detectorkit.images.crops import cut_crops
from detectorkit.images.decoding import (
    MAX_BYTES,
    MAX_PIXELS,
    check_size,
    decode_image,
    decode_pillow,
    decode_shape,
    load_shape,
    read_image_bytes,
)
from detectorkit.images.levels import round_to_levels
from detectorkit.images.pillow import is_pillow_image, orientation_of
from detectorkit.images.preprocessing import Image, Preprocessing, convert_color, resize_image
from detectorkit.images.unfit import ONE_COLOR, is_one_color, why_too_small
from detectorkit.utils.feature_cache import KEY_BYTES

__all__ = ["ImageSequence", "check_images", "kind_of", "stack_images"]

_BYTES: Final = "(bytes)"  # in place of a path
_PART: Final = 1_000_000  # bytes that are read of a file object at a time


class ImageSequence(Sequence[Any]):
    """Images of a checked form, each of which is read when it is needed.

    It is made by `check_images`. A slice is again an `ImageSequence` and keeps the positions of
    its images in the user's X, which error messages name.

    Parameters
    ----------
    items : sequence
        Arrays of one image each, paths, contents of files, or images of Pillow.
    are_rows : bool, default=False
        Whether the images were the rows of a 2-D array. An earlier step may have scaled such
        rows, so their range is not checked.
    start : int, default=0
        Index of the first item in the user's X.
    max_pixels : int, default=MAX_PIXELS
        Greatest number of pixels of an image file. A larger one is refused.
    is_treated : bool, default=False
        Whether the images have gone through the treatment of the detector that will read them, so
        that it is not applied again.

    Attributes
    ----------
    items : sequence
        Arrays of one image each, paths, contents of files, or images of Pillow.
    one_color : dict of int to bool, or None
        Notes of which images that were read are of one colour, by their index in the user's X; None
        where no notes are made.
    """

    one_color: dict[int, bool] | None = None

    def __init__(
        self,
        items: Sequence[Any] | NDArray[Any],
        *,
        are_rows: bool = False,
        start: int = 0,
        max_pixels: int = MAX_PIXELS,
        is_treated: bool = False,
    ) -> None:
        self.items = items
        self._are_rows = are_rows
        self._start = start
        self._max_pixels = max_pixels
        self._is_treated = is_treated

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"ImageSequence slices have step 1, got {step}.")
            part = self._with(self.items[start:stop], self._start + start)
            part.one_color = self.one_color
            return part
        return self.read(int(index), Preprocessing(None, "rgb"))

    def take(self, index: NDArray[np.intp]) -> ImageSequence:
        """Select some of the images.

        Parameters
        ----------
        index : ndarray of int
            Positions of the images in this sequence.

        Returns
        -------
        images : ImageSequence
            The selected images, in the order of `index`. Error messages count from the first of
            them.
        """
        items = self.items
        chosen = items[index] if isinstance(items, np.ndarray) else [items[int(i)] for i in index]
        return self._with(chosen, 0)

    def noting(self) -> ImageSequence:
        """Note which images are of one colour as they are read, for `unfit`.

        Returns
        -------
        images : ImageSequence
            The same images. They and their slices share the notes.
        """
        noted = self._with(self.items, self._start)
        noted.one_color = {}
        return noted

    def unfit(self, min_side: int) -> list[str | None]:
        """Find for each image why it cannot be judged.

        Parameters
        ----------
        min_side : int
            Shorter side in pixels below which an image is too small.

        Returns
        -------
        reasons : list of str or None
            Reasons in words; None for images that can be judged.

        Raises
        ------
        ImageReadError
            If a file cannot be read. Images are decoded only where `noting` has no note.
        """
        return [self._why_unfit(index, min_side) for index in range(len(self))]

    def _why_unfit(self, index: int, min_side: int) -> str | None:
        reason = why_too_small(self.shape_of(index), min_side)
        if reason is not None:
            return reason
        notes = {} if self.one_color is None else self.one_color
        is_blank = notes.get(self._start + index)
        if is_blank is None:  # read by another process, or not yet
            is_blank = is_one_color(self.read(index, Preprocessing(None, "rgb")))
        return ONE_COLOR if is_blank else None

    def _with(self, items: Any, start: int) -> ImageSequence:
        return ImageSequence(
            items,
            are_rows=self._are_rows,
            start=start,
            max_pixels=self._max_pixels,
            is_treated=self._is_treated,
        )

    def read(self, index: int, preprocessing: Preprocessing) -> Image:
        """Read one image.

        Parameters
        ----------
        index : int
            Position of the image in this sequence.
        preprocessing : Preprocessing
            Treatment of the image, and colour space and size to which it is converted.

        Returns
        -------
        image : ndarray of shape (height, width) or (height, width, 3)
            Image of dtype uint8, or float32 for float arrays that are not rounded. With
            `n_crops`, the crops are stacked along a first axis.

        Raises
        ------
        ImageReadError
            If the file cannot be decoded.
        ValueError
            If the array has values that an image cannot have, or rows of a 2-D array are to be
            treated.
        """
        if preprocessing.n_crops is not None and preprocessing.image_size is not None:
            whole = replace(preprocessing, image_size=None, n_crops=None)
            crops = self.read(index, whole)
            return cut_crops(crops, preprocessing.image_size, preprocessing.n_crops)
        item = self.items[index]
        if preprocessing.treatment is not None and not self._is_treated:
            image: Image = self._read_treated(index, preprocessing)
        elif not isinstance(item, np.ndarray):
            image = self._decode(item, self._start + index, preprocessing)
        else:
            image = _checked_array(item, self._start + index, check_range=not self._are_rows)
            if preprocessing.as_uint8 and not self._are_rows and image.dtype != np.uint8:
                image = round_to_levels(image)
            image = convert_color(image, preprocessing.color_space)
        # What is treated was noted when it was read without the treatment.
        if self.one_color is not None and self._start + index not in self.one_color:
            self.one_color[self._start + index] = is_one_color(image)
        if preprocessing.image_size is None:
            return image
        return resize_image(image, preprocessing.image_size)

    def _decode(self, item: Any, index: int, preprocessing: Preprocessing) -> NDArray[np.uint8]:
        """Decode a file, its content, or an image of Pillow."""
        if is_pillow_image(item):
            path = getattr(item, "filename", "") or "(PIL image)"
            check_size(item.height, item.width, path, self._max_pixels, index)
            return decode_pillow(item, preprocessing.color_space, path, index)
        is_content = isinstance(item, bytes)
        return decode_image(
            item if is_content else read_image_bytes(item, index),
            path=_BYTES if is_content else item,
            color_space=preprocessing.color_space,
            image_size=preprocessing.image_size,
            max_pixels=self._max_pixels,
            index=index,
        )

    def _read_treated(self, index: int, preprocessing: Preprocessing) -> Image:
        if self._are_rows:
            raise ValueError(
                f"Image {self._start + index}: the treatment of the detector needs images, but X "
                "is a 2-D array, whose rows may have been scaled. Pass images of shape (n_samples, "
                "height, width) or their paths, or set treatment=None and fit again."
            )
        treatment: Any = preprocessing.treatment
        # At full size, so that the result is that of a file which was treated before.
        whole: Any = self.read(index, Preprocessing(None, "rgb"))
        treated: Image = treatment.apply(whole, preprocessing.color_space)
        return treated

    def key_of(self, index: int) -> bytes | None:
        """Compute a hash of all that an image is read from, without decoding it.

        Parameters
        ----------
        index : int
            Position of the image in this sequence.

        Returns
        -------
        key : bytes or None
            Hash of 16 bytes; None for an image of Pillow, which may have been changed since it was
            opened.

        Raises
        ------
        ImageReadError
            If the file cannot be read.
        """
        item = self.items[index]
        if is_pillow_image(item):
            return None
        form: tuple[Any, ...] = (self._are_rows, self._is_treated)
        if isinstance(item, np.ndarray):
            form += (item.dtype.str, item.shape)
            content = np.ascontiguousarray(item).tobytes()
        elif isinstance(item, bytes):
            content = item
        else:
            content = read_image_bytes(item, self._start + index)
        made_of = blake2b(content, digest_size=KEY_BYTES)
        made_of.update(repr(form).encode())
        return made_of.digest()

    def shape_of(self, index: int) -> tuple[int, int]:
        """Return height and width of an image before preprocessing.

        Parameters
        ----------
        index : int
            Position of the image in this sequence.

        Returns
        -------
        shape : tuple of (int, int)
            Height and width in pixels. For a file, the orientation is applied and only the
            header is read (an AVIF file is decoded).

        Raises
        ------
        ImageReadError
            If the file cannot be read.
        """
        item, index = self.items[index], self._start + index
        if isinstance(item, np.ndarray):
            return item.shape[0], item.shape[1]
        if is_pillow_image(item):
            return item.size if orientation_of(item) >= 5 else item.size[::-1]
        if isinstance(item, bytes):
            return decode_shape(item, _BYTES, self._max_pixels, index)
        return load_shape(item, max_pixels=self._max_pixels, index=index)

    def prepare(self, preprocessing: Preprocessing) -> ImageSequence:
        """Read all images for detectors with one preprocessing, so that each need not do it.

        Parameters
        ----------
        preprocessing : Preprocessing
            Treatment, colour space and size of the images. Crops are not cut yet.

        Returns
        -------
        images : ImageSequence
            The images as arrays, of which such a detector computes the same scores.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded.
        """
        if preprocessing.n_crops is not None:
            preprocessing = replace(preprocessing, image_size=None, n_crops=None)
        return ImageSequence(
            [self.read(index, preprocessing) for index in range(len(self))],
            are_rows=self._are_rows,
            start=self._start,
            is_treated=self._is_treated or preprocessing.treatment is not None,
        )

    def read_stacked(self, preprocessing: Preprocessing) -> Iterator[NDArray[Any]]:
        """Read all images, stacked into as few arrays as their sizes allow.

        Parameters
        ----------
        preprocessing : Preprocessing
            Colour space and size to which the image is converted.

        Yields
        ------
        images : ndarray of shape (n, height, width) or (n, height, width, 3)
            Consecutive images of equal size and dtype (with `n_crops`, of equally many crops).
        """
        if self._is_ready(preprocessing):
            yield np.asarray(self.items)
            return
        yield from stack_images(self.read(index, preprocessing) for index in range(len(self)))

    def _is_ready(self, preprocessing: Preprocessing) -> bool:
        """Return whether the items are one array that needs no preprocessing."""
        items = self.items
        if not isinstance(items, np.ndarray) or items.dtype != np.uint8:
            return False
        if preprocessing.n_crops is not None:
            return False
        if preprocessing.treatment is not None and not self._is_treated:
            return False
        channels = () if preprocessing.color_space == "gray" else (3,)
        size_fits = preprocessing.image_size in {None, items.shape[1:3]}
        return size_fits and items.shape[3:] == channels


def stack_images(images: Iterable[Image]) -> Iterator[NDArray[Any]]:
    """Stack consecutive images of equal shape and dtype."""
    for _, run in groupby(images, lambda image: (image.shape, image.dtype)):
        yield np.stack(list(run))


def check_images(
    X: Any, *, caller: str = "check_images", max_pixels: int = MAX_PIXELS
) -> ImageSequence:
    """Check the form of X without reading a pixel.

    Parameters
    ----------
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects, which are read as a whole at once. An `ImageSequence` is
        returned unchanged, so that estimators take it too.
    caller : str, default="check_images"
        Name of the function or class that error messages begin with.
    max_pixels : int, default=MAX_PIXELS
        Greatest number of pixels of an image file. A larger one is refused when it is read.

    Returns
    -------
    images : ImageSequence
        The images, not yet read.

    Raises
    ------
    TypeError
        If X is a single path, or not a sequence.
    ValueError
        If X is empty or does not have the form of a set of images.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.images.sequence import check_images
    >>> len(check_images(np.zeros((5, 32, 32), dtype=np.uint8)))
    5
    """
    if isinstance(X, ImageSequence):
        return X
    items = _as_items(X, caller)
    if len(items) == 0:
        raise ValueError(
            f"{caller}: found array with 0 sample(s) while a minimum of 1 is required. "
            "Pass at least one image."
        )
    if isinstance(items, np.ndarray):
        _check_array_form(items, caller)
    else:
        _check_item_forms(items, caller)
    return ImageSequence(items, max_pixels=max_pixels)


def _as_items(X: Any, caller: str) -> Any:
    """Return X as one numeric array or as a list."""
    if kind_of(X) not in {None, "an array"}:
        what = (
            f"the single path {os.fspath(X)!r}" if kind_of(X) == "a path" else f"only {kind_of(X)}"
        )
        raise TypeError(f"{caller}: X is {what}. Pass a list, also of one: [X].")
    if hasattr(X, "to_numpy") and getattr(X, "ndim", None) == 1:
        X = X.to_numpy()  # a pandas or polars Series
    if isinstance(X, np.ndarray):
        _refuse_mask(X, f"{caller}: X")
        return list(X) if X.dtype.kind in "OUT" and X.ndim == 1 else X
    if not isinstance(X, Sequence):
        raise TypeError(
            f"{caller}: X is a {type(X).__name__}. Pass an array of images, or a list of arrays, "
            "of paths, of PIL images, of bytes or of file objects."
        )
    return list(X)


def kind_of(item: Any) -> str | None:
    """Name the kind of an image; None if it is none of them."""
    if isinstance(item, np.ndarray):
        return "an array"
    if isinstance(item, str | os.PathLike):
        return "a path"
    if isinstance(item, bytes | bytearray | memoryview):
        return "bytes"
    if is_pillow_image(item):
        return "a PIL image"
    return "a file object" if hasattr(item, "read") else None


def _refuse_mask(X: NDArray[Any], what: str) -> None:
    if isinstance(X, np.ma.MaskedArray):
        raise ValueError(  # noqa: TRY004 - an array it is, but with pixels that do not count
            f"{what} is a masked array, and there is no image with missing pixels. Pass "
            "X.filled(0), or the images without a mask."
        )


def _check_array_form(X: NDArray[Any], caller: str) -> None:
    if X.ndim == 2:
        raise ValueError(
            f"{caller}: X has shape {X.shape}. A 2-D array needs `input_shape`, the (height, "
            "width) of each of its rows; a single image goes in as [image]."
        )
    if X.ndim not in {3, 4}:
        raise ValueError(
            f"{caller}: X has shape {X.shape}. Expected (n_samples, height, width) or "
            "(n_samples, height, width, n_channels)."
        )
    if X.ndim == 3 and X.shape[2] in {3, 4}:
        raise ValueError(
            f"{caller}: X has shape {X.shape}, which looks like one colour image and not like "
            f"{X.shape[0]} grey ones. Pass [image]; grey images of width {X.shape[2]} go in with "
            "shape (n_samples, height, width, 1)."
        )
    _check_image_form(X.shape[1:], X.dtype, f"{caller}: X")


def _check_item_forms(items: list[Any], caller: str) -> None:
    first = kind_of(items[0])
    for index, item in enumerate(items):
        kind = kind_of(item)
        if kind is None:
            raise ValueError(
                f"{caller}: item {index} of X is a {type(item).__name__}. Each image must be an "
                "array of shape (height, width) or (height, width, n_channels), a path, a PIL "
                "image, bytes or a file object."
            )
        if (kind == "an array") != (first == "an array"):
            raise ValueError(
                f"{caller}: X mixes arrays and others: item {index} is {kind}, item 0 is {first}. "
                "Pass only arrays, or none."
            )
        if kind == "an array":
            _refuse_mask(item, f"{caller}: item {index} of X")
            _check_image_form(item.shape, item.dtype, f"{caller}: item {index} of X")
        elif kind in {"bytes", "a file object"}:
            items[index] = _read_content(item, index)


def _read_content(item: Any, index: int) -> bytes:
    """Return the content of an image file that is in memory or open."""
    if not hasattr(item, "read"):
        return bytes(item)
    if getattr(item, "seekable", lambda: False)():
        item.seek(0)  # as in every fold of a cross-validation
    name, parts, n_bytes = str(getattr(item, "name", "(file object)")), [], 0
    while part := item.read(_PART):
        if not isinstance(part, bytes):
            raise ImageReadError(name, "opened as text; open it with mode 'rb'.", index)
        parts.append(part)
        n_bytes += len(part)
        if n_bytes > MAX_BYTES:
            raise ImageReadError(name, f"longer than {MAX_BYTES} bytes.", index)
    return b"".join(parts)


def _check_image_form(shape: tuple[int, ...], dtype: np.dtype[Any], what: str) -> None:
    if len(shape) not in {2, 3}:
        raise ValueError(
            f"{what} has images of shape {shape}. Expected (height, width) or (height, width, "
            "n_channels)."
        )
    if len(shape) == 3 and shape[2] not in {1, 3, 4}:
        raise ValueError(
            f"{what} has images with {shape[2]} channels (shape {shape}). Expected 1 (grey), 3 "
            "(RGB) or 4 (RGBA), in the last place."
        )
    if 0 in shape:
        raise ValueError(f"{what} has images without pixels: shape {shape}.")
    if dtype != np.uint8 and dtype.kind != "f":
        raise ValueError(
            f"{what} has dtype {dtype}. Pass uint8 from 0 to 255 or floats from 0 to 1; for "
            "example images.astype(np.uint8), if the values are 0 to 255."
        )


def _checked_array(image: NDArray[Any], index: int, *, check_range: bool) -> Image:
    """Check the values of one image and return it as uint8 or float32, without alpha."""
    if image.dtype != np.uint8:
        image = image.astype(np.float32, copy=False)
        low, high = float(image.min()), float(image.max())
        if not np.isfinite(high - low):
            raise ValueError(f"Image {index} contains NaN or infinity.")
        if check_range and not (low >= 0 and high <= 1):
            raise ValueError(
                f"Image {index} is float with values from {low:.3g} to {high:.3g}. Floats must "
                "be between 0 and 1: divide by the largest possible value, or pass uint8."
            )
    if image.ndim == 3:
        image = image[..., 0] if image.shape[2] == 1 else image[..., :3]
    return image
