"""State-space models, encoders and encoder-decoders: sizes counted by hand, what a pass reads and computes."""

import json

import pytest

import perfsim as ps
from perfsim.architectures import ChunkedStateSpace, EncoderDecoderModel, EncoderModel, Step
from perfsim.errors import ConfigError, PerfsimError
from perfsim.graph import Role, check
from perfsim.importers.huggingface import from_config
from perfsim.ops import CausalConv, ChunkedScan, FusedAttention, SelectiveScan
from perfsim.ops.scan import chunked_scan_flops, selective_scan_flops
from perfsim.quantities.dtypes import DTYPES

FP16 = DTYPES["fp16"]
ON = "a100-sxm4-80gb"


def step(tokens, context, *, batch=1, attention="fused", **fields):
    return Step(batch, tokens, context, FP16, FP16, FP16, attention, **fields)


def ops(graph, kind):
    return [op for op in graph.operators if type(op) is kind]


def test_mamba_by_hand():
    hidden, inner, state, rank, taps, layers, rows = 2560, 5120, 16, 160, 4, 64, 50280
    layer = (
        hidden  # norm
        + hidden * 2 * inner  # in
        + inner * taps + inner  # convolution
        + inner * (rank + 2 * state)  # step size, B and C
        + rank * inner + inner  # dt
        + inner * state + inner  # A and D
        + inner * hidden  # out
    )  # fmt: skip
    model = ps.model("mamba-2.8b")
    assert model.parameters == layers * layer + rows * hidden + hidden == 2_768_345_600  # tied head, last norm


def test_a_scan_by_hand():
    # per step and channel: 7 per entry of the state, 3 besides
    assert selective_scan_flops(steps=10, channels=4, state=16) == 10 * 4 * (7 * 16 + 3)
    # per step: C·Bᵀ 2·64·8 in 1 group; per head 2·64·4 and twice 2·8·4
    assert chunked_scan_flops(steps=128, chunk=64, heads=2, head_dim=4, groups=1, state=8) == 128 * (
        2 * 64 * 8 + 2 * (2 * 64 * 4 + 4 * 8 * 4)
    )


def test_what_a_mamba_step_keeps_and_touches():
    model, batch = ps.model("mamba-130m"), 3
    prompt, decode = model.graph(step(100, 100, batch=batch)), model.graph(step(1, 101, batch=batch, decode=True))
    state, window = batch * 1536 * 16 * 2, batch * 1536 * 4 * 2  # fp16
    for graph, times in ((prompt, 1), (decode, 2)):  # written; in a decode step read before
        (scan,), (conv,) = ops(check(graph), SelectiveScan), ops(graph, CausalConv)
        kept = graph.tensors["layer.mixer.state"]
        assert graph.footprint(Role.KV_CACHE) == 24 * (state + window)  # whatever the length
        assert scan.accessed(kept, graph.tensors) == times * state
        assert conv.accessed(graph.tensors["layer.mixer.conv.x.window"], graph.tensors) == times * window
    assert ops(prompt, CausalConv)[0].work(prompt.tensors).flops == 2 * 4 * batch * 100 * 1536  # taps · elements


def test_time_per_token_of_mamba_does_not_grow_with_the_context():
    near, far = (ps.predict("mamba-2.8b", ps.Decode(context_length=n, dtype="fp16"), on=ON) for n in (10, 100_000))
    assert near.tpot == far.tpot
    assert near.tpot > 2 * 2_768_345_600 / 2.039e12  # every weight once at full bandwidth
    assert near.memory.kv_cache == far.memory.kv_cache == 64 * 5120 * (16 + 4) * 2


MAMBA2 = {
    "model_type": "mamba2", "hidden_size": 64, "expand": 2, "num_heads": 4, "head_dim": 32, "state_size": 16,
    "n_groups": 2, "num_hidden_layers": 3, "vocab_size": 100, "chunk_size": 32, "time_step_limit": [0.0, float("inf")],
}  # fmt: skip


