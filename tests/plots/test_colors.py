"""A minimum has the same colour in all pictures; neighbours on a map differ."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import (
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    SKY,
    VERMILION,
    changed,
    image,
    labels,
    searches,
    some_map,
)

from jamsgrad import plots


def test_beyond_six_minima_the_others_share_a_colour():
    ax = plots.waterfall(searches(np.arange(9.0), range(9)))
    own = [BLUE, ORANGE, GREEN, PINK, SKY, VERMILION]
    colors = ax.collections[0].get_facecolor()
    np.testing.assert_array_equal(colors[:6], own)
    assert len(np.unique(colors[6:], axis=0)) == 1
    assert labels(ax)[-2:] == ["minimum 5 (11.1 %)", "other minima (33.3 %)"]


def test_neighbours_on_the_map_differ_in_colour():
    found = some_map()
    basin = np.random.default_rng(0).permutation(64).reshape(8, 8)  # whatever the order
    pixels = np.kron(basin, np.ones((2, 2), int))
    found = changed(found, basin=pixels, minima=found.minima[:1] * 64)
    ax = plots.basins(found, shade=0)
    colors = image(ax)[::2, ::2]
    assert (colors[1:] != colors[:-1]).any(axis=-1).all()
    assert (colors[:, 1:] != colors[:, :-1]).any(axis=-1).all()
    assert (colors[basin == 5] == VERMILION[:3]).all()
    assert ax.get_legend() is None


@pytest.mark.parametrize("panels", [1, 2, 3])
def test_the_legend_of_many_searches_fits_below_their_axes(panels):
    figure, axes = plt.subplots(1, panels, figsize=(4.5 * panels, 4), layout="constrained")
    for ax in np.ravel(axes):
        plots.waterfall(searches(np.arange(9.0), range(9)), ax)
    figure.canvas.draw()
    for ax in np.ravel(axes):
        assert ax.get_window_extent().width > 0.8 * figure.bbox.width / panels
        assert ax.get_tightbbox().width <= figure.bbox.width / panels
