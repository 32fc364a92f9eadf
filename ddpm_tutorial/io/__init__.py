"""Files: data in, checkpoints and training runs in and out."""

from ddpm_tutorial.io.checkpoint import *
from ddpm_tutorial.io.data import *
from ddpm_tutorial.io.files import *
from ddpm_tutorial.io.run import *
