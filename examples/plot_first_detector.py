"""
A first detector
================

Fit a detector, test it, look at images that it classifies right and wrong, and then show it faces
from a generator that it has never seen.

The detector learns from crops of the photographs that come with scikit-image and, for each crop,
its *reconstruction* by a small decoder of the kind that image generators end in. A reconstruction
is not an AI-generated image. It is the same picture with traces of upsampling, so both classes show
the same content, and the detector cannot learn to tell them apart by what they show.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import RocCurveDisplay

from detectorkit import HoGSVMDetector
from detectorkit.datasets import (
    make_upsampling_images,
    sample_generated_faces,
    train_val_test_split,
)
from detectorkit.evaluation import binary_metrics

# %%
# Images and labels
# -----------------
#
# Label 0 is a photograph, label 1 a reconstruction. ``data.source`` names the photograph that an
# image was cut from, and ``data.generator`` the decoder.

data = make_upsampling_images(n_samples=600, random_state=0)
print(data.data.shape, data.data.dtype)
print("photographs:", len(np.unique(data.source)))
print("decoders:", ", ".join(sorted(set(data.generator) - {"photograph"})))

# %%
# A split by photograph
# ---------------------
#
# Crops of one photograph overlap, and a reconstruction shows the same picture as its crop. If
# they were in different parts of the split, the test would be too easy. With
# ``groups=data.source``, all images of a photograph stay in one part. The search for near
# duplicates is switched off because the groups already keep all copies together.

X_train, X_val, X_test, y_train, y_val, y_test, pictures, _, source = train_val_test_split(
    data.data,
    data.target,
    data.source,
    groups=data.source,
    val_size=0.2,
    test_size=0.3,
    keep_near_duplicates=False,
    random_state=0,
)
print(f"{len(X_train)} images to fit, {len(X_val)} to choose, {len(X_test)} to test")

# %%
# Fitting
# -------
#
# Traces of upsampling are small and can be anywhere, so the cells are small and each is
# normalised alone. The value of ``C`` is chosen on the validation part. With ``groups``, crops of
# one photograph stay in one fold when the probabilities are fitted.

candidates = [
    HoGSVMDetector(C=C, pixels_per_cell=(3, 3), cells_per_block=(1, 1), random_state=0)
    for C in (0.0003, 0.001, 0.003)
]
fitted = [candidate.fit(X_train, y_train, groups=pictures) for candidate in candidates]
val_auc = [
    binary_metrics(y_val, candidate.decision_function(X_val))["roc_auc"].value
    for candidate in fitted
]
detector = fitted[int(np.argmax(val_auc))]
print(detector)

# %%
# The test
# --------
#
# Every metric comes with an interval, which depends on the number of images. The intervals treat
# images as independent. Here many crops share few photographs, so the true uncertainty is larger.

scores = detector.decision_function(X_test)
metrics = binary_metrics(y_test, scores, threshold=detector.threshold_)
for name, estimate in metrics.items():
    print(f"{name:20} {estimate}")

# %%
# scikit-learn's displays take the detector and the images directly.

fig, ax = plt.subplots(figsize=(5, 5), layout="constrained")
RocCurveDisplay.from_estimator(detector, X_test, y_test, ax=ax, name="HoG + SVM")
ax.plot([0, 1], [0, 1], "--", color="0.6", linewidth=1)
ax.set(
    xlabel="proportion of photographs called reconstructions",
    ylabel="proportion of reconstructions found",
    title="Photographs that were not used to fit",
)
plt.show()

# %%
# Right and wrong
# ---------------
#
# The upper row shows the right verdicts with the most extreme probabilities, the lower row the
# wrong ones. The number is the probability of "reconstruction". It holds for data like the training
# data, and for nothing else.

probability = detector.predict_proba(X_test)[:, 1]
order = np.argsort(np.abs(probability - y_test))
rows = [("right", order[:5]), ("wrong", order[:-6:-1])]

fig, axes = plt.subplots(2, 5, figsize=(10, 5), layout="constrained")
for (verdict, chosen), row in zip(rows, axes, strict=True):
    for index, ax in zip(chosen, row, strict=True):
        truth = "reconstruction" if y_test[index] else "photograph"
        ax.imshow(X_test[index])
        ax.set_title(f"{verdict}: {probability[index]:.2f}\n{truth}\n{source[index]}", fontsize=8)
        ax.axis("off")
plt.show()

# %%
# A generator that it never saw
# -----------------------------
#
# ``sample_generated_faces`` runs a small generative adversarial network that comes along. Its faces
# have 64 pixels, and the detector enlarges them to the 128 pixels that it works at. So that size
# makes no difference, the photographs of the test are shrunk to 64 pixels too.

faces = sample_generated_faces(100, random_state=0).data
photographs = X_test[y_test == 0]
shrunk = np.stack(
    [cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA) for image in photographs]
)
both = np.concatenate([shrunk, faces])
is_face = np.repeat([0, 1], [len(shrunk), len(faces)])
unknown = binary_metrics(is_face, detector.decision_function(both), threshold=detector.threshold_)
print("faces called generated:             ", unknown["recall"])
print("shrunk photographs called generated:", unknown["false_positive_rate"])
print("photographs at their own size:      ", metrics["false_positive_rate"])

# %%
# That most faces are found is not yet a success. Of the shrunk photographs twice as many are called
# generated as before: enlarging leaves traces like those of the decoders. And none of the
# photographs is a portrait, so nobody can tell how much of the rest is due to the generator and how
# much to what the images show. To find out, compare with photographs of the same kind and size.
# :doc:`How good is it </accuracy>` does so.

chosen = np.concatenate([shrunk[:5], faces[:5]])
p_chosen = detector.predict_proba(chosen)[:, 1]

fig, axes = plt.subplots(2, 5, figsize=(10, 4.6), layout="constrained")
for image, p, ax in zip(chosen, p_chosen, axes.flat, strict=True):
    ax.imshow(image)
    ax.set_title(f"{p:.2f}")
    ax.axis("off")
# sphinx_gallery_thumbnail_number = 3 # noqa: ERA001
fig.suptitle("Probability of a reconstruction: shrunk photographs (above), generated faces (below)")
plt.show()
