"""See `sylvite.compat.args`."""

from sylvite.compat.args import condition_input, parse_input, yamlify_arg

__all__ = ["condition_input", "parse_input", "yamlify_arg"]
