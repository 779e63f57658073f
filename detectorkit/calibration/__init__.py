"""The maps from scores to probabilities: what they are, and how they are fitted."""
