"""The saliency methods by their short names, with settings that suit a detector."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["METHODS", "make_explainer"]

METHODS: Final = {
    "gradient": "GradientSaliency",
    "smooth-grad": "SmoothGrad",
    "integrated-gradients": "IntegratedGradients",
    "grad-cam": "GradCAM",
    "attention": "AttentionRollout",
    "occlusion": "OcclusionSaliency",
}
"""Names of the saliency methods on the command line, and their classes."""


def make_explainer(detector: Any, method: str = "occlusion") -> Any:
    """Make the estimator that computes the saliency maps of a detector, with settings for it."""
    from detectorkit import saliency

    explainer = getattr(saliency, METHODS[method])(detector)
    record = detector.record_
    if method == "occlusion" and record.backbone is not None and record.preprocessing.image_size:
        # Such a network takes some .3 s an image: 9 windows, as 225 would take a minute.
        windows = tuple(max(side // 2, 1) for side in record.preprocessing.image_size)
        spare = zip(record.preprocessing.image_size, windows, strict=True)
        strides = tuple(max(-(-(side - window) // 2), 1) for side, window in spare)
        explainer.set_params(window_shape=windows, strides=strides)
    if "n_jobs" in explainer.get_params(deep=False):
        explainer.set_params(n_jobs=detector.n_jobs)
    return explainer
