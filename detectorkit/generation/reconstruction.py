"""Reconstructions of real pictures by the autoencoders of latent-diffusion models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import Tensor

from detectorkit.generation.pipelines import quiet, require_generate
from detectorkit.training.pairs import BaseAutoencoder

__all__ = ["DiffusersAutoencoder"]


class DiffusersAutoencoder(BaseAutoencoder):
    """An autoencoder of diffusers, for `make_pairs`: AutoencoderKL or AutoencoderTiny.

    Needs the extra ``generate``.

    Parameters
    ----------
    folder : str or Path
        Folder of an autoencoder, or of a whole pipeline that has one in ``vae``. The weights must
        be in safetensors.
    device : str, default="cpu"
        Device of torch to run on, such as "cpu" or "cuda".

    Raises
    ------
    ImportError
        If a package of the extra "generate" is missing.
    OSError
        If the folder has no autoencoder.
    ValueError
        If it is an autoencoder of another kind.

    See Also
    --------
    detectorkit.training.make_pairs : Make pairs of photographs and their reconstructions.

    Notes
    -----
    AutoencoderKL is encoded as the mean of its code, without the noise that is added in training.
    """

    def __init__(self, folder: str | os.PathLike[str], *, device: str = "cpu") -> None:
        require_generate(type(self).__name__)
        from diffusers import AutoModel

        place = Path(folder)
        place = place / "vae" if (place / "vae").is_dir() else place
        if not (place / "config.json").is_file():
            raise FileNotFoundError(
                f"DiffusersAutoencoder: folder={os.fspath(folder)!r} has no autoencoder. Pass the "
                "folder with its config.json, or that of a pipeline."
            )
        with quiet():
            network: Any = AutoModel.from_pretrained(str(place), use_safetensors=True)
        kind = type(network).__name__
        if kind not in {"AutoencoderKL", "AutoencoderTiny"}:
            raise ValueError(
                f"DiffusersAutoencoder: folder={os.fspath(folder)!r} has a {kind}. Pass an "
                "AutoencoderKL or an AutoencoderTiny."
            )
        self.device = device
        self.stride = _find_stride(network.config)
        self._network = network.eval().to(device)
        # Of AutoencoderKL; it brings the standard deviation of codes to 1.
        self._factor = float(network.config.scaling_factor)
        self._shift = float(getattr(network.config, "shift_factor", None) or 0.0)

    def _encode(self, pixels: Tensor) -> Tensor:
        found = self._network.encode(pixels * 2 - 1)
        code: Tensor = found.latent_dist.mode() if "latent_dist" in found else found.latents
        return (code - self._shift) * self._factor

    def _decode(self, code: Tensor) -> Tensor:
        pixels: Tensor = self._network.decode(code / self._factor + self._shift).sample
        return pixels / 2 + 0.5


def _find_stride(config: Any) -> int:
    """Return the side of the square of pixels that one element of the code stands for."""
    widths = getattr(config, "block_out_channels", None) or config.encoder_block_out_channels
    return int(2 ** (len(widths) - 1))
