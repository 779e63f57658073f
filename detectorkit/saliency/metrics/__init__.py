"""Whether a map says what its detector looks at.

====================== ==============================================================
function               asks
====================== ==============================================================
`deletion_insertion`   Does the verdict fall with the pixels that the map names first?
`max_sensitivity`      Does the map stay, where the image hardly changes?
`randomization_check`  Does the map change, where the detector knows nothing any more?
`pointing_game`        Does the map find the half of a splice that was generated?
====================== ==============================================================

No single one is proof. A map that shows the edges of the image passes the second and fails the
third; a detector that looks at one trace everywhere leaves the first without much to find.
"""

from detectorkit.saliency.metrics.deletion import DeletionInsertion, deletion_insertion
from detectorkit.saliency.metrics.pointing_game import PointingGame, pointing_game
from detectorkit.saliency.metrics.randomization import RandomizationCheck, randomization_check
from detectorkit.saliency.metrics.sensitivity import max_sensitivity

__all__ = [
    "DeletionInsertion",
    "PointingGame",
    "RandomizationCheck",
    "deletion_insertion",
    "max_sensitivity",
    "pointing_game",
    "randomization_check",
]
