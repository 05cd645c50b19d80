"""`python -m jamsgrad`: versions, devices and a check of one second, for a bug report."""

import importlib.metadata
import platform

import jax
import jax.numpy as jnp

import jamsgrad

PACKAGES = ("jamsgrad", "jax", "jaxlib", "optax", "numpy", "scipy", "matplotlib")


def versions() -> str:
    """What is installed, a line for each."""
    lines = [f"{'python':<12}{platform.python_version()} on {platform.platform()}"]
    lines += [f"{name:<12}{importlib.metadata.version(name)}" for name in PACKAGES]
    return "\n".join([*lines, f"{'devices':<12}{', '.join(map(str, jax.devices()))}"])


def check() -> str:
    """One search that must come out right."""
    problem = jamsgrad.problems.bowl
    result = jamsgrad.minimize(
        problem.fun, jnp.array([0.8, -0.6]), jamsgrad.amsgrad(0.1), bounds=problem.bounds, gtol=1e-5
    )
    error = float(jnp.max(jnp.abs(result.x)))
    works = bool(result.success) and error < 1e-4
    return f"{'check':<12}{'passed' if works else 'FAILED'}: {result.message}"


if __name__ == "__main__":
    print(versions())
    print(check())
