"""Configuration: commented defaults, one way to load, checks across keys."""

from reid.config.defaults import get_default_config
from reid.config.load import ConfigError, config_from_text, find_config, load_config, with_values

__all__ = [
    "ConfigError",
    "config_from_text",
    "find_config",
    "get_default_config",
    "load_config",
    "with_values",
]
