"""Settings of generators: the texts and JSON that tools of Stable Diffusion write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from detectorkit.provenance.findings import clean

__all__ = ["Settings", "load_json", "read_settings"]

# ComfyUI writes its graphs into EXIF fields of WebP files, with the name in front.
_PREFIX: Final = re.compile(r"(?i)\s*(?:(?:prompt|workflow|extra_pnginfo):\s*)?(?={)")
_STEPS: Final = re.compile(r"\bSteps: \d")
_OTHERS: Final = re.compile(r"\b(?:Sampler|CFG scale|Seed|Model hash): ")
_MODEL_NAMES: Final = (
    "model", "model_name", "base_model", "sd_model", "ckpt_name", "unet_name", "ckpt",
    "use_stable_diffusion_model", "model_weights", "Model",
)  # fmt: skip
_SAMPLER_NAMES: Final = ("sampler", "sampler_name", "scheduler", "Sampler")
# Of these, two together are settings of a generator, whichever it is.
_USUAL: Final = {
    "seed", "steps", "sampler", "sampler_name", "cfg_scale", "cfgscale", "scale", "prompt",
    "negative_prompt", "uc", "c", "positive_prompt", "guidance_scale", "num_inference_steps",
}  # fmt: skip
_MAX_NODES: Final = 5000


class Settings(NamedTuple):
    """The tool that wrote settings, empty if any could have, and model and sampler."""

    tool: str
    detail: str


def read_settings(text: str) -> Settings | None:
    """Read the settings of a generator; None if the text is something else."""
    start = _PREFIX.match(text)
    if start:
        data = load_json(text[start.end() :])
        return _from_json(data) if isinstance(data, dict) else None
    steps = _STEPS.search(text)
    if steps and _OTHERS.search(text):
        return _from_lines(text[steps.start() :])
    return None


def load_json(text: str) -> Any:
    """Parse JSON; None if it is malformed or too deep."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _from_lines(text: str) -> Settings:
    """Read the last lines of AUTOMATIC1111, whose form many others write too."""
    values = dict(re.findall(r"\b(Model|Sampler|Version|App): ([^,\n]{1,100})", text[:4000]))
    version = values.get("Version", "")
    tool = "AUTOMATIC1111 or a tool that writes its form"
    for name in ("SD.Next", "ComfyUI", "Fooocus", "Civitai"):
        if name.lower() in f"{version} {values.get('App', '')}".lower():
            tool = name
    if re.match(r"f\d", version):
        tool = "Stable Diffusion WebUI Forge"
    return Settings(tool, _describe(values.get("Model"), values.get("Sampler")))


def _from_json(data: dict[str, Any]) -> Settings | None:
    nodes = _comfy_nodes(data)
    if nodes:
        return Settings("ComfyUI", _describe_nodes(nodes))
    inner = data.get("sui_image_params")
    if isinstance(inner, dict):
        return Settings("SwarmUI", _describe_names(inner))
    if (
        "fooocus" in str(data.get("metadata_scheme", ""))[:20]
        or {
            "base_model",
            "performance",
        }
        <= data.keys()
    ):
        return Settings("Fooocus", _describe_names(data))
    if "invoke" in str(data.get("app_id", ""))[:40].lower() or "generation_mode" in data:
        inner = data.get("image")
        return Settings(
            "InvokeAI", _describe_names(data | (inner if isinstance(inner, dict) else {}))
        )
    if len(_USUAL & data.keys()) >= 2:
        return Settings("", _describe_names(data))
    return None


def _comfy_nodes(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes of a ComfyUI graph, in its form for running or for editing."""
    listed = data.get("nodes")
    if isinstance(listed, list):
        return [one for one in listed[:_MAX_NODES] if isinstance(one, dict) and "type" in one]
    nodes = list(data.values())[:_MAX_NODES]
    return [one for one in nodes if isinstance(one, dict) and "class_type" in one]


def _describe_nodes(nodes: list[dict[str, Any]]) -> str:
    model = sampler = None
    for node in nodes:
        inputs = node.get("inputs")
        if isinstance(inputs, dict):
            model = model or _first(inputs, ("ckpt_name", "unet_name", "model_name"))
            sampler = sampler or _first(inputs, ("sampler_name",))
        values = node.get("widgets_values")
        for value in values[:20] if isinstance(values, list) else []:
            if isinstance(value, str) and value.endswith((".safetensors", ".ckpt", ".gguf")):
                model = model or value
    return _describe(model, sampler)


def _describe_names(data: Mapping[str, Any]) -> str:
    return _describe(_first(data, _MODEL_NAMES), _first(data, _SAMPLER_NAMES))


def _first(data: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """Return the first of several entries that is text, or an object with a name."""
    for name in names:
        value = data.get(name)
        if isinstance(value, dict):
            value = value.get("model_name") or value.get("name")
        if isinstance(value, str) and value:
            return value
    return None


def _describe(model: str | None, sampler: str | None) -> str:
    parts = ("model", model), ("sampler", sampler)
    return ", ".join(f"{name} {clean(text, 100)}" for name, text in parts if text)
