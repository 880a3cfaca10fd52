"""Which language a text is written in: scripts first, then the small words that no text does without.

A prior, like the kind of task: no dictionary, no dependency, one look at the words that were found already. Languages
that share a script and are not listed are taken for their neighbour (Bulgarian for Russian, Marathi for Hindi), or are
`other`. Plain ASCII without a word that gives it away (code, "fix it") is taken for English, the commonest by far.
"""

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from itertools import pairwise
from math import lcm
from types import MappingProxyType


class Language(StrEnum):
    """ISO 639-1 codes. Norwegian is `nb`: a bare `no` is a boolean to half the YAML readers in the world."""

    EN = "en"
    DE = "de"
    FR = "fr"
    ES = "es"
    PT = "pt"
    IT = "it"
    NL = "nl"
    SV = "sv"
    DA = "da"
    NB = "nb"
    FI = "fi"
    PL = "pl"
    CS = "cs"
    RO = "ro"
    HU = "hu"
    TR = "tr"
    ID = "id"
    VI = "vi"
    RU = "ru"
    UK = "uk"
    EL = "el"
    HE = "he"
    AR = "ar"
    FA = "fa"
    UR = "ur"
    HI = "hi"
    BN = "bn"
    TA = "ta"
    TH = "th"
    ZH = "zh"
    JA = "ja"
    KO = "ko"
    OTHER = "other"


# Articles, pronouns, particles, question words: frequent, short, and seldom names. Words that programming languages
# use too (for, if, in, not, while) are left out, so that code says nothing about the language of the question.
_SMALL_WORDS: Mapping[Language, str] = MappingProxyType(
    {
        Language.EN: (
            "the of to and a an is are was were be been it its this that these those you your my me we our they their "
            "he she his her what which who how why when where can could would should will do does did have has had on "
            "at by about into out up there some any all please give tell write make explain don't i'm fix list find "
            "summarize translate classify extract convert identify solve compute calculate"
        ),
        Language.DE: (
            "der die das den dem des ein eine einen einem einer und ist sind war wurde ich du er sie es wir ihr mir "
            "mich dich mein meine meinen meiner nicht auf für mit von zu zum zur aus bei nach über wie was wer wo "
            "wann warum welche welcher bitte kannst kann dass auch noch schon im am alle dieser diese diesen diesem "
            "gib schreibe oder wenn als hat haben werden wird übersetze erkläre zeige berechne beweise fasse nenne "
            "ordne prüfe formuliere fiel lautet lauten"
        ),
        Language.FR: (
            "le la les un une des du de et est sont était je tu il elle nous vous ils mon ma mes ton son sa ses ce "
            "cet cette ces qui que quoi quel quelle quels dans pour avec sur par pas ne plus au aux où comment "
            "pourquoi quand peux peut moi donne écris fait faire été deux ou mais chaque explique traduis résume "
            "calcule résous montre démontre classe extrais"
        ),
        Language.ES: (
            "el la los las un una unos de del es son era yo tú él ella nosotros mi mis tu su sus este esta estos que "
            "qué quién cuál cómo dónde cuándo por para con en no se lo le me te al más muy pero como hay está puedes "
            "escribe dame cuánto cuántos siguiente todas todos explica traduce resume calcula resuelve demuestra "
            "clasifica extrae ayúdame dos paso"
        ),
        Language.PT: (
            "os as um uma uns de do da dos das é são era eu você ele ela nós meu minha meus seu sua este esta isso "
            "que quem qual quais como onde quando por para com sem em no na nos nas não se ao mais muito mas há está "
            "pode escreva quanto quantos foi pelo pela tem explique traduza resuma calcule resolva classifique "
            "extraia crie liste"
        ),
        Language.IT: (
            "il lo la gli le un uno una di del della dei delle dello è sono era io tu lui lei noi mio mia tuo suo "
            "questo questa questi che chi quale quali come dove quando perché per con senza nel nella non si al alla "
            "più molto ma c'è mi ti puoi scrivi quanto quanti da ha anche spiega traduci riassumi calcola risolvi "
            "dimostra classifica estrai consigli"
        ),
        Language.NL: (
            "de het een en is zijn was ik jij je hij zij wij we mijn jouw haar ons deze dit die dat wie wat waar "
            "wanneer waarom hoe welke voor met van op te naar uit bij niet geen ook nog maar als er kan kun heeft "
            "hebben wordt worden schrijf geef onderstaande om aan leg vertaal bereken bewijs los vat noem zoek maak"
        ),
        Language.SV: (
            "och att det den en ett är var jag du han hon vi ni mig dig min mitt din på av för med till från om inte "
            "som vad vem hur när varför vilken vilket kan ska har här alla ur eller så också skriv översätt förklara "
            "beräkna lös visa sammanfatta"
        ),
        Language.DA: (
            "og at det den en et er var jeg du han hun vi mig dig min mit din på af med til fra om ikke som hvad hvem "
            "hvordan hvornår hvorfor hvilken kan skal har alle eller så også skriv hjælpe noget nogle mere efter "
            "oversæt forklar beregn løs vis giv lav"
        ),
        Language.NB: (
            "og at det den en et er var jeg du han hun vi meg deg min mitt din på av med til fra om ikke som hva hvem "
            "hvordan når hvorfor hvilken kan skal har alle eller så også skriv noe noen mer etter gi oversett forklar "
            "beregn løs vis lag"
        ),
        Language.FI: (
            "ja on oli ei se tämä että mikä mitä kuka missä miten miksi milloin minä sinä hän me te he minun sinun "
            "kun jos tai myös vain niin kuin joka jonka ovat olen olet kirjoita anna käännä selitä laske"
        ),
        Language.PL: (
            "na do że to nie się jest są był była co kto jak gdzie kiedy dlaczego który która które którym ja ty on "
            "ona mój moja mojego twój ten ta tego dla od po przez przy czy ale lub oraz mam proszę napisz mi "
            "przetłumacz wyjaśnij oblicz rozwiąż podaj każdy"
        ),
        Language.CS: (
            "a na do že to ne se je jsou byl byla co kdo jak kde kdy proč který která které já ty on ona můj moje ten "
            "ta pro od po při ale nebo si jsem mi prosím napiš tento této jaký jaká přelož vysvětli vypočítej vyřeš "
            "dokaž"
        ),
        Language.RO: (
            "și în la de pe cu din că nu este sunt era ce cine cum unde când care eu tu el ea noi meu mea mei tău un "
            "pentru sau dar mai mi să scrie fi acest această ale lui tradu explică calculează rezolvă"
        ),
        Language.HU: (
            "a az és hogy nem is egy volt van ez ami aki mi ki hol mikor miért hogyan melyik én te ő mert vagy csak "
            "már meg kérlek írj nekem hány fordítsd magyarázd számold"
        ),
        Language.TR: (
            "bir ve bu şu ne kim nasıl nerede neden hangi mi mı mu mü için ile gibi daha çok en ben sen biz benim "
            "senin bana sana var yok değil olarak olan kadar ise kaç zaman yaz çevir açıkla hesapla çöz yazar öner"
        ),
        Language.ID: (
            "yang dan di ke dari untuk dengan ini itu adalah tidak saya aku kamu anda dia kami kita apa siapa "
            "bagaimana mengapa kapan dimana mana tolong buatkan bisa akan pada atau juga dalam sebuah ada tulis "
            "jelaskan hitung terjemahkan"
        ),
        Language.VI: (
            "là của và có không được cho một các những này đó tôi bạn anh chị em gì ai sao thế nào khi ở đâu với "
            "trong như hãy giúp viết từ về nước người ra đến hàm số dịch tính giải"
        ),
    }
)


