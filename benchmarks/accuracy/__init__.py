"""How often detectors are right, and what they look at."""
