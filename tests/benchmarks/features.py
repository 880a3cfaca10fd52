"""What telling a request's task, language and difficulty costs, and how often it is right on the labelled prompts.

    python -m tests.benchmarks.features

The cost is the best of many short rounds, for a kilobyte and for the whole window that is looked at.
"""

from time import process_time

from router.quality.features import HEAD_CHARS, TAIL_CHARS, features_of
from router.wire.requests import ModelRequest
from tests.quality.test_features import asking, told_languages, told_tasks

TARGET_US_PER_KB = 60
ROUNDS = 20
CALLS_PER_ROUND = 100

PROSE = {
    "en": "The committee asked why the bridge had been closed, and she answered that the pillar must be replaced. ",
    "de": "Die Kommission fragte, warum die Brücke gesperrt war, und sie sagte, der Pfeiler müsse ersetzt werden. ",
    "es": "La comisión preguntó por qué el puente estaba cerrado y ella respondió que había que reemplazar el pilar. ",
    "pl": "Komisja zapytała, dlaczego most został zamknięty, a ona odpowiedziała, że filar należy wymienić zimą. ",
    "ru": "Комиссия спросила, почему мост закрыт, и она ответила, что опору нужно заменить до зимы. ",
    "ar": "سألت اللجنة لماذا أغلق الجسر، فأجابت بأنه يجب استبدال الدعامة قبل الشتاء لأن الماء تسرب إلى الأساس. ",
    "hi": "समिति ने पूछा कि पुल क्यों बंद किया गया था और उसने उत्तर दिया कि खंभे को सर्दियों से पहले बदलना होगा। ",
    "ja": "委員会はなぜ橋が閉鎖されたのかを尋ね、彼女は冬の前に橋脚を交換しなければならないと答えた。",
    "zh": "委员会询问为什么桥梁被关闭，她回答说北侧的桥墩必须在冬天之前更换，因为水已经渗入地基。",
    "code": "def transfer(a, b, amount):\n    a.balance -= amount\n    b.balance += amount\n",
}


def main() -> None:
    """Prints the tables."""
    print(f"text   CPU us for 1 KB  target  CPU us for {HEAD_CHARS + TAIL_CHARS} characters")
    for name, prose in PROSE.items():
        kilobyte = asking((prose * 100).encode()[:1024].decode(errors="ignore"))
        longest = asking((prose * 1000)[: HEAD_CHARS + TAIL_CHARS])
        print(f"{name:6}{_best_us(kilobyte):>16.1f}{TARGET_US_PER_KB:>8}{_best_us(longest):>14.1f}")
    for held_out in (False, True):
        tasks, languages = told_tasks(held_out=held_out), told_languages(held_out=held_out)
        which = "held out" if held_out else "tuned on"
        shares = f"task {tasks.share_right:.1%}, language {languages.share_right:.1%}"
        print(f"\n{which}: {tasks.pairs.total()} prompts, {shares}\n{tasks.table()}")


def _best_us(request: ModelRequest) -> float:
    return min(_round_us(request) for _ in range(ROUNDS))


def _round_us(request: ModelRequest) -> float:
    begun_s = process_time()
    for _ in range(CALLS_PER_ROUND):
        features_of(request)
    return (process_time() - begun_s) / CALLS_PER_ROUND * 1e6


if __name__ == "__main__":
    main()
