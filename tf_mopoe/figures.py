"""Figures of the measures of `tf_mopoe.evaluation`. Needs matplotlib (`pip install tf_mopoe[train]`)."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_mopoe.files import write_aside


def coherence_map(
    coherence: Mapping[tuple[tuple[str, ...], str], float], modalities: Sequence[str], path: os.PathLike | str
) -> None:
    """Plot conditional coherence as a heat map: one row per given subset, one column per target, the value in each cell.

    Args:
        coherence: {(given, target): value in 0..1}, as of `evaluation.conditional_coherence`.
        modalities: their names, in order.
        path: the .png file to write.
    """
    rows, values = coherence_table(coherence, modalities)
    figure = new_figure(
        1.6 + 0.9 * len(modalities) + 0.07 * max(map(len, map(", ".join, rows))), 0.9 + 0.34 * len(rows)
    )
    axes = figure.subplots()
    image = axes.imshow(values, vmin=0.0, vmax=1.0, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(modalities)), modalities)
    axes.set_yticks(range(len(rows)), [", ".join(given) for given in rows])
    axes.set(xlabel="made", ylabel="given", title="Conditional coherence")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "black" if value > 0.6 else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image)
    save(figure, path)


def coherence_table(
    coherence: Mapping[tuple[tuple[str, ...], str], float], modalities: Sequence[str]
) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Return the given subsets, smallest first, and [subsets, M] values; NaN where a target is given or was not read."""
    order = {name: number for number, name in enumerate(modalities)}
    rows = sorted({given for given, _ in coherence}, key=lambda given: (len(given), [order[name] for name in given]))
    return rows, np.array([[coherence.get((given, name), np.nan) for name in modalities] for given in rows])


def by_number_given(lines: Mapping[str, Mapping[int, float]], path: os.PathLike | str) -> None:
    """Plot curves over the number of given modalities.

    Args:
        lines: {what: {number given: value in 0..1}}.
        path: the .png file to write.
    """
    figure = new_figure(5.0, 3.6)
    axes = figure.subplots()
    for what, values in lines.items():
        numbers = sorted(values)
        axes.plot(numbers, [values[number] for number in numbers], marker="o", label=what)
    axes.set(xlabel="modalities given", ylabel="share of the rows", ylim=(0.0, 1.02))
    axes.set_xticks(sorted({number for values in lines.values() for number in values}))
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, path)


def latent(loc: np.ndarray, labels: np.ndarray, path: os.PathLike | str, seed: int = 0) -> None:
    """Plot posterior means in two dimensions, coloured by label: principal components, and t-SNE with scikit-learn.

    Args:
        loc: [N, D]; 1,000 or 2,000 rows are plenty, and t-SNE takes seconds for them.
        labels: int [N].
        path: the .png file to write.
        seed: of t-SNE.
    """
    panels = {"principal components": principal_components(loc)}
    try:
        from sklearn.manifold import TSNE

        panels["t-SNE"] = TSNE(init="pca", random_state=seed, perplexity=min(30.0, (len(loc) - 1) / 3)).fit_transform(
            loc
        )
    except ImportError:
        pass
    figure = new_figure(0.8 + 4.2 * len(panels), 4.2)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, points) in zip(grid, panels.items()):
        scatter = axes.scatter(*points.T, c=labels, cmap="tab10", s=6)
        axes.set(xticks=[], yticks=[], title=title)
    figure.colorbar(scatter, ticks=np.unique(labels))
    save(figure, path)


def principal_components(x: np.ndarray, count: int = 2) -> np.ndarray:
    """Project [N, D] on the `count` directions of most variance: [N, count]."""
    centred = x - x.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:count].T


def new_figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # not needed to train or serve: not imported above
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: os.PathLike | str) -> None:
    """Save the figure to a temporary file and rename it."""
    write_aside(path, lambda aside: figure.savefig(aside, dpi=110))
