"""Files of generated images, with the settings inside as the usual tools write them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

__all__ = ["encode_generated", "format_parameters"]


def encode_generated(image: Any, made: Mapping[str, Any], version: str) -> bytes:
    """Encode an image of Pillow as PNG with the text "parameters", which names a generator."""
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("parameters", format_parameters(made, version))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=texts)
    return buffer.getvalue()


def format_parameters(made: Mapping[str, Any], version: str) -> str:
    """Write the settings of an image in the form of AUTOMATIC1111's web interface."""
    settings = {
        "Steps": made["num_inference_steps"],
        "Sampler": made["scheduler"],
        "CFG scale": made["guidance_scale"],
        "Seed": made["seed"],
        "Size": f"{made['width']}x{made['height']}",
        "Model": made["base_model"].replace(",", " "),
        "Lora hash": made["adapter"][:12],
        "Version": f"diffusers {version}",
    }
    lines = [made["prompt"]]
    if made["negative_prompt"]:
        lines.append(f"Negative prompt: {made['negative_prompt']}")
    known = (f"{key}: {value}" for key, value in settings.items() if value not in (None, ""))
    return "\n".join([*lines, ", ".join(known)])
