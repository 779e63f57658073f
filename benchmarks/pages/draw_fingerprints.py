"""The figure of docs/guide/fingerprints.md: how often planted patterns are detected."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.files import RESULTS, read_json

COLORS = {0.35: "#1f77b4", 0.5: "#d62728"}


def draw() -> Figure:
    """Draw measured proportions on the curves of the formula."""
    planted = read_json(RESULTS / "fingerprints.json")["planted"]
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    panel = figure.subplots()
    for amplitude, color in COLORS.items():
        rows = [row for row in planted["rows"] if row["amplitude"] == amplitude]
        counts = [row["n"] for row in rows]
        values, lows, highs = zip(*(row["measured"] for row in rows), strict=True)
        label = f"pattern of {amplitude:g} grey levels"
        panel.plot(counts, [row["theory"] for row in rows], color=color, label=f"{label}, theory")
        spread = [
            [v - low for v, low in zip(values, lows, strict=True)],
            [high - v for v, high in zip(values, highs, strict=True)],
        ]
        panel.errorbar(
            counts, values, spread, fmt="o", color=color, capsize=2, label="measured, 95 % interval"
        )
    rate = planted["false_alarm_rate"]
    panel.axhline(rate, color="black", linewidth=0.8, linestyle=":")
    panel.set_xscale("log", base=2)
    panel.set_xticks(counts, map(str, counts))
    panel.set_xlabel("images that the fingerprint is made of")
    panel.set_ylabel(f"detected at {100 * rate:g} % false alarms")
    panel.set_ylim(0, 1)
    panel.legend(fontsize=8, frameon=False)
    return figure
