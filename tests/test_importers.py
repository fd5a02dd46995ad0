"""Models from Hugging Face configurations: exact parameter counts, and whole messages for what cannot be read."""

import json

import pytest

import perfsim as ps
from perfsim.architectures import LatentAttention, MixtureOfExperts
from perfsim.errors import CatalogError, ConfigError
from perfsim.importers.huggingface import FAMILIES, from_config
from perfsim.importers.huggingface.config import Config

LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}
QWEN3 = {
    "model_type": "qwen3",
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_attention_heads": 32,
    "head_dim": 128,
    "num_hidden_layers": 36,
    "num_key_value_heads": 8,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
    "sliding_window": None,
    "use_sliding_window": False,
}
DEEPSEEK = {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_attention_heads": 128,
    "num_hidden_layers": 61,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "topk_method": "noaux_tc",
    "vocab_size": 129280,
    "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1,
    "tie_word_embeddings": False,
    "quantization_config": {"quant_method": "fp8"},
}
GPT_OSS = {
    "model_type": "gpt_oss",
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_attention_heads": 64,
    "head_dim": 64,
    "num_key_value_heads": 8,
    "num_hidden_layers": 24,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
    "experts_per_token": 4,
    "attention_bias": True,
    "sliding_window": 128,
    "vocab_size": 201088,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
    "tie_word_embeddings": False,
}

