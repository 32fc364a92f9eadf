"""Denoising diffusion probabilistic models: the mathematics of the book, in code.

Every public name of the four floors can be had from here; `plotting`, `coursework` and the command
line stand beside them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:  # for editors and type checkers, which run nothing
    from ddpm_tutorial.names import *
else:
    # The floors need torch, which takes seconds to import. They wait until one of their names is
    # asked for, so that the command line can give its help and its version at once.

    def __getattr__(name):
        names = {} if name.startswith("__") and name != "__all__" else _names()
        if name == "__all__":  # for `from ddpm_tutorial import *`
            return sorted(names)
        if name not in names:
            raise AttributeError(f"module 'ddpm_tutorial' has no attribute '{name}'")
        return names[name]

    def __dir__():
        return sorted({*globals(), *_names()})

    def _names():
        module = import_module("ddpm_tutorial.names")
        names = {n: value for n, value in vars(module).items() if not n.startswith("_")}
        globals().update(names)  # from now on nothing has to be looked for
        return names