def test_mamba2_by_hand():
    model = from_config(MAMBA2, "small", "config.json")
    convolved = 128 + 2 * 2 * 16  # x, B and C
    layer = 64 + 64 * (128 + convolved + 4) + convolved * (4 + 1) + 3 * 4 + 128 + 128 * 64  # dt bias, A, D; norm; out
    assert model.parameters == 3 * layer + 2 * 100 * 64 + 64
    assert model.remarks == ()
    prompt, decode = model.graph(step(96, 96)), model.graph(step(1, 97, decode=True))
    (scan,) = ops(check(prompt), ChunkedScan)
    assert scan.work(prompt.tensors).flops == 96 * (2 * 32 * 16 * 2 + 4 * (2 * 32 * 32 + 4 * 16 * 32))
    (scan,) = ops(check(decode), SelectiveScan)  # one token: the plain recurrence
    assert scan.work(decode.tensors).flops == 128 * (7 * 16 + 3)


def test_a_hybrid_has_one_branch_per_layer():
    table = {
        "model_type": "nemotron_h", "hybrid_override_pattern": "M-M*M-", "hidden_size": 64, "mamba_num_heads": 4,
        "mamba_head_dim": 32, "ssm_state_size": 16, "n_groups": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
        "attention_head_dim": 16, "intermediate_size": 256, "vocab_size": 100, "num_hidden_layers": 6,
    }  # fmt: skip
    model = from_config(table, "hybrid", "config.json")
    assert [(g.name, g.count) for g in model.groups] == [("scan_layer", 3), ("attention_layer", 1), ("mlp_layer", 2)]
    mlp = 64 + 2 * 64 * 256
    attention = 64 + 2 * 64 * 64 + 2 * 64 * 32  # q and o, k and v
    scan = 64 + 64 * (128 + 128 + 32 + 4) + (128 + 32) * 5 + 3 * 4 + 128 + 128 * 64
    assert model.parameters == 3 * scan + attention + 2 * mlp + 2 * 100 * 64 + 64
    with pytest.raises(ConfigError) as refusal:
        from_config(table | {"hybrid_override_pattern": "ME"}, "hybrid", "config.json")
    assert str(refusal.value) == "config.json: hybrid_override_pattern: has E, expected M, * and - only"


def test_heads_that_do_not_make_the_channels():
    with pytest.raises(ConfigError) as refusal:
        from_config(MAMBA2 | {"num_heads": 5}, "x", "config.json")
    assert str(refusal.value) == (
        "config.json: num_heads: 5 heads of 32 are not the 128 channels (expand · hidden_size)"
    )
    with pytest.raises(ConfigError) as refusal:
        ChunkedStateSpace(inner=100, state=16, kernel=4, head_dim=30)
    assert str(refusal.value) == "100 channels cannot make heads of 30 in 1 groups evenly"


def test_bert_by_hand():
    model = ps.model("bert-base")
    assert isinstance(model, EncoderModel)
    tables = (30522 + 512 + 2) * 768 + 2 * 768
    layer = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 2 * 2 * 768
    assert model.parameters == tables + 12 * layer + 768 * 768 + 768 == 109_482_240  # and the pooler


@pytest.mark.parametrize("attention", ["fused", "naive"])
def test_an_encoder_sees_all_pairs(attention):
    batch, tokens = 2, 100
    graph = check(ps.model("bert-base").graph(step(tokens, tokens, batch=batch, attention=attention)))
    products = sum(
        op.work(graph.tensors).flops * graph.count(op) for op in graph.operators if op.work(graph.tensors).matrix
    )
    linear = 12 * (4 * 768 * 768 + 2 * 768 * 3072) * tokens + 768 * 768
    assert products == 2 * batch * (linear + 12 * 2 * tokens * tokens * 768)