COUNTS = {
    "llama-3.1-8b": (LLAMA, 8_030_261_248),
    "llama-3.1-70b": (
        LLAMA | {"hidden_size": 8192, "intermediate_size": 28672, "num_attention_heads": 64, "num_hidden_layers": 80},
        70_553_706_496,
    ),
    "llama-3.1-405b": (
        LLAMA
        | {"hidden_size": 16384, "intermediate_size": 53248, "num_attention_heads": 128, "num_hidden_layers": 126},
        405_853_388_800,
    ),
    "qwen3-8b": (QWEN3, 8_190_735_360),
    "qwen3-32b": (
        QWEN3 | {"hidden_size": 5120, "intermediate_size": 25600, "num_attention_heads": 64, "num_hidden_layers": 64},
        32_762_123_264,
    ),
    "qwen3-0.6b": (
        QWEN3
        | {
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "num_attention_heads": 16,
            "num_hidden_layers": 28,
            "tie_word_embeddings": True,
        },
        596_049_920,
    ),
    "qwen3-30b-a3b": (
        {
            "model_type": "qwen3_moe",
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "moe_intermediate_size": 768,
            "num_attention_heads": 32,
            "head_dim": 128,
            "num_key_value_heads": 4,
            "num_hidden_layers": 48,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "vocab_size": 151936,
        },
        30_532_122_624,
    ),
    "mixtral-8x7b": (
        {
            "model_type": "mixtral",
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "num_hidden_layers": 32,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "vocab_size": 32000,
        },
        46_702_792_704,
    ),
    "deepseek-v3": (DEEPSEEK, 671_026_419_200),
    "kimi-k2": (
        DEEPSEEK
        | {
            "model_type": "kimi_k2",
            "num_attention_heads": 64,
            "first_k_dense_replace": 1,
            "n_routed_experts": 384,
            "vocab_size": 163840,
            "num_nextn_predict_layers": 0,
        },
        1_026_408_232_448,
    ),
    "gpt-oss-20b": (GPT_OSS, 20_914_757_184),
    "gpt2": (
        {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257},
        124_439_808,
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_exact(name):
    table, published = COUNTS[name]
    assert from_config(table, name, "config.json").parameters == published


def test_llama_count_by_hand():
    h, f, kv, layers, v = 4096, 14336, 1024, 32, 128256
    layer = 2 * h * h + 2 * h * kv + 3 * h * f + 2 * h  # queries and output, keys and values, three matrices, two norms
    assert layers * layer + 2 * v * h + h == COUNTS["llama-3.1-8b"][1]


def test_what_a_configuration_says_is_what_is_built():
    model = from_config(LLAMA | {"max_position_embeddings": 131072, "rms_norm_eps": 1e-5}, "x", "config.json")
    (group,) = model.groups
    assert (group.count, group.attention.heads, group.attention.kv_heads, group.attention.head_dim) == (32, 32, 8, 128)
    assert (model.dtype, model.context_limit, model.tied, model.remarks) == ("bf16", 131072, False, ())
    moe = from_config(DEEPSEEK, "x", "config.json")
    assert [(g.name, g.count, type(g.attention)) for g in moe.groups] == [
        ("dense_layer", 3, LatentAttention),
        ("moe_layer", 58, LatentAttention),
    ]
    assert isinstance(moe.groups[1].mlp, MixtureOfExperts)
    oss = from_config(GPT_OSS, "x", "config.json")
    assert [(g.name, g.count, g.attention.window) for g in oss.groups] == [
        ("sliding_layer", 12, 128),
        ("full_layer", 12, None),
    ]


def test_what_does_not_enter_is_remarked():
    model = from_config(DEEPSEEK | {"new_trick": 3}, "x", "config.json")
    assert model.remarks == (
        "config key new_trick is not interpreted",
        "1 multi-token prediction layer(s) are neither stored nor run",
        "quantization_config of the checkpoint is not applied; state dtype, or use weight-quantization",
    )


def test_gemma_alternates_windows():
    table = {
        "model_type": "gemma2",
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 128,
        "num_hidden_layers": 6,
        "vocab_size": 100,
        "sliding_window": 32,
    }
    assert [(g.count, g.attention.window) for g in from_config(table, "x", "c").groups] == [(3, 32), (3, None)]
    third = from_config(table | {"model_type": "gemma3_text"}, "x", "c")  # five windowed layers, then a full one
    assert [(g.count, g.attention.window) for g in third.groups] == [(5, 32), (1, None)]


def without(table, *keys):
    return {k: v for k, v in table.items() if k not in keys}


FAMILIES_SHOWN = "bart, bert, bloom, cohere, deepseek_v2, deepseek_v3, distilbert, falcon, ..."
REFUSED = [
    (
        {"model_type": "rwkv5", "hidden_size": 8192},
        f'config.json: unknown model_type "rwkv5"; known: {FAMILIES_SHOWN}',
    ),
    ({"model_type": "lama"}, 'config.json: unknown model_type "lama"; did you mean llama?'),
    (
        {"model_type": "llava", "text_config": {"model_type": "llama"}},
        'config.json: unknown model_type "llava"; did you mean llama? Its "text_config" may be one: save that part alone.',  # noqa: E501
    ),
    ({}, "config.json: model_type: is missing, expected a text"),
    ({"model_type": 3}, "config.json: model_type: is 3, expected a text"),
    (without(LLAMA, "hidden_size"), 'config.json: hidden_size: is missing; a model of type "llama" needs it'),
    (
        without(COUNTS["gpt2"][0], "n_embd"),
        'config.json: n_embd: is missing (or hidden_size); a model of type "gpt2" needs it',
    ),
    (LLAMA | {"hidden_size": "4096"}, "config.json: hidden_size: is '4096', expected a whole number from 1 to 1e9"),
    (LLAMA | {"hidden_size": True}, "config.json: hidden_size: is True, expected a whole number from 1 to 1e9"),
    (LLAMA | {"hidden_size": 4096.5}, "config.json: hidden_size: is 4096.5, expected a whole number from 1 to 1e9"),
    (LLAMA | {"num_hidden_layers": 0}, "config.json: num_hidden_layers: is 0, expected a whole number from 1 to 1e9"),
    (
        LLAMA | {"num_key_value_heads": 5},
        "config.json: num_key_value_heads: 32 attention heads cannot share 5 key/value heads evenly",
    ),
    (
        LLAMA | {"num_attention_heads": 24},
        "config.json: num_attention_heads: 24 heads do not divide the width 4096 evenly, and there is no head_dim",
    ),
    (LLAMA | {"hidden_act": "tanh"}, "config.json: hidden_act: is 'tanh', expected one of gelu, silu, relu, relu2"),
    (LLAMA | {"tie_word_embeddings": "no"}, "config.json: tie_word_embeddings: is 'no', expected true or false"),
    (
        LLAMA | {"torch_dtype": "bf61"},
        'config.json: torch_dtype: unknown dtype "bf61"; did you mean bf16, fp6 or fp64?',
    ),
    (
        GPT_OSS | {"layer_types": ["full_attention"]},
        "config.json: layer_types: has 1 entries, expected num_hidden_layers = 24",
    ),
    (
        GPT_OSS | {"layer_types": ["linear_attention"] * 24},
        'config.json: layer_types: has "linear_attention", expected sliding_attention or full_attention',
    ),
    (
        GPT_OSS | {"num_experts_per_tok": 64},
        "config.json: 64 experts per token, expected 1 to 32 (the number of experts)",
    ),
    (
        DEEPSEEK | {"first_k_dense_replace": 62},
        "config.json: first_k_dense_replace: is 62, expected at most num_hidden_layers = 61",
    ),
    (
        DEEPSEEK | {"attention_bias": True},
        "config.json: attention_bias: true is not supported with latent attention; expected false",
    ),
]


@pytest.mark.parametrize(("table", "message"), REFUSED)
def test_what_cannot_be_read_is_refused(table, message):
    with pytest.raises(ConfigError) as refusal:
        from_config(table, "x", "config.json")
    assert str(refusal.value) == message


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_every_family_names_its_first_missing_key(model_type):
    with pytest.raises(ConfigError) as refusal:
        FAMILIES[model_type](Config({"model_type": model_type}, "config.json"), "x")
    assert str(refusal.value).endswith(f'; a model of type "{model_type}" needs it')


def test_a_configuration_from_a_file(tmp_path):
    folder = tmp_path / "my-model"
    folder.mkdir()
    file = folder / "config.json"
    file.write_text(json.dumps(LLAMA), encoding="utf-8")
    model = ps.model(str(file))
    assert (model.name, model.parameters) == ("my-model", 8_030_261_248)  # called after its folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[1]", "is a list, expected the object of a Hugging Face config.json"),
        ("[" * 100_000, None),
    ],
)
def test_files_that_are_no_configuration(tmp_path, text, message):
    file = tmp_path / "config.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError) as refusal:
        ps.model(str(file))
    lead = f"{file}: "
    assert str(refusal.value).startswith(lead)
    if message is None:  # the words come from the interpreter; one short line without a traceback is what counts
        assert "\n" not in str(refusal.value)
        assert len(str(refusal.value)) < len(lead) + 120
    else:
        assert str(refusal.value) == lead + message
