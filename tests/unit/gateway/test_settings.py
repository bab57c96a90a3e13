"""Settings that make no sense end the start."""

import pytest
from pydantic import ValidationError

from gateway.settings import LAB_SECRET, Settings


def test_shop_needs_a_secret_of_its_own():
    with pytest.raises(ValidationError, match="id_secret"):
        Settings(chaos_enabled=False)
    with pytest.raises(ValidationError, match="id_secret"):
        Settings(chaos_enabled=False, id_secret=LAB_SECRET)
    with pytest.raises(ValidationError, match="id_secret"):
        Settings(chaos_enabled=True, id_secret="short")
    assert Settings(chaos_enabled=False, id_secret="0123456789abcdef")


def test_lab_starts_without_any_setting(monkeypatch):
    monkeypatch.setenv("CHAOS_ENABLED", "1")
    monkeypatch.setenv("PORT", "21000")
    settings = Settings()
    assert settings.own_url() == "http://127.0.0.1:21000"
    assert settings.gateway_max_inflight == 5


def test_own_address_may_be_told():
    assert Settings(chaos_enabled=True, gateway_url="http://x:1").own_url() == "http://x:1"


@pytest.mark.parametrize(
    ("lab", "chosen", "adaptive"),
    [
        (True, None, False),
        (False, None, True),
        (True, "adaptive", True),
        (False, "fixed", False),
    ],
)
def test_the_limit_follows_the_load_outside_the_lab_unless_chosen(lab, chosen, adaptive):
    settings = Settings(chaos_enabled=lab, gateway_limit=chosen, id_secret="0123456789abcdef")
    assert settings.is_limit_adaptive is adaptive


def test_a_number_that_is_given_is_meant():
    settings = Settings(chaos_enabled=False, gateway_max_inflight=9, id_secret="0123456789abcdef")
    assert not settings.is_limit_adaptive


def test_secrets_are_not_part_of_what_settings_look_like():
    """A settings object that ends up in a log line or a traceback tells nothing."""
    made = Settings(
        chaos_enabled=True, chaos_token="token-of-the-lab", id_secret="secret-of-the-ids"
    )
    assert made.id_secret == "secret-of-the-ids"
    assert "token-of-the-lab" not in repr(made)
    assert "secret-of-the-ids" not in repr(made)
