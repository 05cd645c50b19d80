"""The map shows which start led where, and how long that took."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from pictures import BLUE, GREEN, ORANGE, changed, image, labels, lines_through, some_map

from jamsgrad import plots


def test_the_map_is_coloured_by_minimum():
    found = some_map()
    ax = plots.basins(found, shade=0)
    colors = np.stack([BLUE, ORANGE, GREEN])[:, :3]
    for i, color in enumerate(colors):
        assert (image(ax)[found.basin == i] == color).all()
    assert (image(ax)[found.basin == -1] == to_rgb("0.85")).all()
    assert {-1, 0, 1, 2} == set(found.basin.ravel())
    assert labels(ax)[-1].startswith("failed")
    assert len(labels(ax)) == 4
    assert lines_through(ax, np.array([minimum.x for minimum in found.minima]))


def test_the_map_lies_on_the_box_the_right_way_up():
    found = some_map()
    ax = plots.basins(found)
    drawn = ax.get_images()[0]
    assert drawn.origin == "lower"
    np.testing.assert_allclose(drawn.get_extent(), [-5, 5, -5, 5])
    assert (ax.get_xlim(), ax.get_ylim(), ax.get_aspect()) == ((-5, 5), (-5, 5), 1)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x_{0}$", "$x_{1}$")
    flat = plots.basins(changed(found, x1=found.x1 / 10))
    np.testing.assert_allclose(flat.get_images()[0].get_extent(), [-5, 5, -0.5, 0.5])
    assert flat.get_aspect() == "auto"


@pytest.mark.parametrize("change", [{"basin": np.full((16, 16), -1), "minima": ()}, {"n_steps": 0}])
def test_maps_on_which_nothing_differs(change):
    found = some_map()
    change = {k: v if np.shape(v) else np.full((16, 16), v) for k, v in change.items()}
    ax = plots.basins(changed(found, **change))
    ax.figure.canvas.draw()
    assert np.isfinite(image(ax)).all()
