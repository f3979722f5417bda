"""What the author is told, in their language."""

import re
from collections.abc import Mapping
from string import Formatter
from types import MappingProxyType
from typing import Final, TypeVar

from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS, Verdict

MAX_TEXT_LENGTH: Final = 2000
T = TypeVar("T")

_FIELDS: Final = frozenset({"label", "rule"})
_TAG: Final = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8}){0,3}")

REPLIES: Final[Mapping[Verdict, Mapping[str, str]]] = MappingProxyType(
    {
        Verdict.BLOCK: MappingProxyType(
            {
                "default": "Your message was removed: {label}.",
                "ar": "تمت إزالة رسالتك: {label}.",
                "de": "Deine Nachricht wurde entfernt: {label}.",
                "es": "Tu mensaje se ha eliminado: {label}.",
                "fr": "Ton message a été supprimé : {label}.",
                "hi": "आपका संदेश हटा दिया गया: {label}।",
                "it": "Il tuo messaggio è stato rimosso: {label}.",
                "ja": "メッセージは削除されました：{label}",
                "ko": "메시지가 삭제되었습니다: {label}",
                "pt": "Sua mensagem foi removida: {label}.",
                "ru": "Ваше сообщение удалено: {label}.",
                "tr": "Mesajın kaldırıldı: {label}.",
                "zh": "你的消息已被删除：{label}",
            }
        ),
        Verdict.HOLD: MappingProxyType(
            {
                "default": "Your message is waiting for a moderator.",
                "ar": "رسالتك بانتظار مراجعة أحد المشرفين.",
                "de": "Deine Nachricht wartet auf die Moderation.",
                "es": "Tu mensaje está pendiente de moderación.",
                "fr": "Ton message attend un modérateur.",
                "hi": "आपका संदेश मॉडरेटर की समीक्षा की प्रतीक्षा में है।",
                "it": "Il tuo messaggio è in attesa di un moderatore.",
                "ja": "メッセージはモデレーターの確認待ちです。",
                "ko": "메시지가 운영자의 확인을 기다리고 있습니다.",
                "pt": "Sua mensagem está aguardando um moderador.",
                "ru": "Ваше сообщение ожидает проверки модератором.",
                "tr": "Mesajın bir moderatörün onayını bekliyor.",
                "zh": "你的消息正在等待管理员审核。",
            }
        ),
    }
)
"""The presets' texts by verdict and language; English stands as `default`."""

_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ar": "كلام مسيء, إساءة شديدة, ألفاظ نابية, تهديد, إهانة, هجوم على الهوية, محتوى جنسي صريح, إيذاء النفس, رسائل مزعجة",
        "de": "verletzende Sprache, schwere Beschimpfung, vulgäre Sprache, Drohung, Beleidigung, Angriff auf eine Personengruppe, "
        "sexueller Inhalt, Selbstverletzung, Spam",
        "es": "lenguaje tóxico, abuso grave, lenguaje obsceno, amenaza, insulto, ataque por identidad, contenido sexual explícito, "
        "autolesión, spam",
        "fr": "propos toxiques, propos très toxiques, propos obscènes, menace, insulte, attaque identitaire, contenu sexuel explicite, "
        "automutilation, spam",
        "hi": "विषाक्त भाषा, गंभीर दुर्व्यवहार, अश्लील भाषा, धमकी, अपमान, पहचान पर हमला, यौन सामग्री, आत्म-क्षति, स्पैम",
        "it": "linguaggio tossico, abuso grave, linguaggio osceno, minaccia, insulto, attacco all'identità, contenuto sessuale esplicito, "
        "autolesionismo, spam",
        "ja": "有害な表現, 深刻な誹謗中傷, わいせつな表現, 脅迫, 侮辱, 属性への攻撃, 性的な内容, 自傷, スパム",
        "ko": "유해한 표현, 심각한 욕설, 외설적인 표현, 위협, 모욕, 정체성에 대한 공격, 성적인 내용, 자해, 스팸",
        "pt": "linguagem tóxica, abuso grave, linguagem obscena, ameaça, insulto, ataque à identidade, conteúdo sexual explícito, "
        "automutilação, spam",
        "ru": "токсичные высказывания, тяжкие оскорбления, непристойность, угроза, оскорбление, нападки на группу людей, "
        "сексуальное содержание, самоповреждение, спам",
        "tr": "zehirli dil, ağır hakaret, müstehcen dil, tehdit, hakaret, kimliğe saldırı, cinsel içerik, kendine zarar verme, spam",
        "zh": "恶意言论, 严重辱骂, 淫秽言论, 威胁, 侮辱, 身份攻击, 色情内容, 自我伤害, 垃圾信息",
    }
)
"""The labels' names by language, in the order of LABELS."""

LABEL_NAMES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "default": MappingProxyType({label: label.replace("_", " ") for label in LABELS}),
        **{
            language: MappingProxyType(dict(zip(LABELS, names.split(", "), strict=True)))
            for language, names in _NAMES.items()
        },
    }
)
"""What {label} becomes, by language; `default` for every language without names."""


def in_language(by_language: Mapping[str, T], language: str | None) -> T:
    """What is there for a language tag, for the tag shortened part by part (`pt-BR`, `pt`), or `default`."""
    tag = (language or "").lower().replace("_", "-")
    while tag:
        if tag in by_language:
            return by_language[tag]
        tag = tag.rpartition("-")[0]
    return by_language["default"]


def texts_of(verdict: Verdict, own: Mapping[str, str]) -> dict[str, str]:
    """The operator's texts with lower-case tags; the preset's beside them as long as the operator has no `default`."""
    own = {tag.lower(): text for tag, text in own.items()}
    return own if "default" in own else dict(REPLIES[verdict]) | own


def check_replies(texts: Mapping[str, str], path: str) -> None:
    """Refuses what is no language tag and texts with fields other than {label} and {rule}.

    Raises:
        ConfigError: at the text's path.
    """
    for tag, text in texts.items():
        if tag != "default" and not _TAG.fullmatch(tag.lower()):
            raise ConfigError(
                f"{path}.{tag}", "no language tag; allowed are tags such as 'de' or 'pt-BR', and 'default'"
            )
        if not text.strip() or len(text) > MAX_TEXT_LENGTH:
            raise ConfigError(f"{path}.{tag}", f"must be a text of 1 to {MAX_TEXT_LENGTH} characters")
        try:
            fields = list(Formatter().parse(text))
        except ValueError as error:
            raise ConfigError(f"{path}.{tag}", f"{error}; write {{{{ and }}}} for braces") from error
        for _, name, specification, conversion in fields:
            if name is not None and (name not in _FIELDS or specification or conversion):
                raise ConfigError(f"{path}.{tag}", f"unknown field {{{name}}}; allowed are {{label}} and {{rule}}")
