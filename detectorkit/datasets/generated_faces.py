"""Faces from the small generator that comes along."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.utils import Bunch, check_random_state

from detectorkit.models import SHIPPED_GENERATORS

if TYPE_CHECKING:
    from detectorkit.graph.sessions import Session

__all__ = ["GENERATOR", "sample_generated_faces"]

GENERATOR: Final = "faces64"
"""Name of the generator and of its files, the model and its card."""


def sample_generated_faces(
    n_samples: int = 100, *, random_state: int | np.random.RandomState | None = None
) -> Bunch:
    """Generate faces with the small generative adversarial network that comes along.

    The images are the true output of a generator, made offline. The generator is small and its
    faces are easily recognised, so a score on them says little about other generators.

    Parameters
    ----------
    n_samples : int, default=100
        Number of images.
    random_state : int, RandomState instance or None, default=None
        Draws the latent vectors. The first images of a seed are the same, however many follow.

    Returns
    -------
    data : Bunch
        Images with their labels and origins, as `make_upsampling_images` has them.

        data : ndarray of shape (n_samples, 64, 64, 3), dtype uint8
            Generated faces.
        target : ndarray of shape (n_samples,)
            Labels: 1, generated, for all images.
        target_names : list of str
            ["real", "generated"].
        generator : ndarray of shape (n_samples,)
            Name of the generator, "faces64".
        origin : ndarray of shape (n_samples,)
            As `load_images` has it: the name of the generator.

    Raises
    ------
    ValueError
        If `n_samples` is not positive.

    Notes
    -----
    Its card, ``detectorkit/models/generators/faces64.md``, tells what the generator was trained
    on, how its faces compare with photographs, and what its use is limited to. Processors of
    different kinds may round a few pixels to neighbouring values.

    Examples
    --------
    >>> from detectorkit.datasets import sample_generated_faces
    >>> faces = sample_generated_faces(3, random_state=0)
    >>> faces.data.shape, faces.data.dtype
    ((3, 64, 64, 3), dtype('uint8'))
    >>> faces.target
    array([1, 1, 1])
    """
    if n_samples < 1:
        raise ValueError(f"sample_generated_faces: n_samples={n_samples} must be positive.")
    session = _session()
    size = session.get_inputs()[0].shape[1]
    latents = check_random_state(random_state).standard_normal((n_samples, size))
    # One at a time: the sums of a batch would depend on its size.
    rows = latents.astype(np.float32)[:, np.newaxis]
    images = [session.run(None, {"latents": row})[0] for row in rows]
    generator = np.full(n_samples, GENERATOR)
    return Bunch(
        data=np.concatenate(images),
        target=np.ones(n_samples, int),
        target_names=["real", "generated"],
        generator=generator,
        origin=generator.copy(),
    )


@cache
def _session() -> Session:
    from detectorkit.graph.sessions import make_session, read_model_file

    path = SHIPPED_GENERATORS / f"{GENERATOR}.onnx"
    return make_session(read_model_file(path), path.name)
