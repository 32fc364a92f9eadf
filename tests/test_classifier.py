import pytest
import torch

from ddpm_tutorial import load_bundled
from ddpm_tutorial.checkpoint import ASSETS, load_checkpoint, load_classifier
from ddpm_tutorial.classifier import DigitClassifier, classify


def test_the_shipped_classifier_reads_digits_and_says_how_well():
    details = load_checkpoint(ASSETS / "classifier.safetensors").details
    assert details["test_images"] == 10_000
    assert details["test_accuracy"] >= 0.993
    digits = load_bundled("test")
    _, probabilities = classify(load_classifier(), digits.images)
    right = probabilities.argmax(1) == digits.labels
    assert float(right.double().mean()) >= 0.993


def test_features_belong_to_the_image_and_not_to_its_batch():
    classifier, images = load_classifier(), load_bundled("test").images[:7]
    features, probabilities = classify(classifier, images)
    assert features.shape == (7, DigitClassifier.num_features)
    assert features.min() >= 0
    torch.testing.assert_close(probabilities.sum(1), torch.ones(7))
    torch.testing.assert_close(probabilities, classifier(images).softmax(1))
    one_by_one, _ = classify(classifier, images, batch_size=1)
    torch.testing.assert_close(one_by_one, features, rtol=1e-4, atol=1e-5)


def test_a_classifier_in_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"call classifier\.eval\(\) first"):
        classify(DigitClassifier(), torch.zeros(2, 1, 28, 28))
