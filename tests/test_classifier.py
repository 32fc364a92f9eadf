import pytest
import torch
import torch.nn.functional as F

from ddpm_tutorial import (
    ASSETS,
    DigitClassifier,
    classify,
    load_bundled,
    load_checkpoint,
    load_classifier,
)


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


def test_features_are_those_of_the_layers_written_out():
    """What the Frechet distance is measured on: another pooling would read digits as well."""
    classifier, h = load_classifier(), load_bundled("test").images[:3]
    weights = classifier.state_dict()
    for resolution in (0, 7, 14):
        h = F.max_pool2d(h, 2) if resolution else h
        for place in (resolution, resolution + 3):
            conv, norm = (
                {name: weights.get(f"body.{index}.{name}") for name in names}
                for index, names in [
                    (place, ("weight", "bias")),
                    (place + 1, ("running_mean", "running_var", "weight", "bias")),
                ]
            )
            h = F.batch_norm(F.conv2d(h, **conv, padding=1), **norm).relu()
    assert h.shape == (3, 128, 7, 7)
    expected = h.sum((2, 3)) / 49
    features, probabilities = classify(classifier, load_bundled("test").images[:3])
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    logits = expected @ weights["head.weight"].T + weights["head.bias"]
    torch.testing.assert_close(probabilities, logits.softmax(1), rtol=1e-4, atol=1e-5)


def test_features_keep_no_graph_in_memory():
    features, probabilities = classify(DigitClassifier().eval(), torch.zeros(2, 1, 28, 28))
    assert not features.requires_grad
    assert not probabilities.requires_grad


def test_a_classifier_in_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"call classifier\.eval\(\) first"):
        classify(DigitClassifier(), torch.zeros(2, 1, 28, 28))
