"""Results of measurements as a pandas DataFrame, as a chart and as HTML for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from detectorkit.utils.extras import require_extra
from detectorkit.utils.text import to_html_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

__all__ = ["ResultMixin"]

_Rows = list[dict[str, Any]]


class ResultMixin:
    """Mixin of results that consist of tables of estimates.

    A subclass defines `_tables` and `to_text`, which is also its `repr`: a dataclass is therefore
    made with ``repr=False``. Its `_title` is printed above the tables in a notebook, and
    `_plotted` names the table that `plot` draws and those of its columns that hold estimates.
    """

    _title: ClassVar[str]
    _plotted: ClassVar[tuple[str, tuple[str, ...]]]

    def _tables(self) -> dict[str, _Rows]:
        """Return the rows of each table, by its name; the first cell of a row names it."""
        raise NotImplementedError

    def to_text(self) -> str:
        """Format the result as plain text."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.to_text()

    def to_frame(self, table: str | None = None) -> DataFrame:
        """Return a table of the result as a pandas DataFrame.

        Parameters
        ----------
        table : str, default=None
            Name of the table. None takes the first one; the error for an unknown name lists all.

        Returns
        -------
        frame : DataFrame
            One row for each entry of the table. An estimate ``x`` has three columns: "x", and the
            ends of its interval, "x_low" and "x_high".

        Raises
        ------
        ImportError
            If pandas is not installed; the message says how to install it.
        ValueError
            If the result does not have such a table.
        """
        caller = f"{type(self).__name__}.to_frame"
        require_extra("frame", "pandas", caller=caller)
        from pandas import DataFrame

        tables = self._tables()
        if table is None:
            table = next(iter(tables))
        if table not in tables:
            raise ValueError(f"{caller}: table={table!r} must be one of {list(tables)}.")
        return DataFrame([_flat(row) for row in tables[table]])

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the most important estimates of the result, with their intervals.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        ax : matplotlib Axes
            The axes, with one line for each row of the table.

        Raises
        ------
        ImportError
            If matplotlib is not installed; the message says how to install it.
        """
        require_extra("plot", "matplotlib", caller=f"{type(self).__name__}.plot")
        from matplotlib import pyplot as plt

        table, columns = self._plotted
        rows = self._tables()[table]
        names = [_plain_label(next(iter(row.values()))) for row in rows]
        if ax is None:
            height = 1.2 + 0.28 * len(rows)
            ax = plt.subplots(figsize=(6.4, height), layout="constrained")[1]
        for number, column in enumerate(columns):
            shown = [place for place, row in enumerate(rows) if np.isfinite(row[column][0])]
            values = np.array([rows[place][column] for place in shown], float).reshape(-1, 3)
            # A bootstrap interval need not contain its value, and some values have none.
            arms = np.nan_to_num(np.abs(values[:, 1:] - values[:, :1]).T)
            places = np.array(shown) + 0.3 * (number - (len(columns) - 1) / 2)
            ax.errorbar(values[:, 0], places, xerr=arms, fmt="o", capsize=2, label=_words(column))
        ax.set_yticks(range(len(rows)), names)
        ax.invert_yaxis()
        ax.margins(y=0.05)
        if min(ax.dataLim.intervalx) >= 0 and max(ax.dataLim.intervalx) <= 1:
            ax.set_xlim(-0.02, 1.02)  # proportions look alike in all charts
        if len(columns) > 1:
            ax.legend()
        else:
            ax.set_xlabel(_words(columns[0]))
        return ax

    def _repr_html_(self) -> str:
        # No colours of its own, so that it is legible on light and on dark notebooks.
        tables = "".join(
            f"<details{' open' if not number else ''}><summary>{_words(name)}</summary>"
            f"{_html_table(rows)}</details>"
            for number, (name, rows) in enumerate(self._tables().items())
            if rows
        )
        return f"<div><strong>{escape(self._title)}</strong>{tables}</div>"


def _words(name: str) -> str:
    return to_html_text(name.replace("_", " "))


def _plain_label(name: Any) -> str:
    """Return a name in which matplotlib sees no formula."""
    return str(name).replace("_", " ").replace("$", r"\$")


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Spread the estimates of a row over three columns each."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, tuple):
            flat |= {name: value[0], f"{name}_low": value[1], f"{name}_high": value[2]}
        else:
            flat[name] = value
    return flat


def _html_table(rows: _Rows) -> str:
    head = "".join(f"<th>{_words(name)}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row.values()) + "</tr>"
        for row in rows
    )
    style = "background: transparent; color: currentColor; border-color: currentColor"
    return f'<table style="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cell(value: Any) -> str:
    if isinstance(value, tuple | float) and np.isnan(np.ravel(value)[0]):
        return "-"
    return to_html_text(f"{value:.3g}" if isinstance(value, float) else str(value))
