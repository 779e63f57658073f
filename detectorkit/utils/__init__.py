"""Helpers that are not about images: parameter checks, progress, estimator checks."""
