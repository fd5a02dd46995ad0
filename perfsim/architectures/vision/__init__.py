"""Vision networks: each family is a dataclass of its published parameters that builds its graph."""

from collections.abc import Mapping
from types import MappingProxyType

from perfsim.architectures.vision.cascade import CascadeVit
from perfsim.architectures.vision.convnext import ConvNext
from perfsim.architectures.vision.counts import Counts, counts_of
from perfsim.architectures.vision.densenet import DenseNet
from perfsim.architectures.vision.efficientvit import EfficientVit, EfficientVitLarge
from perfsim.architectures.vision.halonet import HaloNet
from perfsim.architectures.vision.inception import InceptionV3
from perfsim.architectures.vision.mixnet import MixNet
from perfsim.architectures.vision.mobile import MobileNet
from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import ImageStep, Net
from perfsim.architectures.vision.nextvit import NextVit
from perfsim.architectures.vision.regnet import RegNet
from perfsim.architectures.vision.resnet import ResNet
from perfsim.architectures.vision.squeezenet import SqueezeNet
from perfsim.architectures.vision.swin import Swin
from perfsim.architectures.vision.vgg import AlexNet, Vgg
from perfsim.architectures.vision.vit import VisionTransformer

__all__ = [
    "VISION_FAMILIES",
    "AlexNet",
    "CascadeVit",
    "ConvNext",
    "Counts",
    "DenseNet",
    "EfficientVit",
    "EfficientVitLarge",
    "HaloNet",
    "ImageStep",
    "InceptionV3",
    "MixNet",
    "MobileNet",
    "Net",
    "NextVit",
    "RegNet",
    "ResNet",
    "SqueezeNet",
    "Swin",
    "Vgg",
    "VisionModel",
    "VisionTransformer",
    "counts_of",
]

VISION_FAMILIES: Mapping[str, type[VisionModel]] = MappingProxyType(
    {
        "alexnet": AlexNet,
        "cascade-vit": CascadeVit,
        "convnext": ConvNext,
        "densenet": DenseNet,
        "efficientvit": EfficientVit,
        "efficientvit-large": EfficientVitLarge,
        "halonet": HaloNet,
        "inception-v3": InceptionV3,
        "mixnet": MixNet,
        "mobilenet": MobileNet,
        "nextvit": NextVit,
        "regnet": RegNet,
        "resnet": ResNet,
        "squeezenet": SqueezeNet,
        "swin": Swin,
        "vgg": Vgg,
        "vit": VisionTransformer,
    }
)
"""By the key ``family`` of a ``[vision]`` table."""
