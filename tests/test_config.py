"""The settings: where a default model comes from, and what is not taken."""

from __future__ import annotations

import pytest
from traitlets import TraitError

from nbchat.config import settings


def test_there_is_one_set_of_settings() -> None:
    assert settings() is settings()


def test_the_default_model_comes_from_the_settings_then_the_environment_then_guide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings().default_model() == "guide"
    monkeypatch.setenv("NBCHAT_MODEL", "from/environment")
    assert settings().default_model() == "from/environment"
    settings().model = "from/settings"
    assert settings().default_model() == "from/settings"


@pytest.mark.parametrize("name", ["temperature", "max_tokens", "max_context", "timeout"])
def test_a_negative_number_is_refused_when_it_is_set(name: str) -> None:
    with pytest.raises(TraitError, match="less than zero"):
        setattr(settings(), name, -1)


def test_every_setting_has_a_line_of_help() -> None:
    for trait in settings().traits(config=True).values():
        assert trait.help
