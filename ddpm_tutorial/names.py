"""Every public name of the package. `ddpm_tutorial` itself gives them on, when first asked."""

from ddpm_tutorial.algorithms import *
from ddpm_tutorial.errors import *
from ddpm_tutorial.io import *
from ddpm_tutorial.mathematics import *
from ddpm_tutorial.models import *
