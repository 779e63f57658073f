"""
Where a score comes from
========================

Explain single scores of the shipped detectors by saliency maps, and measure how far such maps can
be trusted before anything is read into them.

The maps are drawn for a true generated face and a photograph. They are measured on crops of
photographs and their *reconstructions* by a small decoder, which are not AI-generated images:
halves of such a pair can be joined, so that the right answer is known.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np
from skimage.data import astronaut

from detectorkit import HoGSVMDetector, load_detector
from detectorkit.datasets import make_upsampling_images, sample_generated_faces
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
# Three detectors, the same images
# --------------------------------
#
# ``OcclusionSaliency`` works with every detector: it blurs one window after the other and notes by
# how much the score falls. Red is what speaks for "generated", blue what speaks against it. The
# windows have a quarter of the side of the image as the detector sees it.

images = [sample_generated_faces(1, random_state=0).data[0], astronaut()[:224, 112:336]]
sides = {"transfer": 224, "forensic": 160, "cnn": 64}

figure = plt.figure(figsize=(10, 4.4), layout="constrained")
for part, (name, side) in zip(figure.subfigures(1, 3), sides.items(), strict=True):
    explainer = OcclusionSaliency(
        load_detector(name),
        window_shape=(side // 4, side // 4),
        strides=(side * 3 // 16, side * 3 // 16),
    )
    SaliencyDisplay.from_estimator(explainer, images, figure=part)
    part.suptitle(name)
plt.show()

# %%
# Above is a face from the small generator that comes along, below a photograph. The detectors give
# different scores, and each looks elsewhere. A map says what moved the score, whether the score is
# right or wrong. And its colours are scaled by its own largest values: strong colours do not mean
# that the detector is sure.

# %%
# Which map to trust
# ------------------
#
# To measure maps, fit a detector on pairs. Pixels are replaced by texture from elsewhere in the
# same image, beginning with the largest values of the map (deletion), or put back in this order
# (insertion). The area under the curve of insertion less that of deletion says how well the map
# finds what the score rests on. A map of noise shows what is to be had by chance. All maps are
# smoothed.

data = make_upsampling_images(800, decoders=["nearest"], image_size=(96, 96), random_state=0)
fit, rest = slice(0, 600), slice(600, 800)
detector = HoGSVMDetector(C=0.003, image_size=(96, 96), pixels_per_cell=(4, 4), random_state=0)
detector.fit(data.data[fit], data.target[fit], groups=np.arange(600) // 2)
print(f"accuracy on further images: {detector.score(data.data[rest], data.target[rest]):.2f}")

X, y = data.data[rest], data.target[rest]
some = X[:16]
methods = {
    "gradient": GradientSaliency(detector),
    "SmoothGrad": SmoothGrad(detector, n_samples=5),
    "occlusion": OcclusionSaliency(detector, window_shape=(16, 16), strides=(16, 16)),
}
maps = {name: explainer.transform(some) for name, explainer in methods.items()}
maps["noise"] = np.random.default_rng(0).standard_normal(some.shape[:3], np.float32)
for name, found in maps.items():
    smooth = [cv2.GaussianBlur(one, (0, 0), 2) for one in found]
    areas = deletion_insertion(detector, some, smooth, replacement="patch", n_steps=5)
    print(f"{name:10} {np.mean(areas.insertion - areas.deletion):5.2f}")

# %%
# By this measure, on these 16 images, occlusion finds what the score rests on. The gradient is no
# better than noise, and smoothing does not help: how steep the score is at a pixel is another
# question than what it rests on.

# %%
# A game with a known answer
# --------------------------
#
# Images whose one half is the photograph and whose other half is its reconstruction: is the largest
# value of the map in the reconstructed half? By chance the hit rate is 0.5, and so is the
# proportion of the positive values that lies in that half.

real, generated = X[y == 0][:16], X[y == 1][:16]
for name in ("gradient", "occlusion"):
    game = pointing_game(methods[name], real, generated, random_state=0)
    print(f"{name:10} hit rate {game.hit_rate}, proportion of the mass {game.mass_share:.2f}")

# %%
# Occlusion is ahead again, but the intervals of the two hit rates overlap by most of their width:
# 16 images do not say which map hits more often. And the gradient hits more often than chance,
# though its mass lies in the right half no more than chance would have it. So take several
# measures, more images, and intervals, as the :doc:`results </explanations>` do.

# %%
# Parts that add up
# -----------------
#
# Integrated gradients add up to the difference between the score of the image and that of a blurred
# copy, as far as the score is smooth. The score of HoG jumps where a gradient turns from one bin of
# orientation to the next. What is missing here is as large as the scores, or nearly, so these maps
# must not be read as parts of a score.

explainer = IntegratedGradients(detector, n_steps=32)
print("missing:", explainer.completeness_error(X[:3]).round(2))
print("scores: ", detector.decision_function(X[:3]).round(2))
