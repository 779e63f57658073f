"""Models that read other files, never end, or fill the memory; and files that are not models."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from detectorkit import ModelFileError, NetworkInput, OnnxDetector, load_detector
from detectorkit.backbones import read_backbone
from detectorkit.cli import main
from detectorkit.graph import sessions
from detectorkit.graph.dynamic import may_contain
from detectorkit.graph.runner import GraphRunner, read_record
from detectorkit.images.sequence import check_images
from tests.graph.test_strange_graphs import X, make_model

DETECTOR = make_model().SerializeToString()


def start_python(code, *arguments, **options):
    """Start a process that may call `score`, with the file that is its first argument."""
    imports = (
        "import sys, numpy as np; from detectorkit.graph import sessions;"
        "from detectorkit.graph.runner import GraphRunner;"
        "from detectorkit.images.sequence import check_images;"
        "black = check_images(np.zeros((1, 8, 6), np.uint8));"
        "score = lambda: GraphRunner.from_file(sys.argv[1]).score(black);"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", imports + code, *arguments], **pipes | options)


def run_python(*arguments, **options):
    with start_python(*arguments, **options) as process:
        return process.communicate(timeout=60)[1], process.returncode


def make_external(tensor):
    """Move the values of a tensor into a file of the working directory."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")


def in_initializer(model):
    make_external(model.graph.initializer[0])


def in_node(model):
    make_external(model.graph.node.add(op_type="Constant").attribute.add(name="value", type=4).t)


def in_branch(model):
    branch = model.graph.node.add(op_type="If").attribute.add(name="then_branch", type=5)
    make_external(branch.g.initializer.add(name="inner"))


def in_function(model):
    node = model.functions.add(name="f", domain="own").node.add(op_type="Constant")
    make_external(node.attribute.add(name="value", type=4).t)


def in_sparse(model):
    make_external(model.graph.sparse_initializer.add().values)


