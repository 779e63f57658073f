"""Work in order, bounded however slow the consumer is, and over when the consumer is."""

import threading
import time

import joblib
import pytest

from detectorkit.utils.parallel import map_ahead, map_in_order


class Counter:
    """Counts the calls that were begun."""

    def __init__(self, seconds=0.0):
        self.lock, self.begun, self.seconds = threading.Lock(), 0, seconds

    def __call__(self, item):
        with self.lock:
            self.begun += 1
        time.sleep(self.seconds)
        return item * item


def square(item):
    return item * item


def settled(count):
    """The count when it no longer rises."""
    for _ in range(100):
        before = count()
        time.sleep(0.05)
        if count() == before:
            break
    return before


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_what_is_not_taken_is_bounded(n_jobs):
    function = Counter()
    results = map_in_order(function, range(500), n_jobs=n_jobs)
    for taken in range(1, 4):
        assert next(results) == (taken - 1) ** 2
        assert settled(lambda: function.begun) <= taken + 2 * n_jobs
    assert list(results) == [i * i for i in range(3, 500)]
    assert function.begun == 500


def test_items_are_taken_when_it_is_their_turn():
    taken = []
    results = map_in_order(square, (taken.append(i) or i for i in range(500)), n_jobs=2)
    next(results)
    assert settled(lambda: len(taken)) <= 5
    results.close()


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky", "multiprocessing"])
def test_every_backend_keeps_the_order(backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert list(map_in_order(square, range(30))) == [i * i for i in range(30)]


def test_other_backends_are_bounded_too():
    taken = []
    with joblib.parallel_config(backend="loky", n_jobs=2):
        results = map_in_order(square, (taken.append(i) or i for i in range(500)))
        next(results)
        assert settled(lambda: len(taken)) <= 8
        assert len(list(results)) == 499


def test_an_error_comes_in_its_place_and_leaves_no_thread():
    before = threading.active_count()

    def fail(item):
        if item == 5:
            raise OSError("item 5")
        return item

    results, found = map_in_order(fail, range(100), n_jobs=2), []
    with pytest.raises(OSError, match="item 5"):
        found.extend(results)
    assert found == [0, 1, 2, 3, 4]
    assert threading.active_count() == before


def test_an_error_of_the_items_leaves_no_thread():
    before = threading.active_count()

    def items():
        yield from range(5)
        raise OSError("no more items")

    with pytest.raises(OSError, match="no more items"):
        list(map_in_order(square, items(), n_jobs=2))
    assert threading.active_count() == before


def test_closing_ends_the_work():
    before, function = threading.active_count(), Counter(seconds=0.05)
    results = map_ahead(function, range(500), n_threads=2, n_ahead=20)
    next(results)
    results.close()
    assert function.begun <= 5  # what was at work is finished, what was waiting is not begun
    assert threading.active_count() == before
    time.sleep(0.2)
    assert function.begun <= 5
