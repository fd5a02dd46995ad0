"""What of a matrix product's arithmetic a real kernel executes: whole tiles, whole waves, aligned rows."""

from __future__ import annotations

from perfsim.devices import KernelRates
from perfsim.graph import MatrixShape
from perfsim.quantities.numbers import Number, ceil_div, is_recorded, is_symbolic, maximum, minimum, where

__all__ = [
    "FRAGMENT", "alignment_efficiency", "core_sharing", "executed_flops", "executed_products", "group_columns",
    "padded_depth", "plain_efficiency", "setup_products", "stream_efficiency", "transform_products", "winograd_share",
]  # fmt: skip

FRAGMENT = 16
"""Rows of the smallest matrix instruction of a tensor core [1] (wmma m16n16k16): tiles are multiples of it."""

ALIGNMENT = 2
"""Elements of a 16-bit row that make 4 bytes [1], the least that an asynchronous copy to shared memory moves: rows
that start off that raster take a slow path. In the profiles of stanford-crfm/helm-efficiency@c31b8fc a width of 6827
elements per device (A100) loses more than half of its rate, one of 3414 (V100) loses nothing."""


def executed_products(
    *, batch: Number, m: Number, n: Number, k: Number, tile_rows: Number, tile_columns: Number, units: Number,
    split: Number = 0,
) -> Number:  # fmt: skip
    """Multiply-accumulates that are executed for ``batch`` products (m × k)·(k × n) [1].

    Rows and columns fill whole tiles of ``tile_rows`` × ``tile_columns`` (at least one fragment of 16 rows),
    and tiles fill whole waves of ``units`` compute units once there is more than one wave; fewer tiles than
    units are split along k, each over at most ``split`` units (0: over as many as there are). Tiles of size 1 mean no
    quantisation. Never below batch·m·n·k, and monotone.

    References
    ----------
    .. [1] NVIDIA, "Matrix Multiplication Background User's Guide", sections on tile and wave quantization.
    """
    if (isinstance(tile_rows, int | float) or is_recorded(tile_rows)) and tile_rows <= 1:
        return batch * m * n * k
    rows = minimum(ceil_div(m, FRAGMENT) * FRAGMENT, ceil_div(m, tile_rows) * tile_rows)
    rows = where(m > tile_rows, ceil_div(m, tile_rows) * tile_rows, rows)
    columns = ceil_div(n, tile_columns) * tile_columns
    tiles = batch * (maximum(rows, tile_rows) / tile_rows) * (columns / tile_columns)
    unlimited = isinstance(split, int | float) and split == 0
    idle = 1 if unlimited else maximum(units / (tiles * split), 1)
    wave = where(tiles > units, ceil_div(tiles, units) * units / tiles, idle)
    return maximum(batch * rows * columns * k * wave, batch * m * n * k)


def setup_products(*, batch: Number, m: Number, tile_setup: Number) -> Number:
    """Multiply-accumulates that the time for starting and storing ``batch``·m rows of sums is worth [1].

    tile_setup: worth of one row of one product [1]. A row of n sums over k has n·k products of its own, so its
    efficiency is n·k / (n·k + tile_setup): a dense layer loses nothing, a depthwise 3×3 convolution with n·k = 9 per
    group and position most of its rate. Depends on the shape alone, is monotone, and 0 switches it off.

    Seen on vector units of CPUs: with onnxruntime 1.31 on one core with AVX-512, depthwise 3×3 reaches about a third
    of the rate of a dense convolution and depthwise 5×5 over a half, whatever the number of channels.
    """
    return batch * m * tile_setup


def alignment_efficiency(*, n: Number, k: Number, misaligned_efficiency: Number) -> Number:
    """Efficiency from alignment [1]: 1 if n and k are multiples of 2 elements, else ``misaligned_efficiency``.

    Symbols are taken as aligned.
    """
    if isinstance(misaligned_efficiency, int | float) and misaligned_efficiency == 1:
        return 1
    if is_symbolic(n) or is_symbolic(k):
        return 1
    return where((n % ALIGNMENT != 0) | (k % ALIGNMENT != 0), misaligned_efficiency, 1)


def executed_flops(matrix: MatrixShape, flops: Number, rates: KernelRates, units: Number, tiled: bool) -> Number:
    """FLOP that the kernel executes, alignment included, for ``flops`` of useful work [FLOP]."""
    if not tiled:
        return flops
    useful = matrix.batch * matrix.m * matrix.n * matrix.k
    if _grouped(matrix):
        columns = group_columns(
            n=matrix.n, tile=rates.tile_group, shared=rates.tile_shared, efficiency=rates.grouped_efficiency
        )
        executed = matrix.batch * matrix.m * columns * matrix.k
    else:
        executed = padded_depth(depth=matrix.depth, multiple=rates.tile_depth) * executed_products(
            batch=matrix.batch, m=matrix.m, n=matrix.n, k=matrix.k,
            tile_rows=rates.tile_rows, tile_columns=rates.tile_columns, units=units, split=rates.tile_split,
        )  # fmt: skip
        if _winograd(matrix, rates):
            executed = executed * winograd_share(tile=rates.tile_winograd) + transform_products(
                m=matrix.m, depth=matrix.depth, n=matrix.n, tile_transform=rates.tile_transform
            )
        executed = executed / plain_efficiency(matrix, rates)
    if not (isinstance(rates.tile_setup, int | float) and rates.tile_setup == 0):
        executed = executed + setup_products(batch=matrix.batch, m=matrix.m, tile_setup=rates.tile_setup)
    aligned = alignment_efficiency(n=matrix.n, k=matrix.k, misaligned_efficiency=rates.misaligned_efficiency)
    return flops * (executed / useful) / aligned


