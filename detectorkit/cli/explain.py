"""Show where in an image the score of a detector comes from.

Writes the image in grey with its map over it: red is what speaks for "generated"; where a method
gives signs, blue is what speaks against it. A map says what this detector looks at, not what is
wrong with the image.

The methods: "gradient" and "smooth-grad" (how much each pixel matters), "integrated-gradients"
(shares that add up to the score), "grad-cam" (a coarse map of a network's layer), "attention" (of a
transformer) and "occlusion" (what changes if a window is blurred; slower, for every detector).
"auto" takes smooth-grad where there is a gradient, and occlusion elsewhere.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from detectorkit.cli._common import METHODS, add_jobs, add_model, check_output, make_explainer

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments.

    Parameters
    ----------
    parser : ArgumentParser
        The sub-command's parser.
    """
    add_model(parser)
    parser.add_argument("image", help="image file")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="PNG file to write the map to"
    )
    parser.add_argument(
        "--method", choices=("auto", *METHODS), default="auto", help="see above (default: auto)"
    )
    parser.add_argument(
        "--numbers",
        metavar="FILE",
        help="also write the map as numbers, a .npy file of the image's height and width",
    )
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Do it.

    Parameters
    ----------
    arguments : Namespace
        The parsed arguments.

    Returns
    -------
    status : int
        0.
    """
    import numpy as np

    from detectorkit import load_detector
    from detectorkit.decoding import load_image
    from detectorkit.encoding import encode_image
    from detectorkit.saliency.display import overlay_map

    outputs = [check_output(one) for one in (arguments.output, arguments.numbers) if one]
    detector = load_detector(arguments.model, n_jobs=arguments.jobs)
    image = load_image(arguments.image)
    method, found = _explain(detector, image, arguments.method)
    outputs[0].write_bytes(encode_image(overlay_map(image, found), "PNG"))
    if arguments.numbers:
        with outputs[1].open("wb") as file:
            np.save(file, found)
    verdict = "generated" if detector.predict([image])[0] == detector.classes_[1] else "real"
    probability = detector.predict_proba([image])[0, 1]
    print(f"{verdict}  {probability:.3f}  {arguments.image}  {method}  {arguments.output}")
    return 0


def _explain(detector: Any, image: Any, method: str) -> tuple[str, Any]:
    """Make the map, and say by which method."""
    from detectorkit.exceptions import ModelFileError

    if method == "auto":
        try:
            return _explain(detector, image, "smooth-grad")
        except ModelFileError:  # it begins with features, or has an operator without a gradient
            return _explain(detector, image, "occlusion")
    explainer = make_explainer(detector, method)
    return method, explainer.set_params(verbose=True).transform([image])[0]
