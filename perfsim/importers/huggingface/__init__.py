"""Models from a Hugging Face ``config.json``; no weights are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from perfsim.architectures import Model
from perfsim.errors import ConfigError, UnknownNameError
from perfsim.importers.huggingface import encoders, gated, latent, plain, state_space
from perfsim.importers.huggingface.config import Config

__all__ = ["FAMILIES", "from_config"]

FAMILIES: Mapping[str, Callable[[Config, str], Model]] = {
    **encoders.FAMILIES,
    **gated.FAMILIES,
    **latent.FAMILIES,
    **plain.FAMILIES,
    **state_space.FAMILIES,
}
"""Builder by ``model_type``."""


def from_config(table: Mapping[str, Any], name: str, where: str) -> Model:
    """The model that a configuration describes.

    table: the content of ``config.json``; name: how to call the model; where: how to call the file in errors.

    Raises
    ------
    ConfigError
        if ``model_type`` is not known, or a key is missing or out of range; the message names file and key.
    """
    config = Config(table, where)
    if config.model_type not in FAMILIES:
        inner = 'Its "text_config" may be one: save that part alone.' if "text_config" in table else ""
        raise ConfigError(f"{where}: {UnknownNameError('model_type', config.model_type, FAMILIES, inner)}")
    try:
        return FAMILIES[config.model_type](config, name)
    except ConfigError as failure:
        text = str(failure)
        raise failure if text.startswith(where) else ConfigError(f"{where}: {text}") from None
