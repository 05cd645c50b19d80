"""The families: problems of n variables."""

import math

import jax
import jax.numpy as jnp

from jamsgrad.problems._problem import LIBRARY, family, sqrt

_DE_JONG = "De Jong, An analysis of the behavior of a class of genetic adaptive systems, 1975"


@family(box=(-5.12, 5.12), source=f"{_DE_JONG}, F1")
def sphere(x: jax.Array) -> jax.Array:
    r"""The sphere, the easiest problem of all.

    .. math:: f(x) = \sum_i x_i^2

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import problems
      >>> float(problems.sphere(3).fun(jnp.array([1.0, 2.0, 3.0])))
      14.0
    """
    return jnp.sum(x**2)


@family(
    box=(-2.048, 2.048),
    at=1,
    source=f"Rosenbrock, An automatic method, Computer J. 3, 1960; box: {_DE_JONG}, F2",
    least=2,
)
def rosenbrock(x: jax.Array) -> jax.Array:
    r"""Rosenbrock's banana: a narrow curved valley, easy to enter and slow to follow.

    .. math:: f(x) = \sum_{i<n} (100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2)

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import problems
      >>> float(problems.rosenbrock(2).fun(jnp.array([-1.0, 1.0])))
      4.0
    """
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@family(
    box=(-32.768, 32.768),
    source=f"Ackley, A connectionist machine for genetic hillclimbing, 1987; {LIBRARY}",
)
def ackley(x: jax.Array) -> jax.Array:
    r"""Ackley's funnel: a nearly flat, rippled plain around a cone.

    .. math::
      f(x) = 20 + e - 20 \exp(-\sqrt{\sum_i x_i^2 / n} \, / 5) - \exp(\sum_i \cos(2 \pi x_i) / n)

    The minimum is the tip of the cone, where the function has no gradient and `jax.grad` gives 0.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jamsgrad import problems
      >>> jax.grad(problems.ackley(2).fun)(jnp.zeros(2)).tolist()
      [0.0, 0.0]
    """
    # 20 + e - 20 exp(-r / 5) - exp(mean(cos(2 pi x))) without its cancellation at 0.
    r = sqrt(jnp.mean(x**2))
    ripples = -2 * jnp.mean(jnp.sin(math.pi * x) ** 2)  # mean(cos(2 pi x)) - 1
    return -20 * jnp.expm1(-r / 5) - math.e * jnp.expm1(ripples)


@family(
    box=(-5.12, 5.12),
    source="Rastrigin, Systems of extremal control, 1974; "
    "n variables and box: Mühlenbein, Schomisch and Born, Parallel Computing 17, 1991",
)
def rastrigin(x: jax.Array) -> jax.Array:
    r"""Rastrigin's egg carton: a bowl with a local minimum near every integer point.

    .. math:: f(x) = \sum_i (x_i^2 + 10 (1 - \cos 2 \pi x_i))

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import problems
      >>> round(float(problems.rastrigin(2).fun(jnp.array([0.5, 0.0]))), 4)
      20.25
    """
    return jnp.sum(x**2 + 10 * (1 - jnp.cos(2 * math.pi * x)))


@family(
    box=(-600, 600),
    source=f"Griewank, Generalized descent for global optimization, JOTA 34, 1981; {LIBRARY}",
)
def griewank(x: jax.Array) -> jax.Array:
    r"""Griewank's function: a wide bowl from afar, thousands of local minima from near.

    .. math:: f(x) = 1 + \sum_i x_i^2 / 4000 - \prod_i \cos(x_i / \sqrt i)

    Example:
      >>> from jamsgrad import problems
      >>> problems.griewank(3).minimizers
      array([[0., 0., 0.]])
    """
    i = jnp.arange(1, x.shape[0] + 1, dtype=x.dtype)
    return 1 + jnp.sum(x**2) / 4000 - jnp.prod(jnp.cos(x / jnp.sqrt(i)))


@family(
    box=(-10, 10),
    at=1,
    source=f"Laguna and Martí, Advanced scatter search, J. Glob. Optim. 33, 2005; {LIBRARY}",
)
def levy(x: jax.Array) -> jax.Array:
    r"""Levy's function: a bowl with parallel ripples.

    .. math::
      f(x) &= \sin^2(\pi w_1) + \sum_{i<n} (w_i - 1)^2 (1 + 10 \sin^2(\pi w_i + 1)) \\
           &\quad + (w_n - 1)^2 (1 + \sin^2(2 \pi w_n)), \qquad w_i = 1 + (x_i - 1) / 4

    Example:
      >>> from jamsgrad import problems
      >>> problems.levy(4).minimizers
      array([[1., 1., 1., 1.]])
    """
    # The textbook's w is 1 + u; sin^2 has period pi, so its argument may drop the 1, and f(1) is 0.
    u = (x - 1) / 4
    first = jnp.sin(math.pi * u[0]) ** 2
    middle = jnp.sum(u[:-1] ** 2 * (1 + 10 * jnp.sin(math.pi * u[:-1] + 1) ** 2))
    last = u[-1] ** 2 * (1 + jnp.sin(2 * math.pi * u[-1]) ** 2)
    return first + middle + last


@family(
    box=(-5, 5),
    at=-2.903534027771177,
    minimum=-39.16616570377141,
    source=f"Styblinski and Tang, Neural Networks 3, 1990; {LIBRARY}",
)
def styblinski_tang(x: jax.Array) -> jax.Array:
    r"""Styblinski and Tang's function: two wells in each variable, one a little deeper.

    .. math:: f(x) = \sum_i (x_i^4 - 16 x_i^2 + 5 x_i) / 2

    Example:
      >>> from jamsgrad import problems
      >>> round(problems.styblinski_tang(2).minimum, 4)
      -78.3323
    """
    return jnp.sum(x**4 - 16 * x**2 + 5 * x) / 2


@family(
    box=(-500, 500),
    at=420.96874635998205,
    minimum=-418.9828872724337,
    source="Schwefel, Numerical optimization of computer models, 1981, problem 2.26",
)
def schwefel(x: jax.Array) -> jax.Array:
    r"""Schwefel's function: the deepest well lies in a far corner, the next best in others.

    .. math:: f(x) = -\sum_i x_i \sin \sqrt{|x_i|}

    without the 418.9829 n that is often added.

    Example:
      >>> from jamsgrad import problems
      >>> round(problems.schwefel(30).minimum, 1)
      -12569.5
    """
    return -jnp.sum(x * jnp.sin(sqrt(jnp.abs(x))))
