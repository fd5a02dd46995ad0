"""Families of networks: a description by shape, and how it becomes an operator graph."""

from perfsim.architectures.attention import Attention
from perfsim.architectures.decoder import Block, DecoderModel, LayerGroup
from perfsim.architectures.encoder import EncoderModel
from perfsim.architectures.encoder_decoder import EncoderDecoderModel
from perfsim.architectures.forward import ForwardModel
from perfsim.architectures.full_attention import FullAttention
from perfsim.architectures.language import LanguageModel
from perfsim.architectures.latent_attention import LatentAttention
from perfsim.architectures.mlp import MixtureOfExperts, Mlp
from perfsim.architectures.model import Model, expect
from perfsim.architectures.ssm import ChunkedStateSpace, SelectiveStateSpace
from perfsim.architectures.step import Step
from perfsim.architectures.text import AudioFront, Normalisation, Stack, TokenFront
from perfsim.architectures.vision import Denoiser, ImageStep, VisionModel

__all__ = [
    "Attention",
    "AudioFront",
    "Block",
    "ChunkedStateSpace",
    "DecoderModel",
    "Denoiser",
    "EncoderDecoderModel",
    "EncoderModel",
    "ForwardModel",
    "FullAttention",
    "ImageStep",
    "LanguageModel",
    "LatentAttention",
    "LayerGroup",
    "MixtureOfExperts",
    "Mlp",
    "Model",
    "Normalisation",
    "SelectiveStateSpace",
    "Stack",
    "Step",
    "TokenFront",
    "VisionModel",
    "expect",
]
