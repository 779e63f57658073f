"""The whole job with detectorkit: 800 files to fit with probabilities, 200 to predict."""

import time

process_start = time.perf_counter()

import json
import sys
from pathlib import Path

import numpy as np

from benchmarks.memory import peak_mb
from detectorkit import HoGSVMDetector

start, cpu_start = time.perf_counter(), time.process_time()
paths = sorted(Path(sys.argv[1]).glob("*.jpg"))
y = np.array([int(path.name[0]) for path in paths])
order = np.random.default_rng(0).permutation(len(paths))
train, test = order[:800], order[800:]
detector = HoGSVMDetector(C=0.01, n_jobs=2, random_state=0)
detector.fit([paths[i] for i in train], y[train])
fit_end = time.perf_counter()
detector.predict_proba([paths[i] for i in test])
end = time.perf_counter()
print(
    json.dumps(
        {
            "import_seconds": start - process_start,
            "features_and_fit_seconds": fit_end - start,
            "features_and_predict_seconds": end - fit_end,
            "job_seconds": end - start,
            "cpu_seconds": time.process_time() - cpu_start,
            "peak_mb": peak_mb(),
        }
    )
)
