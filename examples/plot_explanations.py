"""
Where a score comes from
========================

Explain single verdicts of a detector by maps, and find out which of the maps can be trusted, before
anything is read into them.

The images are crops of photographs and their *reconstructions* by small decoders. Reconstructions
are not AI-generated images.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np

from detectorkit import HoGSVMDetector
from detectorkit.datasets import make_upsampling_images
from detectorkit.saliency import (
    GradientSaliency,
    IntegratedGradients,
    OcclusionSaliency,
    SaliencyDisplay,
    SmoothGrad,
    deletion_insertion,
    pointing_game,
)

# %%
# A detector
# ----------

data = make_upsampling_images(800, decoders=["nearest"], random_state=0)
fit, rest = slice(0, 600), slice(600, 800)
detector = HoGSVMDetector(C=0.003, pixels_per_cell=(4, 4), random_state=0)
detector.fit(data.data[fit], data.target[fit], groups=np.arange(600) // 2)
print(f"accuracy on further images: {detector.score(data.data[rest], data.target[rest]):.2f}")

# %%
# Maps of four images
# -------------------
#
# Red is what speaks for "generated", blue what speaks against it.

X, y = data.data[rest], data.target[rest]
occlusion = OcclusionSaliency(detector, window_shape=(16, 16))
SaliencyDisplay.from_estimator(occlusion, X[:4])
plt.show()

# %%
# Which map to trust
# ------------------
#
# Pixels are replaced by texture from elsewhere in the image, the strongest of a map first. The area
# between the two curves, insertion less deletion, says how well the map knows what the verdict
# rests on. A map of noise says what is had for nothing. All maps are smoothed.

some = X[:16]
methods = {
    "gradient": GradientSaliency(detector),
    "SmoothGrad": SmoothGrad(detector, n_samples=5),
    "gradient x input": GradientSaliency(detector, times_input=True),
    "occlusion": occlusion,
}
maps = {name: explainer.transform(some) for name, explainer in methods.items()}
maps["noise"] = np.random.default_rng(0).standard_normal(some.shape[:3], np.float32)
for name, found in maps.items():
    smooth = [cv2.GaussianBlur(one, (0, 0), 2) for one in found]
    areas = deletion_insertion(detector, some, smooth, replacement="patch", n_steps=10)
    print(f"{name:17} {np.mean(areas.insertion - areas.deletion):5.2f}")

# %%
# Occlusion knows what this detector looks at. The gradient does not, and smoothing does not help:
# how steep the score is at a pixel is another question than what it rests on.

# %%
# A game with a known answer
# --------------------------
#
# Images that are half real and half generated: is the map largest in the generated half? One half
# would be luck.

real, generated = X[y == 0][:16], X[y == 1][:16]
for name in ("gradient", "occlusion"):
    game = pointing_game(methods[name], real, generated, random_state=0)
    print(f"{name:17} hit rate {game.hit_rate}, share of the mass {game.mass_share:.2f}")

# %%
# Shares that add up
# ------------------
#
# Integrated gradients add up to the score, as far as the score is smooth. That of HoG jumps where a
# gradient turns from one bin of orientation to the next, so something is missing.

explainer = IntegratedGradients(detector, n_steps=64)
print("missing:", explainer.completeness_error(X[:3]).round(2))
print("scores: ", detector.decision_function(X[:3]).round(2))
