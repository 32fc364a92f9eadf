"""Denoising diffusion probabilistic models: the mathematics of the book, in code.

Every public name of the four floors can be had from here; `plotting`, `coursework` and the command
line stand beside them.
"""

from ddpm_tutorial.algorithms import *
from ddpm_tutorial.errors import *
from ddpm_tutorial.io import *
from ddpm_tutorial.mathematics import *
from ddpm_tutorial.models import *

__version__ = "0.1.0"