def test_texts_in_a_single_pass():
    p = ps.predict("bert-large", ps.SinglePass(batch=8, dtype="fp16"), on=ON)
    assert p.job.sequence == 512  # the most it can see
    assert p.throughput == pytest.approx(8 / p.runtime)
    short = ps.predict("bert-large", ps.SinglePass(batch=8, sequence=128, dtype="fp16"), on=ON)
    assert short.runtime < p.runtime / 3.9
    assert "text/s" in short.table()


REFUSED = [
    ("bert-base", ps.SinglePass(image_size=224), "image_size=224: bert-base is a text encoder; state sequence"),
    ("resnet50", ps.SinglePass(sequence=8), "sequence=8: resnet50 is a vision model; leave it out"),
    ("bert-base", ps.Inference(), "bert-base is a text encoder, but Inference needs a language model; use SinglePass"),
    (
        "whisper-large-v3", ps.Inference(prompt_tokens=1501),
        "1501 positions for the encoder of whisper-large-v3: it reads windows of 1500; "
        "use at most 1500, and batch for more windows",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("model", "job", "message"), REFUSED)
def test_jobs_that_do_not_fit(model, job, message):
    with pytest.raises(PerfsimError) as refusal:
        ps.predict(model, job, on=ON)
    assert str(refusal.value) == message


def test_layers_that_cannot_be_split():
    with pytest.raises(PerfsimError) as refusal:
        ps.predict("mamba-2.8b", ps.Inference(), on=ON, count=2)
    assert str(refusal.value) == (
        "parallel cannot apply to mamba-2.8b: the channels of its mixer mix in every projection; use data=2 instead"
    )


def test_t5_by_hand():
    model = ps.model("t5-base")
    assert isinstance(model, EncoderDecoderModel)
    attention, mlp, table = 4 * 768 * 768, 2 * 768 * 3072, 32 * 12
    encoder = 12 * (attention + mlp + 2 * 768) + 768 + table
    decoder = 12 * (2 * attention + mlp + 3 * 768) + 768 + table
    assert model.parameters == 32128 * 768 + encoder + decoder == 222_903_552  # one table for all three


def test_what_a_decoder_keeps_of_its_encoder():
    model, batch = ps.model("t5-base"), 2
    prompt = check(model.graph(step(50, 50, batch=batch)))
    decode = check(model.graph(step(1, 7, batch=batch, decode=True, source=50)))
    position = 2 * 768 * 2  # keys and values in fp16
    assert prompt.footprint(Role.KV_CACHE) == 12 * batch * position * (50 + 1)  # encoder, start token
    assert decode.footprint(Role.KV_CACHE) == 12 * batch * position * (50 + 7)
    # a decode step projects a query for the encoder, no keys and values
    assert sum("cross.key_value" in op.name for op in prompt.operators) == 1
    assert not any("cross.key_value" in op.name or op.region == "layer" for op in decode.operators)
    own, cross = ops(decode, FusedAttention)
    assert own.work(decode.tensors).flops == 4 * batch * 7 * 768
    assert cross.work(decode.tensors).flops == 4 * batch * 50 * 768


def test_context_of_an_encoder_decoder_starts_at_its_start_tokens():
    job = ps.Inference(prompt_tokens=100, output_tokens=5, dtype="fp16")
    p = ps.predict("t5-base", job, on=ON)
    at = [ps.predict("t5-base", ps.Prefill(prompt_tokens=100, dtype="fp16"), on=ON).runtime]
    model = ps.model("t5-base")
    longest = model.graph(step(1, 5, decode=True, source=100)).footprint(Role.KV_CACHE)
    assert p.ttft == pytest.approx(at[0])
    assert p.memory.kv_cache == longest  # 1 start token and 4 written ones before the last


def test_whisper_reads_a_whole_window():
    model = ps.model("whisper-large-v3")
    conv = (128 * 1280 + 1280 * 1280) * 3 + 2 * 1280
    attention, mlp = 4 * 1280 * 1280 + 3 * 1280, 2 * 1280 * 5120 + 5120 + 1280  # keys have no bias
    encoder = conv + 1500 * 1280 + 32 * (attention + mlp + 2 * 2 * 1280) + 2 * 1280
    decoder = (51866 + 448) * 1280 + 32 * (2 * attention + mlp + 3 * 2 * 1280) + 2 * 1280
    assert model.parameters == encoder + decoder == 1_543_490_560
    short, long = (ps.predict(model, ps.Inference(prompt_tokens=n, output_tokens=9), on=ON) for n in (4, 1500))
    assert short.runtime == long.runtime
    graph = check(model.graph(step(4, 4)))
    assert graph.tensors["encoder.conv2.out"].shape == (1, 1500, 1280)


@pytest.mark.parametrize(
    ("table", "parameters"),
    [
        (
            {"model_type": "distilbert", "dim": 768, "hidden_dim": 3072, "n_heads": 12, "n_layers": 6,
             "max_position_embeddings": 512, "vocab_size": 30522},
            66_362_880,  # huggingface/transformers, DistilBertModel of distilbert-base-uncased
        ),
        (
            {"model_type": "roberta", "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
             "num_hidden_layers": 12, "max_position_embeddings": 514, "type_vocab_size": 1, "vocab_size": 50265},
            124_645_632,  # huggingface/transformers, RobertaModel of roberta-base
        ),
    ],
)  # fmt: skip
def test_relatives_of_bert(tmp_path, table, parameters):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(table), encoding="utf-8")
    model = ps.model(str(file))
    assert model.parameters == parameters
    assert model.remarks == ()
    assert model.context_limit == 512


