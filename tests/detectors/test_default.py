"""The default detector: exact arithmetic, whatever the batch, the threads or the processor."""

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose

from detectorkit import load_detector
from detectorkit.images import Treatment
from detectorkit.models import DEFAULT, SHIPPED_BACKBONES, shipped_detectors

pytestmark = pytest.mark.skipif(DEFAULT not in shipped_detectors(), reason="it is not shipped")


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (240 + 8 * k, 300, 3), np.uint8) for k in range(9)]


def test_scores_depend_neither_on_the_batch_nor_on_threads(images):
    alone = [load_detector(n_jobs=1).decision_function([image])[0] for image in images]
    for n_jobs in (1, 2):
        assert_allclose(load_detector(n_jobs=n_jobs).decision_function(images), alone, atol=1e-4)


def test_products_are_of_floats_on_every_processor():
    reference = load_detector().record_.backbone
    model = onnx.load(SHIPPED_BACKBONES / f"{reference.name}.onnx")
    kinds = {node.op_type for node in model.graph.node}
    assert not {kind for kind in kinds if "Integer" in kind or "QLinear" in kind}
    levels = [
        {one.name: one.i for one in node.attribute}["accuracy_level"]
        for node in model.graph.node
        if node.op_type == "MatMulNBits"
    ]
    assert len(levels) == 72
    assert set(levels) == {1}


def test_its_treatment_is_in_the_record():
    assert load_detector().record_.preprocessing.treatment == Treatment(side=224)


def test_it_may_say_that_it_cannot_tell():
    decision = load_detector().record_.decision
    middle = (decision.low + decision.high) / 2
    verdicts = decision.verdicts(np.array([decision.low - 1, middle, decision.high + 1]))
    assert verdicts.tolist() == ["real", "can't tell", "generated"]