def _languages_by_word() -> Mapping[str, tuple[Language, ...]]:
    languages: dict[str, tuple[Language, ...]] = {}
    for language, words in _SMALL_WORDS.items():
        for word in dict.fromkeys(words.replace("'", " ").split()):
            languages[word] = (*languages.get(word, ()), language)
    return MappingProxyType(languages)


# Each small word with the languages it is one of; the more languages share it, the less it says of each. Weights are
# whole numbers, so that their sum is the same in whatever order a set gives its words.
_LANGUAGES = _languages_by_word()
SMALL = frozenset(_LANGUAGES)
_WHOLE = lcm(*map(len, _LANGUAGES.values()))  # the weight of a word that one language has for itself
_WEIGHTS = {
    word: tuple((language, _WHOLE // len(languages)) for language in languages)
    for word, languages in _LANGUAGES.items()
}

# Where a script begins, up to where the next one does; "" for what is no letter of a script that tells a language.
_SCRIPT_STARTS: tuple[tuple[int, str], ...] = (
    (0x0000, ""),
    (0x0370, "greek"),
    (0x0400, "cyrillic"),
    (0x0530, ""),
    (0x0590, "hebrew"),
    (0x0600, "arabic"),
    (0x0780, ""),
    (0x0900, "devanagari"),
    (0x0980, "bengali"),
    (0x0A00, ""),
    (0x0B80, "tamil"),
    (0x0C00, ""),
    (0x0E00, "thai"),
    (0x0E80, ""),
    (0x1100, "hangul"),
    (0x1200, ""),
    (0x3040, "kana"),
    (0x3100, ""),
    (0x3400, "han"),
    (0xA000, ""),
    (0xAC00, "hangul"),
    (0xD7B0, ""),
    (0xF900, "han"),
    (0xFB00, ""),
)
_BLOCK = 16  # code points; every start above is a multiple of it
_SCRIPT_OF_BLOCK = tuple(
    script for (start, script), (end, _) in pairwise(_SCRIPT_STARTS) for _ in range(start // _BLOCK, end // _BLOCK)
)
_FOREIGN_LETTER = "[\u0370-\u1fff\u3040-\ud7af\uf900-\ufaff]"
# A word of them at a time. Not `{1,64}`: only a pattern that begins with a plain set is searched for fast.
_FOREIGN = re.compile(f"{_FOREIGN_LETTER}{_FOREIGN_LETTER}{{0,63}}")
_MOST_FOREIGN = 64  # letters looked at: a line of prose

# So many letters weigh as much as one small word of a language in Latin script: they may be a quoted name in it.
_LETTERS_PER_WORD = 8
_LETTERS_PER_WORD_CJK = 4

_CJK = frozenset({"han", "kana", "hangul"})
_BY_SCRIPT: Mapping[str, Language] = MappingProxyType(
    {
        "greek": Language.EL,
        "hebrew": Language.HE,
        "devanagari": Language.HI,
        "bengali": Language.BN,
        "tamil": Language.TA,
        "thai": Language.TH,
        "hangul": Language.KO,
    }
)
# Letters and small words: two words may have none of the letters.
_UKRAINIAN_WORDS = "що це цей та чи як яка який яке коли ти ви від де хто"
_RUSSIAN_WORDS = "что это этот как какая какой какое когда ты вы от где кто или"
_UKRAINIAN = frozenset("іїєґ").union(_UKRAINIAN_WORDS.split())
_RUSSIAN = frozenset("ыэъё").union(_RUSSIAN_WORDS.split())
_PERSIAN, _URDU = frozenset("پچژگکی"), frozenset("ٹڈڑںےہ")

# Letters that speak where no small word does: the prompt may be three words long.
_LETTERS: tuple[tuple[Language, frozenset[str]], ...] = (
    (Language.DE, frozenset("ß")),
    (Language.ES, frozenset("ñ¿¡")),
    (Language.PT, frozenset("ãõ")),
    (Language.PL, frozenset("łąężźś")),
    (Language.TR, frozenset("ğış")),
    (Language.CS, frozenset("řěů")),
    (Language.RO, frozenset("țăș")),
    (Language.HU, frozenset("őű")),
    (Language.VI, frozenset("đơưạảấầẩậắằặếềểễệịọốồổộớờởợụủứừửữựỳỷỹ")),
    (Language.DA, frozenset("ø")),
    (Language.SV, frozenset("å")),
    (Language.DE, frozenset("äöü")),
    (Language.FR, frozenset("çœéèêàù")),
)


def language_of(text: str, words: set[str]) -> Language:
    """The language of a text in lower case, given the distinct words in it."""
    if text.isascii():
        return language_of_plain(words, has_words=bool(words))
    latin, weight = _latin(words)
    letters = _first_foreign(text)
    distinct = set(letters)
    scripts = _scripts(distinct)
    if scripts:
        script = max(scripts, key=lambda each: (scripts[each], each))
        per_word = _LETTERS_PER_WORD_CJK if script in _CJK else _LETTERS_PER_WORD
        if len(letters) * _WHOLE >= per_word * weight:
            return _of_script(script, scripts, distinct.union(words))
    return latin or _by_letters(text)


def language_of_plain(words: set[str], *, has_words: bool) -> Language:
    """The language of a text in plain ASCII, given those of its words that are in `SMALL`, or all of them."""
    return _latin(words)[0] or (Language.EN if has_words else Language.OTHER)


def _first_foreign(text: str) -> str:
    letters = ""
    for found in _FOREIGN.finditer(text):
        letters += found[0]
        if len(letters) >= _MOST_FOREIGN:
            break
    return letters[:_MOST_FOREIGN]


def _latin(words: set[str]) -> tuple[Language | None, int]:
    """The language in Latin script that most of the small words belong to, and their weight."""
    points: dict[Language, int] = {}
    for word in SMALL & words:
        for language, weight in _WEIGHTS[word]:
            points[language] = points.get(language, 0) + weight
    if not points:
        return None, 0
    most = max(points.values())
    best = [language for language, weight in points.items() if weight == most]
    # On a tie the one listed first, whatever the order in which a set gives its words.
    return best[0] if len(best) == 1 else min(best, key=_RANK.__getitem__), most


_RANK = MappingProxyType({language: rank for rank, language in enumerate(Language)})


def _scripts(letters: Collection[str]) -> dict[str, int]:
    """How many of these distinct letters, all of `_FOREIGN`, each script has."""
    found: dict[str, int] = {}
    for letter in letters:
        script = _SCRIPT_OF_BLOCK[ord(letter) // _BLOCK]
        if script:
            found[script] = found.get(script, 0) + 1
    return found


def _of_script(script: str, scripts: Mapping[str, int], signs: set[str]) -> Language:
    if script in _BY_SCRIPT:
        return _BY_SCRIPT[script]
    if script == "cyrillic":
        return Language.UK if len(_UKRAINIAN & signs) > len(_RUSSIAN & signs) else Language.RU
    if script == "arabic":
        return Language.UR if _URDU & signs else Language.FA if _PERSIAN & signs else Language.AR
    # Japanese is Chinese characters with kana between them; a lone の stands in Chinese advertising too.
    return Language.JA if 8 * scripts.get("kana", 0) >= scripts.get("han", 0) else Language.ZH


def _by_letters(text: str) -> Language:
    letters = set(text)
    return next((language for language, telling in _LETTERS if letters & telling), Language.OTHER)
