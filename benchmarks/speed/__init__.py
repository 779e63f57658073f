"""How fast the library is, as ratios in one run, and how much memory it takes."""
