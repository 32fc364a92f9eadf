"""What is done with a model: train it, sample from it, bound it, score it, measure it."""

from ddpm_tutorial.algorithms.distillation import *
from ddpm_tutorial.algorithms.elbo import *
from ddpm_tutorial.algorithms.evaluation import *
from ddpm_tutorial.algorithms.inverse import *
from ddpm_tutorial.algorithms.measurement import *
from ddpm_tutorial.algorithms.optimizers import *
from ddpm_tutorial.algorithms.particles import *
from ddpm_tutorial.algorithms.processes import *
from ddpm_tutorial.algorithms.sampling import *
from ddpm_tutorial.algorithms.scores import *
from ddpm_tutorial.algorithms.training import *
from ddpm_tutorial.algorithms.training_state import *
