"""Pictures of generated data. Needs matplotlib (`pip install tf_mopoe[train]`)."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_mopoe.figures import new_figure, save
from tf_mopoe.model import MultimodalVAE


def picture(axes: Any, x: np.ndarray) -> None:
    """Draw one picture [H, W, 1 or 3] in 0..1."""
    axes.imshow(np.clip(x, 0.0, 1.0).squeeze(), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")


def log_mel(axes: Any, x: np.ndarray) -> None:
    """Draw one log-mel picture [bands, time, 1] in 0..1, low bands at the bottom."""
    axes.imshow(np.squeeze(x), cmap="magma", vmin=0.0, vmax=1.0, origin="lower", aspect="auto")


def word(read: Callable[[np.ndarray], Sequence[str]]) -> Callable[[Any, np.ndarray], None]:
    """Return a function that draws one word, one-hot or probabilities [T, C], by `read`: [1, T, C] -> [text]."""

    def draw(axes, x):
        axes.text(0.5, 0.5, read(x[None])[0], ha="center", va="center", family="monospace", fontsize=9)

    return draw


def numbers(axes: Any, x: np.ndarray) -> None:
    """Draw any other array as bars."""
    axes.bar(np.arange(np.size(x)), np.ravel(x), width=1.0)


def translations(
    model: MultimodalVAE,
    inputs: Mapping[str, Any],
    path: os.PathLike | str,
    plotters: Mapping[str, Callable[[Any, np.ndarray], None]] | None = None,
    seed: int = 0,
) -> None:
    """Plot a panel for each given modality: its rows on top, the modalities generated from them below.

    Args:
        model: `MultimodalVAE`.
        inputs: {name: [N, E]}, a column for each row (about 10).
        path: the .png file to write.
        plotters: {name: function (axes, x)}; default: pictures for [H, W, C], bars for the rest.
        seed: of the draws.
    """
    panels = []
    for given in model.modalities:
        made = model.translate({given: inputs[given]}, seed=seed)
        rows = [(f"given {given}", given, np.asarray(inputs[given]))]
        rows += [(name, name, np.asarray(made[name])) for name in model.modalities if name != given]
        panels.append(rows)
    draw_rows(panels, path, plotters or {}, f"Given one modality, every other (seed {seed})")


def prior_samples(
    model: MultimodalVAE,
    path: os.PathLike | str,
    plotters: Mapping[str, Callable[[Any, np.ndarray], None]] | None = None,
    num_samples: int = 10,
    seed: int = 0,
) -> None:
    """Plot rows generated from the prior, one per column. Arguments as of `translations`."""
    made = model.generate(num_samples, seed=seed)
    panel = [(name, name, np.asarray(made[name])) for name in model.modalities]
    draw_rows([panel], path, plotters or {}, f"From the prior (seed {seed})")


def draw_rows(
    panels: Sequence[Sequence[tuple[str, str, np.ndarray]]],
    path: os.PathLike | str,
    plotters: Mapping[str, Callable[[Any, np.ndarray], None]],
    title: str,
) -> None:
    """Plot panels of rows (text, modality, [N, E]), one under the other, with some space between panels."""
    columns = max(len(x) for panel in panels for _, _, x in panel)
    lines = [line for panel in panels for line in (None, *panel)][1:]  # None: the space between two panels
    heights = [0.3 if line is None else row_height(line[2]) for line in lines]
    figure = new_figure(1.4 + 0.9 * columns, 0.6 + 0.9 * sum(heights))
    figure.suptitle(title, fontsize=12)
    grid = figure.subplots(len(lines), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for row, line in zip(grid, lines):
        if line is None:
            continue
        text, name, x = line
        draw = plotters.get(name, picture if x.ndim == 4 and x.shape[-1] in (1, 3) else numbers)
        for axes, value in zip(row, x):
            draw(axes, value)
        bold = "bold" if text.startswith("given") else "normal"
        row[0].set_ylabel(text, rotation=0, ha="right", va="center", fontsize=10, fontweight=bold)
    save(figure, path)


def row_height(x: np.ndarray) -> float:
    return 1.0 if x.ndim == 4 else 0.45
