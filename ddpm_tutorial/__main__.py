"""`python -m ddpm_tutorial`, which is also what `accelerate launch -m` starts."""

from ddpm_tutorial.cli import main

if __name__ == "__main__":
    main()