@pytest.mark.parametrize(
    "hide", [in_initializer, in_node, in_branch, in_function, in_sparse], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("prefix", [b"", b"\x9b\x06\x9c\x06"], ids=["plain", "group in front"])
def test_a_tensor_in_another_file_is_refused(hide, prefix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(b"\0\0\x80?" * 100)
    model = make_model()
    hide(model)
    with pytest.raises(ModelFileError, match=r"^m\.onnx keeps the tensor '.*' in another file"):
        GraphRunner(prefix + model.SerializeToString(), "m.onnx")


def test_only_the_values_of_weights_are_not_searched():
    model = make_model()
    model.graph.initializer.append(numpy_helper.from_array(np.frombuffer(b"location" * 2000, "u1")))
    assert not may_contain(model.SerializeToString(), b"location")
    model.graph.initializer[-1].name = "location"
    content = model.SerializeToString()
    assert may_contain(content, b"location")
    GraphRunner(content)  # a name is allowed
    for damage in (b"\xff" * 10**6, b"\x3f", b"\x80" * 20):  # and nothing hangs
        assert may_contain(damage + content, b"location")
        assert not may_contain(damage, b"location")


def endless(graph, score):
    """Add a loop that never ends."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Neg", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    often = graph.constant(np.array(2**62))
    return graph.add("Loop", often, graph.constant(np.bool_(1)), score, body=body)


def large(graph, score):
    """Add a tensor of 400 MB."""
    made = graph.add("ConstantOfShape", graph.constant(np.array([10_000, 10_000])))
    return graph.add("Add", score, graph.add("ReduceMax", made, keepdims=0))


def test_a_run_that_never_ends_is_ended(monkeypatch):
    monkeypatch.setattr(sessions, "RUN_SECONDS", 0.3)
    monkeypatch.setattr(sessions, "ROW_SECONDS", 0.0)
    runner = GraphRunner(make_model(spoil=endless).SerializeToString(), "m.onnx")
    start = time.monotonic()
    with pytest.raises(ModelFileError, match=r"^m\.onnx cannot be run: it did not end within 0\.3"):
        runner.score(check_images(X))
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("n_functions", [27, 1], ids=["each calls twice", "calls itself"])
def test_functions_that_unfold_without_end_are_refused(n_functions):
    model = make_model()
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for number in range(n_functions):
        called = f"f{max(number - 1, 0)}"  # the first calls itself if it is alone
        domain = "own" if number or n_functions == 1 else ""
        nodes = [
            helper.make_node(called if domain else "Neg", [a], [b], domain=domain)
            for a, b in ("xy", "yz")
        ]
        model.functions.append(
            helper.make_function("own", f"f{number}", ["x"], ["z"], nodes, opsets)
        )
    model.opset_import.append(opsets[1])
    last = f"f{n_functions - 1}"
    model.graph.node.append(
        helper.make_node(last, [model.graph.node[-1].input[0]], ["unused"], domain="own")
    )
    content = model.SerializeToString()
    with pytest.raises(ModelFileError, match=r"^m\.onnx has functions that call each other"):
        GraphRunner(content, "m.onnx")
    with pytest.raises(ModelFileError, match="has functions that call each other"):
        OnnxDetector(content, network_input=NetworkInput((8, 6))).fit(X)


def slow_pooling(graph, score):
    """Add one operator on a constant that takes hours: each of 10^7 results is of 10^6 numbers."""
    shape = graph.constant(np.array([1, 1, 4000, 4000]))
    pooled = graph.add("MaxPool", graph.add("ConstantOfShape", shape), kernel_shape=[1000, 1000])
    return graph.add("Add", score, graph.add("ReduceMax", pooled, keepdims=0))


def test_loading_that_never_ends_is_an_error_and_the_process_ends(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(make_model(spoil=slow_pooling).SerializeToString())
    error, status = run_python("sessions.LOAD_SECONDS = 0.5; score()", path)
    assert status == 1
    assert "m.onnx is not an ONNX model that can be run: it did not end within" in error


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_a_run_that_never_ends(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(make_model(spoil=endless).SerializeToString())
    with start_python("print('go', flush=True); score()", path) as process:
        assert process.stdout.readline() == "go\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate(timeout=10)[1]
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("n_bytes", [2**28, 2**30])
def test_the_memory_of_models_is_limited(n_bytes, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(make_model(spoil=large).SerializeToString())
    code = "sessions.MAX_MEMORY = sessions.MAX_CONSTANT = int(sys.argv[2]); score()"
    error, status = run_python(code, path, str(n_bytes))
    assert status == (n_bytes < 2**30)
    assert ("m.onnx cannot be run: " in error) == (n_bytes < 2**30)


@pytest.mark.parametrize("text", [b"detectorkit", b'"format"', b"pixels"])
def test_text_that_is_not_utf8_is_an_error_and_onnxruntime_prints_nothing(text, capfd):
    with pytest.raises(ModelFileError, match=r"^m\.onnx is not an ONNX model"):
        GraphRunner(DETECTOR.replace(text, b"\xff" * len(text)), "m.onnx")
    assert capfd.readouterr() == ("", "")


READERS = {
    "load_detector": load_detector,
    "read_record": read_record,
    "read_backbone": read_backbone,
    "classifier": lambda path: OnnxDetector.from_file(path, network_input=NetworkInput((8, 6))),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("kind", ["pipe", "device", "sparse"])
@pytest.mark.skipif(os.name == "nt", reason="files of POSIX")
def test_only_regular_files_of_limited_size_are_read(read, kind, tmp_path):
    path = tmp_path / "m.onnx"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(20 * 2**30)
    with pytest.raises(ModelFileError, match=r"m\.onnx is not an ONNX model: (not a reg|longer)"):
        read(path)


def test_onnxruntime_writes_nothing_to_the_home(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(DETECTOR)
    home = tmp_path / "home"
    home.mkdir()
    changed = {"HOME": str(home), "USERPROFILE": str(home), "LOCALAPPDATA": str(home)}
    unset = {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    environment = {k: v for k, v in os.environ.items() if k not in unset} | changed
    assert run_python("score()", path, env=environment) == ("", 0)
    assert not list(home.rglob("*"))


@pytest.mark.skipif(os.name == "nt", reason="files of POSIX")
def test_a_folder_and_a_pipe_among_the_backbones_are_damaged(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTORKIT_HOME", str(tmp_path))
    (tmp_path / "backbones" / "folder.onnx").mkdir(parents=True)
    os.mkfifo(tmp_path / "backbones" / "pipe.onnx")
    assert main(["backbones", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, status in (("folder", "damaged"), ("pipe", "damaged"), ("resnet-18", "not")):
        assert [line.split()[1] for line in lines if line.startswith(f"{name} ")] == [status]
