"""How XLA compiles: most of the time of the tests would go into making programs fast."""

import functools

import jax
from jax._src.interpreters import mlir

# Before JAX 0.11 fusions had kernels of their own, which took longer than all the rest together.
OLD = jax.__version_info__ < (0, 11)
KERNELS = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
quick = False

# To make a context for MLIR takes longer than to lower a small program into it: all share one.
mlir.make_ir_context = functools.cache(mlir.make_ir_context)

if OLD:  # by a private function, which changes no more
    from jax._src import compiler

    as_users = compiler.get_compile_options

    def get_compile_options(*args, **kwargs):
        """The options of XLA that no public function sets for all programs."""
        options = as_users(*args, **kwargs)
        if quick:
            options.env_option_overrides = [*options.env_option_overrides, *KERNELS.items()]
        return options

    compiler.get_compile_options = get_compile_options


def compile_quickly(wanted):
    """From now on, compile without optimisations, or as users do."""
    global quick  # noqa: PLW0603
    if wanted != quick:
        quick = wanted
        jax.config.update("jax_disable_most_optimizations", wanted)
        jax.clear_caches()
