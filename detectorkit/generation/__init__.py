"""Make generated images: fine-tuned Stable Diffusion, sampling, reconstructions (extra "generate").

Importing this package imports none of the packages of the extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detectorkit.utils.extras import require_extra
from detectorkit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from detectorkit.generation.dreambooth import DreamBoothLoRA
    from detectorkit.generation.prompts import read_captions
    from detectorkit.generation.reconstruction import DiffusersAutoencoder
    from detectorkit.generation.sampling import sample_generator

__all__ = ["DiffusersAutoencoder", "DreamBoothLoRA", "read_captions", "sample_generator"]

_HOME_OF = {
    "DiffusersAutoencoder": "detectorkit.generation.reconstruction",
    "DreamBoothLoRA": "detectorkit.generation.dreambooth",
    "read_captions": "detectorkit.generation.prompts",
    "sample_generator": "detectorkit.generation.sampling",
}

_import, __dir__ = lazy_names(__name__, _HOME_OF)


def __getattr__(name: str) -> Any:
    if name == "DiffusersAutoencoder":  # its base is written with torch
        require_extra("generate", "torch", caller=name)
    return _import(name)
