"""Settings: what is wrong is named with its path and what is allowed there."""

from pathlib import Path

import pytest

from chat_moderator import config, registry
from chat_moderator.app import build_cascade, build_policy, build_shared
from chat_moderator.errors import ConfigError


def read(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> config.Settings:
    path = tmp_path / "moderator.toml"
    path.write_text(text)
    return config.read(path, environment or {})


def test_no_file_is_the_defaults() -> None:
    settings = config.read(None, {})
    assert settings.server.host == "127.0.0.1"
    build_policy(settings)


def test_the_example_is_whole_and_true() -> None:
    settings = config.read(Path(__file__).parents[1] / "moderator.toml", {})
    build_policy(settings)
    build_cascade(settings)


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ("polcy = 1", "polcy", "there is no such key; there are server, sources"),
        ("[server]\nprot = 1", "server.prot", "there are host, port"),
        ("[server]\nport = 'x'", "server.port", "expected `int`"),
        ("[policy]\ntreshold = 1", "policy.treshold", "there is no such key; there are preset, threshold"),
        ("[policy]\npreset = 'strict'", "policy.preset", "invalid enum value"),
        ("[[policy.rules]]\nname = 'a'\nverdict = 'hold'", "policy.rules[0]", "missing required field `when`"),
        ("[chat]\ndeadline = 'soon'", "chat.deadline", "expected `float`"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, text: str, path: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert caught.value.path == path
    assert says in caught.value.problem


@pytest.mark.parametrize("text", ["[policy", "a = ", "\x00", "a = 1\na = 2"])
def test_what_is_no_toml_is_said(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"moderator\.toml: is not TOML"):
        read(tmp_path, text)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        config.read(tmp_path / "missing.toml", {})


def test_the_environment_stands_for_secrets(tmp_path: Path) -> None:
    text = "[webhooks]\nsecrets = ['${HOOK}']"
    assert read(tmp_path, text, {"HOOK": "whsec_x"}).webhooks.secrets == ("whsec_x",)
    with pytest.raises(ConfigError, match=r"webhooks\.secrets\[0\]: the environment has no HOOK"):
        read(tmp_path, text)


def test_the_environments_threshold_wins_and_overrides_stay(tmp_path: Path) -> None:
    text = "[policy]\nthreshold = 0.9\n[communities.kids.policy]\nthreshold = 0.3"
    settings = read(tmp_path, text, {"TOXICITY_THRESHOLD": "0.1"})
    assert settings.policy.threshold == 0.1
    assert settings.communities["kids"].policy.threshold == 0.3


@pytest.mark.parametrize("value", ["", "high", "0", "1.5", "-1", "nan"])
def test_an_environments_threshold_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError):
        read(tmp_path, "", {"TOXICITY_THRESHOLD": value})


def test_the_registry_is_sorted_and_every_class_is_there() -> None:
    assert list(registry.REGISTRY) == sorted(registry.REGISTRY)
    for kind, name in registry.REGISTRY:
        assert registry.load(kind, name, path="").__name__


def test_an_unknown_name_says_what_there_is(tmp_path: Path) -> None:
    settings = read(tmp_path, "[cascade]\ntiers = ['bert']")
    with pytest.raises(
        ConfigError, match=r"cascade\.tiers\[0\]: there is no classifier 'bert'; there are encoder, lexicon, llm"
    ):
        build_cascade(settings)


def test_a_language_model_is_refused_as_a_tier_because_its_silence_would_clear_what_others_said(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        "[cascade]\ntiers = ['ngram', 'llm']\n[classifiers.llm]\nurl = 'http://127.0.0.1:9/v1'\nmodel = 'judge'",
    )
    with pytest.raises(ConfigError, match=r"cascade\.tiers\[1\]: 'llm' may only add severity"):
        build_cascade(settings)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[store]\ntype = "oracle"', r"store\.type: there is no store 'oracle'; there are postgres, sqlite"),
        ('[store]\nurl = "x"', r"store\.type: one of postgres, sqlite is needed"),
        ('[store]\ntype = "postgres"', "store: Object missing required field `url`"),
        ('[store]\ntype = "postgres"\nurl = "${NOWHERE}"', r"store\.url: the environment has no NOWHERE"),
        ('[store]\ntype = "sqlite"\nurl = "x"', "store: store 'sqlite' takes no settings, there are url"),
        (
            '[store]\ntype = "postgres"\nurl = "x"\nconnections = 0',
            r"store: Expected `int` >= 1 - at `\$\.connections`",
        ),
    ],
)
def test_a_store_that_cannot_be_used_is_said_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "moderator.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        build_shared(config.read_store(path, {}))


def test_looking_into_the_store_needs_no_other_secret(tmp_path: Path) -> None:
    path = tmp_path / "moderator.toml"
    path.write_text('[[sources]]\ntype = "discord"\ntoken = "${TOKEN}"\n[store]\ntype = "postgres"\nurl = "${URL}"')
    assert config.read_store(path, {"URL": "postgresql://"}) == {"type": "postgres", "url": "postgresql://"}
    assert config.read_store(None, {}) == {"type": "sqlite"}
