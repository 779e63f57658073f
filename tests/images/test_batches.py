import threading

import numpy as np
from numpy.testing import assert_array_equal
from PIL import Image

from detectorkit.images.batches import map_batches
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import check_images

GRAY = Preprocessing(None, "gray", as_uint8=False)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_batches_keep_order_and_split_where_sizes_change():
    sizes = [(4, 4)] * 3 + [(5, 4)] * 2 + [(4, 4)] * 70
    images = [np.full(size, i, np.uint8) for i, size in enumerate(sizes)]
    for n_jobs in (1, 2):
        batches = list(map_batches(lambda b: b[:, 0, 0], check_images(images), GRAY, n_jobs=n_jobs))
        assert_array_equal(np.concatenate(batches), np.arange(75))
        assert [len(batch) for batch in batches] == [3, 2, 59, 11]


def test_few_decoded_images_are_held_at_a_time(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((64, 64), np.uint8))
    alive, most, lock = 0, 0, threading.Lock()

    def count(batch):
        nonlocal alive, most
        with lock:
            alive += len(batch)
            most = max(most, alive)
        result = batch[:, 0, 0].copy()
        with lock:
            alive -= len(batch)
        return result

    images = check_images([path] * 1000)
    total = sum(len(b) for b in map_batches(count, images, GRAY, n_jobs=2, batch_size=16))
    assert total == 1000
    assert most <= 32
