"""python -m pytest tests/unit/rpc/test_command.py -v

Settings from flags and the environment, and what is said of bad ones.
"""

import pytest
import typer
from pydantic import SecretStr, field_validator, model_validator

from stillwing_common.errors import LinkLost
from stillwing_rpc.command import read_settings, told_errors
from stillwing_rpc.settings import ServerSettings


def test_a_flag_comes_before_the_environment_and_the_environment_before_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STILLWING_PORT", "7")
    monkeypatch.setenv("STILLWING_LOG_LEVEL", "debug")
    settings = read_settings(ServerSettings, port=8, log_level=None)
    assert (settings.port, settings.log_level, settings.host) == (8, "debug", "127.0.0.1")


def test_every_bad_setting_is_named_as_in_the_environment() -> None:
    with pytest.raises(typer.BadParameter) as refused:
        read_settings(ServerSettings, port=99_999, log_format="xml")
    assert "STILLWING_PORT: Input should be less than or equal to 65535, not 99999" in refused.value.message
    assert "STILLWING_LOG_FORMAT: Input should be 'console' or 'json', not 'xml'" in refused.value.message
    assert "http" not in refused.value.message


class Guarded(ServerSettings):
    """Refuses a token by a rule of one field, and everything by a rule of the whole."""

    @field_validator("token")
    @classmethod
    def long_enough(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < 20:
            raise ValueError("too short")
        return token

    @model_validator(mode="before")
    @classmethod
    def together(cls, given: dict[str, object]) -> dict[str, object]:
        if given.get("port") == 1:
            raise ValueError("not that port")
        return given


@pytest.mark.parametrize(("port", "said"), [(2, "STILLWING_TOKEN: Value error, too short"), (1, "not that port")])
def test_no_secret_is_told(port: int, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said) as refused:
        read_settings(Guarded, token="tell nobody", port=port)
    assert "tell nobody" not in refused.value.message


def test_a_domain_error_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, told_errors("stillwing-test"):
        raise LinkLost("nobody at 127.0.0.1:1")
    assert ended.value.exit_code == 1
    said = "stillwing-test: The simulator or autopilot does not answer: nobody at 127.0.0.1:1\n"
    assert capsys.readouterr().err == said
