"""The folder in which the snippets of the pages run: small pictures, made on the spot."""

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from detectorkit.datasets import Ledger, LedgerRow

SIDE = 96


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Folders of "photographs", which are noise of all frequencies, and of blurred ones."""
    place, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    fill(place / "my-images", 8, 14, 4, 28, random)  # sources, photographs of each, generators ...
    fill(place / "other-images", 52, 4, 10, 8, random)
    fill(place / "photographs", 8, 8, 0, 0, random)
    fill_study(place, random)
    for index in range(3):
        write(place / "photos" / f"{index}.jpg", draw(random))
    write(place / "photo.jpg", draw(random, side=320))
    write(place / "photo.png", draw(random, side=320))
    settings = PngInfo()
    settings.add_text("prompt", '{"1": {"class_type": "KSampler", "inputs": {"seed": 1}}}')
    Image.open(place / "photo.png").save(place / "picture.png", pnginfo=settings)
    return place


def fill(folder, n_sources, n_photographs, n_generators, n_generated, random):
    """Write real/camera-N/ and generated/generator-N/."""
    for source in range(n_sources):
        for index in range(n_photographs):
            write(folder / "real" / f"camera-{source}" / f"{index}.jpg", draw(random))
    for generator in range(n_generators):
        for index in range(n_generated):
            image = cv2.GaussianBlur(draw(random), None, 0.6 + 0.1 * generator)
            write(folder / "generated" / f"generator-{generator}" / f"{index}.jpg", image)


def fill_study(place, random):
    """Write the collections of the study, with LFW where scikit-learn has it, and two ledgers."""
    lfw = place / "scikit-learn" / "lfw_home" / "lfw_funneled"
    for index in range(40):
        write(place / "img_align_celeba" / f"{index}.jpg", draw(random))
        write(lfw / f"Person_{index}" / f"Person_{index}_0001.jpg", draw(random))
        write(place / "stylegan" / f"{index}.jpg", cv2.GaussianBlur(draw(random), None, 1))
    for name in ("lora", "dreambooth"):
        rows = [LedgerRow(f"{index}.jpg", name, seed=index) for index in range(20)]
        for row in rows:
            write(place / f"my-{name}" / row.path, cv2.GaussianBlur(draw(random), None, 0.7))
        Ledger(place / f"my-{name}").append(rows)


def draw(random, side=SIDE):
    """Draw a picture whose amplitudes fall with the frequency, as those of photographs do."""
    rows, columns = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    falling = 1 / np.maximum(np.hypot(rows, columns), 1 / side)
    spectra = np.fft.rfft2(random.normal(size=(3, side, side))) * falling
    image = np.moveaxis(np.fft.irfft2(spectra, s=(side, side)), 0, 2)
    image = 128 + 40 * image / image.std() + random.normal(0, 8, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def write(path, image):
    """Write a picture, all with the same settings."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
