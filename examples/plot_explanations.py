"""
Where a score comes from
========================

Explain single verdicts of a detector by saliency maps, and measure how far the maps can be trusted
before anything is read into them.

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
# Pixels are replaced by texture from elsewhere in the same image, beginning with the largest values
# of the map (deletion), or put back in this order (insertion). The area under the curve of
# insertion less that of deletion says how well the map finds what the verdict rests on. A map of
# noise shows what is to be had by chance. All maps are smoothed.

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
# By this measure, on these 16 images, occlusion finds what the verdict rests on. The gradient is
# hardly better than noise, and neither smoothing nor the product with the input helps much: how
# steep the score is at a pixel is another question than what it rests on. But this is a single
# measure, without intervals, and the next one does not repeat the result.

# %%
# A game with a known answer
# --------------------------
#
# Images that are half real and half generated: is the largest value of the map in the generated
# half? By chance the hit rate is 0.5, and so is the proportion of the positive values that lies in
# that half.

real, generated = X[y == 0][:16], X[y == 1][:16]
for name in ("gradient", "occlusion"):
    game = pointing_game(methods[name], real, generated, random_state=0)
    print(f"{name:17} hit rate {game.hit_rate}, proportion of the mass {game.mass_share:.2f}")

# %%
# Here the gradient hits at least as often as occlusion: 13 times in 16, and 11 times. The two
# intervals overlap by most of their width, so 16 images do not say which is better, but only that
# of the gradient lies above 0.5. By the proportion of the mass, occlusion is ahead, and the
# gradient is close to chance. So no single measure says which map to trust. Take several measures,
# more images, and intervals, as the :doc:`results </explanations>` do.

# %%
# Parts that add up
# -----------------
#
# Integrated gradients add up to the difference between the score of the image and that of a blurred
# copy, as far as the score is smooth. The score of HoG jumps where a gradient turns from one bin of
# orientation to the next. What is missing here is about as large as the scores, or larger, so these
# maps must not be read as parts of a score.

explainer = IntegratedGradients(detector, n_steps=64)
print("missing:", explainer.completeness_error(X[:3]).round(2))
print("scores: ", detector.decision_function(X[:3]).round(2))
