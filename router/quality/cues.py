"""Cues: the words, phrases and signs that give a kind of task away, with their weight in points.

The points were chosen by hand: 4 settles it, 2 is a good sign, 1 tips a balance. Words are matched whole and in lower
case, phrases anywhere in the lower-cased text. Topics are what a text is about and show anywhere in it; instructions
are what is to be done and stand at its ends. Those of a language are looked for only in text of that language: where
words are bent by endings or not parted by blanks they are stems, and phrases for that reason.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from router.catalog.catalog import Task
from router.quality.language import Language


@dataclass(frozen=True, slots=True)
class Cue:
    text: str
    task: Task
    points: int


class Phrases:
    """Cues that are looked for in the text itself, each only where it may be found at all: searching a kilobyte a
    hundred times would be the dearest part of all, and most cues hold a whole word that is not there, or a sign that is
    not there.

    The last word of a cue may go on in the text (`wie viel` is in `wie viele`), unless `ends_whole`.
    """

    def __init__(self, cues: Iterable[Cue], *, ends_whole: bool = False) -> None:
        self._by_word: dict[str, list[Cue]] = {}
        by_sign: dict[str, list[Cue]] = {}
        self._loose: list[Cue] = []
        for cue in cues:
            sign = _SIGN.search(cue.text)
            whole = _WHOLE_WORD.findall(cue.text + " " if ends_whole else cue.text)
            if whole:
                self._by_word.setdefault(max(whole, key=len), []).append(cue)
            elif sign is not None:
                by_sign.setdefault(sign[0], []).append(cue)
            else:
                self._loose.append(cue)
        self.words = frozenset(self._by_word)  # one of which is in every text that holds a cue found by its word
        self._signs = tuple(by_sign.items())
        self._loose_ascii = [cue for cue in self._loose if cue.text.isascii()]

    def found(self, text: str, words: set[str]) -> list[Cue]:
        """The cues in a text, given the distinct words in it; both in lower case."""
        found: list[Cue] = []
        loose = self._loose_ascii if text.isascii() else self._loose
        if loose:
            found += [cue for cue in loose if cue.text in text]
        for sign, cues in self._signs:
            if sign in text:
                found += [cue for cue in cues if cue.text in text]
        for word in self.words & words:
            found += [cue for cue in self._by_word[word] if cue.text in text]
        return found


# A word of a cue that is a whole word of every text that holds the cue, but for the first one: `c++` in `abc++`.
_WHOLE_WORD = re.compile(r"(?<!\w)\w+(?=\W)")
_SIGN = re.compile(r"[^\w\s]")


class LanguageCues(Protocol):
    """The cues of one language: what a text is about, and what is to be done."""

    def found(self, text: str, ends: str, words: set[str]) -> tuple[list[Cue], list[Cue]]:
        """The topics in a text and the instructions at its ends, given the distinct words in the text."""
        ...


class Plain:
    """Where the letters are those of Latin-1, or articles and conjunctions grow together with words: as `Phrases`."""

    def __init__(self, topics: Iterable[Cue], instructions: Iterable[Cue]) -> None:
        self._topics = Phrases(topics)
        self._instructions = Phrases(instructions)

    def found(self, text: str, ends: str, words: set[str]) -> tuple[list[Cue], list[Cue]]:
        return self._topics.found(text, words), self._instructions.found(ends, words)


class Stems:
    """Where words are parted by blanks, bent at their ends, and of letters beyond Latin-1, which makes a search three
    times as dear: a cue is how a word begins."""

    def __init__(self, topics: Iterable[Cue], instructions: Iterable[Cue]) -> None:
        topics_by_word, topic_stems = _parted(topics)
        instructions_by_word, instruction_stems = _parted(instructions)
        self._by_word = Plain(topics_by_word, instructions_by_word)
        self._topics = _by_start(topic_stems)
        self._instructions = _by_start(instruction_stems)
        self._starts = frozenset(self._topics.keys() | self._instructions.keys())

    def found(self, text: str, ends: str, words: set[str]) -> tuple[list[Cue], list[Cue]]:
        topics, instructions = self._by_word.found(text, ends, words)
        for start in self._starts & {word[:START_CHARS] for word in words}:
            topics += [cue for cue in self._topics.get(start, ()) if cue.text in text]
            instructions += [cue for cue in self._instructions.get(start, ()) if cue.text in ends]
        return topics, instructions


class Signs:
    """Where words are not parted, or written with signs that no word pattern takes together: one pass for all.

    Of two that overlap only one is found, the longer if they begin together.
    """

    def __init__(self, topics: Iterable[Cue], instructions: Iterable[Cue]) -> None:
        topics_by_word, topic_signs = _parted(topics)
        instructions_by_word, instruction_signs = _parted(instructions)
        self._by_word = Plain(topics_by_word, instructions_by_word)
        self._topics = {cue.text: cue for cue in topic_signs}
        self._instructions = {cue.text: cue for cue in instruction_signs}
        self._topic_pattern = _any_of(self._topics)
        self._instruction_pattern = _any_of(self._instructions)

    def found(self, text: str, ends: str, words: set[str]) -> tuple[list[Cue], list[Cue]]:
        topics, instructions = self._by_word.found(text, ends, words)
        topics += [self._topics[each] for each in set(self._topic_pattern.findall(text))]
        instructions += [self._instructions[each] for each in set(self._instruction_pattern.findall(ends))]
        return topics, instructions


def _by_start(stems: Iterable[Cue]) -> dict[str, list[Cue]]:
    found: dict[str, list[Cue]] = {}
    for cue in stems:
        found.setdefault(cue.text[:START_CHARS], []).append(cue)
    return found


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(texts, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def _parted(cues: Iterable[Cue]) -> tuple[list[Cue], list[Cue]]:
    """Those that hold a whole word, by which they are found faster, and the others."""
    by_word: list[Cue] = []
    others: list[Cue] = []
    for cue in cues:
        (by_word if _WHOLE_WORD.search(cue.text) else others).append(cue)
    return by_word, others


START_CHARS = 3  # of a stem; none is shorter


def _words(task: Task, points: int, *blocks: str) -> list[Cue]:
    return [Cue(word, task, points) for block in blocks for word in block.split()]


def _phrases(task: Task, points: int, block: str) -> list[Cue]:
    return [Cue(phrase, task, points) for phrase in block.split("|")]


_TOPIC_WORDS = (
    *_words(
        Task.CODE,
        4,
        "python javascript typescript golang kotlin django flask fastapi pandas numpy pytorch dockerfile",
        "docker kubernetes kubectl pytest junit traceback stacktrace nullpointerexception nameerror segfault",
        "typeerror refactor regex regexp mutex sql mysql postgresql html css flexbox webpack rebase codebase",
        "cors terraform ansible npm graphql mongodb sqlite selenium playwright jest maven gradle cmake",
        "makefile systemd nginx kafka haskell scala perl iterator linter angular svelte jenkins",
    ),
    *_words(
        Task.CODE,
        2,
        "code coding java rust php ruby react nodejs node bash powershell linux git github compiler compile",
        "debug debugging script api endpoint semaphore backend frontend unittest deployment async await",
        "programm programmiere quellcode código programa programación logiciel undefined null stderr runtime",
    ),
    *_words(
        Task.CODE,
        1,
        "function funktion fonction función bug throws query cache yaml diff array def return import fn loop",
    ),
    *_words(
        Task.MATH,
        4,
        "prove proof theorem lemma integral derivative eigenvalue eigenvalues polynomial abelian bijective",
        "beweise beweis démontre démontrer demuestra intégrale ableitung isomorphic compounded",
    ),
    *_words(
        Task.MATH,
        2,
        "compute calculate solve equation probability matrix inequality permutations modulo converge continuous",
        "altogether prime axiom coefficient arrangements integer integers divisible remainder triangle radius angle",
        "perpendicular vertices frac sqrt leq cdot convergent percent cyclic rectangle perimeter",
        "berechne gleichung löse wahrscheinlichkeit primzahlen résous équation calcule probabilité",
        "resuelve ecuación calcula probabilidad deriva",
        "sum difference product quotient fraction fractions decimal digit digits square root circle triangles",
        "logarithm",
        "summe differenz produkt bruch wurzel dreieck kreis fläche teilbar zahl zahlen prozent winkel gleichungen",
        "somme produit quotient racine carrée triangle cercle périmètre nombre nombres divisible pourcentage fraction",
        "suma diferencia producto raíz cuadrada triángulo círculo número números divisible porcentaje ángulo",
        "median variance logarithms vector vectors factorial combinatorics parabola slope hypotenuse",
    ),
    *_words(
        Task.MATH, 1, "mph km find rigorous half twice dozen average total kilometer euro euros cost costs price hours"
    ),
    *_words(
        Task.REASONING,
        4,
        "thermodynamics frictionless acceleration riddle fallacy fallacies syllogism counterfeit adiabatically",
        "logikrätsel rätsel thermodynamik énigme acertijo diode",
    ),
    *_words(
        Task.REASONING,
        3,
        "puzzle deduce deduction logical logically reasoning infer conclude momentum entropy voltage molar equilibrium",
        "kinetic molecular molecule molecules allele genetic enzyme hypothesis newton newtons gravity physics",
        "physically",
        "chemistry acid quantum electron electrons isotope orbit satellite raisonnement logique conclure razonamiento",
        "lógica boxes logik schlussfolgerung physikalisch liar liars lies truth satélite",
    ),
    *_words(
        Task.REASONING,
        2,
        "velocity derive argument definitely contradiction forces principle friction pressure boiling freezing melting",
        "density evaporation photosynthesis mutation mutations recessive dominant genes ions bond bonds",
        "solubility isomers",
        "compound compounds oxidation wavelength nucleus neurons suspects statement statements guilty innocent paradox",
        "begründe justifica explica physik folgt concluir druck dichte reibung siedepunkt masse pression densité",
        "frottement presión densidad fricción premise premises logician validity conclusion",
    ),
    *_words(
        Task.REASONING,
        1,
        "optimal strategy kg assume hence therefore explain explique why warum pourquoi mass possible temperature gas",
        "force energy compare",
    ),
)

_INSTRUCTION_WORDS = (
    *_words(
        Task.TRANSLATION,
        5,
        "translate translating translation übersetze übersetzen übersetz übersetzung traduis traduire",
        "traduction traduce traducir tradúceme traducción traduza traduci tradurre vertaal översätt oversett oversæt",
        "käännä przetłumacz přelož çevir terjemahkan переведи перевод переклади traduceți tradu fordítsd",
    ),
    *_words(
        Task.SUMMARY,
        5,
        "summarize summarise summarizes summary summaries condense synopsis recap gist takeaways tldr abstract digest",
        "shorten zusammenfassen zusammenfassung resümee résume résumer synthèse resumen resumir resuma riassumi",
        "riassunto streść podsumuj samenvatten samenvatting sammanfatta oppsummer opsummer özetle ringkas перескажи",
    ),
    *_words(
        Task.WRITING,
        4,
        "rewrite rephrase reword paraphrase proofread poem haiku limerick slogan slogans essay poème poema gedicht",
        "lyrics sonnet tagline newsletter einladung rede umformulieren reformule reescribe cuento novel",
    ),
    *_words(
        Task.WRITING,
        3,
        "letter email story draft compose polish caption friendlier redraft blurb fairytale screenplay formuliere",
        "reformuler rédige redacta brief carta lettre discurso discours verbessere corrige mejora geschichte histoire",
    ),
    *_words(
        Task.WRITING,
        2,
        "write grammar birthday paragraph shorter concise formal tone jargon speech scene message text post",
        "schreib schreibe écris escribe redacción wording paragraphe párrafo freundlicher lockerer",
    ),
    *_words(
        Task.CHAT,
        4,
        "recommend advice itinerary recipe joke recomiendas rezept ratschlag",
    ),
    *_words(
        Task.CHAT,
        3,
        "ideas idee ideen idées feel feeling cadeaux worried overwhelmed opinion names tips plan suggestions",
        "empfehlen empfiehlst hältst würdest opinas consejo conseil conseilles",
    ),
    *_words(Task.CHAT, 2, "thanks thank hi hello hey hallo bonjour hola"),
    *_words(Task.CHAT, 1, "friendly my better like"),
    *_words(
        Task.CLASSIFICATION,
        5,
        "classify classifies categorize categorise classification klassifiziere klassifizieren classifie classifier",
        "clasifica clasificar sentiment spam",
    ),
    *_words(
        Task.CLASSIFICATION,
        3,
        "label categories category kategorien kategorie catégorie categoría intent priority neutral annotate",
        "positiv negativ positif négatif positivo negativo stimmung classe contradicted",
    ),
    *_words(Task.CLASSIFICATION, 1, "positive negative"),
    *_words(Task.CLASSIFICATION, 2, "labels decide rate assign route ordne topic thema tema"),
    *_words(
        Task.EXTRACTION,
        4,
        "extract extracts extraction extrahiere extrais extraire extrae extraer",
    ),
    *_words(Task.EXTRACTION, 2, "entities entity fields parse campos mentioned"),
    *_words(
        Task.EXTRACTION,
        2,
        "json csv xml yaml amounts addresses emails deadlines beträge adressen namen montants adresses noms importes",
        "direcciones nombres importi indirizzi nomi valores endereços nomes bedragen kwoty adresy",
        "telefonnummern téléphones teléfonos phone dates fechas datumsangaben",
    ),
    *_words(Task.EXTRACTION, 1, "invoice identify list keys columns names prices table rechnung facture factura"),
    *_words(
        Task.FACTS,
        3,
        "capital hauptstadt capitale currency währung population acronym erfunden quién cuándo inventó",
    ),
    *_words(
        Task.FACTS,
        2,
        "wrote invented discovered painted directed founded born died president longest tallest highest album",
        "symbol dónde peint schrieb gründete geboren escribió pintó inventé écrit fondé année jahr año",
    ),
    *_words(Task.FACTS, 1, "released completed built river country largest won"),
    # Only counted where tools are offered.
    *_words(
        Task.TOOL_CALL,
        2,
        "weather forecast temperature remind reminder schedule book reserve cancel order alarm timer play turn send",
        "search lookup check now today tomorrow tonight flight flights nearby near status add wetter buche reserviere",
        "sende schicke schalte stelle erinnere suche prüfe morgen heute envoie envoyer réserve cherche allume éteins",
        "météo demain busca reserva envía pon enciende apaga recuérdame mañana tiempo accendi spegni cerca prenota",
    ),
)

# Matched anywhere in the window: what the material is about tells these kinds.
TOPIC_WORDS: Mapping[str, Cue] = MappingProxyType({cue.text: cue for cue in _TOPIC_WORDS})
# Matched at the ends of the window only, where instructions stand: in between, a letter is just a letter.
INSTRUCTION_WORDS: Mapping[str, Cue] = MappingProxyType({cue.text: cue for cue in _INSTRUCTION_WORDS})

TOPIC_PHRASES = Phrases(
    (
        *_phrases(Task.CODE, 4, "```|traceback (most|exception in|#include|console.log|public static|select * from"),
        *_phrases(Task.CODE, 3, "print(|();|@@ -|c++|c#|pull request|unit test|git push|pip install|thread-safe"),
        *_phrases(Task.CODE, 2, "// |{\n  |`|in range(|for x in|for i in"),
        *_phrases(Task.MATH, 3, "\\frac|\\lim|\\int|\\sum|\\sqrt"),
        *_phrases(Task.MATH, 4, "step by step|show that|schritt für schritt|étape par étape|paso a paso|montre que"),
        *_phrases(Task.MATH, 2, "^2|x^|f(x"),
        *_phrases(
            Task.REASONING, 3, "optimal strategy|of the above|\nb. |(b) |\nb) |explain your reasoning|second law"
        ),
        *_phrases(Task.REASONING, 3, "does it follow|peut-on conclure|if all |what follows|si tous les|si todos los"),
        *_phrases(Task.REASONING, 2, "of the following"),
        *_phrases(Task.TRANSLATION, 5, "翻译|翻訳|번역|ترجم"),  # in a text whose most words are of another language
    )
)

INSTRUCTION_PHRASES = Phrases(
    (
        *_phrases(
            Task.TRANSLATION,
            5,
            "how do you say|how would you say|how do i say|wie sagt man|cómo se dice|comment dit-on",
        ),
        *_phrases(Task.TRANSLATION, 4, "auf deutsch|auf englisch|the french for|the german for|the spanish for"),
        *_phrases(Task.TRANSLATION, 4, "the english for|the italian for|the word for"),
        *_phrases(
            Task.TRANSLATION,
            2,
            "into english|into german|into french|into spanish|into italian|into chinese|into japanese|to english|"
            "in english|in german|in french|in spanish|in italian|in chinese|in japanese|in korean|ins englische|"
            "ins deutsche|ins französische|ins spanische|en anglais|en français|en allemand|en espagnol|al inglés|"
            "al español|al francés|al alemán|en inglés",
        ),
        *_phrases(Task.SUMMARY, 5, "tl;dr|in a nutshell|key points|main points|fasse |fass mir|faits saillants"),
        *_phrases(Task.SUMMARY, 3, "bullet points|in one sentence|in two sentences|in three sentences|key takeaways"),
        *_phrases(Task.SUMMARY, 2, "en una frase|en dos frases|en deux phrases|in zwei sätzen|in drei sätzen"),
        *_phrases(
            Task.WRITING,
            4,
            "cover letter|product description|blog post|press release|subject line|make this sound|make it sound|"
            "short story|sound more|make it a|make it short|more formal|more professional|make this paragraph|"
            "less formal",
        ),
        *_phrases(
            Task.CHAT,
            4,
            "pros and cons|what do you think|should i |how do i bring|ten names|like i'm|pep talk|role-play|"
            "pretend you|"
            "what should i|was soll ich|vor- und nachteile|do you like|qué opinas|à mon avis|i feel|to my ten",
        ),
        *_phrases(Task.CHAT, 2, "how do i |how can i |tell me about|what would you|fair way"),
        *_phrases(
            Task.CLASSIFICATION,
            4,
            "yes or no|one of the categories|one word|single label|true or false|which category|"
            "positive or negative|positive, negative|positive, neutral|"
            "one of these|decide whether|ja oder nein|oui ou non|sí o no|kein spam|with one of|positif ou négatif",
        ),
        *_phrases(Task.CLASSIFICATION, 3, "to one of|as positive|is this a |one of:|each of these|what language is"),
        *_phrases(
            Task.EXTRACTION, 3, "as json|json object|valid json|return json|json template|als json|en json|to csv"
        ),
        *_phrases(
            Task.EXTRACTION,
            2,
            "from this|from the following|out of this|in this text|aus diesem|aus dem folgenden|de ce texte|"
            "à partir de|"
            "de este|del siguiente|in the email|in this email|appear in|occurring in|occur in",
        ),
        *_phrases(
            Task.EXTRACTION, 3, "formato json|tableau json|list every|action items|key: value|pull out|named entit"
        ),
        *_phrases(
            Task.EXTRACTION,
            2,
            "following text|text below|return a list|named here|mentioned in|plain list|one per line|fill in|"
            "format json",
        ),
        *_phrases(Task.FACTS, 3, "which year|what year|welchem jahr|quelle année|qué año|stand for|world cup"),
        *_phrases(Task.TOOL_CALL, 3, "look up|turn on|turn off|right now|shopping list|quelle heure|heure est-il"),
    ),
    ends_whole=True,
)

# How each language words the kinds; English, German, French and Spanish mostly stand in the words above.
_BY_LANGUAGE: Mapping[Language, tuple[Cue, ...]] = MappingProxyType(
    {
        Language.DE: (
            *_phrases(Task.TRANSLATION, 4, "ins englische|ins deutsche|was heißt"),
            *_phrases(Task.SUMMARY, 5, "fasse |fass |zusammenfass"),
            *_phrases(Task.WRITING, 3, "text für|schreib mir|e-mail an"),
            *_phrases(Task.CLASSIFICATION, 4, "einer kategorie|einem thema|ordne die"),
            *_phrases(Task.EXTRACTION, 3, "alle namen|alle beträge"),
        ),
        Language.FR: (
            *_phrases(Task.SUMMARY, 4, "résume|synthèse"),
            *_phrases(Task.WRITING, 3, "améliore|écris |rédige|message d'"),
            *_phrases(Task.EXTRACTION, 3, "au format json"),
            *_phrases(Task.CLASSIFICATION, 4, "quelle catégorie|en positif"),
            *_phrases(Task.CODE, 3, "mon composant|mon code|le script"),
            *_phrases(Task.TOOL_CALL, 3, "quelle heure|rappelle-moi|envoie"),
            *_phrases(Task.REASONING, 3, "explique ton|explique pourquoi"),
        ),
        Language.ES: (
            *_phrases(Task.SUMMARY, 5, "resume |resumen|resúm"),
            *_phrases(Task.WRITING, 3, "redact|escríbeme|mejora la|un mensaje de"),
            *_phrases(Task.EXTRACTION, 3, "todos los nombres"),
            *_phrases(Task.CLASSIFICATION, 4, "positivo o negativo|en positivos"),
            *_phrases(Task.REASONING, 3, "explica por qué|justifica la"),
            *_phrases(Task.CHAT, 3, "me recomiendas|qué opinas|consejo"),
            *_phrases(Task.TOOL_CALL, 3, "recuérdame|pon una|cerca de"),
        ),
        Language.ZH: (
            *_phrases(Task.EXTRACTION, 3, "json|列出|找出|姓名"),
            *_phrases(Task.MATH, 2, "三角形|平方|除以|余数|面积|求函数"),
            *_phrases(Task.CODE, 4, "代码|编程|python|java|sql|docker"),
            *_phrases(Task.CODE, 2, "程序|算法|报错|函数"),
            *_phrases(Task.MATH, 4, "证明|方程|积分|概率|极值|导数"),
            *_phrases(Task.MATH, 2, "计算|一步一步|几个|多少"),
            *_phrases(Task.REASONING, 4, "推理|说真话|撒谎|逻辑|谁说的"),
            *_phrases(Task.EXTRACTION, 4, "提取|抽取|整理成"),
            *_phrases(Task.CLASSIFICATION, 5, "分类|情感|标签|是否为|垃圾邮件|类别|打标"),
            *_phrases(Task.FACTS, 3, "谁|哪一年|哪里|首都|什么时候|哪个国家|世界上最"),
            *_phrases(Task.TRANSLATION, 5, "译成|译为"),
            *_phrases(Task.SUMMARY, 5, "总结|概括|摘要|归纳"),
            *_phrases(Task.WRITING, 4, "写一封|写一首|写一篇|润色|改得|改写|作文|措辞"),
            *_phrases(Task.CHAT, 3, "推荐|建议|你觉得|怎么办"),
            *_phrases(Task.TOOL_CALL, 3, "查一下|提醒我|预订|天气|现在|汇率|打开|关闭"),
        ),
        Language.JA: (
            *_phrases(Task.EXTRACTION, 2, "json|文章から|テキストから|挙げて"),
            *_phrases(Task.MATH, 2, "三角形|平方|面積|割り|何羽|何個|何円|合計"),
            *_phrases(Task.CODE, 4, "コード|プログラム|python|java|sql|関数を|実装|エラー"),
            *_phrases(Task.MATH, 4, "証明|方程式|積分|確率|計算して|微分|求めよ|求めて"),
            *_phrases(Task.REASONING, 4, "推論|論理|嘘つき|正直者|なぜ"),
            *_phrases(Task.EXTRACTION, 4, "抽出|jsonで|一覧にして"),
            *_phrases(Task.CLASSIFICATION, 5, "分類|ラベル|肯定的|スパム"),
            *_phrases(Task.FACTS, 3, "誰です|誰が|いつです|何年|首都|一番|どこです|どこに"),
            *_phrases(Task.TRANSLATION, 5, "訳して|英語に"),
            *_phrases(Task.SUMMARY, 5, "要約|まとめて|三行で"),
            *_phrases(Task.WRITING, 4, "メール|書いてください|言い換え|書き直し|直してください|自然な日本語|物語|詩を"),
            *_phrases(Task.CHAT, 3, "おすすめ|アドバイス|どう思"),
            *_phrases(Task.TOOL_CALL, 3, "探して|予約|天気|今日|明日|近くで"),
        ),
        Language.KO: (
            *_phrases(Task.EXTRACTION, 2, "json|에서 모든|뽑아"),
            *_phrases(Task.MATH, 2, "삼각형|제곱|넓이|홀수|짝수|합이|소수"),
            *_phrases(Task.CODE, 4, "코드|함수|파이썬|자바|python|java|sql|오류|메서드|구현"),
            *_phrases(Task.MATH, 4, "증명|방정식|적분|확률|계산하|구하시오|구하라"),
            *_phrases(Task.REASONING, 4, "추론|논리|거짓말|왜"),
            *_phrases(Task.EXTRACTION, 4, "추출|json으로"),
            *_phrases(Task.CLASSIFICATION, 5, "분류|긍정|부정|스팸|라벨"),
            *_phrases(Task.FACTS, 3, "누구|언제|어디|수도|몇 년|가장"),
            *_phrases(Task.TRANSLATION, 5, "영어로"),
            *_phrases(Task.SUMMARY, 5, "요약|정리해"),
            *_phrases(Task.WRITING, 4, "편지|메일|바꿔 줘|고쳐|써 줘|글을|시를"),
            *_phrases(Task.CHAT, 3, "추천|조언|어떻게 생각"),
            *_phrases(Task.TOOL_CALL, 3, "날씨|예약|알려 줘|검색"),
        ),
        Language.RU: (
            *_phrases(Task.EXTRACTION, 2, "из текста|имена|адреса|номера"),
            *_phrases(Task.MATH, 2, "треугольник|корень|сумма|площад|простых чис|делится|процент|чётн"),
            *_phrases(Task.CODE, 3, "функци|код |скрипт|программ|ошибк|запрос sql|sql-запрос|на python|класс "),
            *_phrases(Task.MATH, 4, "докаж|уравнен|вычисл|интеграл|вероятност|производн|реши |сколько стало"),
            *_phrases(Task.REASONING, 4, "лжец|логическ|рассужд|почему|с точки зрения"),
            *_phrases(Task.EXTRACTION, 4, "извлек|формате json|выпиши"),
            *_phrases(Task.CLASSIFICATION, 5, "классифиц|тональност|категори|спам"),
            *_phrases(Task.FACTS, 3, "в каком году|столиц|кто написал|кто изобр|кто был"),
            *_phrases(Task.TRANSLATION, 5, "переведи|перевод"),
            *_phrases(Task.SUMMARY, 5, "кратк|перескаж|резюм|суммируй|обобщи"),
            *_phrases(Task.WRITING, 4, "письмо|поздравлен|стихотворен|перепиши|вежлив|рассказ|напиши мне"),
            *_phrases(Task.CHAT, 3, "посоветуй|придумай|что думаешь|как быть"),
            *_phrases(Task.TOOL_CALL, 3, "погод|напомни|заброн|найди|закаж"),
        ),
        Language.UK: (
            *_phrases(Task.EXTRACTION, 2, "з тексту|імена|адреси|номери"),
            *_phrases(Task.MATH, 2, "трикутник|корінь|сума|площ|розв|відсот|парних"),
            *_phrases(Task.CODE, 3, "функці|код |скрипт|програм|помилк|sql-запит|на python"),
            *_phrases(Task.MATH, 4, "доведи|рівнянн|обчисл|інтеграл|ймовірн|похідн"),
            *_phrases(Task.REASONING, 4, "логічн|чому|міркуван"),
            *_phrases(Task.EXTRACTION, 4, "витягни|форматі json|випиши"),
            *_phrases(Task.CLASSIFICATION, 5, "класифік|тональн|категорі|спам"),
            *_phrases(Task.FACTS, 3, "у якому році|столиц|хто написав|хто винай"),
            *_phrases(Task.TRANSLATION, 5, "переклад"),
            *_phrases(Task.SUMMARY, 5, "переказ|підсумуй|стисло|резюме"),
            *_phrases(Task.WRITING, 4, "лист |привітанн|вірш|перепиши|оповідан"),
            *_phrases(Task.CHAT, 3, "порад|вигадай|що думаєш"),
            *_phrases(Task.TOOL_CALL, 3, "погод|нагадай|заброн|знайди"),
        ),
        Language.PL: (
            *_phrases(Task.EXTRACTION, 2, "z tekstu|nazwiska|adresy|numery"),
            *_phrases(Task.MATH, 2, "trójkąt|pierwiast|suma|liczb|procent|pole "),
            *_phrases(Task.CODE, 3, "funkcj|skrypt|kod |w pythonie|w javie|wyjątek|zapytanie sql|program "),
            *_phrases(Task.MATH, 4, "udowodnij|równani|oblicz|całk|prawdopodobie|pochodn|rozwiąż"),
            *_phrases(Task.REASONING, 4, "uzasadnij|zagadk|logiczn|dlaczego"),
            *_phrases(Task.EXTRACTION, 4, "wyodrębnij|wypisz wszystkie|formacie json|wyciągnij"),
            *_phrases(Task.CLASSIFICATION, 5, "sklasyfikuj|kategori|pozytywn|negatywn|spam"),
            *_phrases(Task.FACTS, 3, "w którym roku|stolic|kto napisał|kto wynalazł|kto był"),
            *_phrases(Task.TRANSLATION, 5, "przetłumacz|tłumacz"),
            *_phrases(Task.SUMMARY, 5, "streść|podsumuj|streszczen"),
            *_phrases(Task.WRITING, 4, "list |życzeni|wiersz|napisz mi|popraw|opowiadan|przeredaguj"),
            *_phrases(Task.CHAT, 3, "doradź|przepis|co sądzisz|poleć"),
            *_phrases(Task.TOOL_CALL, 3, "pogod|przypomnij|zarezerwuj|znajdź"),
        ),
        Language.CS: (
            *_phrases(Task.EXTRACTION, 2, "z textu|jména|adresy|čísla"),
            *_phrases(Task.MATH, 2, "trojúhelník|odmocnin|součet|součin|číslo|čísel|procent"),
            *_phrases(Task.CODE, 3, "funkci|skript|kód |v pythonu|program "),
            *_phrases(Task.MATH, 4, "dokaž|rovnic|vypočítej|integrál|pravděpodobn|derivac"),
            *_phrases(Task.REASONING, 4, "hádank|logick|proč|zdůvodni"),
            *_phrases(Task.EXTRACTION, 4, "vyber všechn|formátu json|vypiš všechn"),
            *_phrases(Task.CLASSIFICATION, 5, "klasifikuj|zařaď|kategori|pozitivní|negativní"),
            *_phrases(Task.FACTS, 3, "ve kterém roce|hlavní město|kdo napsal|kdo vynalezl"),
            *_phrases(Task.TRANSLATION, 5, "přelož|překlad"),
            *_phrases(Task.SUMMARY, 5, "shrň|shrnutí"),
            *_phrases(Task.WRITING, 4, "dopis|přání|báseň|pozvánk|přepiš|příběh"),
            *_phrases(Task.CHAT, 3, "poraď|co si myslíš|doporuč"),
            *_phrases(Task.TOOL_CALL, 3, "počasí|připomeň|rezervuj|najdi"),
        ),
        Language.PT: (
            *_phrases(Task.EXTRACTION, 2, "do texto|os nomes|endereços|os valores"),
            *_phrases(Task.MATH, 2, "triângulo|raiz quadrada|soma |produto|área|por cento|números"),
            *_phrases(Task.CODE, 3, "função|código|script|programa em|consulta sql|erro no|compil"),
            *_phrases(Task.MATH, 4, "prove que|demonstre|equaç|calcule|integral|probabilidade|derivada|resolva"),
            *_phrases(Task.REASONING, 4, "por que a|raciocínio|lógic|justifique"),
            *_phrases(Task.EXTRACTION, 4, "extraia|em json|liste todos|liste todas"),
            *_phrases(Task.CLASSIFICATION, 5, "classifique|sentimento|categoria|spam"),
            *_phrases(Task.FACTS, 3, "em que ano|capital d|quem escreveu|quem inventou|quem pintou"),
            *_phrases(Task.TRANSLATION, 5, "traduza|traduz|para o inglês|para o português|tradução"),
            *_phrases(Task.SUMMARY, 5, "resuma|resumo|sintetize"),
            *_phrases(Task.WRITING, 4, "e-mail|carta|poema|reescreva|redija|tom mais|escreva um|história"),
            *_phrases(Task.CHAT, 3, "receita|dicas|vantagens|conselho|o que você acha"),
            *_phrases(Task.TOOL_CALL, 3, "previsão|lembre|reserve|procure|acenda"),
        ),
        Language.IT: (
            *_phrases(Task.EXTRACTION, 2, "dal seguente|dal testo|i nomi|gli indirizzi|ricav"),
            *_phrases(Task.MATH, 2, "triangolo|radice quadrata|somma|prodotto|area |numeri|per cento"),
            *_phrases(Task.CODE, 3, "funzione|codice|script|programma in|query sql|errore nel|compil"),
            *_phrases(Task.MATH, 4, "dimostra|equazion|calcola|integrale|probabilità|derivata|risolvi"),
            *_phrases(Task.REASONING, 4, "indovinello|logic|perché|ragionamento"),
            *_phrases(Task.EXTRACTION, 4, "estrai|in json|elenca tutt|formato json"),
            *_phrases(Task.CLASSIFICATION, 5, "classifica|sentiment|categoria|spam"),
            *_phrases(
                Task.FACTS, 3, "in che anno|in quale anno|capitale d|chi ha scritto|chi ha inventato|chi ha dipinto"
            ),
            *_phrases(Task.TRANSLATION, 5, "traduci|tradurre|traduzione|in inglese|in francese"),
            *_phrases(Task.SUMMARY, 5, "riassum|sintesi|riassunto"),
            *_phrases(Task.WRITING, 4, "lettera|poesia|riscrivi|scrivi una|scrivimi|racconto"),
            *_phrases(Task.CHAT, 3, "ricetta|consigli|cosa ne pensi"),
            *_phrases(Task.TOOL_CALL, 3, "che tempo|ricordami|prenota|accendi|spegni"),
        ),
        Language.NL: (
            *_phrases(Task.EXTRACTION, 2, "uit de|uit deze|alle namen|bedragen"),
            *_phrases(Task.MATH, 2, "driehoek|wortel|som van|product van|oppervlakte|getal|procent|priemgetal"),
            *_phrases(Task.CODE, 3, "functie|script|programma in|foutmelding|sql-query|unit test"),
            *_phrases(Task.MATH, 4, "bewijs dat|vergelijking|bereken|integraal|kans dat|afgeleide|los op"),
            *_phrases(Task.REASONING, 4, "raadsel|logisch|waarom|redenering"),
            *_phrases(Task.EXTRACTION, 4, "haal alle|als json|noem alle|onderstaande tekst"),
            *_phrases(Task.CLASSIFICATION, 5, "classificeer|sentiment|categorie|spam"),
            *_phrases(Task.FACTS, 3, "in welk jaar|hoofdstad|wie schreef|wie schilderde|wie heeft"),
            *_phrases(Task.TRANSLATION, 5, "vertaal|vertaling|naar het engels"),
            *_phrases(Task.SUMMARY, 5, "vat samen|samenvat|vat de|vat dit"),
            *_phrases(Task.WRITING, 4, "brief|gedicht|herschrijf|schrijf een|verhaal"),
            *_phrases(Task.CHAT, 3, "recept|advies|tips"),
            *_phrases(Task.TOOL_CALL, 3, "weer in|herinner me|boek een|zoek een"),
        ),
        Language.SV: (
            *_phrases(Task.EXTRACTION, 2, "ur texten|alla namn|adresser"),
            *_phrases(Task.MATH, 2, "triangel|roten ur|summan|produkten|arean|tal |procent|lös "),
            *_phrases(Task.CODE, 3, "funktion|skript|kod |felmeddelande|sql-fråga"),
            *_phrases(Task.MATH, 4, "bevisa|ekvation|beräkna|integral|sannolikhet|derivata"),
            *_phrases(Task.REASONING, 4, "gåta|logisk|varför|resonemang"),
            *_phrases(Task.EXTRACTION, 4, "extrahera|som json|plocka ut"),
            *_phrases(Task.CLASSIFICATION, 5, "klassificera|kategori|positiv|negativ|skräppost"),
            *_phrases(Task.FACTS, 3, "vilket år|huvudstad|vem skrev|vem uppfann"),
            *_phrases(Task.TRANSLATION, 5, "översätt|översättning"),
            *_phrases(Task.SUMMARY, 5, "sammanfatta|sammanfattning"),
            *_phrases(Task.WRITING, 4, "brev|mejl|dikt|skriv om|skriv en|berättelse"),
            *_phrases(Task.CHAT, 3, "recept|råd|vad tycker|tips"),
            *_phrases(Task.TOOL_CALL, 3, "vädret|påminn|boka|hitta"),
        ),
        Language.TR: (
            *_phrases(Task.EXTRACTION, 2, "isimleri|adresleri|tarihleri"),
            *_phrases(Task.MATH, 2, "üçgen|karekök|toplamı|çarpımı|alanı|sayı|yüzde|katı"),
            *_phrases(Task.CODE, 3, "fonksiyon|kodu|kod |betik|python'da|java'da|sql sorgu"),
            *_phrases(Task.MATH, 4, "kanıtla|ispatla|denklem|hesapla|integral|olasılık|adım adım|kaçtır"),
            *_phrases(Task.REASONING, 4, "bilmece|mantık|neden"),
            *_phrases(Task.EXTRACTION, 4, "metinden|json olarak|listele"),
            *_phrases(Task.CLASSIFICATION, 5, "sınıflandır|olumlu|olumsuz|kategori"),
            *_phrases(Task.FACTS, 3, "hangi yıl|başkent|kim yazdı|kim icat|ne zaman|en yüksek|en uzun"),
            *_phrases(Task.TRANSLATION, 5, "çevir|tercüme|ingilizceye"),
            *_phrases(Task.SUMMARY, 5, "özetle|özet"),
            *_phrases(Task.WRITING, 4, "mektup|şiir|yeniden yaz|mesaj yaz|hikaye|daha resmi"),
            *_phrases(Task.CHAT, 3, "tarif|öner|ne düşün|tavsiye"),
            *_phrases(Task.TOOL_CALL, 3, "hava durumu|hatırlat|rezervasyon"),
        ),
        Language.ID: (
            *_phrases(Task.EXTRACTION, 2, "dari teks|semua nama|alamat"),
            *_phrases(Task.MATH, 2, "segitiga|akar kuadrat|jumlah|luas|bilangan|persen|lingkaran"),
            *_phrases(Task.CODE, 3, "fungsi|kode|skrip|program |query sql|javascript|python"),
            *_phrases(Task.MATH, 4, "buktikan|persamaan|hitung|integral|peluang|turunan"),
            *_phrases(Task.REASONING, 4, "teka-teki|logika|mengapa|penalaran"),
            *_phrases(Task.EXTRACTION, 4, "ekstrak|dalam json|format json"),
            *_phrases(Task.CLASSIFICATION, 5, "klasifikasi|positif atau|kategori|sentimen"),
            *_phrases(Task.FACTS, 3, "tahun berapa|ibu kota|siapa penulis|siapa penemu|siapa presiden"),
            *_phrases(Task.TRANSLATION, 5, "terjemahkan|terjemahan"),
            *_phrases(Task.SUMMARY, 5, "ringkas|rangkum"),
            *_phrases(Task.WRITING, 4, "surat|puisi|ucapan|tulis ulang|cerita|tuliskan"),
            *_phrases(Task.CHAT, 3, "resep|saran|menurutmu"),
            *_phrases(Task.TOOL_CALL, 3, "cuaca|ingatkan|pesan tiket"),
        ),
        Language.VI: (
            *_phrases(Task.EXTRACTION, 2, "từ văn bản|từ đoạn|tất cả tên"),
            *_phrases(Task.MATH, 2, "tam giác|căn bậc|tổng của|diện tích|số nguyên|phần trăm"),
            *_phrases(Task.CODE, 4, "hàm python|hàm js|viết hàm|lập trình|mã nguồn|truy vấn sql|một hàm"),
            *_phrases(Task.MATH, 4, "chứng minh|phương trình|tính |tích phân|xác suất|đạo hàm"),
            *_phrases(Task.REASONING, 4, "suy luận|câu đố|tại sao"),
            *_phrases(Task.EXTRACTION, 4, "trích xuất|về json|dạng json"),
            *_phrases(Task.CLASSIFICATION, 5, "phân loại|tích cực|tiêu cực"),
            *_phrases(Task.FACTS, 3, "năm nào|thủ đô|ai viết|ai phát minh|ai là"),
            *_phrases(Task.TRANSLATION, 5, "dịch |bản dịch"),
            *_phrases(Task.SUMMARY, 5, "tóm tắt"),
            *_phrases(Task.WRITING, 4, "lá thư|bài thơ|lời chúc|viết lại|câu chuyện"),
            *_phrases(Task.CHAT, 3, "công thức|gợi ý|lời khuyên"),
            *_phrases(Task.TOOL_CALL, 3, "thời tiết|nhắc tôi|đặt vé"),
        ),
        Language.AR: (
            *_phrases(Task.EXTRACTION, 2, "من النص|json|الأسماء"),
            *_phrases(Task.MATH, 2, "مثلث|الجذر|مجموع|مساحة|عدد |أعداد"),
            *_phrases(Task.CODE, 4, "دالة|كود|برمج|python|javascript|sql"),
            *_phrases(Task.MATH, 4, "أثبت|برهن|معادلة|احسب|تكامل|احتمال|مشتق"),
            *_phrases(Task.REASONING, 4, "لغز|منطق|لماذا|استنتج"),
            *_phrases(Task.EXTRACTION, 4, "استخرج|بصيغة json"),
            *_phrases(Task.CLASSIFICATION, 5, "صنف|إيجابي|سلبي"),
            *_phrases(Task.FACTS, 3, "عاصمة|في أي عام|من كتب|من اخترع|متى"),
            *_phrases(Task.SUMMARY, 5, "لخص|ملخص"),
            *_phrases(Task.WRITING, 4, "رسالة|قصيدة|أعد كتابة|قصة|اكتب لي"),
            *_phrases(Task.CHAT, 3, "وصفة|اقترح|نصيحة|ما رأيك"),
            *_phrases(Task.TOOL_CALL, 3, "الطقس|ذكرني|احجز"),
        ),
        Language.HI: (
            *_phrases(Task.EXTRACTION, 2, "json|पाठ से|सभी नाम"),
            *_phrases(Task.MATH, 2, "त्रिभुज|वर्गमूल|योग|क्षेत्रफल|संख्या|मूल्य क्या"),
            *_phrases(Task.CODE, 4, "फ़ंक्शन|फंक्शन|कोड|प्रोग्राम|python|java|sql"),
            *_phrases(Task.MATH, 4, "सिद्ध|समीकरण|गणना|समाकल|प्रायिकता|हल कर"),
            *_phrases(Task.REASONING, 4, "पहेली|तर्क|क्यों"),
            *_phrases(Task.EXTRACTION, 4, "निकाल|json में"),
            *_phrases(Task.CLASSIFICATION, 5, "वर्गीकृत|सकारात्मक|नकारात्मक"),
            *_phrases(Task.FACTS, 3, "राजधानी|किस वर्ष|किसने|कब |सबसे"),
            *_phrases(Task.TRANSLATION, 5, "अनुवाद"),
            *_phrases(Task.SUMMARY, 5, "सारांश|संक्षेप"),
            *_phrases(Task.WRITING, 4, "पत्र|कविता|कहानी|फिर से लिख|संदेश लिख"),
            *_phrases(Task.CHAT, 3, "सुझाव|सलाह"),
            *_phrases(Task.TOOL_CALL, 3, "मौसम|याद दिला|बुक कर"),
        ),
        Language.FI: (
            *_phrases(Task.CODE, 3, "koodi|funktio"),
            *_phrases(Task.MATH, 4, "todista|yhtälö|laske "),
            *_phrases(Task.REASONING, 4, "arvoitus|miksi|päättel"),
            *_phrases(Task.EXTRACTION, 4, "poimi"),
            *_phrases(Task.CLASSIFICATION, 5, "luokittele"),
            *_phrases(Task.TRANSLATION, 5, "käännä"),
            *_phrases(Task.SUMMARY, 5, "tiivistä|yhteenveto"),
            *_phrases(Task.WRITING, 4, "kirjoita|runo|viesti|kirje"),
            *_phrases(Task.CHAT, 3, "suosittele|ehdota|neuvo"),
        ),
        Language.DA: (
            *_phrases(Task.CODE, 3, "funktion|kode "),
            *_phrases(Task.MATH, 4, "bevis |ligning|beregn"),
            *_phrases(Task.EXTRACTION, 4, "udtræk|som json"),
            *_phrases(Task.CLASSIFICATION, 5, "klassificer|kategori"),
            *_phrases(Task.TRANSLATION, 5, "oversæt"),
            *_phrases(Task.SUMMARY, 5, "opsummer|resumé|sammenfat"),
            *_phrases(Task.WRITING, 4, "skriv en|omskriv|brev|digt"),
            *_phrases(Task.CHAT, 3, "anbefal|ideer|gode råd"),
        ),
        Language.NB: (
            *_phrases(Task.CODE, 3, "funksjon|kode "),
            *_phrases(Task.MATH, 4, "bevis |ligning|beregn"),
            *_phrases(Task.EXTRACTION, 4, "hent ut|som json"),
            *_phrases(Task.CLASSIFICATION, 5, "klassifiser|kategori"),
            *_phrases(Task.TRANSLATION, 5, "oversett"),
            *_phrases(Task.SUMMARY, 5, "oppsummer|sammendrag"),
            *_phrases(Task.WRITING, 4, "skriv en|skriv om|brev|dikt"),
            *_phrases(Task.CHAT, 3, "anbefal|ideer|gode råd"),
        ),
        Language.RO: (
            *_phrases(Task.CODE, 3, "funcți|cod "),
            *_phrases(Task.MATH, 4, "demonstr|ecuați|calculeaz"),
            *_phrases(Task.EXTRACTION, 4, "extrage"),
            *_phrases(Task.CLASSIFICATION, 5, "clasific"),
            *_phrases(Task.TRANSLATION, 5, "traduc"),
            *_phrases(Task.SUMMARY, 5, "rezum"),
            *_phrases(Task.WRITING, 4, "scrie-mi|scrie un|poezie|scrisoare|rescrie"),
            *_phrases(Task.CHAT, 3, "recomand|sfat"),
        ),
        Language.HU: (
            *_phrases(Task.CODE, 3, "függvény|kód "),
            *_phrases(Task.MATH, 4, "bizonyít|egyenlet|számítsd"),
            *_phrases(Task.EXTRACTION, 4, "gyűjtsd ki"),
            *_phrases(Task.CLASSIFICATION, 5, "osztályoz|sorold be"),
            *_phrases(Task.TRANSLATION, 5, "fordítsd"),
            *_phrases(Task.SUMMARY, 5, "foglald össze|összefoglal"),
            *_phrases(Task.WRITING, 4, "írj egy|verset|levelet|fogalmazd"),
            *_phrases(Task.CHAT, 3, "ajánl|tanács"),
        ),
        Language.EL: (
            *_phrases(Task.CODE, 3, "συνάρτηση|κώδικα"),
            *_phrases(Task.MATH, 4, "απόδειξε|εξίσωση|υπολόγισε"),
            *_phrases(Task.EXTRACTION, 4, "εξαγωγή|εξήγαγε"),
            *_phrases(Task.CLASSIFICATION, 5, "ταξινόμησε|κατηγορ"),
            *_phrases(Task.TRANSLATION, 5, "μετάφρασ|μετέφρασ"),
            *_phrases(Task.SUMMARY, 5, "περίληψη|συνόψισε"),
            *_phrases(Task.WRITING, 4, "γράψε μου|ποίημα|γράμμα|ξαναγράψε"),
            *_phrases(Task.CHAT, 3, "πρότεινε|συμβουλή"),
        ),
        Language.HE: (
            *_phrases(Task.CODE, 3, "פונקציה|קוד"),
            *_phrases(Task.MATH, 4, "הוכח|משוואה|חשב"),
            *_phrases(Task.EXTRACTION, 4, "חלץ"),
            *_phrases(Task.CLASSIFICATION, 5, "סווג"),
            *_phrases(Task.TRANSLATION, 5, "תרגם"),
            *_phrases(Task.SUMMARY, 5, "סכם|תקציר"),
            *_phrases(Task.WRITING, 4, "תכתוב לי|כתוב לי|שיר|מכתב"),
            *_phrases(Task.CHAT, 3, "המלצה|עצה"),
        ),
        Language.FA: (
            *_phrases(Task.CODE, 3, "تابع|کد "),
            *_phrases(Task.MATH, 4, "ثابت کن|معادله|محاسبه"),
            *_phrases(Task.EXTRACTION, 4, "استخراج"),
            *_phrases(Task.CLASSIFICATION, 5, "دسته\u200cبندی"),
            *_phrases(Task.TRANSLATION, 5, "ترجمه"),
            *_phrases(Task.SUMMARY, 5, "خلاصه"),
            *_phrases(Task.WRITING, 4, "بنویس|نامه|شعر"),
            *_phrases(Task.CHAT, 3, "پیشنهاد|توصیه"),
        ),
        Language.TH: (
            *_phrases(Task.CODE, 3, "ฟังก์ชัน|โค้ด"),
            *_phrases(Task.MATH, 4, "พิสูจน์|สมการ|คำนวณ"),
            *_phrases(Task.EXTRACTION, 4, "ดึงข้อมูล"),
            *_phrases(Task.CLASSIFICATION, 5, "จำแนก|จัดประเภท"),
            *_phrases(Task.TRANSLATION, 5, "แปล"),
            *_phrases(Task.SUMMARY, 5, "สรุป"),
            *_phrases(Task.WRITING, 4, "เขียน|บทกวี|จดหมาย"),
            *_phrases(Task.CHAT, 3, "แนะนำ"),
        ),
        Language.BN: (
            *_phrases(Task.MATH, 4, "প্রমাণ|সমীকরণ"),
            *_phrases(Task.TRANSLATION, 5, "অনুবাদ"),
            *_phrases(Task.SUMMARY, 5, "সারাংশ|সারসংক্ষেপ"),
            *_phrases(Task.WRITING, 4, "লিখে দাও|কবিতা|চিঠি"),
            *_phrases(Task.CHAT, 3, "পরামর্শ"),
        ),
        Language.UR: (
            *_phrases(Task.MATH, 4, "ثابت کریں|مساوات"),
            *_phrases(Task.TRANSLATION, 5, "ترجمہ"),
            *_phrases(Task.SUMMARY, 5, "خلاصہ"),
            *_phrases(Task.WRITING, 4, "لکھ دو|نظم|خط لکھ"),
            *_phrases(Task.CHAT, 3, "مشورہ"),
        ),
    }
)
_TOPICS = frozenset({Task.CODE, Task.MATH, Task.REASONING})
_STEMS = frozenset(
    {Language.RU, Language.UK, Language.EL, Language.PL, Language.CS, Language.TR, Language.RO, Language.HU}
)
_SIGNS = frozenset({Language.ZH, Language.JA, Language.KO, Language.TH, Language.HI, Language.BN})


def _language_cues(language: Language, cues: Iterable[Cue]) -> LanguageCues:
    kind = Stems if language in _STEMS else Signs if language in _SIGNS else Plain
    topics: list[Cue] = []
    instructions: list[Cue] = []
    for cue in cues:
        (topics if cue.task in _TOPICS else instructions).append(cue)
    return kind(topics, instructions)


LANGUAGE_CUES: Mapping[Language, LanguageCues] = MappingProxyType(
    {language: _language_cues(language, cues) for language, cues in _BY_LANGUAGE.items()}
)

# How a question for a particular begins, by language: Dutch "wie" asks who, German "wie" asks how.
FACT_OPENINGS: Mapping[Language, tuple[str, ...]] = MappingProxyType(
    {
        Language.EN: (
            *("who ", "who's ", "when ", "where ", "which ", "how tall", "how old", "how far", "how high", "how many"),
            *("name the", "in what year", "in which year", "how long is"),
        ),
        Language.DE: ("wer ", "wann ", "wo ", "welche", "wie hoch", "wie alt", "wie lang", "wie heißt"),
        Language.FR: ("qui ", "quand ", "où ", "quel"),
        Language.ES: ("¿quién", "¿cuándo", "¿dónde", "¿cuál", "¿cuántos habitantes", "¿en qué año"),
        Language.PT: ("quem ", "quando ", "onde ", "qual "),
        Language.IT: ("chi ", "quando ", "dove ", "qual è", "quale "),
        Language.NL: ("wie ", "wanneer ", "waar ", "welke "),
        Language.SV: ("vem ", "när ", "var ", "vilken ", "vilket "),
        Language.DA: ("hvem ", "hvornår ", "hvor ", "hvilken ", "hvilket "),
        Language.NB: ("hvem ", "når ", "hvor ", "hvilken ", "hvilket "),
        Language.FI: ("kuka ", "milloin ", "missä ", "mikä on"),
        Language.PL: ("kto ", "kiedy ", "gdzie ", "który ", "która "),
        Language.CS: ("kdo ", "kdy ", "kde ", "který ", "která "),
        Language.RO: ("cine ", "când ", "unde ", "care este"),
        Language.HU: ("ki ", "mikor ", "hol ", "melyik "),
        Language.TR: ("kim ", "hangi ", "nerede "),
        Language.ID: ("siapa ", "kapan ", "di mana "),
        Language.VI: ("ai ",),
        Language.RU: ("кто ", "когда ", "где ", "какой ", "какая "),
        Language.UK: ("хто ", "коли ", "де ", "який ", "яка "),
        Language.EL: ("ποιος ", "ποια ", "πότε ", "πού "),
        Language.HE: ("מי ", "מתי ", "איפה ", "מהי "),
        Language.AR: ("من ", "متى ", "أين ", "ما هي عاصمة"),
    }
)
WHAT_OPENINGS: tuple[str, ...] = ("what is the ", "what's the ", "what was the ", "was ist d", "¿qué es", "wat is de")

# With several numbers in the text, these ask for arithmetic rather than for a fact.
QUANTITY_WORDS = frozenset(
    {
        *("altogether", "combien", "cuánto", "cuánta", "cuántos", "cuántas", "quanto", "quanta", "quantos", "quantas"),
        *("quante", "quanti", "hoeveel", "wieviel", "сколько", "скільки", "berapa", "kolik"),
    }
)
QUANTITY_PHRASES = Phrases(
    _phrases(
        Task.MATH,
        4,
        "how many|how much|how long|in total|what is its|what will be|what is the|wie viele|wie viel|ile |kaç |"
        "hur många|bao nhiêu|wie alt|كم ",
    )
)
QUANTITY_SIGNS = ("几个", "几小时", "几天", "多少", "何", "몇")
