"""
Which traces tell a reconstruction from a photograph
====================================================

Compare crops of photographs with their reconstructions by small decoders, first by their
frequencies, then by a stack of features, and find out which families of features matter. One
decoder is not used to fit.

A reconstruction is the same picture with traces of upsampling. It is not an AI-generated image, and
features that find reconstructions need not find AI-generated images.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from detectorkit import ForensicDetector
from detectorkit.datasets import make_upsampling_images
from detectorkit.features import RadialSpectrumTransformer

# %%
# Frequencies
# -----------
#
# The chart shows the power spectrum, averaged over rings. Upsampling cannot restore the finest
# details, so reconstructions differ from photographs at high frequencies, each decoder in its own
# way.

N_RINGS = 64

data = make_upsampling_images(n_samples=400, random_state=0)
spectrum = RadialSpectrumTransformer(n_rings=N_RINGS, n_angles=0)
rings = spectrum.fit_transform(data.data)
frequency = (np.arange(N_RINGS) + 0.5) / N_RINGS * np.sqrt(0.5)

fig, axes = plt.subplots(figsize=(7, 4), layout="constrained")
decoders = sorted(set(data.generator[data.target == 1]))
photographs = rings[data.target == 0].mean(axis=0)
for decoder in decoders:
    difference = rings[data.generator == decoder].mean(axis=0) - photographs
    axes.plot(frequency, difference, label=decoder)
axes.axhline(0, color="black", linewidth=0.8)
axes.set(xlabel="cycles a pixel", ylabel="log power above photographs")
axes.legend()
plt.show()

# %%
# A stack of features
# -------------------
#
# The default ``ForensicDetector`` is measured on decoders that it knows and on one that it does
# not. Crops and their reconstructions stand next to each other in these data.

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
fig, axes = plt.subplots(figsize=(6, 2.5), layout="constrained")
axes.barh(list(importance), list(importance.values()))
axes.set(xlabel="fall of the area under the ROC curve")
plt.show()
