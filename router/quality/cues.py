"""Cues: the words, phrases and signs that give a kind of task away, with their weight in points.

The points were chosen by hand: 4 settles it, 2 is a good sign, 1 tips a balance. Words are matched whole and in lower
case; phrases anywhere in the lower-cased text. `LANGUAGE_CUES` are looked for only in text of their language: where
words are bent by endings or not parted by blanks they are stems, and phrases for that reason.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from router.catalog.catalog import Task
from router.quality.language import Language


@dataclass(frozen=True, slots=True)
class Cue:
    text: str
    task: Task
    points: int


class Phrases:
    """Cues that are looked for in the text itself, each only where it may be found at all: searching a kilobyte a
    hundred times would be the dearest part of all, and most cues begin with a whole word that is not there, or hold a
    sign that is not there."""

    def __init__(self, cues: Iterable[Cue]) -> None:
        self._by_word: dict[str, list[Cue]] = {}
        self._by_sign: dict[str, list[Cue]] = {}
        self._loose: list[Cue] = []
        for cue in cues:
            begins, sign = _FIRST_WORD.match(cue.text), _SIGN.search(cue.text)
            if begins is not None:
                self._by_word.setdefault(begins[1], []).append(cue)
            elif sign is not None:
                self._by_sign.setdefault(sign[0], []).append(cue)
            else:
                self._loose.append(cue)
        self._words = frozenset(self._by_word)
        self._loose_ascii = [cue for cue in self._loose if cue.text.isascii()]

    def found(self, text: str, words: set[str]) -> list[Cue]:
        """The cues in a text, given the distinct words in it; both in lower case."""
        near = self._loose_ascii if text.isascii() else self._loose
        found = [cue for cue in near if cue.text in text]
        for sign, cues in self._by_sign.items():
            if sign in text:
                found += [cue for cue in cues if cue.text in text]
        for word in self._words & words:
            found += [cue for cue in self._by_word[word] if cue.text in text]
        return found


_FIRST_WORD = re.compile(r"(\w+)\W")
_SIGN = re.compile(r"[^\w\s]")


def _words(task: Task, points: int, *blocks: str) -> list[Cue]:
    return [Cue(word, task, points) for block in blocks for word in block.split()]


def _phrases(task: Task, points: int, block: str) -> list[Cue]:
    return [Cue(phrase, task, points) for phrase in block.split("|")]


WORD_CUES: Mapping[str, Cue] = MappingProxyType(
    {
        cue.text: cue
        for cue in (
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
                "programm programmiere quellcode código programa programación logiciel",
            ),
            *_words(
                Task.CODE,
                1,
                "function funktion fonction función bug throws query cache yaml diff array def return import fn",
            ),
            *_words(
                Task.REASONING,
                4,
                "prove proof theorem lemma derive integral derivative eigenvalue eigenvalues polynomial thermodynamics",
                "frictionless acceleration riddle beweise beweis démontre démontrer demuestra intégrale ableitung",
            ),
            *_words(
                Task.REASONING,
                2,
                "compute calculate solve equation probability matrix inequality momentum velocity entropy voltage",
                "puzzle permutations arrangements reasoning logically modulo converge continuous abelian altogether",
                "prime axiom isomorphic coefficient molar equilibrium kinetic deduce bijective compounded counterfeit",
                "integer integers divisible remainder triangle radius angle perpendicular vertices frac sqrt leq cdot",
                "berechne gleichung löse wahrscheinlichkeit résous équation calcule probabilité",
                "resuelve ecuación calcula probabilidad deriva",
            ),
            *_words(
                Task.REASONING, 1, "mass argument definitely optimal strategy mph kg km assume hence therefore find"
            ),
            *_words(
                Task.EXTRACTION,
                4,
                "extract extracts extraction classify categorize extrahiere klassifiziere extrais extraire classifie",
                "extrae extraer clasifica",
            ),
            *_words(
                Task.EXTRACTION, 2, "label entities entity sentiment fields parse categories annotate kategorien campos"
            ),
            *_words(Task.EXTRACTION, 1, "json csv invoice identify tag list columns"),
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
            *_words(
                Task.CHAT,
                3,
                "summarize summarise translate rewrite rephrase proofread poem haiku joke itinerary recipe advice",
                "slogan slogans übersetze zusammenfassen gedicht einladung traduis poème traduce poema recomiendas",
            ),
            *_words(
                Task.CHAT,
                2,
                "translation letter email essay story draft ideas friendly friendlier recommend thanks thank feel",
                "grammar birthday caption hi hello brief idee ideen idées cadeaux message carta cuento",
            ),
        )
    }
)

PHRASE_CUES = Phrases(
    (
        *_phrases(Task.CODE, 4, "```|traceback (most|exception in|#include|console.log|public static|select * from"),
        *_phrases(Task.CODE, 3, "print(|();|@@ -|c++|c#|pull request|unit test|git push|pip install|thread-safe"),
        *_phrases(Task.CODE, 2, "// |{\n  |`"),
        *_phrases(Task.REASONING, 3, "\\frac|\\lim|\\int|\\sum|\\sqrt"),
        *_phrases(
            Task.REASONING, 4, "step by step|show that|schritt für schritt|étape par étape|paso a paso|montre que"
        ),
        *_phrases(
            Task.REASONING, 3, "optimal strategy|of the above|\nb. |(b) |\nb) |explain your reasoning|second law"
        ),
        *_phrases(Task.REASONING, 2, "of the following|^2|x^|f(x"),
        *_phrases(
            Task.EXTRACTION, 3, "as json|json object|valid json|return json|json template|als json|en json|to csv"
        ),
        *_phrases(
            Task.EXTRACTION, 3, "formato json|tableau json|list every|action items|key: value|pull out|named entit"
        ),
        *_phrases(Task.EXTRACTION, 2, "following text|text below|return a list|fill in"),
        *_phrases(Task.FACTS, 3, "which year|what year|welchem jahr|quelle année|qué año|stand for|world cup"),
    )
)

# How each language words the six kinds; English, German, French and Spanish also stand in the words above.
LANGUAGE_CUES: Mapping[Language, Phrases] = MappingProxyType(
    {
        language: Phrases(cues)
        for language, cues in {
            Language.ZH: (
                *_phrases(Task.CODE, 4, "代码|编程|python|java|sql|docker"),
                *_phrases(Task.CODE, 2, "程序|算法|报错|函数"),
                *_phrases(Task.REASONING, 4, "证明|推理|方程|积分|概率|极值|导数"),
                *_phrases(Task.REASONING, 2, "计算|一步一步|几个|多少"),
                *_phrases(Task.EXTRACTION, 4, "提取|分类|情感|抽取|标签|整理成"),
                *_phrases(Task.FACTS, 3, "谁|哪一年|哪里|首都|什么时候|哪个国家|世界上最"),
                *_phrases(Task.CHAT, 3, "翻译|写一封|总结|推荐|建议|写一首"),
            ),
            Language.JA: (
                *_phrases(Task.CODE, 4, "コード|プログラム|python|java|sql|関数を|実装|エラー"),
                *_phrases(Task.REASONING, 4, "証明|方程式|積分|確率|計算して|微分|求めよ|求めて"),
                *_phrases(Task.EXTRACTION, 4, "抽出|分類|jsonで|一覧にして"),
                *_phrases(Task.FACTS, 3, "誰です|誰が|いつです|何年|首都|一番|どこです|どこに"),
                *_phrases(Task.CHAT, 3, "翻訳|要約|メール|書いてください|おすすめ|アドバイス|言い換え"),
            ),
            Language.KO: (
                *_phrases(Task.CODE, 4, "코드|함수|파이썬|자바|python|java|sql|오류|메서드|구현"),
                *_phrases(Task.REASONING, 4, "증명|방정식|적분|확률|계산하|구하시오|구하라"),
                *_phrases(Task.EXTRACTION, 4, "추출|분류|json으로"),
                *_phrases(Task.FACTS, 3, "누구|언제|어디|수도|몇 년|가장"),
                *_phrases(Task.CHAT, 3, "번역|요약|추천|편지|메일|바꿔 줘|조언"),
            ),
            Language.RU: (
                *_phrases(Task.CODE, 3, "функци|код |скрипт|программ|ошибк|запрос sql|sql-запрос|на python|класс "),
                *_phrases(Task.REASONING, 4, "докаж|уравнен|вычисл|интеграл|вероятност|производн|реши |сколько стало"),
                *_phrases(Task.EXTRACTION, 4, "извлек|классифиц|тональност|формате json|выпиши"),
                *_phrases(Task.FACTS, 3, "в каком году|столиц|кто написал|кто изобр|кто был"),
                *_phrases(Task.CHAT, 3, "переведи|перескаж|посоветуй|письмо|поздравлен|придумай|стихотворен"),
            ),
            Language.UK: (
                *_phrases(Task.CODE, 3, "функці|код |скрипт|програм|помилк|sql-запит|на python"),
                *_phrases(Task.REASONING, 4, "доведи|рівнянн|обчисл|інтеграл|ймовірн|похідн"),
                *_phrases(Task.EXTRACTION, 4, "витягни|класифік|тональн|форматі json|випиши"),
                *_phrases(Task.FACTS, 3, "у якому році|столиц|хто написав|хто винай"),
                *_phrases(Task.CHAT, 3, "переклади|переказ|порад|лист |привітанн|вигадай|вірш"),
            ),
            Language.PL: (
                *_phrases(Task.CODE, 3, "funkcj|skrypt|kod |w pythonie|w javie|wyjątek|zapytanie sql|program "),
                *_phrases(Task.REASONING, 4, "udowodnij|równani|oblicz|całk|prawdopodobie|pochodn|rozwiąż|uzasadnij"),
                *_phrases(Task.EXTRACTION, 4, "wyodrębnij|sklasyfikuj|wypisz wszystkie|formacie json|wyciągnij"),
                *_phrases(Task.FACTS, 3, "w którym roku|stolic|kto napisał|kto wynalazł|kto był"),
                *_phrases(Task.CHAT, 3, "przetłumacz|streść|podsumuj|list |życzeni|doradź|wiersz|przepis"),
            ),
            Language.CS: (
                *_phrases(Task.CODE, 3, "funkci|skript|kód |v pythonu|program "),
                *_phrases(Task.REASONING, 4, "dokaž|rovnic|vypočítej|integrál|pravděpodobn|derivac"),
                *_phrases(Task.EXTRACTION, 4, "vyber všechn|klasifikuj|zařaď|formátu json|vypiš všechn"),
                *_phrases(Task.FACTS, 3, "ve kterém roce|hlavní město|kdo napsal|kdo vynalezl"),
                *_phrases(Task.CHAT, 3, "přelož|shrň|dopis|přání|poraď|báseň|pozvánk"),
            ),
            Language.PT: (
                *_phrases(Task.CODE, 3, "função|código|script|programa em|consulta sql|erro no|compil"),
                *_phrases(
                    Task.REASONING, 4, "prove que|demonstre|equaç|calcule|integral|probabilidade|derivada|resolva"
                ),
                *_phrases(Task.EXTRACTION, 4, "extraia|classifique|em json|liste todos|liste todas"),
                *_phrases(Task.FACTS, 3, "em que ano|capital d|quem escreveu|quem inventou|quem pintou"),
                *_phrases(Task.CHAT, 3, "traduza|resuma|e-mail|carta|poema|receita|dicas|vantagens"),
            ),
            Language.IT: (
                *_phrases(Task.CODE, 3, "funzione|codice|script|programma in|query sql|errore nel|compil"),
                *_phrases(Task.REASONING, 4, "dimostra|equazion|calcola|integrale|probabilità|derivata|risolvi"),
                *_phrases(Task.EXTRACTION, 4, "estrai|classifica|in json|elenca tutt"),
                *_phrases(
                    Task.FACTS, 3, "in che anno|in quale anno|capitale d|chi ha scritto|chi ha inventato|chi ha dipinto"
                ),
                *_phrases(Task.CHAT, 3, "traduci|riassumi|lettera|poesia|ricetta|consigli|riscrivi"),
            ),
            Language.NL: (
                *_phrases(Task.CODE, 3, "functie|script|programma in|foutmelding|sql-query|unit test"),
                *_phrases(Task.REASONING, 4, "bewijs dat|vergelijking|bereken|integraal|kans dat|afgeleide|los op"),
                *_phrases(Task.EXTRACTION, 4, "haal alle|classificeer|als json|noem alle|onderstaande tekst"),
                *_phrases(Task.FACTS, 3, "in welk jaar|hoofdstad|wie schreef|wie schilderde|wie heeft"),
                *_phrases(Task.CHAT, 3, "vertaal|vat samen|samenvat|brief|gedicht|recept|herschrijf"),
            ),
            Language.SV: (
                *_phrases(Task.CODE, 3, "funktion|skript|kod |felmeddelande|sql-fråga"),
                *_phrases(Task.REASONING, 4, "bevisa|ekvation|beräkna|integral|sannolikhet|derivata"),
                *_phrases(Task.EXTRACTION, 4, "extrahera|klassificera|som json|plocka ut"),
                *_phrases(Task.FACTS, 3, "vilket år|huvudstad|vem skrev|vem uppfann"),
                *_phrases(Task.CHAT, 3, "översätt|sammanfatta|brev|mejl|dikt|recept|skriv om"),
            ),
            Language.TR: (
                *_phrases(Task.CODE, 3, "fonksiyon|kodu|kod |betik|python'da|java'da|sql sorgu"),
                *_phrases(Task.REASONING, 4, "kanıtla|ispatla|denklem|hesapla|integral|olasılık|adım adım|kaçtır"),
                *_phrases(Task.EXTRACTION, 4, "metinden|sınıflandır|json olarak|listele"),
                *_phrases(Task.FACTS, 3, "hangi yıl|başkent|kim yazdı|kim icat|ne zaman|en yüksek|en uzun"),
                *_phrases(Task.CHAT, 3, "çevir|özetle|mektup|şiir|tarif|öner|yeniden yaz"),
            ),
            Language.ID: (
                *_phrases(Task.CODE, 3, "fungsi|kode|skrip|program |query sql|javascript|python"),
                *_phrases(Task.REASONING, 4, "buktikan|persamaan|hitung|integral|peluang|turunan"),
                *_phrases(Task.EXTRACTION, 4, "ekstrak|klasifikasi|dalam json|format json"),
                *_phrases(Task.FACTS, 3, "tahun berapa|ibu kota|siapa penulis|siapa penemu|siapa presiden"),
                *_phrases(Task.CHAT, 3, "terjemahkan|ringkas|surat|puisi|resep|ucapan"),
            ),
            Language.VI: (
                *_phrases(Task.CODE, 4, "hàm python|hàm js|viết hàm|lập trình|mã nguồn|truy vấn sql|một hàm"),
                *_phrases(Task.REASONING, 4, "chứng minh|phương trình|tính |tích phân|xác suất|đạo hàm"),
                *_phrases(Task.EXTRACTION, 4, "trích xuất|phân loại|về json|dạng json"),
                *_phrases(Task.FACTS, 3, "năm nào|thủ đô|ai viết|ai phát minh|ai là"),
                *_phrases(Task.CHAT, 3, "dịch |tóm tắt|lá thư|bài thơ|công thức|lời chúc"),
            ),
            Language.AR: (
                *_phrases(Task.CODE, 4, "دالة|كود|برمج|python|javascript|sql"),
                *_phrases(Task.REASONING, 4, "أثبت|برهن|معادلة|احسب|تكامل|احتمال|مشتق"),
                *_phrases(Task.EXTRACTION, 4, "استخرج|صنف|بصيغة json"),
                *_phrases(Task.FACTS, 3, "عاصمة|في أي عام|من كتب|من اخترع|متى"),
                *_phrases(Task.CHAT, 3, "ترجم|لخص|رسالة|قصيدة|وصفة|اقترح"),
            ),
            Language.HI: (
                *_phrases(Task.CODE, 4, "फ़ंक्शन|फंक्शन|कोड|प्रोग्राम|python|java|sql"),
                *_phrases(Task.REASONING, 4, "सिद्ध|समीकरण|गणना|समाकल|प्रायिकता|हल कर"),
                *_phrases(Task.EXTRACTION, 4, "निकाल|वर्गीकृत|json में"),
                *_phrases(Task.FACTS, 3, "राजधानी|किस वर्ष|किसने|कब |सबसे"),
                *_phrases(Task.CHAT, 3, "अनुवाद|सारांश|पत्र|कविता|सुझाव"),
            ),
        }.items()
    }
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
QUANTITY_QUESTIONS = Phrases(
    _phrases(
        Task.REASONING,
        4,
        "how many|how much|how long|altogether|in total|what is its|what will be|what is the|"
        "wie viele|wie viel|combien|cuánto|cuánta|几个|多少|quantos|quante|quanti|hoeveel|ile |сколько|"
        "скільки|kaç |berapa|何|몇|hur många|kolik|bao nhiêu|wie alt|كم ",
    )
)
