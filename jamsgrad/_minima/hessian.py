"""What kind of point a search ended in, by the gradient and the Hessian there."""

import numpy as np

from jamsgrad._minima.objective import RowObjective


def certificate(objective: RowObjective, point: np.ndarray) -> tuple[str, float]:
    """The kind of the point, and the condition number of its Hessian: see `Minimum`."""
    low, high = objective.low, objective.high
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
    if not free.any():
        return otherwise, np.nan

    curvature = np.linalg.eigvalsh(hessian[np.ix_(free, free)])
    size = np.abs(curvature)
    # A curvature counts as zero if rounding may have made it, or if it is so flat that the gradient
    # which is left would carry the minimum away by a tenth of the scale.
    rounding = 100 * point.size * np.finfo(hessian.dtype).eps * size.max()
    zero = max(rounding, 10 * np.abs(grad / objective.scale)[free].max())
    flat = (size <= zero).any()
    condition = np.inf if flat else float(size.max() / size.min())
    if (curvature < -zero).any():
        return "saddle", condition
    return "flat" if flat and not held.any() else otherwise, condition
