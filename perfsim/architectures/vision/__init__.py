"""Vision networks: each family is a dataclass of its published parameters that builds its graph."""

from collections.abc import Mapping
from types import MappingProxyType

from perfsim.architectures.vision.affnet import AffNet
from perfsim.architectures.vision.audio import AudioModel
from perfsim.architectures.vision.cascade import CascadeVit
from perfsim.architectures.vision.convfirst import ConvFirst
from perfsim.architectures.vision.convnext import ConvNext
from perfsim.architectures.vision.counts import Counts, counts_of
from perfsim.architectures.vision.dc_decoder import DcDecoder
from perfsim.architectures.vision.denoiser import Denoiser
from perfsim.architectures.vision.densenet import DenseNet
from perfsim.architectures.vision.detr import Detr
from perfsim.architectures.vision.dit import Dit, PixArt
from perfsim.architectures.vision.drone import DroneNet
from perfsim.architectures.vision.efficientmod import EfficientMod
from perfsim.architectures.vision.efficientvim import EfficientViM
from perfsim.architectures.vision.efficientvit import EfficientVit, EfficientVitLarge
from perfsim.architectures.vision.efficientvmamba import EfficientVMamba
from perfsim.architectures.vision.fastvit import FastViT
from perfsim.architectures.vision.ghostnet import GhostNet
from perfsim.architectures.vision.halonet import HaloNet
from perfsim.architectures.vision.hunyuan import HunyuanDit
from perfsim.architectures.vision.inception import InceptionV3
from perfsim.architectures.vision.keyword import MatchboxNet, TcResNet
from perfsim.architectures.vision.kl_decoder import KlDecoder
from perfsim.architectures.vision.listed import ListedNet
from perfsim.architectures.vision.mixnet import MixNet
from perfsim.architectures.vision.mmdit import Mmdit
from perfsim.architectures.vision.mobile import MobileNet
from perfsim.architectures.vision.mobileone import MobileOne
from perfsim.architectures.vision.mobilevit import MobileVit, MobileVitV2
from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import ImageStep, Net
from perfsim.architectures.vision.nextvit import NextVit
from perfsim.architectures.vision.recurrent import RecurrentNet
from perfsim.architectures.vision.regnet import RegNet
from perfsim.architectures.vision.resnet import ResNet
from perfsim.architectures.vision.sana import Sana
from perfsim.architectures.vision.scaling import Multipliers, activation_growth, compound_scaling
from perfsim.architectures.vision.shufflenet import ShuffleNet, ShuffleNetV2
from perfsim.architectures.vision.shvit import SHViT
from perfsim.architectures.vision.simplenet import SimpleNet
from perfsim.architectures.vision.squeezenet import SqueezeNet
from perfsim.architectures.vision.swin import Swin
from perfsim.architectures.vision.tdnn import EcapaTdnn, TimeDelayNet
from perfsim.architectures.vision.unet import Unet
from perfsim.architectures.vision.vgg import AlexNet, Vgg
from perfsim.architectures.vision.video import SlowFast, VideoResNet
from perfsim.architectures.vision.vit import VisionTransformer
from perfsim.architectures.vision.vmamba import VMamba

__all__ = [
    "VISION_FAMILIES",
    "AffNet",
    "AlexNet",
    "AudioModel",
    "CascadeVit",
    "ConvFirst",
    "ConvNext",
    "Counts",
    "DcDecoder",
    "Denoiser",
    "DenseNet",
    "Detr",
    "Dit",
    "DroneNet",
    "EcapaTdnn",
    "EfficientMod",
    "EfficientVMamba",
    "EfficientViM",
    "EfficientVit",
    "EfficientVitLarge",
    "FastViT",
    "GhostNet",
    "HaloNet",
    "HunyuanDit",
    "ImageStep",
    "InceptionV3",
    "KlDecoder",
    "ListedNet",
    "MatchboxNet",
    "MixNet",
    "Mmdit",
    "MobileNet",
    "MobileOne",
    "MobileVit",
    "MobileVitV2",
    "Multipliers",
    "Net",
    "NextVit",
    "PixArt",
    "RecurrentNet",
    "RegNet",
    "ResNet",
    "SHViT",
    "Sana",
    "ShuffleNet",
    "ShuffleNetV2",
    "SimpleNet",
    "SlowFast",
    "SqueezeNet",
    "Swin",
    "TcResNet",
    "TimeDelayNet",
    "Unet",
    "VMamba",
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
        "affnet": AffNet,
        "alexnet": AlexNet,
        "cascade-vit": CascadeVit,
        "convfirst": ConvFirst,
        "convnext": ConvNext,
        "densenet": DenseNet,
        "detr": Detr,
        "dit": Dit,
        "drone": DroneNet,
        "ecapa-tdnn": EcapaTdnn,
        "efficientmod": EfficientMod,
        "efficientvim": EfficientViM,
        "efficientvit": EfficientVit,
        "efficientvit-large": EfficientVitLarge,
        "fastvit": FastViT,
        "ghostnet": GhostNet,
        "halonet": HaloNet,
        "inception-v3": InceptionV3,
        "dc-decoder": DcDecoder,
        "hunyuan-dit": HunyuanDit,
        "kl-decoder": KlDecoder,
        "sana": Sana,
        "listed": ListedNet,
        "matchboxnet": MatchboxNet,
        "mixnet": MixNet,
        "mmdit": Mmdit,
        "mobilenet": MobileNet,
        "mobileone": MobileOne,
        "mobilevit": MobileVit,
        "mobilevit-v2": MobileVitV2,
        "nextvit": NextVit,
        "pixart": PixArt,
        "recurrent": RecurrentNet,
        "regnet": RegNet,
        "resnet": ResNet,
        "shufflenet": ShuffleNet,
        "shufflenet-v2": ShuffleNetV2,
        "shvit": SHViT,
        "simplenet": SimpleNet,
        "slowfast": SlowFast,
        "squeezenet": SqueezeNet,
        "swin": Swin,
        "tc-resnet": TcResNet,
        "time-delay": TimeDelayNet,
        "unet": Unet,
        "vgg": Vgg,
        "video-resnet": VideoResNet,
        "vit": VisionTransformer,
        "efficientvmamba": EfficientVMamba,
        "vmamba": VMamba,
    }
)
"""By the key ``family`` of a ``[vision]`` table."""
