"""The problems of two variables."""

import math

import jax
import jax.numpy as jnp

from jamsgrad.problems._problem import JAMIL_YANG, LIBRARY, of_two, sqrt

_DIXON_SZEGO = "Dixon and Szegö, The global optimization problem, 1978"


@of_two(
    box=(-1, 1),
    at=[(0, 0)],
    source="Brownlee, Gradient descent optimization with AMSGrad from scratch, 2021",
)
def bowl(x: jax.Array) -> jax.Array:
    r"""The bowl of the tutorial on AMSGrad: the sphere in two variables.

    .. math:: f(x) = x_0^2 + x_1^2
    """
    x0, x1 = x
    return x0**2 + x1**2


@of_two(box=(-10, 10), at=[(1, 3)], source=JAMIL_YANG)
def booth(x: jax.Array) -> jax.Array:
    r"""Booth's function: a convex quadratic.

    .. math:: f(x) = (x_0 + 2 x_1 - 7)^2 + (2 x_0 + x_1 - 5)^2
    """
    x0, x1 = x
    return (x0 + 2 * x1 - 7) ** 2 + (2 * x0 + x1 - 5) ** 2


@of_two(box=(-10, 10), at=[(0, 0)], source=JAMIL_YANG)
def matyas(x: jax.Array) -> jax.Array:
    r"""The Matyas function: a convex quadratic, and nearly flat along one diagonal.

    .. math:: f(x) = 0.26 (x_0^2 + x_1^2) - 0.48 \, x_0 x_1
    """
    x0, x1 = x
    return 0.26 * (x0**2 + x1**2) - 0.48 * x0 * x1


@of_two(
    box=(-4.5, 4.5),
    at=[(3, 0.5)],
    source=f"Beale, On an iterative method for finding a local minimum, 1958; {LIBRARY}",
)
def beale(x: jax.Array) -> jax.Array:
    r"""Beale's function: flat valleys between steep corners.

    .. math::
      f(x) = (1.5 - x_0 (1 - x_1))^2 + (2.25 - x_0 (1 - x_1^2))^2 + (2.625 - x_0 (1 - x_1^3))^2
    """
    x0, x1 = x
    return (
        (1.5 - x0 * (1 - x1)) ** 2
        + (2.25 - x0 * (1 - x1**2)) ** 2
        + (2.625 - x0 * (1 - x1**3)) ** 2
    )


@of_two(
    box=(-5, 5),
    at=[
        (3, 2),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.2831859912861696),
        (3.5844283403304917, -1.8481265269644036),
    ],
    source=f"Himmelblau, Applied nonlinear programming, 1972; box: {JAMIL_YANG}",
)
def himmelblau(x: jax.Array) -> jax.Array:
    r"""Himmelblau's function: four minima, all of them global.

    .. math:: f(x) = (x_0^2 + x_1 - 11)^2 + (x_0 + x_1^2 - 7)^2
    """
    x0, x1 = x
    return (x0**2 + x1 - 11) ** 2 + (x0 + x1**2 - 7) ** 2


@of_two(box=(-5, 5), at=[(0, 0)], source=JAMIL_YANG)
def three_hump_camel(x: jax.Array) -> jax.Array:
    r"""The three-hump camel: three minima, of which the middle one is the lowest.

    .. math:: f(x) = 2 x_0^2 - 1.05 \, x_0^4 + x_0^6 / 6 + x_0 x_1 + x_1^2
    """
    x0, x1 = x
    return 2 * x0**2 - 1.05 * x0**4 + x0**6 / 6 + x0 * x1 + x1**2


@of_two(
    box=((-3, -2), (3, 2)),
    at=[(0.08984201310031806, -0.7126564030207396), (-0.08984201310031806, 0.7126564030207396)],
    minimum=-1.0316284534898774,
    source=f"{_DIXON_SZEGO}; {LIBRARY}",
)
def six_hump_camel(x: jax.Array) -> jax.Array:
    r"""The six-hump camel: six minima, two of them global.

    .. math:: f(x) = (4 - 2.1 \, x_0^2 + x_0^4 / 3) \, x_0^2 + x_0 x_1 + (4 x_1^2 - 4) \, x_1^2
    """
    x0, x1 = x
    return (4 - 2.1 * x0**2 + x0**4 / 3) * x0**2 + x0 * x1 + (4 * x1**2 - 4) * x1**2


