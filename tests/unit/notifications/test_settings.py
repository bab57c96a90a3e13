"""Settings that make no sense do not start."""

import pytest
from pydantic import ValidationError

from notifications.settings import Settings


@pytest.mark.parametrize(
    "url", ["smtp://mail", "smtp://mail:2525", "smtps://ana:s%40fe@mail.example.com:465"]
)
def test_smtp_urls(url):
    assert Settings(smtp_url=url).smtp_url.get_secret_value() == url


@pytest.mark.parametrize("url", ["http://mail", "smtp://", "mail:25", "smtp://mail:99999"])
def test_other_urls_are_refused(url):
    with pytest.raises(ValidationError):
        Settings(smtp_url=url)


def test_the_password_is_not_shown():
    assert "secret" not in repr(Settings(smtp_url="smtp://ana:secret@mail"))


def test_the_environment_variable_is_the_name_in_capitals(monkeypatch):
    monkeypatch.setenv("SMTP_URL", "")
    monkeypatch.setenv("GATEWAY_URL", "https://shop.test")
    found = Settings()
    assert (found.smtp_url, found.gateway_url) == (None, "https://shop.test")


def test_a_lease_that_ends_at_once_is_refused():
    with pytest.raises(ValidationError):
        Settings(mail_lease_s=0)
