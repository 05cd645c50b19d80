"""What kind of point a search ended in, by the gradient and the Hessian there."""

import math
from typing import NamedTuple

import numpy as np

from jamsgrad._minima.objective import RowObjective
from jamsgrad._tree import leads_out

_STEP = 1e-3  # of the scale: a longer step of Newton's shows that a search is not at its end
_FLAT, _WIDE = 1e-5, 1e-2  # of the relief: what changes by less is flat, or may be
_BEND = 10  # bends of a valley are no sharper than the tenth of the scale
_ASIDE = 1e-2  # of the scale: how far from a minimum the value must be higher
_NOTHING = 1e-3  # of the largest component of a direction: less is noise
_TIE = 1e-6  # components are as large as the largest that are smaller by no more


class Certificate(NamedTuple):
    """What the derivatives at a point say; nothing, if there are none."""

    kind: str = "unknown"  # see `Minimum`, as of all but `wide`
    condition: float = math.nan
    wide: bool = False  # whether it may be a part of a flat valley or a plateau
    hessian: np.ndarray | None = None
    held: np.ndarray | None = None
    unsettled: np.ndarray | None = None


def certificate(objective: RowObjective, point: np.ndarray) -> Certificate:
    """What the gradient and the Hessian at a point say of it.

    The scale is the unit of length, and the relief that of values, so that the kind is the same in
    any unit. In each principal direction of the Hessian, with slope s and curvature c, the point

    - is settled, if Newton's step |s / c| is short;
    - or else is flat, if not even over the whole scale the value would change, |s| + |c| / 2;
    - or else is that of a search which is not at its end.

    Where that change is small, though not nothing, other ends may show that it is a valley.
    """
    low, high, scale = objective.low, objective.high, objective.scale
    derivatives = objective.derivatives(point)
    if derivatives is None:
        return Certificate()
    grad, hessian = derivatives
    movable = low < high
    held = movable & leads_out(point, grad, low, high)
    free = movable & ~held
    otherwise = "on the boundary" if held.any() else "minimum"
    found = Certificate(otherwise, hessian=hessian, held=~free, unsettled=np.empty((0, free.size)))
    if not free.any():
        return found
    if not free.all():
        hessian, grad, scale = hessian[np.ix_(free, free)], grad[free], scale[free]

    curvature, axes = np.linalg.eigh(scale[:, None] * hessian * scale)  # in float64: scale is
    slope, size = np.abs((scale * grad) @ axes), np.abs(curvature)
    error = 100 * point.size * np.finfo(objective.dtype).eps
    # A curvature as small as the gradient that is left may come from the bend of a flat valley.
    settled = (size > np.maximum(error * size.max(), _BEND * slope.max())) & (slope <= _STEP * size)
    change = slope + size / 2
    flat = change <= _FLAT * objective.relief
    sharp = flat & settled & (curvature > 0)
    if sharp.any():
        for i in np.flatnonzero(sharp):
            # On the tail of a plateau Newton's steps are short, too; but there one side is lower.
            rows = np.tile(point, (3, 1))
            rows[1:, free] += np.outer([_ASIDE, -_ASIDE], axes[:, i] * scale)
            here, *sides = objective.values(np.clip(rows, low, high))
            flat[i] = min(sides) <= here

    if scale.min() < scale.max():
        size = np.abs(np.linalg.eigvalsh(hessian))  # in the units of x, as its condition is
    lost = flat.any() or size.min() <= error * size.max()
    condition = np.inf if lost else float(size.max() / size.min())
    open_ = ~settled & ~flat
    falls = (curvature < 0) & ~flat
    wide = False
    if open_.any():
        kind, which = "unconverged", open_
        wide = bool(change[open_].max() <= _WIDE * objective.relief)
    elif falls.any():
        kind, which = "saddle", falls
    else:
        wide = bool(flat.any() and not held.any())
        kind, which = "flat" if wide else otherwise, flat
    unsettled = np.zeros((which.sum(), free.size))
    unsettled[:, free] = _sparse(axes[:, which].T, scale)
    return found._replace(kind=kind, condition=condition, wide=wide, unsettled=unsettled)


def _sparse(directions: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Directions, shape (k, d), that span the same and have few components, in units of x.

    Eigenvectors of equal eigenvalues are any of their mixtures. This is Gauss-Jordan elimination by
    the largest component that is left, which becomes 1.
    """
    found, leading = directions.copy(), []
    for k in range(len(found)):
        sizes = np.abs(found[k:])
        i, j = np.argwhere(sizes >= (1 - _TIE) * sizes.max())[0]
        found[[k, k + i]] = found[[k + i, k]]
        found[k] /= found[k, j]
        rest = np.arange(len(found)) != k
        found[rest] -= np.outer(found[rest, j], found[k])
        leading.append(j)
    found[np.abs(found) < _NOTHING * np.abs(found).max(axis=1, keepdims=True)] = 0
    found = found * scale / scale[leading][:, None]
    return found[np.argsort(leading)]
