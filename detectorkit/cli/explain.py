"""Show where in an image the score of a detector comes from.

Writes the image in grey with its saliency map over it: red is evidence for "generated" and, for
methods with signs, blue is evidence against it. A map shows what this detector looks at, not what
is wrong with the image.

The methods: "occlusion" (change of the score when a window is blurred; for every detector, slow,
and first or second in faithfulness where it was measured), "integrated-gradients" (parts that add
up to the score), "gradient" and "smooth-grad" (slope of the score at each pixel), "grad-cam" (a
coarse map of a layer of a network) and "attention" (of a transformer).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from detectorkit.cli._common import METHODS, add_jobs, add_model, check_output, make_explainer

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit explain``."""
    add_model(parser)
    parser.add_argument("image", help="image file to explain")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="PNG file to write the map to"
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="occlusion",
        help="saliency method, see above (default: occlusion)",
    )
    parser.add_argument(
        "--numbers",
        metavar="FILE",
        help="also write the map as an array of the image's height and width, to this .npy file",
    )
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit explain``."""
    import numpy as np

    from detectorkit.detectors import load_detector
    from detectorkit.images.decoding import load_image
    from detectorkit.images.encoding import encode_image
    from detectorkit.saliency.display import overlay_map
    from detectorkit.utils.files import open_whole, write_whole

    outputs = [check_output(one) for one in (arguments.output, arguments.numbers) if one]
    detector = load_detector(arguments.model, n_jobs=arguments.jobs)
    image = load_image(arguments.image)
    explainer = make_explainer(detector, arguments.method).set_params(verbose=True)
    found = explainer.transform([image])[0]
    write_whole(outputs[0], encode_image(overlay_map(image, found), "PNG"))
    if arguments.numbers:
        with open_whole(outputs[1]) as file:
            np.save(file, found)
    verdict = "generated" if detector.predict([image])[0] == detector.classes_[1] else "real"
    probability = detector.predict_proba([image])[0, 1]
    print(f"{verdict}  {probability:.3f}  {arguments.image}  {arguments.output}")
    return 0
