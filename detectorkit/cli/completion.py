"""Print a script that completes commands, options, names of detectors and files in a shell.

    bash:  detectorkit completion bash > ~/.local/share/bash-completion/completions/detectorkit
    zsh:   detectorkit completion zsh > _detectorkit, in a folder of $fpath
    fish:  detectorkit completion fish > ~/.config/fish/completions/detectorkit.fish

It needs the extra "completion", the script itself needs nothing.
"""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Iterator
from typing import Any

from detectorkit.utils.extras import require_extra

__all__ = ["add_arguments", "run"]

_FILES = {None, "FILE", "FOLDER", "IMAGE", "NAME_OR_FOLDER"}
"""What arguments that are files are called in the help; None where they have no other name."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit completion``."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="shell of the script")


def run(arguments: Namespace) -> int:
    """Run ``detectorkit completion``."""
    require_extra("completion", "shtab", caller="detectorkit completion")
    import shtab

    from detectorkit.cli import COMMANDS, make_parser
    from detectorkit.models import shipped_detectors

    parser = make_parser(COMMANDS)
    models = _names_or_files(" ".join(shipped_detectors()))
    for action in _find_actions(parser):
        if action.choices is not None or action.nargs == 0 or action.type is not None:
            continue
        if action.dest in {"model", "images"}:  # the first of which may be a detector
            action.complete = models  # type: ignore[attr-defined] # shtab looks for it
        elif action.dest == "name":
            action.choices = list(shipped_detectors())
        elif action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, arguments.shell))
    return 0


def _find_actions(parser: ArgumentParser) -> Iterator[Action]:
    """Yield the arguments of a parser and of all its sub-commands."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way
        if isinstance(action, _SubParsersAction):
            for command in action.choices.values():
                yield from _find_actions(command)
        else:
            yield action


def _names_or_files(names: str) -> dict[str, Any]:
    """Return what completes names and files, in the language of each shell."""
    return {
        "bash": "_detectorkit_models",
        "zsh": "_detectorkit_models",
        "fish": f"{names} (__fish_complete_path (commandline -ct))",
        "preamble": {
            "bash": f"""
_detectorkit_models() {{
  compgen -W "{names}" -- $1
  _shtab_compgen_files $1
}}
""",
            "zsh": f"""
_detectorkit_models() {{
  compadd {names}
  _files
}}
""",
        },
    }
