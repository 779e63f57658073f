"""The house in layers: an import, also a late one, only goes down."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1] / "detectorkit"

# From the ground up. What is on one line does not import one another.
LAYERS = [
    "exceptions _version",
    "utils",
    "images calibration models",
    "metrics",
    "model_selection",
    "base",
    "features heads",
    "graph",
    "datasets provenance",
    "training",
    "backbones",
    "detectors",
    "fingerprint generation",
    "evaluation",
    "saliency",
    "report",
    "scan serve",
    "cli",
    "__main__ utils.estimator_checks",
]
LEVEL = {name: number for number, line in enumerate(LAYERS) for name in line.split()}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports(path):
    """Every import of this library in a file, wherever it stands, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "detectorkit":
            inside = node.module.removeprefix("detectorkit").lstrip(".")
            for alias in node.names:
                whole = f"{inside}.{alias.name}".lstrip(".")
                yield (whole if whole in MODULES else inside), node.lineno


def place(module):
    """The layer's name of a module, and its number; the package itself stands on top."""
    name = module if module in LEVEL else module.split(".")[0]
    return name, LEVEL.get(name, len(LAYERS))


def test_every_package_has_a_layer():
    unplaced = {module.split(".")[0] for module in MODULES if module} - set(LEVEL)
    assert not unplaced


def test_imports_only_go_down():
    rising = []
    for module, path in MODULES.items():
        here, level = place(module)
        for imported, line in imports(path):
            there, below = place(imported)
            if there != here and below >= level and module:
                rising.append(f"{module}:{line} imports {imported}")
    assert not rising


def find_circle(reach):
    """A name that can be reached from itself, or None."""
    for start, first in reach.items():
        seen, todo = set(), list(first - {start})
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += reach.get(name, ())
        if start in seen:
            return start
    return None


def test_no_package_is_in_a_circle():
    reach = {}
    for module, path in MODULES.items():
        if module:
            here = place(module)[0]
            reach.setdefault(here, set()).update(place(name)[0] for name, _ in imports(path))
    assert find_circle(reach) is None
