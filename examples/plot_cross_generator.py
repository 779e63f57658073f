"""
Known and unknown generators
============================

Fit a detector several times, each time without one generator and some sources of photographs, and
compare the metrics on origins that it knows (*self*) with those on unknown origins (*foreign*).

The photographs are crops of those that come with scikit-image, each of which stands for a source.
The generated images are faces of the small generator that comes along, and *reconstructions* of the
crops by five small decoders, which stand for other generators but are not AI-generated images. The
example shows how to make and read such a report.
"""

import matplotlib.pyplot as plt
import numpy as np

from detectorkit import HoGSVMDetector
from detectorkit.datasets import make_upsampling_images, sample_generated_faces
from detectorkit.evaluation import cross_generator_report

# %%
# Where each image comes from
# ---------------------------
#
# The **origin** of a generated image is its generator, and that of a photograph its source. For
# files it is ``load_images(...).origin``. The **picture** says which images show the same thing.
# Here these are pairs of a crop and its reconstruction. If one of a pair is tested, the other must
# not be trained on. Each face is a picture of its own.

data = make_upsampling_images(n_samples=600, image_size=(64, 64), random_state=0)
faces = sample_generated_faces(60, random_state=0)
X = np.concatenate([data.data, faces.data])
y = np.concatenate([data.target, faces.target])
origin = np.concatenate([data.origin, faces.origin])
picture = np.concatenate([np.arange(600) // 2, 300 + np.arange(60)])
print("generators:", ", ".join(np.unique(origin[y == 1])))
print("sources:", len(np.unique(origin[y == 0])))

# %%
# The report
# ----------
#
# There is one line for each generator. Some sources are left out together with it, so that both
# classes of the foreign test are new. Of the other images, 80 % are used to fit, and 10 % for the
# test *self*.
#
# "found" and "alarms" are proportions at the detector's own threshold. "inverted" marks generators
# whose images look more real to the detector than photographs do: the area under the ROC curve is
# below one half.

detector = HoGSVMDetector(
    C=0.001, image_size=(64, 64), pixels_per_cell=(2, 2), cells_per_block=(1, 1), random_state=0
)
report = cross_generator_report(
    detector, X, y, origin, picture=picture, n_resamples=200, random_state=0
)
print(report.to_text())

# %%
# Self against foreign
# --------------------
#
# The lines are 95 % intervals. They cover the chance in these images. They do not say what the
# area will be for the next generator: the generators differ by more than the width of any of the
# intervals.
#
# In the test *self* the faces are easy, as hardly a photograph shows a face. Without them, the
# detector has only seen pairs of the same content, and knows nothing of faces.

names = [result.trial.name.split(" + ")[0] for result in report.trials]
rows = np.arange(len(names))

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for part, shift, colour in (("self", -0.1, "tab:gray"), ("foreign", 0.1, "tab:red")):
    areas = [result.test[part].metrics["roc_auc"] for result in report.trials]
    value, low, high = np.array(areas).T
    ax.errorbar(
        value, rows + shift, xerr=[value - low, high - value], fmt="o", color=colour, label=part
    )
ax.axvline(0.5, linestyle="--", color="0.6", linewidth=1)
ax.set_yticks(rows, [f"without {name}" for name in names])
ax.invert_yaxis()
ax.set(xlabel="area under the ROC curve (0.5 is chance)", xlim=(0, 1))
ax.legend(loc="upper left")
plt.show()

# %%
# By source and generator
# -----------------------
#
# The chart shows the proportion of each foreign origin that is called generated. For a generator it
# is the proportion found and should be high. For photographs it is the false-positive rate and
# should be low. Metrics over all images hide sources that the detector gets all wrong.

foreign = [row for result in report.trials for row in result.test["foreign"].origins]
foreign.sort(key=lambda row: (not row.is_generator, row.called_generated.value))
value, low, high = np.array([row.called_generated for row in foreign]).T

fig, ax = plt.subplots(figsize=(7, 5.5), layout="constrained")
for is_generator, label, colour in (
    (True, "generators: proportion found", "tab:orange"),
    (False, "sources of photographs: false-positive rate", "tab:blue"),
):
    mine = np.array([row.is_generator == is_generator for row in foreign])
    ax.barh(np.flatnonzero(mine), value[mine], color=colour, label=label)
ax.hlines(range(len(foreign)), low, high, color="0.3", linewidth=1)
ax.set_yticks(range(len(foreign)), [row.name for row in foreign])
ax.set(xlabel="proportion called generated, with 95 % intervals", xlim=(0, 1))
ax.legend(loc="lower right")
plt.show()

# %%
# The metric to quote
# -------------------
#
# The macro balanced accuracy gives every source and every generator the same weight. It is the
# average of two means: over the sources, of 1 minus the false-positive rate, and over the
# generators, of the proportion found. By chance it is one half.

for part in ("self", "foreign"):
    metrics = report.summary[part]["default"]
    worst = metrics["worst_source"]
    print(
        f"{part:8} macro balanced accuracy {metrics['macro_balanced_accuracy']['value']:.2f}; "
        f"worst source: {worst['name']}, {worst['false_positive_rate']:.0%} called generated"
    )
