"""Names of origins, sources and pictures, one for each image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_names"]


def as_names(values: Any) -> NDArray[np.object_]:
    """Convert the values of a column, or of several, to text.

    Notes
    -----
    The array holds Python strings, as numpy's own arrays of text make every entry as long as the
    longest: one name of 130 000 characters among 100 000 would need 48 GiB.
    """
    given = values if isinstance(values, np.ndarray) else np.asarray(values, object)
    if given.dtype.kind != "O":
        return given.astype(str).astype(object)
    return np.asarray(np.frompyfunc(str, 1, 1)(given), object)
