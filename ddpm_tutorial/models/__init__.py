"""Networks, and what gives the output of a network a meaning."""

from ddpm_tutorial.models.classifier import *
from ddpm_tutorial.models.config import *
from ddpm_tutorial.models.cost import *
from ddpm_tutorial.models.ddpm import *
from ddpm_tutorial.models.denoiser import *
from ddpm_tutorial.models.layers import *
from ddpm_tutorial.models.masked import *
from ddpm_tutorial.models.network import *
from ddpm_tutorial.models.parameterisation import *
from ddpm_tutorial.models.reverse_variance import *
from ddpm_tutorial.models.transformer import *
from ddpm_tutorial.models.unet import *
from ddpm_tutorial.models.vae import *
