"""
Choosing parameters with GridSearchCV
=====================================

A detector is a scikit-learn classifier that takes images, so scikit-learn's searches work on it.
Here ``C`` and the size of the HoG cells are chosen by cross-validation, with all images of one
photograph in one fold.

The images are crops of photographs and their *reconstructions* by small decoders. Reconstructions
are not AI-generated images, and the parameters that are best here need not be best elsewhere. Pairs
are used because they are hard: with generated faces against photographs of other things, every
parameter would look nearly perfect.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit

from detectorkit import HoGSVMDetector
from detectorkit.datasets import make_upsampling_images

# %%
# Some photographs are set aside first. They are used once, at the end.

data = make_upsampling_images(n_samples=400, random_state=0)
splitter = GroupShuffleSplit(n_splits=1, test_size=0.3, random_state=0)
search_part, test_part = next(splitter.split(data.data, data.target, groups=data.source))
print("searched on:", ", ".join(np.unique(data.source[search_part])))
print("set aside:  ", ", ".join(np.unique(data.source[test_part])))

# %%
# The search
# ----------
#
# ``GroupKFold`` with ``groups`` keeps the crops of a photograph together. Without it, each
# reconstruction would be scored by a detector that was fitted on its original. The area under the
# ROC curve does not depend on a threshold, so it compares parameters more fairly than the accuracy.
#
# For larger searches, ``n_jobs=2`` runs two fits in parallel. Here it would take longer to start
# further processes than to fit. The detector's own ``n_jobs`` stays at one thread.

search = GridSearchCV(
    HoGSVMDetector(cells_per_block=(1, 1), random_state=0),
    {
        "C": [0.0001, 0.001, 0.01],
        "pixels_per_cell": [(3, 3), (4, 4), (8, 8), (16, 16)],
    },
    scoring="roc_auc",
    cv=GroupKFold(n_splits=4),
)
search.fit(data.data[search_part], data.target[search_part], groups=data.source[search_part])
print(search.best_params_)

# %%
# The result
# ----------
#
# The table shows the mean and the standard deviation over the folds. The folds differ a lot,
# because each holds only a few photographs. Differences between neighbouring cells of the table
# mean little.

C_values = search.param_grid["C"]
cell_values = search.param_grid["pixels_per_cell"]
shape = len(C_values), len(cell_values)  # GridSearchCV runs through the last name fastest
mean = search.cv_results_["mean_test_score"].reshape(shape)
spread = search.cv_results_["std_test_score"].reshape(shape)

fig, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
heat = ax.imshow(mean, cmap="viridis")
for row, col in np.ndindex(shape):
    is_light = mean[row, col] > (mean.min() + mean.max()) / 2
    text = f"{mean[row, col]:.2f}\n± {spread[row, col]:.2f}"
    ax.text(col, row, text, ha="center", va="center", color="black" if is_light else "white")
ax.set_xticks(range(shape[1]), [f"{height} x {width}" for height, width in cell_values])
ax.set_yticks(range(shape[0]), [f"{C:g}" for C in C_values])
ax.set(xlabel="pixels_per_cell", ylabel="C", title="ROC AUC in cross-validation by photograph")
fig.colorbar(heat, ax=ax, label="mean ROC AUC")
plt.show()

# %%
# The photographs that were set aside
# -----------------------------------
#
# The best of many candidates tends to look better than it is. Only images that took no part in the
# search say how good it is. With so few photographs, even this area depends much on which ones
# were set aside, and it may be higher as well as lower.

test_auc = roc_auc_score(data.target[test_part], search.decision_function(data.data[test_part]))
print(f"best mean AUC in the search: {search.best_score_:.2f}")
print(f"AUC on photographs set aside: {test_auc:.2f}")
