"""Score files with sahu65, in the environment that side-by-side made for it.

    PYTHON run_sahu65.py PATHS OUTPUT

PATHS is a text file with a path a line. A line of OUTPUT is the number of the path, the verdict,
the probability and the milliseconds; what is in it already is not scored again.
"""

import sys
import time
from pathlib import Path

import sahu65


def main(listed: Path, output: Path) -> None:
    """Score the files that are missing in the output, one by one."""
    n_done = len(output.read_text().splitlines()) if output.exists() else 0
    sahu65.warm()
    with output.open("a", buffering=1) as file:
        for number, path in enumerate(listed.read_text().splitlines()):
            if number < n_done:
                continue
            start = time.perf_counter()
            try:
                found = sahu65.detect(path)
                said = found.verdict, found.ai_probability
            except Exception as error:  # noqa: BLE001 - whatever it refuses is a result too
                print(f"{path}: {error}", file=sys.stderr)
                said = "refused", 0.5
            file.write(f"{number},{said[0]},{said[1]},{1000 * (time.perf_counter() - start):.2f}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
