import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers", reason="needs the extra generate")
pytest.importorskip("peft", reason="needs the extra generate")

from diffusers import AutoPipelineForText2Image

from detectorkit.cli import main
from detectorkit.datasets import load_images
from detectorkit.datasets.ledger import read_ledger
from detectorkit.exceptions import ImageReadError
from detectorkit.generation import DreamBoothLoRA, read_captions
from detectorkit.generation.denoising import Batch, Denoiser
from detectorkit.images import find_images, load_image
from detectorkit.provenance import read_provenance

SIDE = 32
PROMPT = "a photo of sks cat"
TRAINING = {"side": SIDE, "rank": 4, "learning_rate": 1e-2, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def class_images(tmp_path_factory, pictures):
    """A folder of the user's own class images: copies of two pictures."""
    folder = tmp_path_factory.mktemp("class")
    for path in pictures[:2]:
        (folder / f"own-{path.name}").write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def trained(tiny_sd, pictures, class_images):
    """Adapters of twelve steps, which other tests reach in other ways."""
    return make_model(tiny_sd, class_images).fit(pictures)


def make_model(model, class_images, **others):
    return DreamBoothLoRA(
        model,
        PROMPT,
        "a photo of cat",
        class_images_dir=class_images,
        **({"n_class_images": 2, "n_steps": 12} | TRAINING | others),
    )


def sample_plainly(model, folder, seed):
    """Sample as a user of diffusers does who has never heard of this library."""
    pipeline = AutoPipelineForText2Image.from_pretrained(model)
    pipeline.set_progress_bar_config(disable=True)
    if folder is not None:
        pipeline.load_lora_weights(folder)
    made = pipeline(
        PROMPT,
        height=SIDE,
        width=SIDE,
        num_inference_steps=3,
        guidance_scale=7.5,
        generator=torch.Generator().manual_seed(seed),
    )
    return np.asarray(made.images[0])


def test_loss_falls(trained):
    assert len(trained.loss_curve_) == trained.n_steps_ == 12
    assert np.mean(trained.loss_curve_[-4:]) < np.mean(trained.loss_curve_[:4])


def test_killed_training_goes_on_to_the_same_bits(
    trained, tiny_sd, pictures, class_images, tmp_path, capsys
):
    words = ["generate", "dreambooth", str(tiny_sd), *map(str, pictures), "-o", str(tmp_path)]
    words += ["--class", "cat", "--class-images", "2", "--class-folder", str(class_images)]
    words += ["--side", str(SIDE), "--rank", "4", "--learning-rate", "1e-2", "--device", "cpu"]
    words += ["--checkpoint-every", "2", "--steps"]
    command = [sys.executable, "-m", "detectorkit", *words, "100000"]
    # What the first call of a process computes may depend on its number of threads.
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        checkpoint = tmp_path / "checkpoint.pt"
        while not checkpoint.exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    n_done = len(torch.load(checkpoint, weights_only=True)["losses"])
    assert 0 < n_done < 12
    assert main([*words, "12"]) == 0
    assert f"Going on after step {n_done}" in capsys.readouterr().err
    resumed = DreamBoothLoRA.load(tmp_path)
    assert resumed.adapter_ == trained.adapter_
    assert resumed.loss_curve_ == trained.loss_curve_


def test_lora_learns_from_pictures_with_captions(tiny_sd, pictures, tmp_path, capsys):
    words = ["generate", "lora", str(tiny_sd), *map(str, pictures), "-o", str(tmp_path)]
    words += ["--side", str(SIDE), "--rank", "2", "--steps", "1", "--device", "cpu", "-n", "1"]
    assert main([*words, "--inference-steps", "2"]) == 0
    assert f"1 images in {tmp_path / 'images'}" in capsys.readouterr().out
    (row,) = read_ledger(tmp_path / "images")
    assert row.prompt == "a red square, number 0"  # the first caption


@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
def test_interrupted_training_leaves_a_checkpoint(
    trained, tiny_sd, pictures, class_images, tmp_path, monkeypatch, capsys
):
    compute_loss = Denoiser.loss
    calls = []

    def interrupt(self, batch):
        calls.append(batch)
        if len(calls) == 8:
            signal.raise_signal(signal.SIGINT)
        return compute_loss(self, batch)

    model = make_model(tiny_sd, class_images, checkpoint=tmp_path / "c.pt")
    monkeypatch.setattr(Denoiser, "loss", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(pictures)
    monkeypatch.undo()
    assert "Stopped after step 7" in capsys.readouterr().err
    assert model.fit(pictures).adapter_ == trained.adapter_
    model.set_params(instance_prompt="another prompt")
    with pytest.raises(ValueError, match="belongs to a training with other pictures"):
        model.fit(pictures)
    (tmp_path / "c.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"c\.pt.* cannot be read"):
        model.fit(pictures)


def test_adapters_load_into_plain_diffusers(trained, tiny_sd, tmp_path):
    trained.save(tmp_path / "adapter")
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "pytorch_lora_weights.safetensors",
        "training.json",
    ]
    settings = {"num_inference_steps": 3, "random_state": 5}
    paths = trained.sample(2, output_dir=tmp_path / "a", subject="tom", **settings)
    again = DreamBoothLoRA.load(tmp_path / "adapter").sample(
        2, output_dir=tmp_path / "b", **settings
    )
    for seed, path, other in zip((5, 6), paths, again, strict=True):
        assert path.read_bytes() == other.read_bytes()
        plain = sample_plainly(tiny_sd, tmp_path / "adapter", seed)
        assert_array_equal(load_image(path), plain)
    assert (plain != sample_plainly(tiny_sd, None, 6)).any()


def test_samples_say_how_they_were_made(trained, tiny_sd, tmp_path):
    from hashlib import sha256

    (path,) = trained.sample(
        1, None, "ugly, 2 heads", output_dir=tmp_path, num_inference_steps=2, subject="tom",
        random_state=3,
    )  # fmt: skip
    (finding,) = read_provenance(path).findings
    assert (finding.kind, finding.says) == ("generator settings", "generated")
    assert finding.detail == f"model {tiny_sd.name}, sampler DDIMScheduler"
    (row,) = read_ledger(tmp_path)
    assert (row.path, row.label, row.seed, row.subject) == (path.name, 1, 3, "tom")
    assert (row.prompt, row.negative_prompt) == (PROMPT, "ugly, 2 heads")
    assert (row.guidance_scale, row.num_inference_steps) == (7.5, 2)
    assert (row.width, row.height, row.scheduler) == (SIDE, SIDE, "DDIMScheduler")
    assert (row.generator, row.family) == (f"{tiny_sd.name}-lora", "stable-diffusion")
    assert row.base_revision.startswith("sha256:")
    assert row.adapter == sha256(trained.adapter_).hexdigest()
    assert row.sha256 == sha256(path.read_bytes()).hexdigest()
    assert row.instance == trained.instance_
    assert {"torch", "diffusers", "detectorkit"} <= set(row.libraries)
    found = load_images(tmp_path / "ledger.csv")
    assert found.data == [str(path)]
    assert found.target.tolist() == [1]


def test_class_images_are_made_if_missing(tiny_sd, pictures, tmp_path, class_images):
    own = tmp_path / "own.png"
    own.write_bytes((class_images / "own-0.png").read_bytes())
    model = make_model(tiny_sd, tmp_path, n_class_images=2, n_steps=1).fit(pictures)
    made = [path for path in find_images(tmp_path) if path != own]
    rows = read_ledger(tmp_path)
    assert sorted(row.path for row in rows) == [path.name for path in made]
    assert [row.prompt for row in rows] == ["a photo of cat"]
    made[0].unlink()
    again = make_model(tiny_sd, tmp_path, n_class_images=2, n_steps=1).fit(pictures)
    assert again.adapter_ == model.adapter_
    assert len(find_images(tmp_path)) == 2


@pytest.mark.parametrize("name", ["tiny_sd2", "tiny_sdxl"])
def test_other_stable_diffusions_with_their_text_encoders(name, request, pictures, tmp_path):
    base = request.getfixturevalue(name)
    model = DreamBoothLoRA(base, PROMPT, train_text_encoder=True, n_steps=2, **TRAINING)
    captions = read_captions(pictures)
    model.fit(pictures, captions).save(tmp_path / "adapter")
    from safetensors.torch import load

    parts = {key.split(".")[0] for key in load(model.adapter_)}
    assert parts == {"unet", "text_encoder"} | (
        {"text_encoder_2"} if name == "tiny_sdxl" else set()
    )
    (path,) = model.sample(1, output_dir=tmp_path / "a", num_inference_steps=3, random_state=5)
    plain = sample_plainly(base, tmp_path / "adapter", 5)
    assert_array_equal(load_image(path), plain)


def test_velocity_is_the_target_where_the_network_predicts_it(tiny_sd2):
    pipeline = AutoPipelineForText2Image.from_pretrained(tiny_sd2)
    denoiser = Denoiser(
        pipeline,
        rank=2,
        train_text_encoder=False,
        gradient_checkpointing=False,
        device="cpu",
        seed=0,
    )
    codes = torch.randn(2, 2, 4, 16, 16).abs()
    weight = torch.tensor([1.0, 0.5])
    batch = Batch(codes, [PROMPT] * 2, weight, torch.Generator().manual_seed(0))
    reached = denoiser.loss(batch)

    drawn = torch.Generator().manual_seed(0)
    spread, noise = torch.randn((2, 2, 4, 16, 16), generator=drawn)
    steps = torch.randint(1000, (2,), generator=drawn)
    latents = (codes[:, 0] + codes[:, 1] * spread) * pipeline.vae.config.scaling_factor
    kept = torch.linspace(0.00085**0.5, 0.012**0.5, 1000).square().neg().add(1).cumprod(0)[steps]
    signal_part, noise_part = (one.sqrt()[:, None, None, None] for one in (kept, 1 - kept))
    hidden = pipeline.encode_prompt([PROMPT] * 2, "cpu", 1, False)[0]  # noqa: FBT003
    noisy = signal_part * latents + noise_part * noise
    predicted = pipeline.unet(noisy, steps, hidden).sample
    velocity = signal_part * noise - noise_part * latents
    errors = (predicted - velocity).square().mean((1, 2, 3))
    assert reached.item() == pytest.approx((errors * weight).sum().item(), rel=1e-4)


def test_memory_is_saved_to_the_same_result(tiny_sd, pictures):
    settings = TRAINING | {"n_steps": 2, "train_text_encoder": True}
    usual, saving = (
        DreamBoothLoRA(tiny_sd, PROMPT, gradient_checkpointing=saves, **settings).fit(pictures)
        for saves in (False, True)
    )
    assert usual.loss_curve_ == pytest.approx(saving.loss_curve_, rel=1e-5)


def test_epochs_and_repeats_end_a_training(tiny_sd, pictures, tmp_path):
    model = DreamBoothLoRA(
        tiny_sd, None, repeats=2, epochs=1, gradient_accumulation_steps=4,
        preview_dir=tmp_path, preview_every=2, **TRAINING,
    )  # fmt: skip
    assert model.fit(pictures, read_captions(pictures)).n_steps_ == 2
    assert [path.name for path in find_images(tmp_path)] == ["step-000002.png"]
    with pytest.raises(ValueError, match="Pass a prompt to sample"):
        model.sample(1, output_dir=tmp_path)


def test_wrong_parameters_are_named(tiny_sd, pictures, tmp_path):
    for name, value in (("side", 33), ("rank", 0), ("learning_rate", 0.0), ("epochs", 0)):
        with pytest.raises(ValueError, match=f"DreamBoothLoRA: {name}={value}"):
            DreamBoothLoRA(tiny_sd, PROMPT, **{name: value}).fit(pictures)
    with pytest.raises(ValueError, match="there are 1 captions for 4 pictures"):
        DreamBoothLoRA(tiny_sd, PROMPT).fit(pictures, ["a cat"])
    with pytest.raises(ValueError, match="instance_prompt=None must be a text"):
        DreamBoothLoRA(tiny_sd, None).fit(pictures)
    broken = tmp_path / "broken.png"
    broken.write_bytes(pictures[0].read_bytes()[:100])
    with pytest.raises(ImageReadError, match=r"broken\.png"):
        DreamBoothLoRA(tiny_sd, PROMPT, **TRAINING).fit([pictures[0], broken])
    (tmp_path / "training.json").write_text('{"parameters": {"nonsense": 1}}')
    with pytest.raises(ValueError, match="is not a record of this class"):
        DreamBoothLoRA.load(tmp_path)


def test_only_stable_diffusion_is_trained():
    from types import SimpleNamespace

    with pytest.raises(ValueError, match="pretrained_model is a SimpleNamespace"):
        Denoiser(
            SimpleNamespace(), rank=2, train_text_encoder=False, gradient_checkpointing=False,
            device="cpu", seed=0,
        )  # fmt: skip
