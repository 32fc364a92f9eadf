"""Denoising diffusion probabilistic models: the mathematics of the book, in code."""

from ddpm_tutorial.checkpoint import load_model, load_pretrained, save_model
from ddpm_tutorial.data import Digits, load_bundled, load_mnist
from ddpm_tutorial.ddpm import DDPM, DDPMConfig
from ddpm_tutorial.errors import TutorialError
from ddpm_tutorial.forward import q_marginal, q_posterior, q_sample, q_transition
from ddpm_tutorial.gaussian import discretized_normal_log_prob, kl_normal
from ddpm_tutorial.sampling import sample, sample_path
from ddpm_tutorial.schedule import NoiseSchedule, timestep_pairs
from ddpm_tutorial.training import TrainingConfig, train
from ddpm_tutorial.unet import UNet, UNetConfig
