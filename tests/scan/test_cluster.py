"""joblib with dask: a real cluster of two processes, of which one is killed."""

import json
import os
import signal
import time

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score

from detectorkit import HoGSVMDetector, load_detector
from detectorkit.cli import main
from detectorkit.features.hog import HoGTransformer
from detectorkit.scan import ScanRow, scan
from detectorkit.utils.parallel import map_in_order

distributed = pytest.importorskip("distributed", reason="needs the extra dask")

# What goes on in a cluster that is started, killed or stopped is no concern of these tests.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def cluster():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config("dask"),
    ):
        client.wait_for_workers(2)
        yield client


class Model:
    """It is large, counts how often it is unpickled in a process, and says where it runs."""

    arrivals = 0

    def __init__(self):
        self.content = bytes(2_000_000)

    def __setstate__(self, state):
        self.__dict__ |= state
        type(self).arrivals += 1

    def __call__(self, item):
        time.sleep(0.01)
        return item, os.getpid(), type(self).arrivals


def test_a_cluster_gives_what_threads_give(cluster, model, upsampled):
    images, labels = upsampled.data[:60], upsampled.target[:60]
    # A model travels to a worker, not with each of its tasks, and the order is kept.
    found = list(map_in_order(Model(), range(60)))
    assert [item for item, _, _ in found] == list(range(60))
    assert len({process for _, process, _ in found}) == 2
    assert max(arrivals for _, _, arrivals in found) <= 2  # one of them may also compute it
    # Features and scores.
    features = HoGTransformer(n_jobs=2).fit_transform(images)
    with joblib.parallel_config("threading"):
        assert np.array_equal(features, HoGTransformer().fit_transform(images))
        scores = load_detector(model).decision_function(images)
    assert np.array_equal(load_detector(model).decision_function(images), scores)
    # Cross-validation and grid search.
    detector, grid = HoGSVMDetector(random_state=0), {"C": [0.001, 0.1]}
    search = GridSearchCV(detector, grid, cv=2, scoring="roc_auc", n_jobs=2)
    search.fit(images, labels)
    folds = cross_val_score(detector, images, labels, cv=2, scoring="roc_auc", n_jobs=2)
    with joblib.parallel_config("sequential"):
        local = GridSearchCV(detector, grid, cv=2, scoring="roc_auc").fit(images, labels)
        assert search.cv_results_["mean_test_score"].tolist() == pytest.approx(
            local.cv_results_["mean_test_score"].tolist()
        )
        expected = cross_val_score(detector, images, labels, cv=2, scoring="roc_auc")
    assert folds == pytest.approx(expected)


def read_rows(path):
    rows = [ScanRow(**json.loads(line)) for line in path.read_text().splitlines()]
    return [row._replace(seconds=0.0) for row in rows]


def test_a_killed_worker_costs_no_row(cluster, tree, model, contents, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the workers are elsewhere
    for name, content in contents.items():
        for number in range(5):
            (tree / f"{number}-{name}").write_bytes(content)
    with joblib.parallel_config("threading"):
        expected = [row._replace(seconds=0.0) for row in scan(["tree"], model=model, n_jobs=2)]
    processes = list(cluster.run(os.getpid).values())
    rows = scan(["tree"], model=model)
    found = [next(rows)]
    os.kill(processes[0], signal.SIGKILL)
    found.extend(rows)
    assert len(found) == 242
    assert [row._replace(seconds=0.0) for row in found] == expected
    address = cluster.scheduler.address
    with joblib.parallel_config("threading"):  # only --scheduler leads to the cluster
        assert main(["scan", "tree", "-m", model, "-o", "a.jsonl", "--scheduler", address]) == 1
    assert read_rows(tmp_path / "a.jsonl") == expected
