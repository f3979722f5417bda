"""Thresholds, presets, overrides, hints and replies."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.policy.config import ActionsConfig, ChannelConfig, CommunityConfig, PolicyConfig, with_threshold
from chat_moderator.policy.presets import PRESETS
from chat_moderator.policy.replies import LABEL_NAMES, REPLIES
from chat_moderator.policy.thresholds import ThresholdPolicy
from chat_moderator.types import LABELS, Assessment, Verdict
from tests.policy.cases import ACTIONS, AT, UNHURRIED, assessed, assessment, decided, message, policy

LANGUAGES = {"default", "ar", "de", "es", "fr", "hi", "it", "ja", "ko", "pt", "ru", "tr", "zh"}
ABUSE = [label for label in LABELS if label not in {"obscene", "self_harm"}]

scores = st.dictionaries(st.sampled_from(LABELS), st.floats(0, 1))
thresholds = st.floats(0, 1, exclude_min=True)
configs = st.builds(
    PolicyConfig,
    preset=st.sampled_from([None, "youth", "default", "lenient"]),
    threshold=st.none() | thresholds.map(lambda value: max(value, 0.5)),
    hold=st.none() | thresholds.map(lambda value: min(value, 0.5)),
    thresholds=st.dictionaries(st.sampled_from(LABELS), thresholds.map(lambda value: max(value, 0.5))),
    holds=st.dictionaries(st.sampled_from(LABELS), thresholds.map(lambda value: min(value, 0.5))),
    actions=st.builds(
        ActionsConfig,
        block=st.sampled_from([None, (), ("delete",), ("delete", "alert")]),
        hold=st.sampled_from([None, (), ("hold",)]),
    ),
)


@pytest.mark.parametrize("label", ABUSE)
@pytest.mark.parametrize(
    ("preset", "score", "verdict"),
    [
        ("default", 0.49, "allow"),
        ("default", 0.5, "hold"),
        ("default", 0.79, "hold"),
        ("default", 0.8, "block"),
        ("lenient", 0.79, "allow"),
        ("lenient", 0.8, "hold"),
        ("lenient", 0.95, "block"),
        ("youth", 0.29, "allow"),
        ("youth", 0.35, "hold"),
        ("youth", 0.6, "block"),
    ],
)
def test_a_preset_judges_abuse(preset: str, label: str, score: float, verdict: str) -> None:
    assert decided(policy(f'policy.preset = "{preset}"'), assessed({label: score})).verdict == verdict


@pytest.mark.parametrize(
    ("preset", "label", "score", "verdict"),
    [
        ("default", "obscene", 1.0, "allow"),
        ("lenient", "obscene", 1.0, "allow"),
        ("youth", "obscene", 0.5, "hold"),
        ("youth", "obscene", 0.8, "block"),
        ("default", "self_harm", 1.0, "hold"),
        ("lenient", "self_harm", 1.0, "hold"),
        ("youth", "self_harm", 1.0, "hold"),
        ("youth", "threat", 0.5, "block"),
        ("youth", "sexual_explicit", 0.5, "block"),
    ],
)
def test_a_preset_judges_what_needs_its_own_answer(preset: str, label: str, score: float, verdict: str) -> None:
    assert decided(policy(f'policy.preset = "{preset}"'), assessed({label: score})).verdict == verdict


def test_self_harm_alerts_a_person_whatever_follows_a_hold() -> None:
    assert decided(policy(), assessment(self_harm=0.9)).actions == ("hold", "alert")
    assert decided(policy("policy.actions.hold = []"), assessment(self_harm=0.9)).actions == ("alert",)
    assert decided(policy(), assessment(insult=0.6)).actions == ("hold",)


def test_nothing_is_said_about_a_clean_message() -> None:
    decision = decided(policy(), assessment(toxicity=0.1, insult=0.2))
    assert (decision.verdict, decision.rule, decision.label, decision.score) == ("allow", "default", "insult", 0.2)
    assert decision.actions == ()
    assert decision.reply == ""


def test_the_highest_of_the_labels_that_block_decides() -> None:
    decision = decided(policy("policy.thresholds.threat = 0.3"), assessment(toxicity=0.7, threat=0.4, insult=0.79))
    assert (decision.rule, decision.label, decision.score) == ("threshold:threat", "threat", 0.4)
    assert decision.actions == ("delete", "reply")


def test_a_message_without_scores_is_allowed() -> None:
    decision = decided(policy(), assessment())
    assert (decision.verdict, decision.score, decision.label) == ("allow", 0.0, "")


def test_a_label_that_no_preset_knows_is_reported_and_not_judged() -> None:
    decision = decided(policy(), Assessment(scores={"sarcasm": 0.99}, tier="x", model="1"))
    assert (decision.verdict, decision.label, decision.score) == ("allow", "sarcasm", 0.99)


def test_the_threshold_replaces_the_presets_for_all_that_it_blocks() -> None:
    lowered = policy("policy.threshold = 0.1")
    assert {label for label in LABELS if decided(lowered, assessed({label: 0.1})).verdict == "block"} == set(ABUSE)
    assert decided(lowered, assessment(obscene=1.0)).verdict == "allow"
    assert decided(lowered, assessment(self_harm=1.0)).verdict == "hold"


def test_the_threshold_of_the_environment_blocks_plain_swearing_when_it_is_low() -> None:
    config = with_threshold(PolicyConfig(hold=0.5, thresholds={"threat": 0.9}), 0.1)
    decision = decided(ThresholdPolicy(config, actions=ACTIONS), assessment(toxicity=0.1), message("Fuck"))
    assert (decision.verdict, decision.rule) == ("block", "threshold:toxicity")
    assert config.thresholds == {"threat": 0.9}


def test_the_threshold_of_the_environment_leaves_overrides_alone() -> None:
    communities = {"kids": CommunityConfig(policy=PolicyConfig(threshold=0.6))}
    decide = ThresholdPolicy(with_threshold(PolicyConfig(), 0.1), communities, actions=ACTIONS)
    assert decided(decide, assessment(insult=0.59), message(community="kids")).verdict == "hold"
    assert decided(decide, assessment(insult=0.59), message(community="other")).verdict == "block"


def test_a_label_may_block_that_the_preset_does_not() -> None:
    decide = policy("policy.thresholds.obscene = 0.9")
    assert decided(decide, assessment(obscene=0.9)).verdict == "block"
    assert decided(decide, assessment(obscene=0.89)).verdict == "allow"


def test_a_hint_holds_and_never_blocks() -> None:
    decision = decided(policy(), assessment({"threat": 1.0, "insult": 0.4}))
    assert (decision.verdict, decision.rule, decision.score) == ("hold", "hint:threat", 1.0)
    assert decided(policy(), assessment({"threat": 0.49})).verdict == "allow"
    assert decided(policy(), assessment({"obscene": 1.0})).verdict == "allow"
    assert decided(policy(), assessment({"insult": 1.0}, toxicity=0.9)).rule == "threshold:toxicity"


def test_a_degraded_assessment_holds_what_it_would_block() -> None:
    decision = decided(policy(), assessment(degraded=True, toxicity=0.99))
    assert (decision.verdict, decision.rule, decision.actions) == ("hold", "hold:toxicity", ("hold",))
    rule = """
    [[policy.rules]]
    name = "no links"
    when = "text.links > 0"
    verdict = "block"
    """
    decision = decided(policy(rule), assessment(degraded=True), message("https://chat.example"))
    assert (decision.verdict, decision.rule, decision.actions) == ("hold", "rule:no links", ("hold",))


NESTED = """
[policy]
threshold = 0.9
actions.block = ["delete"]
[policy.thresholds]
threat = 0.4
[communities.kids.policy]
threshold = 0.6
[communities.kids.channels.help.policy]
holds = { self_harm = 0.1 }
[communities.teens.policy]
preset = "youth"
"""


@pytest.mark.parametrize(
    ("community", "channel", "label", "score", "verdict"),
    [
        ("", "", "insult", 0.89, "hold"),
        ("kids", "", "insult", 0.6, "block"),
        ("kids", "", "threat", 0.4, "block"),
        ("kids", "help", "insult", 0.6, "block"),
        ("kids", "help", "self_harm", 0.1, "hold"),
        ("kids", "general", "self_harm", 0.1, "allow"),
        ("other", "help", "insult", 0.6, "hold"),
        ("teens", "", "insult", 0.6, "block"),
        ("teens", "", "threat", 0.45, "hold"),
    ],
)
def test_a_place_overrides_what_it_says_and_inherits_the_rest(
    community: str, channel: str, label: str, score: float, verdict: str
) -> None:
    about = message(community=community, channel=channel)
    assert decided(policy(NESTED), assessed({label: score}), about).verdict == verdict


def test_a_preset_of_a_place_ends_the_numbers_around_it_and_keeps_the_rest() -> None:
    decision = decided(policy(NESTED), assessment(insult=0.6), message(community="teens"))
    assert (decision.verdict, decision.actions) == ("block", ("delete",))


def test_an_unknown_place_leaves_nothing_behind() -> None:
    decide = policy(NESTED)
    before = {name: len(value) for name, value in vars(decide).items() if isinstance(value, dict)}
    for number in range(1000):
        decided(decide, assessment(), message(community=f"c{number}", channel=f"h{number}"))
    assert {name: len(value) for name, value in vars(decide).items() if isinstance(value, dict)} == before


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (None, "Your message was removed: insult."),
        ("de", "Deine Nachricht wurde entfernt: Beleidigung."),
        ("de-AT", "Deine Nachricht wurde entfernt: Beleidigung."),
        ("pt_BR", "Sua mensagem foi removida: insulto."),
        ("nl", "Your message was removed: insult."),
        ("", "Your message was removed: insult."),
        ("-", "Your message was removed: insult."),
    ],
)
def test_the_author_is_answered_in_their_language(language: str | None, text: str) -> None:
    assert decided(policy(), assessment(insult=0.9), message(language=language)).reply == text


def test_own_replies_replace_the_presets_where_they_have_a_default() -> None:
    decide = policy("""
    [policy.replies.block]
    default = "Removed for {label} ({rule}), {{sorry}}."
    pt-BR = "Removida"
    [policy.replies.hold]
    nl = "Even geduld."
    """)
    insult = assessment(insult=0.9)
    assert decided(decide, insult, message(language="fr")).reply == "Removed for insulte (threshold:insult), {sorry}."
    assert decided(decide, insult, message(language="pt-br")).reply == "Removida"
    assert decided(decide, assessment(insult=0.6), message(language="nl")).reply == "Even geduld."
    assert decided(decide, assessment(insult=0.6)).reply == REPLIES["hold"]["default"]


def test_every_language_has_every_text() -> None:
    assert set(LABEL_NAMES) == set(REPLIES["block"]) == set(REPLIES["hold"]) == LANGUAGES
    assert all(list(names) == list(LABELS) for names in LABEL_NAMES.values())
    assert all("{label}" in text for text in REPLIES["block"].values())


def test_presets_speak_of_known_labels_and_hold_before_they_block() -> None:
    for preset in PRESETS.values():
        assert {*preset.blocks, *preset.holds, *preset.escalations} <= set(LABELS)
        assert all(preset.holds[label] < block <= 1 for label, block in preset.blocks.items())


def test_the_version_is_the_same_in_every_process_and_changes_with_the_configuration() -> None:
    code = (
        "from tests.policy.cases import *; import json; "
        "print(json.dumps([policy('policy.threshold = 0.7\\npolicy.holds = {threat = 0.1, spam = 0.2}').version]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version = policy("policy.holds = {spam = 0.2, threat = 0.1}\npolicy.threshold = 0.7").version
    assert json.loads(done.stdout) == [version]
    assert version.startswith("default-")
    others = ["", 'policy.preset = "youth"', "policy.threshold = 0.71", "communities.a.policy.threshold = 0.7"]
    assert len({version, *(policy(text).version for text in others)}) == len(others) + 1
    assert policy('policy.preset = "youth"').version.startswith("youth-")


def test_a_batch_is_decided_in_order() -> None:
    decisions = policy().decide(
        [message(), message(), message()],
        [assessment(insult=0.9), assessment(), assessment(insult=0.6)],
        at=AT,
    )
    assert [decision.verdict for decision in decisions] == ["block", "allow", "hold"]


def test_a_batch_of_two_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        policy().decide([message()], [], at=AT)


@UNHURRIED
@given(config=configs, low=scores, rise=scores, hints=scores, degraded=st.booleans())
def test_raising_scores_never_softens_the_verdict(
    config: PolicyConfig, low: dict[str, float], rise: dict[str, float], hints: dict[str, float], *, degraded: bool
) -> None:
    decide = ThresholdPolicy(config, actions=ACTIONS)
    high = {label: max(low.get(label, 0.0), rise.get(label, 0.0)) for label in low | rise}
    before = decided(decide, assessed(low, hints, degraded=degraded))
    after = decided(decide, assessed(high, hints, degraded=degraded))
    assert after.verdict.severity >= before.verdict.severity


@UNHURRIED
@given(config=configs, hints=scores, rise=scores, found=scores)
def test_raising_hints_never_softens_the_verdict_and_never_blocks(
    config: PolicyConfig, hints: dict[str, float], rise: dict[str, float], found: dict[str, float]
) -> None:
    decide = ThresholdPolicy(config, actions=ACTIONS)
    high = {label: max(hints.get(label, 0.0), rise.get(label, 0.0)) for label in hints | rise}
    without = decided(decide, assessed(found)).verdict
    before = decided(decide, assessed(found, hints)).verdict
    after = decided(decide, assessed(found, high)).verdict
    assert after.severity >= before.severity >= without.severity
    assert after is not Verdict.BLOCK or without is Verdict.BLOCK


@UNHURRIED
@given(config=configs, found=scores, hints=scores)
def test_a_degraded_assessment_never_blocks_and_never_softens_to_allow(
    config: PolicyConfig, found: dict[str, float], hints: dict[str, float]
) -> None:
    decide = ThresholdPolicy(config, actions=ACTIONS)
    sound = decided(decide, assessed(found, hints)).verdict
    degraded = decided(decide, assessed(found, hints, degraded=True)).verdict
    assert degraded.severity == min(sound.severity, 1)


@UNHURRIED
@given(config=configs, data=st.data())
def test_the_order_of_keys_is_irrelevant(config: PolicyConfig, data: st.DataObject) -> None:
    found = data.draw(scores)
    shuffled = dict(data.draw(st.permutations(list(found.items()))))
    decide = ThresholdPolicy(config, actions=ACTIONS)
    one, other = decided(decide, assessed(found)), decided(decide, assessed(shuffled))
    assert one == other


@UNHURRIED
@given(outer=configs, found=scores, hints=scores)
def test_an_override_that_says_nothing_changes_nothing(
    outer: PolicyConfig, found: dict[str, float], hints: dict[str, float]
) -> None:
    communities = {"c": CommunityConfig(channels={"h": ChannelConfig()})}
    decide = ThresholdPolicy(outer, communities, actions=ACTIONS)
    everywhere = decided(decide, assessed(found, hints))
    assert decided(decide, assessed(found, hints), message(community="c")) == everywhere
    assert decided(decide, assessed(found, hints), message(community="c", channel="h")) == everywhere


@UNHURRIED
@given(outer=configs, label=st.sampled_from(LABELS), threshold=thresholds, found=scores)
def test_an_override_of_one_label_leaves_the_others_alone(
    outer: PolicyConfig, label: str, threshold: float, found: dict[str, float]
) -> None:
    override: dict[str, Any] = {"c": CommunityConfig(policy=PolicyConfig(thresholds={label: threshold}))}
    decide = ThresholdPolicy(outer, override, actions=ACTIONS)
    others = assessed({name: score for name, score in found.items() if name != label})
    assert decided(decide, others, message(community="c")) == decided(decide, others)
