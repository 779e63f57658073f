from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers", reason="needs the extra generate")
pytest.importorskip("peft", reason="needs the extra generate")

from PIL import Image

from detectorkit.cli import main
from detectorkit.datasets.ledger import read_ledger
from detectorkit.generation import sample_generator
from detectorkit.generation.pictures import format_parameters
from detectorkit.generation.pipelines import Base, _find_dtype
from detectorkit.generation.sampling import _Order, _Sampler, _Settings
from detectorkit.images.decoding import load_image

SETTINGS = {"image_size": (32, 48), "num_inference_steps": 2, "random_state": 7, "device": "cpu"}


def test_prompts_are_taken_in_turn_and_sampling_goes_on(tiny_sd, tmp_path):
    prompts = ["a cat", "a dog"]
    paths = sample_generator(tiny_sd, prompts, n=3, output_dir=tmp_path, **SETTINGS)
    rows = read_ledger(tmp_path)
    assert [(row.prompt, row.seed) for row in rows] == [("a cat", 7), ("a dog", 8), ("a cat", 9)]
    assert [row.guidance_scale for row in rows] == [7.5] * 3  # that of the pipeline
    assert [load_image(path).shape for path in paths] == [(32, 48, 3)] * 3
    assert len({path.read_bytes() for path in paths}) == 3
    lost = paths[1].read_bytes()
    paths[1].unlink()
    kept = paths[0].stat().st_mtime_ns
    again = sample_generator(tiny_sd, prompts, n=3, output_dir=tmp_path, **SETTINGS)
    assert again == paths
    assert paths[1].read_bytes() == lost
    assert paths[0].stat().st_mtime_ns == kept
    assert read_ledger(tmp_path) == rows
    # Other settings give images beside these.
    (other,) = sample_generator(
        tiny_sd, "a cat", negative_prompt="fur", output_dir=tmp_path, **SETTINGS
    )
    assert other not in paths
    assert len(read_ledger(tmp_path)) == 4


def test_any_pipeline_is_sampled_from_the_command_line(tiny_sdxl, tmp_path, capsys):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat\n\n  a dog\n")
    words = ["generate", "sample", str(tiny_sdxl), "--prompts", str(prompts), "--device", "cpu"]
    words += ["--inference-steps", "2", "--size", "32", "32", "--generator", "xl", "-o"]
    assert main([*words, str(tmp_path / "out")]) == 0
    assert "2 images in" in capsys.readouterr().out
    rows = read_ledger(tmp_path / "out")
    assert [(row.generator, row.family, row.prompt) for row in rows] == [
        ("xl", "stable-diffusion-xl", "a cat"),
        ("xl", "stable-diffusion-xl", "a dog"),
    ]
    prompts.write_text("\n")
    assert main([*words, str(tmp_path / "out")]) == 2
    assert "the file has no prompts" in capsys.readouterr().err


def test_images_that_a_safety_checker_blackened_are_left_out(tmp_path, capsys):
    def paint(prompt, generator, **_):
        images = [Image.fromarray(np.full((8, 8, 3), 9, np.uint8)) for _ in prompt]
        return SimpleNamespace(images=images, nsfw_content_detected=[True, False])

    settings = _Settings("m", "1", "", None, 7.5, 2, 8, 8, "DDIMScheduler")
    orders = [_Order("a cat", seed, settings) for seed in (1, 2)]
    paths = _Sampler(Base(paint, "m", "1"), tmp_path, {}).make(orders, 2, verbose=False)
    assert [path.name for path in paths] == [orders[1].name]
    assert [row.seed for row in read_ledger(tmp_path)] == [2]
    assert "safety checker refused seed 1" in capsys.readouterr().err


def test_settings_are_written_as_the_usual_tools_do():
    made = {"prompt": "a cat", "negative_prompt": "fur", "num_inference_steps": 20, "seed": 1}
    made |= {"scheduler": "DDIM", "guidance_scale": None, "width": 512, "height": 768}
    text = format_parameters(made | {"base_model": "a, b", "adapter": ""}, "0.42")
    assert text == (
        "a cat\nNegative prompt: fur\nSteps: 20, Sampler: DDIM, Seed: 1, Size: 512x768, "
        "Model: a  b, Version: diffusers 0.42"
    )


def test_wrong_arguments_are_named(tiny_sd, tmp_path):
    with pytest.raises(ValueError, match=r"prompts=\[\] is empty"):
        sample_generator(tiny_sd, [], output_dir=tmp_path)
    with pytest.raises(ValueError, match="n=0 must be a whole number"):
        sample_generator(tiny_sd, "a cat", n=0, output_dir=tmp_path)
    with pytest.raises(FileNotFoundError):
        sample_generator(tiny_sd, "a cat", adapter=tmp_path / "none", output_dir=tmp_path)


def test_a_generator_of_the_hub_is_named_with_its_revision(tiny_sd, tmp_path, monkeypatch):
    from diffusers import DiffusionPipeline

    asked = {}

    def download(name, **options):
        asked.update(options, name=name)
        return str(tiny_sd)

    monkeypatch.setattr(DiffusionPipeline, "download", download)
    sample_generator("some/model", "a cat", revision="v1", output_dir=tmp_path, **SETTINGS)
    assert asked == {"name": "some/model", "revision": "v1", "use_safetensors": True}
    (row,) = read_ledger(tmp_path)
    assert (row.base_model, row.base_revision) == ("some/model", tiny_sd.name)


@pytest.mark.parametrize(
    ("precision", "has_bfloat16", "expected"),
    [
        ("single", True, torch.float32),
        ("sampling", True, torch.float16),
        ("training", True, {"vae": torch.float32, "default": torch.bfloat16}),
        ("training", False, {"vae": torch.float32, "default": torch.float16}),
    ],
)
def test_number_formats_of_a_graphics_card(
    tiny_sd, tmp_path, monkeypatch, precision, has_bfloat16, expected
):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bfloat16)
    assert _find_dtype(tiny_sd, "cuda", precision) == expected
    assert _find_dtype(tiny_sd, "cpu", precision) == torch.float32
    if precision == "sampling":  # a transformer
        assert _find_dtype(tmp_path, "cuda", precision) == torch.bfloat16
