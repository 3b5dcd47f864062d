"""Settings of functions."""

from __future__ import annotations

from pathlib import Path

import pytest

from sylvite.config import read_config
from sylvite.errors import InvalidSetting
from sylvite.functions.settings import FunctionSettings, make_opts


def test_opts_hold_the_settings_and_the_operators_options(tmp_path: Path) -> None:
    """A setting cannot be replaced by an option of the same name."""
    path = tmp_path / "functions.yaml"
    path.write_text("id: alpha\nmodule_dirs: [/opt/modules]\noptions: {mine: {a: 1}, enable_modules: [cmd]}\n")
    opts = make_opts(read_config(path, FunctionSettings))
    assert (opts["id"], opts["mine"], opts["enable_modules"]) == ("alpha", {"a": 1}, ())
    assert opts["file_roots"] == {"base": ("/srv/salt",)}
    assert list(opts["module_dirs"]) == ["/opt/modules"]


def test_a_wrong_name_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "functions.yaml"
    path.write_text("module_dir: [/opt/modules]\n")
    with pytest.raises(InvalidSetting, match="did you mean 'module_dirs'"):
        read_config(path, FunctionSettings)
