"""Draw what the report of the session recommender compares: Hit@10 of baselines, the student's model and the limit."""


def figures(observations):
    """Return {"comparison": bar chart} from the eight values of Hit@10 that the training checks observed."""
    if "comparison" not in observations:
        return {}
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    random, popularity, markov, _, trained, shuffled, _, bayes = (float(v) for v in observations["comparison"])
    bars = {
        "random": random,
        "popularity": popularity,
        "your model,\nhistory shuffled": shuffled,
        "Markov chain": markov,
        "your model": trained,
        "the best possible": bayes,
    }
    figure = Figure(figsize=(7, 3.2))
    axes = figure.add_subplot()
    colours = [
        "0.7" if "your" not in name else "tab:blue" if name == "your model" else "lightsteelblue" for name in bars
    ]
    drawn = axes.barh(list(bars), list(bars.values()), color=colours)
    axes.bar_label(drawn, labels=[f"{100 * value:.1f} %" for value in bars.values()], padding=3)
    axes.set_xlim(0, 1.15 * max(*bars.values(), 0.01))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("Hit@10 on new sessions of 5,000 items")
    axes.spines[["top", "right"]].set_visible(False)
    return {"comparison": figure}