@of_two(
    box=(-2, 2),
    at=[(0, -1)],
    minimum=3.0,
    source=f"Goldstein and Price, On descent from local minima, 1971; {LIBRARY}",
)
def goldstein_price(x: jax.Array) -> jax.Array:
    r"""Goldstein and Price's function: four minima, and values from 3 to a million.

    .. math::
      f(x) &= (1 + (x_0 + x_1 + 1)^2 \, p(x)) \, (30 + (2 x_0 - 3 x_1)^2 \, q(x)) \\
      p(x) &= 19 - 14 x_0 + 3 x_0^2 - 14 x_1 + 6 x_0 x_1 + 3 x_1^2 \\
      q(x) &= 18 - 32 x_0 + 12 x_0^2 + 48 x_1 - 36 x_0 x_1 + 27 x_1^2
    """
    x0, x1 = x
    first = 19 - 14 * x0 + 3 * x0**2 - 14 * x1 + 6 * x0 * x1 + 3 * x1**2
    second = 18 - 32 * x0 + 12 * x0**2 + 48 * x1 - 36 * x0 * x1 + 27 * x1**2
    return (1 + (x0 + x1 + 1) ** 2 * first) * (30 + (2 * x0 - 3 * x1) ** 2 * second)


@of_two(
    box=((-5, 0), (10, 15)),
    # Where the parabola and the derivative of the cosine are both 0.
    at=[(-math.pi, 12.275), (math.pi, 2.275), (3 * math.pi, 2.475)],
    minimum=10 / (8 * math.pi),
    source=f"Branin, Widely convergent method, IBM J. Res. Dev. 16, 1972; box: {_DIXON_SZEGO}",
)
def branin(x: jax.Array) -> jax.Array:
    r"""Branin's function: three minima along a curved valley, all of them global.

    .. math::
      f(x) = \left(x_1 - \frac{5.1}{4 \pi^2} x_0^2 + \frac{5}{\pi} x_0 - 6\right)^2
             + 10 \left(1 - \frac{1}{8 \pi}\right) \cos x_0 + 10
    """
    x0, x1 = x
    parabola = x1 - 5.1 / (4 * math.pi**2) * x0**2 + 5 / math.pi * x0 - 6
    return parabola**2 + 10 * (1 - 1 / (8 * math.pi)) * jnp.cos(x0) + 10


@of_two(
    box=((-1.5, -3), (4, 4)),
    # The gradient is 0 where cos(x0 + x1) = -1/2 and x0 - x1 = 1.
    at=[(0.5 - math.pi / 3, -0.5 - math.pi / 3)],
    minimum=-math.sqrt(3) / 2 - math.pi / 3,
    source=f"McCormick, Computability of global solutions, Math. Prog. 10, 1976; {LIBRARY}",
)
def mccormick(x: jax.Array) -> jax.Array:
    r"""McCormick's function: a plane with a sine wave on it, in a parabolic valley.

    .. math:: f(x) = \sin(x_0 + x_1) + (x_0 - x_1)^2 - 1.5 \, x_0 + 2.5 \, x_1 + 1
    """
    x0, x1 = x
    return jnp.sin(x0 + x1) + (x0 - x1) ** 2 - 1.5 * x0 + 2.5 * x1 + 1


@of_two(
    box=(0, math.pi),
    at=[(2.2029055201726093, math.pi / 2)],
    minimum=-1.8013034100985525,
    source=f"Michalewicz, Genetic algorithms + data structures, 1992, with m = 10; {LIBRARY}",
)
def michalewicz(x: jax.Array) -> jax.Array:
    r"""Michalewicz's function: a plateau with narrow channels, lowest where two of them cross.

    .. math:: f(x) = -\sin x_0 \, \sin^{20}(x_0^2 / \pi) - \sin x_1 \, \sin^{20}(2 x_1^2 / \pi)
    """
    x0, x1 = x
    return (
        -jnp.sin(x0) * jnp.sin(x0**2 / math.pi) ** 20
        - jnp.sin(x1) * jnp.sin(2 * x1**2 / math.pi) ** 20
    )


@of_two(
    box=(-512, 512),
    # On the boundary: the function falls on beyond x0 = 512.
    at=[(512, 404.2318051137578)],
    minimum=-959.6406627208509,
    source=f"Whitley et al., Evaluating evolutionary algorithms, AI 85, 1996; {LIBRARY}",
)
def eggholder(x: jax.Array) -> jax.Array:
    r"""The eggholder: many deep wells, the deepest on the edge of the box.

    .. math::
      f(x) = -y \, \sin \sqrt{|x_0 / 2 + y|} - x_0 \, \sin \sqrt{|x_0 - y|}, \quad y = x_1 + 47
    """
    x0, x1 = x
    y = x1 + 47
    return -y * jnp.sin(sqrt(jnp.abs(x0 / 2 + y))) - x0 * jnp.sin(sqrt(jnp.abs(x0 - y)))