def test_bart_by_hand():
    table = {
        "model_type": "bart", "d_model": 64, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "max_position_embeddings": 30,
        "vocab_size": 100, "activation_function": "gelu",
    }  # fmt: skip
    attention, mlp, norm = 4 * (64 * 64 + 64), 2 * 64 * 128 + 128 + 64, 2 * 64
    fronts = 100 * 64 + 2 * (32 * 64 + norm)
    stacks = 2 * (attention + mlp + 2 * norm) + 3 * (2 * attention + mlp + 3 * norm)
    assert from_config(table, "bart", "c").parameters == fronts + stacks


FLAN = {
    "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_ff": 2048, "d_kv": 64, "d_model": 768,
    "decoder_start_token_id": 0, "dense_act_fn": "gelu_new", "dropout_rate": 0.1, "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": True, "is_gated_act": True, "layer_norm_epsilon": 1e-06, "num_decoder_layers": 12,
    "num_heads": 12, "num_layers": 12, "output_past": True, "relative_attention_max_distance": 128,
    "relative_attention_num_buckets": 32, "tie_word_embeddings": False, "vocab_size": 32128, "n_positions": 512,
}  # fmt: skip
MAMBA = {
    "model_type": "mamba", "conv_kernel": 4, "d_inner": 1536, "d_model": 768, "expand": 2, "fused_add_norm": True,
    "hidden_act": "silu", "hidden_size": 768, "intermediate_size": 1536, "n_layer": 24, "num_hidden_layers": 24,
    "pad_vocab_size_multiple": 8, "residual_in_fp32": True, "rms_norm": True, "ssm_cfg": {}, "state_size": 16,
    "time_step_floor": 0.0001, "time_step_rank": 48, "use_bias": False, "use_conv_bias": True, "vocab_size": 50280,
}  # fmt: skip


@pytest.mark.parametrize(("table", "parameters"), [(FLAN, 247_577_856), (MAMBA, 129_135_360)])
def test_whole_configurations_leave_nothing_unread(table, parameters):
    model = from_config(table, "x", "config.json")
    assert (model.parameters, model.remarks) == (parameters, ())


def test_a_feed_forward_block_that_t5_does_not_have():
    with pytest.raises(ConfigError) as refusal:
        from_config(FLAN | {"feed_forward_proj": "swiglu"}, "x", "config.json")
    assert str(refusal.value) == (
        "config.json: feed_forward_proj: is 'swiglu', expected relu, gelu, gated-gelu or gated-silu"
    )
