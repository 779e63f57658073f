import numpy as np
import pytest


class Maker:
    """Images of noise with the planted patterns of generators."""

    def __init__(self, side=64, seed=0):
        self.side = side
        self.random = np.random.default_rng(seed)
        self.patterns = {"real": np.zeros((side, side))}

    def __call__(self, name, n, amplitude=0.5):
        """Make n images with a tile of 8 x 8 that repeats itself, in noise of deviation 3."""
        if name not in self.patterns:
            tile = self.random.normal(0, 1, (8, 8))
            self.patterns[name] = np.tile(tile, (self.side // 8,) * 2)
        noise = self.random.normal(128, 3, (n, self.side, self.side))
        return np.rint(noise + amplitude * self.patterns[name]).clip(0, 255).astype(np.uint8)

    def several(self, counts, amplitude=0.5):
        images = [self(name, n, amplitude) for name, n in counts.items()]
        return np.concatenate(images), np.repeat(list(counts), list(counts.values()))


@pytest.fixture
def make():
    return Maker()
