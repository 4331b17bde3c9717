import torch
from torchvision.transforms.functional import normalize

from course_utils.embedding.adapters import replicate
from course_utils.embedding.backbones import IMAGENET_MEAN, IMAGENET_STD


def test_replication_equals_torchvisions_normalise_of_three_equal_channels():
    gray = torch.rand((2, 1, 5, 7), generator=torch.Generator().manual_seed(0))
    untouched = gray.clone()
    expected = normalize(gray.expand(-1, 3, -1, -1), IMAGENET_MEAN, IMAGENET_STD)
    assert torch.equal(replicate(gray, IMAGENET_MEAN, IMAGENET_STD), expected)
    assert torch.equal(gray, untouched)
