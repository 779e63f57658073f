"""Files as a camera would leave them, to time what reads them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from detectorkit.datasets import make_upsampling_images

QUALITY = 90


def write_photographs(folder: Path, n: int, side: int) -> tuple[list[str], np.ndarray]:
    """Write square JPEG files with noise, in two classes; return their paths and labels.

    The name of a file begins with its label.
    """
    data = make_upsampling_images(n, image_size=(256, 256), random_state=0)
    random = np.random.default_rng(0)
    paths = []
    for index, (image, label) in enumerate(zip(data.data, data.target, strict=True)):
        large = cv2.resize(image[..., ::-1], (side, side), interpolation=cv2.INTER_CUBIC)
        noise = random.normal(0, 4, large.shape[:2])[..., None]
        noisy = np.clip(large + noise, 0, 255).astype(np.uint8)
        paths.append(str(folder / f"{label}-{side}-{index:04}.jpg"))
        cv2.imwrite(paths[-1], noisy, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return paths, data.target
