"""Tests of saliency maps: whether a map shows what its detector looks at.

====================== ==================================================================
function               question
====================== ==================================================================
`deletion_insertion`   Does the verdict change with the pixels that the map ranks first?
`max_sensitivity`      Does the map stay the same where the image hardly changes?
`randomization_check`  Does the map change when the weights of the detector are shuffled?
`pointing_game`        Does the map find the half of a spliced image that was generated?
====================== ==================================================================

No single test is a proof. A map that shows the edges of the image passes the second and fails the
third; a detector that looks at one trace everywhere leaves little to find for the first.
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
