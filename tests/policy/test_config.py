"""A wrong policy is refused when it is loaded, with the key's path and what is allowed."""

import json

import msgspec
import pytest

from chat_moderator.errors import ConfigError
from chat_moderator.policy.config import PolicyConfig, with_threshold
from tests.policy.cases import policy


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        policy(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "path", "problem"),
    [
        ("policy.threshold = 0", "policy.threshold", "above 0 and at most 1"),
        ("policy.threshold = 1.01", "policy.threshold", "above 0 and at most 1"),
        ("policy.hold = -0.1", "policy.hold", "above 0 and at most 1"),
        ("policy.threshold = nan", "policy.threshold", "above 0 and at most 1"),
        ("policy.hold = inf", "policy.hold", "above 0 and at most 1"),
        ("policy.thresholds.thret = 0.5", "policy.thresholds.thret", "unknown label; the labels are toxicity, "),
        ("policy.holds.spam = 2", "policy.holds.spam", "above 0 and at most 1"),
        ("policy.hold = 0.8\npolicy.threshold = 0.5", "policy.hold", "above policy.threshold = 0.5"),
        (
            "communities.c.policy.holds.spam = 0.8\ncommunities.c.policy.thresholds.spam = 0.5",
            "communities.c.policy.holds.spam",
            "at most the same is allowed",
        ),
        ('policy.actions.block = ["delte"]', "policy.actions.block[0]", "the actions are alert, delete, hold, reply"),
        ('policy.actions.hold = ["hold", "hold"]', "policy.actions.hold[1]", "named twice"),
        ('policy.replies.block.default = "{author}"', "policy.replies.block.default", "allowed are {label} and {rule}"),
        ('policy.replies.block.de = "{label.__class__}"', "policy.replies.block.de", "unknown field"),
        ('policy.replies.block.de = "{label!r}"', "policy.replies.block.de", "unknown field"),
        ('policy.replies.block.de = "{label:>9999999}"', "policy.replies.block.de", "unknown field"),
        ('policy.replies.block.de = "{}"', "policy.replies.block.de", "unknown field"),
        ('policy.replies.block.de = "50 {"', "policy.replies.block.de", "write {{ and }}"),
        ('policy.replies.hold.de = " "', "policy.replies.hold.de", "1 to 2000 characters"),
        ('policy.replies.hold.german = "x"', "policy.replies.hold.german", "no language tag"),
        (
            'communities."my server".channels.general.policy.threshold = 3',
            'communities."my server".channels.general.policy.threshold',
            "above 0",
        ),
    ],
)
def test_a_wrong_value_is_named_by_its_path(text: str, path: str, problem: str) -> None:
    error = refused(text)
    assert error.path == path
    assert problem in error.problem


