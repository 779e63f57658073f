import pickle
import threading
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from detectorkit.utils import feature_cache as module
from detectorkit.utils.feature_cache import FeatureCache


def row(value):
    return np.full(4, value, np.float32)


def test_features_come_back_from_disk_without_pickle(tmp_path):
    cache = FeatureCache(tmp_path / "features")
    assert len(cache) == 0
    assert cache.get(b"a" * 16) is None
    cache.put(b"a" * 16, row(1))
    cache.flush()
    cache.flush()  # nothing new
    again = FeatureCache(tmp_path / "features")
    assert len(again) == 1
    assert_array_equal(again.get(b"a" * 16), row(1))
    (part,) = (tmp_path / "features").iterdir()
    with np.load(part, allow_pickle=False) as content:
        assert {content[name].dtype.kind for name in content.files} == {"u", "f"}


def test_a_stopped_run_loses_the_last_part_at_most(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PART", 3)
    cache = FeatureCache(tmp_path)
    for number in range(8):
        cache.put(bytes([number]) * 16, row(number))
    (tmp_path / ".part-unfinished.npz-0123").write_bytes(b"torn")
    again = FeatureCache(tmp_path)  # without `flush`
    assert len(again) == 6
    assert_array_equal(again.get(bytes([5]) * 16), row(5))


def test_threads_may_share_a_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PART", 7)
    cache = FeatureCache(tmp_path)

    def fill(first):
        for number in range(first, first + 60):
            cache.put(number.to_bytes(16, "big"), row(number))

    threads = [threading.Thread(target=fill, args=(first,)) for first in (0, 30, 60, 90)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.flush()
    again = FeatureCache(tmp_path)
    assert len(again) == 150
    for number in range(150):
        assert_array_equal(again.get(number.to_bytes(16, "big")), row(number))


@pytest.mark.parametrize(
    "content",
    [
        {"keys": np.zeros((2, 16), np.uint8)},
        {"keys": np.zeros((2, 16), np.uint8), "values": np.zeros((3, 6), np.float32)},
        {"keys": np.zeros((2, 9), np.uint8), "values": np.zeros((2, 6), np.float32)},
        {"keys": np.zeros((2, 16), np.uint8), "values": np.zeros(2, np.float32)},
        {"keys": np.zeros((2, 16), np.uint8), "values": np.full((2, 6), np.nan, np.float32)},
        {"keys": np.array([{}, {}]), "values": np.zeros((2, 6), np.float32)},
        {"keys": np.zeros((2, 16), np.uint8), "values": np.array([["a"], ["b"]])},
    ],
    ids=["no values", "lengths", "short keys", "flat", "NaN", "objects", "text"],
)
def test_a_file_of_another_form_counts_as_damaged(tmp_path, content):
    np.savez(tmp_path / "part-0.npz", **content)
    with pytest.warns(UserWarning, match=r"part-0\.npz are damaged"):
        assert FeatureCache(tmp_path).get(bytes(16)) is None


def test_features_stay_on_disk(tmp_path):
    cache = FeatureCache(tmp_path)
    values = np.random.default_rng(0).random((2000, 1000), np.float32)
    for number, features in enumerate(values):
        cache.put(number.to_bytes(16, "big"), features.copy())
    cache.flush()
    tracemalloc.start()
    again = FeatureCache(tmp_path)
    for number, features in enumerate(values):
        assert_array_equal(again.get(number.to_bytes(16, "big")), features)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes  # two files of four, and a third while it is read


def test_long_rows_make_files_of_some_megabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PART_BYTES", 10_000)
    cache = FeatureCache(tmp_path)
    for number in range(10):
        cache.put(bytes([number]) * 16, np.zeros(1000, np.float32))
    assert len(list(tmp_path.iterdir())) == 5


def test_a_cache_does_not_travel_to_another_process(tmp_path):
    assert pickle.loads(pickle.dumps(FeatureCache(tmp_path))) is None
