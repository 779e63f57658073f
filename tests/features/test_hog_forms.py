"""HoG in numpy and compiled: the same bits, and when which is used."""

import importlib.util
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from detectorkit.features import _hog_choice, hog_features
from detectorkit.features._hog_blocks import BLOCK_NORMS
from detectorkit.features._hog_choice import choose_counter
from detectorkit.features._hog_numpy import IntegerCounter
from detectorkit.features.hog import compile_hog

needs_numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="the extra 'fast' is not installed"
)


def compiled_counter():
    from detectorkit.features._hog_compiled import CompiledCounter

    return CompiledCounter


@pytest.fixture
def state(monkeypatch):
    """A process that has seen no image yet."""
    fresh = _hog_choice._State()
    monkeypatch.setattr(_hog_choice, "_state", fresh)
    return fresh


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@needs_numba
@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 5),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    cell=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    orientations=st.one_of(st.integers(1, 24), st.sampled_from([255, 256, 257, 1000])),
    channels=st.sampled_from([(), (1,), (2,), (3,), (4,)]),
    levels=st.sampled_from([2, 5, 256]),
    seed=st.integers(0, 999),
)
def test_both_forms_give_the_same_sums_to_the_last_bit(
    n, size, cell, orientations, channels, levels, seed
):
    cell = min(cell[0], size[0]), min(cell[1], size[1])
    random = np.random.default_rng(seed)
    images = random.integers(0, levels, (n, *size, *channels)).astype(np.uint8)
    images *= 255 // (levels - 1)
    parameters = (images.shape[1:], orientations, cell)
    assert_array_equal(compiled_counter()(*parameters)(images), IntegerCounter(*parameters)(images))


@needs_numba
@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 4),
    cells=st.tuples(st.integers(1, 9), st.integers(1, 40)),
    block=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    orientations=st.one_of(st.integers(1, 24), st.just(300)),
    block_norm=st.sampled_from(BLOCK_NORMS),
    scale=st.sampled_from([0, 1e-6, 1e-3, 1, 1e4]),
    seed=st.integers(0, 999),
)
def test_both_forms_normalise_alike_to_the_last_bit(
    n, cells, block, orientations, block_norm, scale, seed
):
    block = min(block[0], cells[0]), min(block[1], cells[1])
    totals = np.random.default_rng(seed).random((n, *cells, orientations)) ** 4 * scale
    blocks = cells[0] - block[0] + 1, cells[1] - block[1] + 1
    found = [np.empty((n, *blocks, *block, orientations), np.float32) for _ in range(2)]
    for kind, out in zip((IntegerCounter, compiled_counter()), found, strict=True):
        kind((cells[0] * 8, cells[1] * 8), orientations, (8, 8)).normalise(totals, block_norm, out)
    assert_array_equal(*found)


def test_few_images_do_not_load_numba():
    assert "None" in run(
        "import sys, numpy as np; from detectorkit.features import hog_features\n"
        "hog_features(np.zeros((64, 128, 128), np.uint8))\n"
        "print(sys.modules.get('numba'))"
    )


@needs_numba
def test_many_images_turn_to_the_compiled_form(state, monkeypatch):
    monkeypatch.setattr(_hog_choice, "PATIENCE", 3 * 64 * 64)
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64), dtype=np.uint8)
    before = hog_features(images[:3])
    assert state.compiled is None
    assert_array_equal(hog_features(images)[:3], before)
    assert state.compiled is compiled_counter()
    assert choose_counter(1, 9) is compiled_counter()
    assert choose_counter(1, 2**16 + 1) is IntegerCounter


@needs_numba
def test_while_one_thread_compiles_the_others_go_on_in_numpy(state):
    with state.lock:
        chosen = []
        thread = threading.Thread(
            target=lambda: chosen.append(choose_counter(_hog_choice.PATIENCE + 1, 9))
        )
        thread.start()
        thread.join(10)
    assert chosen == [IntegerCounter]


@needs_numba
def test_the_compiled_form_can_be_asked_for(state):
    assert compile_hog()
    assert state.n_pixels == 0
    assert choose_counter(1, 9) is compiled_counter()


def test_without_numba_nothing_changes_and_nothing_is_said(state, monkeypatch, capsys):
    monkeypatch.setattr(_hog_choice, "find_spec", lambda _: None)
    assert choose_counter(_hog_choice.PATIENCE + 1, 9) is IntegerCounter
    assert state.is_settled
    assert not compile_hog()
    assert capsys.readouterr() == ("", "")


@needs_numba
def test_a_numba_that_does_not_work_is_as_good_as_none():
    # As it is with a numpy that is too new for it.
    assert "False IntegerCounter" in run(
        "import importlib.abc, sys\n"
        "class Broken(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'numba.core': raise ImportError('Numba needs an older NumPy')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "from detectorkit.features._hog_choice import PATIENCE, choose_counter\n"
        "from detectorkit.features.hog import compile_hog\n"
        "print(compile_hog(), choose_counter(PATIENCE, 9).__name__)"
    )


@needs_numba
def test_it_compiles_where_machine_code_cannot_be_kept():
    assert "True None" in run(
        "from numba.core.caching import FunctionCache\n"
        "FunctionCache._impl_class._locator_classes.clear()\n"
        "from detectorkit.features.hog import compile_hog\n"
        "compiled = compile_hog()\n"
        "from detectorkit.features._hog_compiled import _count_cells\n"
        "print(compiled, _count_cells.stats.cache_path)"
    )
