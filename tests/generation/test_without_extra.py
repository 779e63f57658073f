"""What can be had without the extra "generate", whether it is installed or not."""

import subprocess
import sys

import numpy as np
import pytest

from detectorkit.cli import main
from detectorkit.generation import DreamBoothLoRA, read_captions, sample_generator

CURE = 'the extra "generate": pip install '


@pytest.fixture(autouse=True)
def _no_extra(monkeypatch):
    for name in ("torch", "diffusers"):
        monkeypatch.setitem(sys.modules, name, None)


def test_import_takes_none_of_the_extra():
    code = (
        "import sys, detectorkit.generation as g; g.DreamBoothLoRA, g.sample_generator;"
        "print([m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_extra_is_named(tmp_path):
    picture = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(ImportError, match=f"DreamBoothLoRA needs torch.*{CURE}"):
        DreamBoothLoRA("nowhere", "a photo of sks cat").fit(picture)
    with pytest.raises(ImportError, match=f"sample_generator needs torch.*{CURE}"):
        sample_generator("nowhere", "a cat", output_dir=tmp_path)
    with pytest.raises(ImportError, match=f"DiffusersAutoencoder needs torch.*{CURE}"):
        from detectorkit.generation import DiffusersAutoencoder  # noqa: F401


@pytest.mark.parametrize(
    "words",
    [
        ["dreambooth", "nowhere", "no-pictures", "--class", "cat"],
        ["lora", "nowhere", "no-pictures"],
        ["sample", "nowhere", "--prompt", "a cat"],
    ],
)
def test_command_names_the_extra_before_anything_else(words, tmp_path, capsys):
    assert main(["generate", *words, "-o", str(tmp_path / "new")]) == 2
    assert CURE in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_parameters_are_those_of_scikit_learn():
    from sklearn.base import clone

    model = clone(DreamBoothLoRA("nowhere", "a photo of sks cat", rank=8))
    assert model.get_params()["rank"] == 8
    assert (model.side, model.n_steps) == (512, 800)


def test_captions_are_read_beside_pictures(tmp_path):
    (tmp_path / "1.txt").write_text("\ufeffa woman\n with a hat \n", "utf-8")
    assert read_captions([tmp_path / "1.png"]) == ["a woman with a hat"]
    with pytest.raises(FileNotFoundError, match=r"2\.txt is missing"):
        read_captions([tmp_path / "1.png", str(tmp_path / "2.png")])
    (tmp_path / "3.txt").write_text(" \n")
    with pytest.raises(ValueError, match=r"3\.txt is empty"):
        read_captions([tmp_path / "3.png"])
    (tmp_path / "4.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match=r"4\.txt is not text"):
        read_captions([tmp_path / "4.png"])
