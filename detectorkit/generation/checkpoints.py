"""Checkpoints of a training, which are read without pickle."""

from __future__ import annotations

import io
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from detectorkit.utils.files import write_whole

__all__ = ["load_checkpoint", "save_checkpoint"]


def save_checkpoint(path: Path, identity: str, content: dict[str, Any]) -> None:
    """Write the state of a training, whole or not at all."""
    buffer = io.BytesIO()  # torch hides the error of a full disk
    torch.save({"identity": identity, **content}, buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue())


def load_checkpoint(path: Path, identity: str, device: torch.device) -> dict[str, Any]:
    """Read the state of a training, and check that it is of the same one."""
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (EOFError, RuntimeError, UnpicklingError) as error:
        raise ValueError(
            f"checkpoint={str(path)!r} cannot be read: {error}. Delete it, or pass another file."
        ) from error
    if not isinstance(content, dict) or content.get("identity") != identity:
        raise ValueError(
            f"checkpoint={str(path)!r} belongs to a training with other pictures, prompts or "
            "settings. Pass another file, or delete this one."
        )
    return content
