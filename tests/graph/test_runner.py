import copy
import io
import pickle
import subprocess
import sys
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from detectorkit import ForensicDetector, ModelFileError, load_detector
from detectorkit.graph import runner as module
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.networks import adopt_classifier
from detectorkit.graph.runner import GraphRunner, threads_of_run
from detectorkit.images.sequence import check_images


@pytest.fixture(scope="module")
def network():
    """The content of a detector that is a network: the mean of red less that of blue."""
    from onnx import TensorProto, helper, numpy_helper

    value = helper.make_tensor_value_info
    weights = np.array([[1], [0], [-1]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["means"]),
            helper.make_node("Flatten", ["means"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logit"]),
        ],
        "network",
        [value("images", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [value("logit", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    taken = NetworkInput((16, 16), mean=(0, 0, 0), std=(1, 1, 1))
    return adopt_classifier(model.SerializeToString(), taken, output="logit", generated_index=1)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), np.uint8)


def test_scores_are_those_of_the_graph(network, pictures):
    runner = GraphRunner(network)
    means = pictures.mean(axis=(1, 2)) / 255
    expected = means[:, 0] - means[:, 2]
    for n_jobs in (None, 1, 2, -1):
        scores = runner.score(check_images(pictures), n_jobs=n_jobs)
        assert scores.dtype == np.float64
        assert_allclose(scores, expected, atol=1e-5)
        few = runner.score(check_images(pictures[:3]), n_jobs=n_jobs)
        assert_allclose(few, expected[:3], atol=1e-5)


def test_threads_work_on_few_images_together_and_share_many():
    assert threads_of_run(3, 2) == 2
    assert threads_of_run(3, 1) == threads_of_run(3, None) == 1
    assert threads_of_run(100, 2) == 1
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert threads_of_run(3, None) == 2


def test_sessions_are_made_once(network, pictures, monkeypatch):
    made = []
    make = module.make_session
    monkeypatch.setattr(
        module, "make_session", lambda *a, **k: made.append(k["n_threads"]) or make(*a, **k)
    )
    runner = GraphRunner(network, n_threads=2)
    for _ in range(3):
        runner.score(check_images(pictures[:3]), n_jobs=2)
    assert made == [2]
    for _ in range(3):
        runner.score(check_images(pictures), n_jobs=2)
    assert sorted(made) == [1, 2]


def test_threads_that_want_a_session_at_once_share_it(network, monkeypatch):
    made = []
    make = module.make_session
    monkeypatch.setattr(
        module, "make_session", lambda *a, **k: made.append(time.sleep(0.05)) or make(*a, **k)
    )
    runner = GraphRunner(network, n_threads=2)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: runner._get_session(1, np.dtype(np.uint8)), range(4)))
    assert len(made) == 2  # one in the constructor
    assert len(set(map(id, found))) == 1


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))])
def test_copies_make_their_own_sessions(network, pictures, duplicate):
    runner = GraphRunner(network)
    again = duplicate(runner)
    assert not again._sessions
    images = check_images(pictures)
    assert_array_equal(again.score(images), runner.score(images))


def test_a_detector_and_a_runner_say_the_same(fitted, upsampled, tmp_path):
    fitted.save(tmp_path / "model.onnx")
    runner, loaded = (
        GraphRunner.from_file(tmp_path / "model.onnx"),
        load_detector(tmp_path / "model.onnx"),
    )
    images = check_images(upsampled.data)
    assert_array_equal(runner.score(images), loaded.decision_function(upsampled.data))
    assert runner.record == loaded.record_


def test_graphs_that_begin_with_features(upsampled, tmp_path):
    detector = ForensicDetector(feature_set=["block_dct"], random_state=0)
    detector.fit(upsampled.data, upsampled.target).save(tmp_path / "model.onnx")
    runner = GraphRunner.from_file(tmp_path / "model.onnx")
    expected = detector.decision_function(upsampled.data)
    assert_allclose(runner.score(check_images(upsampled.data)), expected, atol=1e-4)
    again = pickle.loads(pickle.dumps(runner))
    assert_allclose(again.score(check_images(upsampled.data[:2])), expected[:2], atol=1e-4)


def test_no_detector_is_refused(network, tmp_path):
    from onnx import load_model_from_string

    with pytest.raises(ModelFileError, match=r"x\.onnx is not an ONNX model"):
        GraphRunner(b"nothing", "x.onnx")
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("archive/data.pkl", b"")
    for content in (pickle.dumps([1]), zlib.compress(pickle.dumps([1])), zipped.getvalue()):
        with pytest.raises(ModelFileError, match=r"m\.pkl is not an .* looks like .* opens none"):
            GraphRunner(content, "m.pkl")
    model = load_model_from_string(network)
    del model.metadata_props[:]
    with pytest.raises(ModelFileError, match="has no detectorkit record"):
        GraphRunner(model.SerializeToString())
    with pytest.raises(FileNotFoundError):
        GraphRunner.from_file(tmp_path / "none.onnx")


def test_a_network_runs_without_scikit_learn_and_joblib(network, tmp_path):
    (tmp_path / "model.onnx").write_bytes(network)
    code = (
        "import sys, numpy as np\n"
        "from detectorkit.graph.runner import GraphRunner\n"
        "from detectorkit.images import check_images\n"
        f"runner = GraphRunner.from_file({str(tmp_path / 'model.onnx')!r})\n"
        "runner.score(check_images(np.zeros((30, 16, 16, 3), np.uint8)))\n"
        "runner.record.calibration.predict(np.zeros(2))\n"
        "print([m for m in ('sklearn', 'scipy', 'joblib', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_products_of_8_bit_numbers_do_not_overflow():
    """Two products of large 8-bit numbers exceed 16 bits: CLIP's embeddings came out as noise."""
    from onnx import TensorProto, helper, numpy_helper

    rows = np.full((8, 64), 255, np.uint8)
    weights = np.full((64, 8), 127, np.int8)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["rows", "weights"], ["product"])],
        "product",
        [value("rows", TensorProto.UINT8, ["n", 64])],
        [value("product", TensorProto.INT32, ["n", 8])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = module.make_session(model.SerializeToString(), "product")
    expected = rows.astype(np.int32) @ weights.astype(np.int32)
    assert_array_equal(session.run(None, {"rows": rows})[0], expected)
