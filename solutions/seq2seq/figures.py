"""Pictures of what a submission's own models did: accuracy against length, and where its attention looked."""

ORDINARY = "abcdefghij"
FIRST, EOS = 3, 2


def figures(observations):
    """Return {name: matplotlib Figure} of the observations `curve`, `words` and `attention`.

    curve: rows (length, word accuracy with attention, without). words: source and target of one sentence.
    attention: (T, S), the weights of that sentence. What is missing or of another shape is left out.
    """
    import numpy as np
    from matplotlib.figure import Figure

    out = {}
    curve = np.asarray(observations.get("curve", ()), dtype=float)
    if curve.ndim == 2 and curve.shape[1] == 3:
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(3, 10, color="0.93", label="lengths in training")
        axes.plot(curve[:, 0], curve[:, 1], "o-", label="with attention")
        axes.plot(curve[:, 0], curve[:, 2], "s--", label="without attention")
        axes.axhline(0.1, color="0.6", linewidth=0.8, linestyle=":", label="guessing words")
        axes.set(xlabel="words in the sentence", ylabel="share of words right", ylim=(0, 1.03))
        axes.set_title("Reversing sentences that were not in training")
        axes.legend(frameon=False)
        out["curve"] = figure
    weights = np.asarray(observations.get("attention", ()), dtype=float)
    words = np.asarray(observations.get("words", ())).astype(int).ravel()
    if weights.ndim == 2 and words.size == sum(weights.shape):
        size = weights.shape[1]
        figure = Figure(figsize=(4.6, 4.6), layout="constrained")
        axes = figure.subplots()
        picture = axes.imshow(weights, cmap="viridis", vmin=0, vmax=1, aspect="equal")
        axes.set_xticks(range(size), [_name(word) for word in words[:size]])
        axes.set_yticks(range(weights.shape[0]), [_name(word) for word in words[size:]])
        axes.set(xlabel="source, as read", ylabel="target, as written")
        axes.set_title("Where the attention looked")
        figure.colorbar(picture, ax=axes, label="weight", shrink=0.8)
        out["attention"] = figure
    return out


def _name(word):
    if word == EOS:
        return "end"
    return ORDINARY[word - FIRST] if FIRST <= word < FIRST + len(ORDINARY) else "·"
