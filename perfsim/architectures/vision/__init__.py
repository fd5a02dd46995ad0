"""Vision networks: each family is a dataclass of its published parameters that builds its graph."""

from collections.abc import Mapping
from types import MappingProxyType

from perfsim.architectures.vision.cascade import CascadeVit
from perfsim.architectures.vision.convnext import ConvNext
from perfsim.architectures.vision.counts import Counts, counts_of
from perfsim.architectures.vision.densenet import DenseNet
from perfsim.architectures.vision.detr import Detr
from perfsim.architectures.vision.efficientvit import EfficientVit, EfficientVitLarge
from perfsim.architectures.vision.fastvit import FastViT
from perfsim.architectures.vision.ghostnet import GhostNet
from perfsim.architectures.vision.halonet import HaloNet
from perfsim.architectures.vision.inception import InceptionV3
from perfsim.architectures.vision.mixnet import MixNet
from perfsim.architectures.vision.mobile import MobileNet
from perfsim.architectures.vision.mobileone import MobileOne
from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import ImageStep, Net
from perfsim.architectures.vision.nextvit import NextVit
from perfsim.architectures.vision.regnet import RegNet
from perfsim.architectures.vision.resnet import ResNet
from perfsim.architectures.vision.scaling import Multipliers, activation_growth, compound_scaling
from perfsim.architectures.vision.shufflenet import ShuffleNet, ShuffleNetV2
from perfsim.architectures.vision.squeezenet import SqueezeNet
from perfsim.architectures.vision.swin import Swin
from perfsim.architectures.vision.unet import Unet
from perfsim.architectures.vision.vgg import AlexNet, Vgg
from perfsim.architectures.vision.video import SlowFast, VideoResNet
from perfsim.architectures.vision.vit import VisionTransformer

__all__ = [
    "VISION_FAMILIES",
    "AlexNet",
    "CascadeVit",
    "ConvNext",
    "Counts",
    "DenseNet",
    "Detr",
    "EfficientVit",
    "EfficientVitLarge",
    "FastViT",
    "GhostNet",
    "HaloNet",
    "ImageStep",
    "InceptionV3",
    "MixNet",
    "MobileNet",
    "MobileOne",
    "Multipliers",
    "Net",
    "NextVit",
    "RegNet",
    "ResNet",
    "ShuffleNet",
    "ShuffleNetV2",
    "SlowFast",
    "SqueezeNet",
    "Swin",
    "Unet",
    "Vgg",
    "VideoResNet",
    "VisionModel",
    "VisionTransformer",
    "activation_growth",
    "compound_scaling",
    "counts_of",
]

VISION_FAMILIES: Mapping[str, type[VisionModel]] = MappingProxyType(
    {
        "alexnet": AlexNet,
        "cascade-vit": CascadeVit,
        "convnext": ConvNext,
        "densenet": DenseNet,
        "detr": Detr,
        "efficientvit": EfficientVit,
        "efficientvit-large": EfficientVitLarge,
        "halonet": HaloNet,
        "inception-v3": InceptionV3,
        "mixnet": MixNet,
        "mobilenet": MobileNet,
        "nextvit": NextVit,
        "regnet": RegNet,
        "resnet": ResNet,
        "slowfast": SlowFast,
        "fastvit": FastViT,
        "ghostnet": GhostNet,
        "mobileone": MobileOne,
        "shufflenet": ShuffleNet,
        "shufflenet-v2": ShuffleNetV2,
        "squeezenet": SqueezeNet,
        "swin": Swin,
        "unet": Unet,
        "vgg": Vgg,
        "video-resnet": VideoResNet,
        "vit": VisionTransformer,
    }
)
"""By the key ``family`` of a ``[vision]`` table."""
