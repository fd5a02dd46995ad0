"""Operators, one family per file: shapes, work and a reference. Adding one is adding a file."""

from perfsim.ops.attention import FusedAttention, Scores, Softmax, Values
from perfsim.ops.backward import Backward
from perfsim.ops.batch_norm import BatchMoments, BatchNorm, BatchNormalise
from perfsim.ops.blocks import FromBlocks, RelativeLogits, ToBlocks
from perfsim.ops.cache import CacheWrite
from perfsim.ops.causal_conv import CausalConv
from perfsim.ops.collective import AllGather, AllReduce, Collective, ReduceScatter, SendReceive
from perfsim.ops.conv import Conv, DepthwiseConv, GroupedConv, TransposedConv, conv_kind
from perfsim.ops.deformable import DeformableSample
from perfsim.ops.dropout import Dropout
from perfsim.ops.elementwise import Elementwise, Select
from perfsim.ops.embedding import Embedding
from perfsim.ops.embedding_bag import EmbeddingBag
from perfsim.ops.experts import Combine, ExpertLinear, TopK
from perfsim.ops.fourier import FourierConv, FourierTransform
from perfsim.ops.graph_conv import Aggregate
from perfsim.ops.group_norm import GroupNorm
from perfsim.ops.heads import Concat, Expand, HeadLinear
from perfsim.ops.join import Join
from perfsim.ops.layout import JoinHeads, Rearrange, ToMap, ToTokens
from perfsim.ops.linear import Linear
from perfsim.ops.linear_attention import ContextSum, KeyValueSum, LinearRead
from perfsim.ops.loss import CrossEntropy
from perfsim.ops.norm import Norm
from perfsim.ops.optimizer import Update
from perfsim.ops.pool import GlobalPool, Pool
from perfsim.ops.quantization import Dequantize
from perfsim.ops.recurrent import Gru, Lstm
from perfsim.ops.resize import Resize
from perfsim.ops.response_norm import ResponseNorm
from perfsim.ops.sampling import Sample
from perfsim.ops.scan import ChunkedScan, SelectiveScan
from perfsim.ops.scan_orders import CrossMerge, CrossScan
from perfsim.ops.shuffle import ChannelShuffle
from perfsim.ops.split import Split
from perfsim.ops.windows import FromWindows, MergeNeighbours, ToWindows

__all__ = [
    "Aggregate",
    "AllGather",
    "AllReduce",
    "Backward",
    "BatchMoments",
    "BatchNorm",
    "BatchNormalise",
    "CacheWrite",
    "CausalConv",
    "ChannelShuffle",
    "ChunkedScan",
    "Collective",
    "Combine",
    "Concat",
    "ContextSum",
    "Conv",
    "CrossEntropy",
    "CrossMerge",
    "CrossScan",
    "DeformableSample",
    "DepthwiseConv",
    "Dequantize",
    "Dropout",
    "Elementwise",
    "Embedding",
    "EmbeddingBag",
    "Expand",
    "ExpertLinear",
    "FourierConv",
    "FourierTransform",
    "FromBlocks",
    "FromWindows",
    "FusedAttention",
    "GlobalPool",
    "GroupNorm",
    "GroupedConv",
    "Gru",
    "HeadLinear",
    "Join",
    "JoinHeads",
    "KeyValueSum",
    "Linear",
    "LinearRead",
    "Lstm",
    "MergeNeighbours",
    "Norm",
    "Pool",
    "Rearrange",
    "ReduceScatter",
    "RelativeLogits",
    "Resize",
    "ResponseNorm",
    "Sample",
    "Scores",
    "Select",
    "SelectiveScan",
    "SendReceive",
    "Softmax",
    "Split",
    "ToBlocks",
    "ToMap",
    "ToTokens",
    "ToWindows",
    "TopK",
    "TransposedConv",
    "Update",
    "Values",
    "conv_kind",
]
