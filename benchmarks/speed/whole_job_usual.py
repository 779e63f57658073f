"""The whole job in the usual way: PIL, scikit-image's HoG, SVC with probabilities."""

import time

process_start = time.perf_counter()

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.feature import hog
from sklearn.svm import SVC

from benchmarks.memory import peak_mb

start, cpu_start = time.perf_counter(), time.process_time()
paths = sorted(Path(sys.argv[1]).glob("*.jpg"))
y = np.array([int(path.name[0]) for path in paths])
order = np.random.default_rng(0).permutation(len(paths))
features = np.array(
    [
        hog(np.asarray(Image.open(path).convert("L").resize((128, 128))), cells_per_block=(2, 2))
        for path in paths
    ]
)
features_end = time.perf_counter()
train, test = order[:800], order[800:]
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # SVC(probability=True) is deprecated
    machine = SVC(kernel="linear", C=0.01, probability=True, random_state=0)
    machine.fit(features[train], y[train])
fit_end = time.perf_counter()
machine.predict_proba(features[test])
end = time.perf_counter()
print(
    json.dumps(
        {
            "import_seconds": start - process_start,
            "features_seconds": features_end - start,
            "fit_seconds": fit_end - features_end,
            "predict_seconds": end - fit_end,
            "job_seconds": end - start,
            "cpu_seconds": time.process_time() - cpu_start,
            "peak_mb": peak_mb(),
        }
    )
)
