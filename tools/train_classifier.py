"""Train the digit classifier that ships with the package, on the complete MNIST.

    python tools/train_classifier.py --data FOLDER_WITH_MNIST

writes ddpm_tutorial/assets/classifier.safetensors, with its test accuracy in the header.
"""

import argparse
import platform

import torch
import torch.nn.functional as F
from torchvision.transforms.v2 import InterpolationMode, RandomAffine
from tqdm import tqdm

from ddpm_tutorial import (
    ASSETS,
    Checkpoint,
    DigitClassifier,
    classify,
    has_fast_bfloat16,
    load_mnist,
    save_checkpoint,
)

EPOCHS, BATCH, LEARNING_RATE, SEED = 10, 100, 3e-3, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=None)
    train, test = (load_mnist(split, parser.parse_args().data) for split in ("train", "test"))
    if len(train.images) != 60_000:
        raise SystemExit("this needs the complete MNIST: name its folder with --data")

    torch.manual_seed(SEED)
    model = DigitClassifier()
    steps = EPOCHS * len(train.images) // BATCH
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    bend = RandomAffine(
        degrees=12,
        translate=(0.08, 0.08),
        scale=(0.9, 1.1),
        shear=8,
        interpolation=InterpolationMode.BILINEAR,
        fill=-1,
    )
    bar = tqdm(total=steps, unit="step")
    for _ in range(EPOCHS):
        for index in torch.randperm(len(train.images)).split(BATCH):
            # Bent in groups of ten: one for each image would take most of the time.
            images = torch.cat([bend(group) for group in train.images[index].split(10)])
            with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16()):
                loss = F.cross_entropy(model(images), train.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.update()
    model.eval()

    # Shipped in half precision, and measured as shipped.
    tensors = {
        name: value.half() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(tensors)
    right = classify(model, test.images)[1].argmax(1) == test.labels
    details = {
        "command": "python tools/train_classifier.py",
        "epochs": EPOCHS,
        "seed": SEED,
        "test_images": len(right),
        "test_accuracy": round(float(right.double().mean()), 4),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    path = ASSETS / "classifier.safetensors"
    save_checkpoint(path, Checkpoint(None, tensors, details))
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {details}")


if __name__ == "__main__":
    main()
