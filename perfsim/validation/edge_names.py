"""Names in the public tables of ncnn and MLPerf Tiny, and what they are called in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["ENTRIES", "FP16_CORES", "NETWORKS", "TINY_DEVICES", "TINY_NETWORKS", "TINY_STACKS", "ZOO_NETWORKS"]

ENTRIES: Mapping[str, str] = MappingProxyType(
    {
        "Raspberry Pi 3 Model B+": "raspberry-pi-3b-plus",
        "Qualcomm MSM8916": "snapdragon-410",
        "OrangePi Zero 2": "allwinner-h616",
        "Rk3566": "rk3566",
        "RK3568": "rk3568",
        "RK3399": "rk3399",
        "Khadas VIM3": "amlogic-a311d",
        "Kirin 970": "kirin-970",
        "Qualcomm MSM8998": "snapdragon-835",
        "Qualcomm SDM660": "snapdragon-660",
        "Qualcomm MSM8996": "snapdragon-821",
        "Qualcomm MSM8994": "snapdragon-810",
        "NVIDIA Jetson Nano": "jetson-nano-cpu",
        "Qualcomm SM8150": "snapdragon-855-plus",
        "HUAWEI KunPeng 920 2251K": "kunpeng-920-8core",
        "HUAWEI KunPeng 920 3211K": "kunpeng-920-24core",
        "NVIDIA Jetson AGX Xavier": "jetson-agx-xavier-cpu",
        "Phytium FT-2000": "phytium-ft-2000-4",
        "MacBook Pro": "macbook-pro-m1-core",
        "AMD Ryzen Embedded V1605B": "ryzen-v1605b",
        "AMD Ryzen 5700g": "ryzen-5700g",
        "Hyper-V Linux Guest": "core-i7-7700k",
        "Intel Celeron N5105": "celeron-n5105",
        "VisionFive2": "starfive-jh7110",
        "Loongson 3A4000": "loongson-3a4000",
        "Raspberry Pi 4": "raspberry-pi-4",
    }
)
"""Part of the name of an entry → device. Entries without a device are not covered."""

FP16_CORES = ("cortex-a55", "cortex-a76", "taishan-v110", "carmel", "firestorm")
"""Cores with arithmetic in fp16, which ncnn uses there by itself."""

NETWORKS: Mapping[str, str] = MappingProxyType(
    {
        "squeezenet": "squeezenet-1.1-caffe",
        "mobilenet": "mobilenetv1",
        "mobilenet_v2": "mobilenetv2",
        "mobilenet_v3": "mobilenetv3-large",
        "shufflenet": "shufflenet-1.0-g3",
        "shufflenet_v2": "shufflenet-v2-1.0",
        "mnasnet": "mnasnet-b1",
        "proxylessnasnet": "proxylessnas-mobile",
        "efficientnet_b0": "efficientnet-b0",
        "efficientnetv2_b0": "efficientnetv2-b0",
        "regnety_400m": "regnety-400mf",
        "blazeface": "blazeface",
        "googlenet": "googlenet",
        "resnet18": "resnet18",
        "alexnet": "alexnet",
        "vgg16": "vgg16",
        "resnet50": "resnet50-v1",
        "mobilenet_ssd": "mobilenet-ssd",
        "mobilenet_yolo": "mobilenet-yolo",
        "mobilenetv2_yolov3": "mobilenetv2-yolov3",
        "yolov4-tiny": "yolov4-tiny",
        "vision_transformer": "vit-base-16-384",
    }
)
"""Network of the ncnn benchmark → model. Networks with other counts of operations than theirs are near relatives:
mobilenet_v2 (96 %), mobilenet_v3 (88 %), shufflenet (108 %), alexnet (99 %)."""

TINY_DEVICES: Mapping[str, str] = MappingProxyType({"L4R5ZI": "stm32l4r5", "U575ZI": "stm32u575", "NRF5340": "nrf5340"})
"""Part of the name of a board → device."""

TINY_NETWORKS: Mapping[str, str] = MappingProxyType(
    {"ad": "autoencoder-ad", "ic": "resnet8-cifar10", "kws": "ds-cnn-kws", "vww": "mobilenetv1-0.25-96-vww"}
)
"""Benchmark of MLPerf Tiny → model."""

TINY_STACKS: Mapping[str, tuple[str, bool, str]] = MappingProxyType(
    {
        "skymizer mbed_os": ("cmsis-nn", True, "TFLite Micro with CMSIS-NN kernels, Mbed OS"),
        "skymizer zephyr": ("cmsis-nn", False, "TFLite Micro with CMSIS-NN kernels, Zephyr"),
        "octoml microtvm_cmsis_nn nucleo": ("microtvm", True, "microTVM calling CMSIS-NN kernels"),
        "krai nucleo microtvm-cmsis-nn": ("microtvm", True, "microTVM calling CMSIS-NN kernels"),
        "octoml microtvm_cmsis_nn nrf5340": ("microtvm", False, "microTVM calling CMSIS-NN kernels"),
        "krai nrf5340-dk_microtvm": ("microtvm", False, "microTVM calling CMSIS-NN kernels"),
        "v1.0 stmicroelectronics": ("x-cube-ai", True, "X-CUBE-AI of 2022"),
        "krai x-cube-ai-7.3": ("x-cube-ai", True, "X-CUBE-AI 7.3"),
        "krai x-cube-ai-8.0": ("x-cube-ai", True, "X-CUBE-AI 8.0"),
        "v1.1 stmicroelectronics": ("x-cube-ai", False, "X-CUBE-AI 8.1, with other kernels for depthwise layers"),
    }
)
"""Words in the source, submitter, system and software of a result → stack, whether a fit sees it, remark."""

ZOO_NETWORKS: Mapping[str, tuple[str, bool]] = MappingProxyType(
    {
        "MobileNetV1-0.25 ImageNet 224": ("mobilenetv1-0.25-224", True),
        "MobileNetV1-0.5 ImageNet 224": ("mobilenetv1-0.5-224", False),
        "MobileNetV1-1.0 ImageNet 224": ("mobilenetv1-1.0-224", True),
        "MobileNetV1-0.25 flowers 96": ("mobilenetv1-0.25-96-vww", False),
        "MobileNetV2-0.35 ImageNet 128": ("mobilenetv2-0.35", True),
        "MobileNetV2-0.35 ImageNet 224": ("mobilenetv2-0.35", False),
        "MobileNetV2-1.0 ImageNet 224": ("mobilenetv2", True),
        "MobileNetV2-1.4 ImageNet 224": ("mobilenetv2-1.4", False),
    }
)
"""Network, data set and pixels in the zoo of STM32 → model, whether a fit sees it."""
