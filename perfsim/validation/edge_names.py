"""Names in the public tables of ncnn and MLPerf Tiny, and what they are called in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "CLUSTERS",
    "ENTRIES",
    "FP16_CORES",
    "NETWORKS",
    "TINY_DEVICES",
    "TINY_NETWORKS",
    "TINY_STACKS",
    "ZOO_DEVICES",
    "ZOO_NETWORKS",
    "ZOO_STACKS",
]  # fmt: skip

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
        "Azure Standard D64s v6": "azure-d64s-v6",
    }
)
"""Part of the name of an entry → device. Entries without a device are not covered."""

CLUSTERS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("rk3399", "0"): "rk3399-all",
        ("rk3399", "1"): "rk3399-little",
        ("snapdragon-810", "0"): "snapdragon-810-all",
        ("snapdragon-660", "0"): "snapdragon-660-all",
    }
)
"""Device and ``powersave`` of an entry (0 all cores, 1 the small ones, 2 the large ones) → device of those cores."""

FP16_CORES = ("cortex-a55", "cortex-a76", "taishan-v110", "carmel", "firestorm")
"""Cores with arithmetic in fp16, which ncnn uses there by itself."""

NETWORKS: Mapping[str, str] = MappingProxyType(
    {
        "squeezenet": "squeezenet-1.1-caffe",
        "mobilenet": "mobilenetv1",
        "mobilenet_v2": "mobilenetv2-caffe",
        "mobilenet_v3": "mobilenetv3-large-early",
        "shufflenet": "shufflenet-1.0-g3-caffe",
        "shufflenet_v2": "shufflenet-v2-1.0",
        "mnasnet": "mnasnet-b1",
        "proxylessnasnet": "proxylessnas-mobile",
        "efficientnet_b0": "efficientnet-b0",
        "efficientnetv2_b0": "efficientnetv2-b0",
        "regnety_400m": "regnety-400mf",
        "blazeface": "blazeface",
        "googlenet": "googlenet",
        "resnet18": "resnet18",
        "alexnet": "alexnet-two-tower",
        "vgg16": "vgg16",
        "resnet50": "resnet50-v1",
        "mobilenet_ssd": "mobilenet-ssd",
        "mobilenet_yolo": "mobilenet-yolo",
        "mobilenetv2_yolov3": "mobilenetv2-yolov3",
        "yolov4-tiny": "yolov4-tiny",
        "vision_transformer": "vit-base-32-384",
        "squeezenet_ssd": "squeezenet-ssd",
        "nanodet_m": "nanodet-m",
        "yolo-fastest-1.1": "yolo-fastest-1.1",
        "yolo-fastestv2": "yolo-fastest-v2",
        "FastestDet": "fastestdet",
    }
)
"""Network of the ncnn benchmark → model with the same operations, but for resnet18, whose first shortcut there has a
convolution (0.7 % more)."""

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
        "octoml microtvm_native": ("microtvm-native", True, "microTVM with kernels of its own"),
        "krai microtvm-native": ("microtvm-native", True, "microTVM with kernels of its own"),
        "v1.0 stmicroelectronics": ("x-cube-ai", True, "X-CUBE-AI of 2022"),
        "krai x-cube-ai-7.3": ("x-cube-ai", True, "X-CUBE-AI 7.3"),
        "krai x-cube-ai-8.0": ("x-cube-ai", True, "X-CUBE-AI 8.0"),
        "v1.1 stmicroelectronics": ("x-cube-ai-8.1", True, "X-CUBE-AI 8.1"),
        "v1.1 plumerai": ("plumerai", True, "Plumerai Inference Engine 2023.05"),
        "v1.1 bosch": ("hale", True, "engine of Bosch, 2023"),
    }
)
"""Words in the source, submitter, system and software of a result → stack, whether a fit sees it, remark."""

ZOO_NETWORKS: Mapping[str, tuple[str, bool]] = MappingProxyType(
    {
        "MobileNetV1-0.25 ImageNet 224": ("mobilenetv1-0.25-224", True),
        "MobileNetV1-0.5 ImageNet 224": ("mobilenetv1-0.5-224", False),
        "MobileNetV1-1.0 ImageNet 224": ("mobilenetv1-1.0-224", True),
        "MobileNetV1-0.25 flowers 96": ("mobilenetv1-0.25-96-vww", False),
        "MobileNetV1-0.25 flowers 224": ("mobilenetv1-0.25-flowers", False),
        "MobileNetV1-0.5 flowers 224": ("mobilenetv1-0.5-flowers", False),
        "MobileNetV2-0.35 ImageNet 128": ("mobilenetv2-0.35", True),
        "MobileNetV2-0.35 ImageNet 224": ("mobilenetv2-0.35", False),
        "MobileNetV2-0.35 flowers 128": ("mobilenetv2-0.35-flowers", False),
        "MobileNetV2-0.35 flowers 224": ("mobilenetv2-0.35-flowers", False),
        "MobileNetV2-1.0 ImageNet 224": ("mobilenetv2", True),
        "MobileNetV2-1.4 ImageNet 224": ("mobilenetv2-1.4", False),
        "FdMobileNet-0.25 flowers 128": ("fdmobilenet-0.25-flowers", False),
        "FdMobileNet-0.25 flowers 224": ("fdmobilenet-0.25-flowers", False),
        "SqueezeNet-1.1 flowers 128": ("squeezenet-1.1-flowers", True),
        "SqueezeNet-1.1 flowers 224": ("squeezenet-1.1-flowers", False),
        "mcunet-vww0 ": ("mcunet-vww0", True),
        "mcunet-vww1 ": ("mcunet-vww1", False),
        "mcunet-vww2 ": ("mcunet-vww2", True),
    }
)
"""Network, data set and pixels (none for MCUNet) in the tables of STM32 boards → model, whether a fit sees it."""

ZOO_DEVICES: Mapping[str, str] = MappingProxyType({"STM32H747": "stm32h747", "STM32H743": "stm32h743"})
"""Part of the name of a board in the same tables → device."""

ZOO_STACKS: Mapping[str, str] = MappingProxyType(
    {"STM32Cube.AI": "x-cube-ai", "X-CUBE-AI": "x-cube-ai", "CMSIS-NN": "cmsis-nn", "TinyEngine": "tinyengine",
     "TF-Lite Micro": "tflite-micro"}
)  # fmt: skip
"""Start of the name of a framework in the same tables → stack."""