def group_columns(*, n: Number, tile: Number, shared: Number, efficiency: Number) -> Number:
    """Columns that a grouped convolution computes per group [1].

    n: outputs per group; tile: columns of a tile; shared: widest group of which a tile holds several; efficiency: rate
    of a kernel that takes one group at a time, over that of a dense one.

    Groups whose width divides the tile lie side by side in it and lose nothing; any other is padded to a whole tile.
    Depthwise convolutions (n = 1) have kernels without tiles.

    Seen in the timm table of huggingface/pytorch-image-models@aa4b5850c154 (RTX 3090, channels last): RegNets with
    groups of 8, 16 or 64 channels run at the rate of dense ones, with 24, 40, 48, 56, 72 or 112 channels at 1/9 to 1/2
    of it, about n / 128 · 2/3; channels first, all of them do.
    """
    alone = ceil_div(n, tile) * tile / efficiency
    return where((n == 1) | ((n <= shared) & (tile % n == 0)), n, alone)


def padded_depth(*, depth: Number, multiple: Number) -> Number:
    """Channels that a convolution reads, padded to a multiple, over those it has [1]; 1 where there are none to pad.

    Matrix units take 16 byte of a row at a time, so three colours in 16 bits become eight channels.

    References
    ----------
    .. [1] NVIDIA, "Convolutional Layers User's Guide", section "Channels In And Out".
    """
    if isinstance(depth, int | float) and depth == 0:
        return 1
    return ceil_div(depth, multiple) * multiple / depth


def stream_efficiency(matrix: MatrixShape | None, rates: KernelRates) -> Number:
    """Share of the bandwidth that a kernel reaches [1]: a depthwise convolution may fall short of other streams."""
    if matrix is None or not _grouped(matrix):
        return rates.bandwidth_efficiency
    return rates.bandwidth_efficiency * where(matrix.n == 1, rates.depthwise_bandwidth_efficiency, 1)


def winograd_share(*, tile: Number) -> Number:
    """Multiplications of Winograd's 3×3 convolution over those of the direct one [1]: (tile + 2)² / (9 · tile²).

    tile: outputs per side that are computed at once [1], F(tile × tile, 3 × 3); 1 is the direct convolution.
    :func:`transform_products` are the transforms.

    References
    ----------
    .. [1] A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308, section 4.
    """
    return (tile + 2) ** 2 / (9 * tile**2)


def transform_products(*, m: Number, depth: Number, n: Number, tile_transform: Number) -> Number:
    """Multiply-accumulates that Winograd's transforms of inputs and outputs are worth [1].

    m: positions; depth, n: channels that go in and come out; tile_transform: worth of one channel at one position,
    whatever the other side has [1]. Layers of few channels gain little by the algorithm, wide ones all of it.
    """
    return m * (depth + n) * tile_transform


def plain_efficiency(matrix: MatrixShape, rates: KernelRates) -> Number:
    """Rate of a product of several rows that is no convolution, over that of a convolution [1]; 1 for all others."""
    efficiency = rates.product_efficiency
    if isinstance(efficiency, int | float) and efficiency == 1:
        return 1
    if not (isinstance(matrix.depth, int | float) and matrix.depth == 0) or is_symbolic(matrix.m):
        return 1
    return where(matrix.m > 1, efficiency, 1)


WINOGRAD_WIDTH = 16
"""Channels on both sides from which a dense 3×3 convolution with stride 1 pays for the transforms: the condition of
Tencent/ncnn, src/layer/arm/convolution_arm.cpp, test_prefer_winograd."""


def _winograd(matrix: MatrixShape, rates: KernelRates) -> bool:
    """Whether a convolution of plain sizes runs by Winograd's algorithm."""
    if isinstance(rates.tile_winograd, int | float) and rates.tile_winograd == 1:
        return False
    sizes = (matrix.window, matrix.depth, matrix.n)
    plain = all(isinstance(size, int | float) for size in sizes)
    return plain and matrix.window == 3 and matrix.depth >= WINOGRAD_WIDTH and matrix.n >= WINOGRAD_WIDTH


def core_sharing(*, units: Number, contention: Number) -> Number:
    """Time of work that cores share, over that of a perfect division [1]: 1 + contention · (units − 1).

    contention: part of the work of one core that the others wait for [1].

    References
    ----------
    .. [1] G. Amdahl, AFIPS Spring Joint Computer Conference, 1967.
    """
    return 1 + contention * (units - 1)


def _grouped(matrix: MatrixShape) -> bool:
    """Whether the product has groups; a varying number of groups counts as several."""
    return not (isinstance(matrix.groups, int | float) and matrix.groups == 1)
