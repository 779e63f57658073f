"""
Which traces a generator leaves
===============================

Look for traces in generated faces and in *reconstructions* of photographs, tell traces from what is
due to content, and find out which families of features a detector uses.

The faces are true output of the small generator that comes along. There are no photographs of
faces of the same kind beside them, so each difference between the two can be one of content. A
reconstruction by a small decoder is not an AI-generated image, but it shows the same picture as its
photograph: here each difference is a trace.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from detectorkit import ForensicDetector
from detectorkit.datasets import make_upsampling_images, sample_generated_faces
from detectorkit.features import (
    BlockDCTTransformer,
    RadialSpectrumTransformer,
    SmoothnessTransformer,
)

# %%
# Images of one size
# ------------------
#
# All images have 64 pixels. The photographs come twice: as small crops, and as larger ones of 256
# pixels that were shrunk. What differs between these two is not a trace of a generator.

data = make_upsampling_images(n_samples=400, image_size=(64, 64), random_state=0)
large = make_upsampling_images(200, image_size=(256, 256), decoders=["bilinear"], random_state=1)
groups = {
    "photographs": data.data[data.target == 0],
    "photographs, shrunk": np.stack(
        [cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA) for image in large.data[::2]]
    ),
    "reconstructions (transposed)": data.data[data.generator == "transposed"],
    "generated faces": sample_generated_faces(200, random_state=0).data,
}

# %%
# Two-dimensional spectra
# -----------------------
#
# The lower row shows the power of each frequency, averaged over the images of a group. Slow changes
# are in the middle, the finest details at the border.


def mean_spectrum(images: np.ndarray) -> np.ndarray:
    """Average the logarithms of the power spectra of the images in grey."""
    grey = images.mean(axis=3)
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    grey *= np.outer(np.hanning(64), np.hanning(64))
    power = np.abs(np.fft.fftshift(np.fft.fft2(grey), axes=(1, 2))) ** 2
    return np.log(power + 1).mean(axis=0)


fig, axes = plt.subplots(2, 4, figsize=(10, 4.9), layout="constrained")
for (name, images), (above, below) in zip(groups.items(), axes.T, strict=True):
    above.imshow(images[0])
    above.set_title(name, fontsize=10)
    above.axis("off")
    drawn = below.imshow(mean_spectrum(images), vmin=2, vmax=18, extent=(-0.5, 0.5, -0.5, 0.5))
    below.set(xlabel="cycles a pixel", xticks=[-0.25, 0, 0.25], yticks=[])
fig.colorbar(drawn, ax=axes[1], label="log power")
plt.show()

# %%
# In photographs the power falls evenly from the middle to the border. Reconstructions and faces
# have spots at a quarter of a cycle a pixel: patterns that are repeated every four pixels, as
# layers of upsampling leave them. Photographs have no such spots, whatever they show.
#
# The bright figure in the middle of the spectrum of the faces is content: all of them have eyes and
# mouth at the same places.

# %%
# The mean over rings
# -------------------
#
# ``RadialSpectrumTransformer`` averages the power over rings. The chart shows the difference to the
# photographs. The rings show the spots of the reconstructions, at a quarter and at half a cycle,
# but hide those of the faces, which are weaker. And the photographs that were shrunk differ from
# the others too: they have more fine detail. So a raised curve does not prove that there is a
# generator.

N_RINGS = 32

spectrum = RadialSpectrumTransformer(n_rings=N_RINGS, n_angles=0)
rings = {name: spectrum.fit_transform(images).mean(axis=0) for name, images in groups.items()}
photographs = rings.pop("photographs")
frequency = (np.arange(N_RINGS) + 0.5) / N_RINGS * np.sqrt(0.5)

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, mean in rings.items():
    ax.plot(frequency, mean - photographs, label=name)
ax.axhline(0, color="black", linewidth=0.8)
ax.set(xlabel="cycles a pixel", ylabel="log power above that of photographs")
ax.legend()
plt.show()

# %%
# Trace or content?
# -----------------
#
# Left: how rough the images are (the median variance in windows of 3 x 3 pixels). Right: how far
# one frequency of blocks of 8 x 8 pixels, that of a quarter of a cycle, lies below its neighbours.
# The points are medians, and the bars go from the lowest 5 % of the images to the highest.

smoothness = SmoothnessTransformer()
blocks = BlockDCTTransformer()


def roughness(images: np.ndarray) -> np.ndarray:
    """Compute the median of the logarithms of the local variances."""
    features = smoothness.fit_transform(images)
    return features[
        :, list(smoothness.get_feature_names_out()).index("smoothness_gray_variance3_q50")
    ]


def dip(images: np.ndarray) -> np.ndarray:
    """Compare frequency (4, 4) with its neighbours on the diagonal."""
    means = blocks.fit_transform(images)[:, :64].reshape(-1, 8, 8)
    return (means[:, 3, 3] + means[:, 5, 5]) / 2 - means[:, 4, 4]


fig, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained", sharey=True)
for ax, describe, label in (
    (axes[0], roughness, "log of the local variance"),
    (axes[1], dip, "log magnitude below its neighbours"),
):
    values = [np.quantile(describe(images), [0.05, 0.5, 0.95]) for images in groups.values()]
    low, median, high = np.transpose(values)
    ax.hlines(range(4), low, high, color="0.6", linewidth=4)
    ax.plot(median, range(4), "o", color="tab:blue")
    ax.set(xlabel=label)
axes[0].set_yticks(range(4), list(groups))
axes[0].invert_yaxis()
axes[0].margins(y=0.15)
plt.show()

# %%
# The faces are rougher than the small crops, but so are photographs that were shrunk: this feature
# says how large the things in an image are, and how it was made smaller.
#
# The dip is another matter. Photographs of both kinds have none, and all the faces have it. The
# pattern stands at the same place in every block, where it cancels out of just this frequency. If
# one row and one column are cut off, the dip turns into a peak:

shifted = groups["generated faces"][:, 1:57, 1:57]
print(f"median dip of the faces:    {np.median(dip(groups['generated faces'])):5.2f}")
print(f"one row and column cut off: {np.median(dip(shifted)):5.2f}")

# %%
# So it is a trace, but of this one generator: the reconstructions do not have it either.

# %%
# A detector of many features
# ---------------------------
#
# ``ForensicDetector`` uses such features together. It is fitted on the pairs alone, where content
# gives nothing away, and tested on decoders that it knows and on one that it does not.

UNSEEN = "pixel-shuffle"
pair = np.arange(len(data.target)) // 2
is_unseen = np.isin(pair, pair[data.generator == UNSEEN])
is_train = ~is_unseen & (pair % 4 != 0)

detector = ForensicDetector(random_state=0)
detector.fit(data.data[is_train], data.target[is_train], groups=pair[is_train])
for name, part in (("known decoders", ~is_unseen & ~is_train), ("unseen decoder", is_unseen)):
    scores = detector.decision_function(data.data[part])
    print(f"{name}: AUC {roc_auc_score(data.target[part], scores):.3f} on {part.sum()} images")

# %%
# Which family matters
# --------------------
#
# The chart shows by how much the area under the ROC curve falls if the features of one family are
# permuted among the images. The families contain much of the same information, so the falls do not
# add up.

test = ~is_train
importance = detector.family_importance(data.data[test], data.target[test], random_state=0)
fig, ax = plt.subplots(figsize=(6, 2.5), layout="constrained")
ax.barh(list(importance), list(importance.values()))
ax.set(xlabel="fall of the area under the ROC curve")
plt.show()
