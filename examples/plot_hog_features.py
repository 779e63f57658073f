"""
What HoG sees
=============

A histogram of oriented gradients (HoG) holds, for each cell of an image, how strong the edges of
each direction are. Draw it for the crop of a photograph and for its reconstruction by a small
decoder, compare it with that of scikit-image, and measure the time.

A reconstruction is the same picture with traces of upsampling, so whatever differs in its features
is due to these traces. It is not an AI-generated image.
"""

import time
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from skimage.feature import hog

from detectorkit.datasets import make_upsampling_images
from detectorkit.features import HoGTransformer, hog_features

# %%
# A crop and its reconstruction
# -----------------------------
#
# Each reconstruction stands after its original. The transformer converts to grey and gives one row
# of features for each image. With cells of 4 x 4 pixels that are normalised one by one by their sum
# ("L1"), each feature is the proportion of one direction in the edges of one cell.

ORIENTATIONS = 9

data = make_upsampling_images(
    n_samples=64,
    decoders=["nearest"],
    photographs=["astronaut", "chelsea", "coffee", "rocket"],
    random_state=2,
)
transformer = HoGTransformer(
    orientations=ORIENTATIONS, pixels_per_cell=(4, 4), cells_per_block=(1, 1), block_norm="L1"
)
features = transformer.fit_transform(data.data)
print(features.shape, features.dtype)

# %%
# Directions
# ----------
#
# The features of an image are an array of cells by directions. Left: the images. Middle: the mean
# proportion of each direction over all cells. The angle is that of the gradient, which is
# perpendicular to the edge. Right: the proportion of the strongest direction in each cell. Where a
# decoder has smoothed the fine texture away, one direction is left and the cell is bright.

shares = features.reshape(len(features), 32, 32, ORIENTATIONS)
angles = (np.arange(ORIENTATIONS) + 0.5) * 180 / ORIENTATIONS
mean_shares = shares.mean(axis=(1, 2))

fig, axes = plt.subplots(2, 3, figsize=(10, 6), layout="constrained")
for row, (index, name) in enumerate(((0, "crop"), (1, "reconstruction"))):
    picture, bars, strongest = axes[row]
    picture.imshow(data.data[index])
    picture.set_title(name)
    picture.axis("off")
    bars.bar(angles, mean_shares[index], width=180 / ORIENTATIONS, edgecolor="white")
    bars.set(
        xlabel="direction of the gradient in degrees",
        ylabel="mean proportion",
        ylim=(0, 1.1 * mean_shares[:2].max()),
    )
    drawn = strongest.imshow(shares[index].max(axis=2), vmin=0, vmax=1)
    strongest.set_title("proportion of the strongest direction")
    strongest.axis("off")
    fig.colorbar(drawn, ax=strongest)
plt.show()

# %%
# One image may be an exception, so compute the mean over all pairs:

strongest_share = shares.max(axis=3).mean(axis=(1, 2))
is_higher = strongest_share[1::2] > strongest_share[::2]
print("mean proportion of the strongest direction")
print(f"  in crops:           {strongest_share[::2].mean():.3f}")
print(f"  in reconstructions: {strongest_share[1::2].mean():.3f}")
print(f"higher in the reconstruction in {is_higher.sum()} of {len(is_higher)} pairs")

# %%
# The same numbers as scikit-image
# --------------------------------
#
# Features come in the order of ``skimage.feature.hog`` and agree with it to single precision.

grey = np.ascontiguousarray(data.data[..., 1])  # the green channel will do here
ours = hog_features(grey)
theirs = np.stack([hog(image, cells_per_block=(2, 2), block_norm="L2-Hys") for image in grey])
print("largest difference:", np.abs(ours - theirs).max())

# %%
# How long it takes
# -----------------
#
# These are the shortest times of five runs each, in one thread, on the machine that built this
# page. The ratio says more than the times. So few images are computed in numpy also where numba is
# installed; see ``detectorkit.features.hog.compile_hog``.


def shortest_time(function: Callable[[], object]) -> float:
    """Return the shortest duration of five calls, in seconds."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


time_ours = shortest_time(lambda: hog_features(grey)) / len(grey)
time_theirs = shortest_time(
    lambda: [hog(image, cells_per_block=(2, 2), block_norm="L2-Hys") for image in grey]
) / len(grey)
print(f"scikit-image: {time_theirs * 1e6:.0f} microseconds an image")
print(f"detectorkit:  {time_ours * 1e6:.0f} microseconds an image")
print(f"ratio:        {time_theirs / time_ours:.0f}")
