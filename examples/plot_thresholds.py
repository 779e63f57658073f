"""
Thresholds, and where their promise ends
========================================

Set a threshold for a wanted false-positive rate, and measure the rate: on further images of
the same sources, for which it is promised, and on sources that were not used, for which nothing is
promised. Then try two remedies: the verdict "can't tell", and moving the threshold with a few
labelled images of the new source.

The images are crops of photographs and their *reconstructions* by small decoders. Reconstructions
are not AI-generated images. They are used because each photograph stands for a source and brings
its own reconstructions, so that only the source changes, and not what generated images are. The new
sources were chosen because they show the difference clearly; it need not be so large elsewhere.
"""

import matplotlib.pyplot as plt
import numpy as np

from detectorkit import HoGSVMDetector
from detectorkit.datasets import make_upsampling_images
from detectorkit.datasets.upsampling.reconstructions import PHOTOGRAPHS
from detectorkit.evaluation import (
    ConformalAbstention,
    abstention_metrics,
    calibrate,
    evaluate,
    fpr_threshold,
)

# %%
# Known sources and new ones
# --------------------------
#
# Nine photographs are known. Their crops are split into images to fit on, images to set thresholds
# on, and images to test on; a crop and its reconstruction stay together. Five other photographs
# are new.

DECODERS = ["bilinear", "nearest", "pixel-shuffle", "transposed"]
NEW = ["astronaut", "brick", "coffee", "gravel", "hubble_deep_field"]
KNOWN = [name for name in PHOTOGRAPHS if name not in NEW]

known = make_upsampling_images(1600, decoders=DECODERS, photographs=KNOWN, random_state=0)
new = make_upsampling_images(700, decoders=DECODERS, photographs=NEW, random_state=1)
pair = np.arange(1600) // 2
fit, val, test = np.split(np.arange(1600), [800, 1200])  # pairs stand next to each other

detector = HoGSVMDetector(
    C=0.003, pixels_per_cell=(3, 3), cells_per_block=(1, 1), random_state=0
).fit(known.data[fit], known.target[fit], groups=pair[fit])

# %%
# A threshold for 5 % false positives
# -----------------------------------
#
# ``fpr_threshold`` needs photographs alone. Whatever the distribution of their scores, it knows
# beforehand what rate further photographs of the same kind will have: on average at most the wanted
# rate, and with 95 % confidence within the interval. ``guarantee=True`` promises more: the rate is
# at most 5 % with 95 % confidence. The price is a higher threshold, so fewer images are found.

val_scores = detector.decision_function(known.data[val])
photograph_scores = val_scores[known.target[val] == 0]
asked = fpr_threshold(photograph_scores, 0.05)
strict = fpr_threshold(photograph_scores, 0.05, guarantee=True)
print(f"asked for {asked.target}, set on {asked.n} photographs")
print(f"expected: {asked.rate}, above a score of {asked.threshold:.2f}")
print(f"strict:   {strict.rate}, above a score of {strict.threshold:.2f}")

# %%
# The rates that were measured
# ----------------------------

on_known = evaluate(
    detector, known.data[test], known.target[test], threshold=asked.threshold, n_resamples=200
)
on_new = evaluate(
    detector,
    new.data,
    new.target,
    origin=np.where(new.target == 1, new.generator, new.source),
    threshold=asked.threshold,
    n_resamples=200,
)
rates = {"further crops of known sources": on_known.metrics["false_positive_rate"]}
rates |= {row.name: row.called_generated for row in on_new.origins if not row.is_generator}
for name, rate in rates.items():
    print(f"{name:30} {rate}")

# %%
# On the known sources the promise is kept. On the new ones the rate is anything between nothing and
# nearly all. The interval did not warn of this, because it covers chance among images of one kind,
# and these images are of another kind.

places = np.arange(len(rates))
value, low, high = np.array(list(rates.values())).T
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.barh(places, value, color=["tab:gray"] + ["tab:blue"] * (len(rates) - 1))
ax.hlines(places, low, high, color="0.3", linewidth=1)
ax.axvspan(asked.rate.low, asked.rate.high, color="tab:red", alpha=0.25, label="what was promised")
ax.set_yticks(places, list(rates))
ax.invert_yaxis()
ax.set(xlabel="proportion of photographs called generated", xlim=(0, 1))
ax.legend()
plt.show()

# %%
# The verdict "can't tell"
# ------------------------
#
# ``ConformalAbstention`` keeps both kinds of error within given rates, and gives no verdict
# (``-1``) where it cannot. Its promise holds for the same kind of images only. On the new sources
# it abstains no more often than on the known ones: their scores look as usual, but are wrong.

abstention = ConformalAbstention(fpr=0.05, fnr=0.05).fit(val_scores, known.target[val])
for name, result in (("known", on_known), ("new", on_new)):
    metrics = abstention_metrics(result.y_true, abstention.predict(result.scores))
    print(f"{name} sources")
    for key in ("decided", "accuracy_where_decided", "false_positive_rate", "false_negative_rate"):
        print(f"  {key.replace('_', ' '):23} {metrics[key]}")

# %%
# Moving the threshold
# --------------------
#
# On each of the new sources, 50 labelled images are used to calibrate. ``method="shift"`` moves
# the score at which the probability is one half, and changes nothing else: the ranking, and so the
# area under the ROC curve, stay as they are. Where the ranking is good and the threshold wrong,
# this helps a lot. It cannot help where the ranking is poor. The ``calibration_gap`` of
# ``evaluate`` tells the two apart: it is the balanced accuracy that is lost by a wrong threshold.

accuracies = []
for name in NEW:
    mine = np.flatnonzero(new.source == name)
    few, rest = mine[:50], mine[50:]
    shifted = calibrate(detector, new.data[few], new.target[few], method="shift")
    before, after = (
        evaluate(d, new.data[rest], new.target[rest], n_resamples=200).metrics
        for d in (detector, shifted)
    )
    accuracies.append([m["balanced_accuracy"].value for m in (before, after)])
    print(
        f"{name:18} area {before['roc_auc'].value:.2f}, gap {before['calibration_gap'].value:.2f}, "
        f"threshold {detector.threshold_:.2f} -> {shifted.threshold_:.2f}"
    )

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for row, (before, after) in enumerate(accuracies):
    ax.annotate("", (after, row), (before, row), arrowprops={"arrowstyle": "->"})
ax.plot([a[0] for a in accuracies], range(len(NEW)), "o", color="tab:gray", label="as trained")
ax.plot([a[1] for a in accuracies], range(len(NEW)), "o", color="tab:green", label="shifted")
ax.axvline(0.5, linestyle="--", color="0.6", linewidth=1)
ax.set_yticks(range(len(NEW)), NEW)
ax.invert_yaxis()
ax.set(xlabel="balanced accuracy on the other images of the source", xlim=(0.45, 1.02))
ax.legend(loc="lower left")
plt.show()
