"""The picture of the GRU assignment: accuracy against delay, for the student's GRU and for the vanilla cell."""

TRAINED_UP_TO = 30
CHANCE = 1 / 8


def figures(observations):
    """Return {"delay": matplotlib Figure} of the observation `delay`; nothing where it is missing or misshapen.

    delay: rows (blanks, accuracy of the GRU, accuracy of the vanilla cell), both trained by the student's `train`.
    """
    import numpy as np
    from matplotlib.figure import Figure

    table = np.asarray(observations.get("delay", ()), dtype=float)
    if table.ndim != 2 or table.shape[1] != 3:
        return {}
    blanks, gru, vanilla = table.T
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(0, TRAINED_UP_TO, color="0.93", label="delays in training")
    axes.plot(blanks, gru, "o-", label="your GRU")
    axes.plot(blanks, vanilla, "s--", label="vanilla cell, same training")
    axes.axhline(CHANCE, color="0.6", linewidth=0.8, linestyle=":", label="guessing")
    axes.set(xlabel="blanks between the symbols and GO", ylabel="share of symbols right", ylim=(0, 1.03))
    axes.set_title("Copying after a silence, on sequences that were not in training")
    axes.legend(frameon=False, loc="center right")
    return {"delay": figure}
