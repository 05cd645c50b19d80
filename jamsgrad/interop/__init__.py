"""Optimizer state from and to PyTorch and optax: a run goes on where the other library left it.

Torch is never imported: a state dict is a mapping of arrays, or of tensors that NumPy can read.
"""

from jamsgrad.interop._optax import from_optax as from_optax
from jamsgrad.interop._optax import to_optax as to_optax
from jamsgrad.interop._torch import from_torch as from_torch
from jamsgrad.interop._torch import to_torch as to_torch