def test_a_hold_threshold_at_or_above_an_inherited_block_threshold_only_leaves_no_room_to_hold() -> None:
    policy("policy.hold = 0.5\npolicy.threshold = 0.5")
    policy("policy.hold = 0.5\ncommunities.c.policy.threshold = 0.4")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("policy.treshold = 0.5", "$.policy"),
        ('policy.preset = "strict"', "$.policy.preset"),
        ('policy.threshold = "high"', "$.policy.threshold"),
        ('policy.actions.allow = ["alert"]', "$.policy.actions"),
        ('policy.rules = [{name = "a", when = "true", verdict = "delete"}]', "$.policy.rules[0].verdict"),
        ('policy.rules = [{name = "a", when = "true"}]', "$.policy.rules[0]"),
        ('policy.rules = [{name = "a", when = "true", verdict = "hold", then = 1}]', "$.policy.rules[0]"),
        ("communities.c.channels.h.policy.x = 1", "$.communities[...].channels[...].policy"),
    ],
)
def test_an_unknown_key_or_type_is_refused_by_its_path(text: str, path: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        policy(text)
    assert f"`{path}`" in str(caught.value)


@pytest.mark.parametrize("value", [0.0, -1.0, 1.5, float("nan")])
def test_the_threshold_of_the_environment_is_checked(value: float) -> None:
    with pytest.raises(ConfigError, match=r"policy\.threshold"):
        with_threshold(PolicyConfig(), value)


def rule(when: str, name: str = "r", verdict: str = "hold", actions: str = "[]") -> str:
    head = f"\n[[communities.kids.policy.rules]]\nname = '{name}'\nverdict = '{verdict}'\nactions = {actions}\n"
    return f"{head}when = {json.dumps(when, ensure_ascii=False)}\n"


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ("", "is empty"),
        ("  \n ", "is empty"),
        ("// nothing", "syntax error at line 1, column 11"),
        ("scores.spam > 0.5 &&", "syntax error at line 1, column 21"),
        ("true\n&& (1 <", "syntax error at line 2, column 8"),
        ("scores.spam > 0.5 and true", "syntax error at line 1, column 19: mismatched input 'and'"),
        ("x" * 2001, "has 2001 characters; allowed are 2000"),
        ("(" * 500 + "true" + ")" * 500, "nested too deep"),
        ("true ? true : " * 100 + "true", "nested too deep"),
        ("text.lenght > 3", "unknown name 'text.lenght'; known are text.capitals, text.emojis, text.length"),
        ("txt.length > 3", "unknown name 'txt'; known are author, hints, message, model, scores, text"),
        ("false && scores.spm > 0.5", "unknown name 'scores.spm'"),
        ("true || scores['spm'] > 0.5", "unknown name 'scores.spm'"),
        ("text.links > 3 ? true : nope", "unknown name 'nope'"),
        ("false && author.roles.exists(r, rr == 'x')", "unknown name 'rr'"),
        ("r == 'x' || author.roles.exists(r, r == 'x')", "unknown name 'r'"),
        ("author.roles.exists(text, text == 'x')", "'text' has a meaning of its own"),
        ("text == 'x'", "'text' is asked by field"),
        ("author.name.first == 'x'", "'.first' asks for a field of something that has none"),
        ("false && text.original.lower() == 'x'", "unknown function .lower(); known on a value are all, contains"),
        ("true || timestamp('2026-01-01T00:00:00Z') == now()", "unknown function timestamp()"),
        ("type(text.links) == int", "unknown function type(); known are double, has, int, size, string, uint"),
        ("text.links", "comes to 1; needed is a condition"),
        ("text.links > 0 ? 1 : 2", "needed is a condition"),
        ("scores.spam", "needed is a condition"),
        ("text.links && true", "'text.links' comes to 1; needed is a condition"),
        ("false && text.links > 'a'", "\"text.links > 'a'\" fails on a sample message: these types do not go together"),
        ("true || text.links == 'a'", "compares a number with a text, which are never equal"),
        ("true || scores.spam + 1 > 1.0", "Unsupported operation: float + int"),
        ("false && text.original.startsWith(1)", "startsWith() does not take values of these types"),
        ("author.roles[0] == 'x'", "fails on a sample message that has no text, author, language or scores"),
        ("text.length / text.words > 3", "division by zero"),
        ("scores.spam > 0.5 && author.age_days < 7", "author.age_days may be unknown; ask has(author.age_days)"),
        ("has(author.age_days) || author.age_days < 7", "author.age_days may be unknown"),
        ("message.platform == 'irc' && (text.links > 9 || author.age_days < 7)", "author.age_days may be unknown"),
        ("text.links > 0 ? author.age_days < 7 : false", "author.age_days may be unknown"),
        ("author.roles.exists(r, r == 'x' && author.age_days < 7)", "author.age_days may be unknown"),
        ("double(author.age_days) < 7.0", "author.age_days may be unknown"),
        ("has(author.name)", "has() asks only for what may be unknown: author.age_days"),
        ("text.original.matches('(')", "is no regular expression of RE2"),
        ("false && text.original.matches('(?=a)')", "is no regular expression of RE2"),
        ("text.original.matches('a{900}{900}')", "is no regular expression of RE2"),
        ("text.original.matches('(?:a?){1000}(?:b?){1000}')", "is too large"),
        ("text.original.matches('" + "a" * 1001 + "')", "a regular expression of 1001 characters; allowed are 1000"),
        ("text.original.matches(author.name)", "matches() takes one regular expression in quotes"),
        ("[1].exists(a, [1].exists(b, [1].exists(c, true)))", "has loops nested more than 2 deep"),
        ("text.original.matches__('a')", "unknown function .matches__()"),
    ],
)
def test_a_wrong_rule_is_refused_when_it_is_loaded(when: str, problem: str) -> None:
    error = refused(rule("true", "first") + rule(when))
    assert error.path == "communities.kids.policy.rules[1].when"
    assert problem in error.problem


@pytest.mark.parametrize(
    "when",
    [
        "has(author.age_days) && author.age_days < 7",
        "author.roles.exists(r, r == 'x') && has(author.age_days) && (text.links > 0 || author.age_days < 7)",
        "!has(author.age_days) || author.age_days < 7",
        "!(has(author.age_days) && author.age_days > 7) && text.links > 0",
        "has(author.age_days) ? author.age_days < 7 : text.links > 0",
        "(has(author.age_days) ? author.age_days : 0.0) < 7.0",
        "text.words > 0 && text.length / text.words > 20",
        "size(author.roles) > 0 && author.roles[0] == 'x'",
        'text.original.contains("foo.bar // scores.x && nope") // author.nope',
        "text.original.contains('it\\'s') || text.original == '''a\nb'''",
        "text.original.matches(r'\\pL+\\s') || text.original.matches('(?i)привет|你好')",
        "0x10 > 1 && 1u < 2u && 1.5e3 > 1.0 && .5 < 1.0",
        "!" * 1900 + "true",
        "true " + "&& true " * 240,
        "true ? true : " * 80 + "true",
    ],
)
def test_a_right_rule_is_accepted(when: str) -> None:
    policy(rule(when))


@pytest.mark.parametrize(
    ("text", "path", "problem"),
    [
        (rule("true", ""), "communities.kids.policy.rules[0].name", "1 to 100 characters"),
        (rule("true", "x" * 101), "communities.kids.policy.rules[0].name", "1 to 100 characters"),
        (rule("true", "a\tb"), "communities.kids.policy.rules[0].name", "one line"),
        (rule("true") + rule("false"), "communities.kids.policy.rules[1].name", "the name of two rules"),
        (
            "policy.rules = [{name = 'r', when = 'true', verdict = 'hold'}]" + rule("true"),
            "communities.kids.policy.rules[0].name",
            "the name of two rules that apply together",
        ),
        (rule("true", actions="['ban']"), "communities.kids.policy.rules[0].actions[0]", "unknown action 'ban'"),
        (
            rule("true", verdict="allow", actions="['alert']"),
            "communities.kids.policy.rules[0].actions",
            "a rule that allows has no actions",
        ),
        ("".join(rule("true", f"r{n}") for n in range(201)), "communities.kids.policy.rules[200]", "allowed are 200"),
    ],
)
def test_a_rules_other_keys_are_checked(text: str, path: str, problem: str) -> None:
    error = refused(text)
    assert error.path == path
    assert problem in error.problem


def test_two_communities_may_name_their_rules_alike() -> None:
    policy(rule("true") + rule("true").replace("kids", "teens"))
