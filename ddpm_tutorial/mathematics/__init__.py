"""Pure functions of tensors: Gaussians, noise schedules, the forward process, exact models."""

from ddpm_tutorial.mathematics.continuous import *
from ddpm_tutorial.mathematics.exact import *
from ddpm_tutorial.mathematics.forward import *
from ddpm_tutorial.mathematics.gaussian import *
from ddpm_tutorial.mathematics.schedule import *
