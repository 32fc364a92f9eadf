"""Denoising diffusion probabilistic models: the mathematics of the book, in code."""

from ddpm_tutorial.checkpoint import load_model, load_pretrained, save_model
from ddpm_tutorial.data import Digits, load_bundled, load_mnist
from ddpm_tutorial.ddpm import DDPM, DDPMConfig
from ddpm_tutorial.elbo import elbo_terms, three_term_elbo
from ddpm_tutorial.errors import TutorialError
from ddpm_tutorial.evaluation import measure_bound
from ddpm_tutorial.exact import GaussianMixture
from ddpm_tutorial.forward import q_marginal, q_posterior, q_sample, q_transition
from ddpm_tutorial.gaussian import discretized_normal_log_prob, kl_normal
from ddpm_tutorial.sampling import ddim_invert, sample, sample_path
from ddpm_tutorial.schedule import NoiseSchedule, timestep_pairs
from ddpm_tutorial.training import TrainingConfig, train
from ddpm_tutorial.unet import UNet, UNetConfig
from ddpm_tutorial.vae import VAE, train_vae

__all__ = [
    "DDPM",
    "VAE",
    "DDPMConfig",
    "Digits",
    "GaussianMixture",
    "NoiseSchedule",
    "TrainingConfig",
    "TutorialError",
    "UNet",
    "UNetConfig",
    "ddim_invert",
    "discretized_normal_log_prob",
    "elbo_terms",
    "kl_normal",
    "load_bundled",
    "load_mnist",
    "load_model",
    "load_pretrained",
    "measure_bound",
    "q_marginal",
    "q_posterior",
    "q_sample",
    "q_transition",
    "sample",
    "sample_path",
    "save_model",
    "three_term_elbo",
    "timestep_pairs",
    "train",
    "train_vae",
]
