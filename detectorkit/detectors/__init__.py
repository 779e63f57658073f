"""Detectors: classifiers that take images and say which were generated."""

# Nothing is imported here: reading a saved detector needs none of what fits one. The public names
# are those of `detectorkit` itself.
