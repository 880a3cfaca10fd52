"""Cues: the words, phrases and signs that give a kind of task away, in five languages, with their weight in points.

The points were chosen by hand: 4 settles it, 2 is a good sign, 1 tips a balance. Words are matched whole and in lower
case; phrases anywhere in the lower-cased text. Chinese does not part its words, so all its cues are phrases.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from router.catalog.catalog import Task


@dataclass(frozen=True, slots=True)
class Cue:
    text: str
    task: Task
    points: int


def _words(task: Task, points: int, *blocks: str) -> list[Cue]:
    return [Cue(word, task, points) for block in blocks for word in block.split()]


def _phrases(task: Task, points: int, block: str) -> list[Cue]:
    return [Cue(phrase.strip(), task, points) for phrase in block.split("|")]


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

PHRASE_CUES: tuple[Cue, ...] = (
    *_phrases(Task.CODE, 4, "```|traceback (most|exception in|#include|console.log|public static|select * from"),
    *_phrases(Task.CODE, 3, "print(|();|@@ -|c++|c#|pull request|unit test|git push|pip install|thread-safe"),
    *_phrases(Task.CODE, 2, "// |{\n  "),
    *_phrases(Task.REASONING, 4, "step by step|show that|schritt für schritt|étape par étape|paso a paso|montre que"),
    *_phrases(Task.REASONING, 3, "optimal strategy|of the above|\nb. |(b) |\nb) |explain your reasoning|second law"),
    *_phrases(Task.REASONING, 2, "of the following|^2|x^|f(x"),
    *_phrases(Task.EXTRACTION, 3, "as json|json object|valid json|return json|json template|als json|en json|to csv"),
    *_phrases(Task.EXTRACTION, 3, "formato json|tableau json|list every|action items|key: value|pull out|named entit"),
    *_phrases(Task.EXTRACTION, 2, "following text|text below|return a list|fill in"),
    *_phrases(Task.FACTS, 3, "which year|what year|welchem jahr|quelle année|qué año|stand for|world cup"),
)

# Looked for only in text that has Chinese characters.
CHINESE_CUES: tuple[Cue, ...] = (
    *_phrases(Task.CODE, 4, "代码|编程|python|java|sql"),
    *_phrases(Task.CODE, 2, "程序|算法|报错"),
    *_phrases(Task.REASONING, 4, "证明|推理|方程|积分|概率|极值|导数"),
    *_phrases(Task.REASONING, 2, "计算|一步一步|几个|多少"),
    *_phrases(Task.EXTRACTION, 4, "提取|分类|情感|抽取"),
    *_phrases(Task.FACTS, 3, "谁|哪一年|哪里|首都|什么时候"),
    *_phrases(Task.CHAT, 3, "翻译|写一封|总结|推荐|建议|写一首"),
)

# How a question for a particular begins.
FACT_OPENINGS: tuple[str, ...] = (
    *(
        "who ",
        "who's ",
        "when ",
        "where ",
        "which ",
        "how tall",
        "how old",
        "how far",
        "how high",
        "how many",
        "name the",
    ),
    *("wer ", "wann ", "wo ", "welche", "qui ", "quand ", "où ", "quel", "¿quién", "¿cuándo", "¿dónde", "¿cuál"),
)
WHAT_OPENINGS: tuple[str, ...] = ("what is the ", "what's the ", "what was the ", "was ist d", "¿qué es")

# With several numbers in the text, these ask for arithmetic rather than for a fact.
QUANTITY_QUESTIONS: tuple[str, ...] = (
    *("how many", "how much", "how long", "altogether", "in total", "what is its", "what will be", "what is the"),
    *("wie viele", "wie viel", "combien", "cuánto", "cuánta", "几个", "多少"),
)
