"""What kind of point a search ended in, by the gradient and the Hessian there."""

import numpy as np

from jamsgrad._minima.objective import RowObjective

_STEP = 1e-3  # of the scale: a longer step of Newton's shows that a search is not at its end
_FLAT = 1e-3  # of the relief: a direction in which the value changes by less is flat
_BEND = 10  # bends of a valley are no sharper than the tenth of the scale
_ASIDE = 1e-2  # of the scale: how far from a minimum the value must be higher


def certificate(objective: RowObjective, point: np.ndarray) -> tuple[str, float]:
    """The kind of the point, and the condition number of its Hessian: see `Minimum`.

    The scale is the unit of length, and the relief that of values, so that the kind is the same in
    any unit. In each principal direction of the Hessian, with slope s and curvature c, the point

    - is settled, if Newton's step |s / c| is short;
    - or else is flat, if not even over the whole scale the value would change by much, |s| + |c| / 2;
    - or else is that of a search which is not at its end.
    """
    low, high, scale = objective.low, objective.high, objective.scale
    try:
        grad, hessian = objective.derivatives(point)
    except (TypeError, ValueError, NotImplementedError):
        return "unknown", np.nan  # a custom derivative may not have a second one
    if not (np.isfinite(grad).all() and np.isfinite(hessian).all()):
        return "unknown", np.nan
    movable = low < high
    held = movable & (((point <= low) & (grad > 0)) | ((point >= high) & (grad < 0)))
    free = movable & ~held
    otherwise = "on the boundary" if held.any() else "minimum"
    if not free.all():
        if not free.any():
            return otherwise, np.nan
        hessian, grad, scale = hessian[np.ix_(free, free)], grad[free], scale[free]

    curvature, axes = np.linalg.eigh(scale[:, None] * hessian * scale)  # in float64: scale is
    slope, size = np.abs((scale * grad) @ axes), np.abs(curvature)
    error = 100 * point.size * np.finfo(objective.dtype).eps
    settled = (size > error * size.max()) & (slope <= _STEP * size)
    flat = slope + size / 2 <= _FLAT * objective.relief
    # A curvature as small as the gradient that is left may come from the bend of a flat valley.
    sharp = flat & settled & (curvature > _BEND * slope.max())
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
    if (~settled & ~flat).any():
        return "unconverged", condition
    if (curvature < 0)[~flat].any():
        return "saddle", condition
    return "flat" if flat.any() and not held.any() else otherwise, condition
