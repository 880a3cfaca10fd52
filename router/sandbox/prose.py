"""Plausible English about what was asked: repeatable from its seed, without meaning, of a given length."""

import itertools
import random
import re

_UNIMPORTANT = (
    "about after also another answer because been before being between both could does doing down each explain from "
    "give have having here hers into itself just like make many more most much must only other please same should "
    "some such tell than that their them then there these they this those through under until very want well were "
    "what when where which while whom will with would write your yours short brief briefly sentence sentences words "
    "word detail detailed long essay sandbox fault describe using"
)
_STOP_WORDS = frozenset(_UNIMPORTANT.split())
_ADJECTIVES = (
    "practical",
    "subtle",
    "ordinary",
    "measurable",
    "expensive",
    "reliable",
    "familiar",
    "robust",
    "modest",
    "surprising",
    "gradual",
)
_NOUNS = (
    "constraint",
    "habit",
    "trade-off",
    "measurement",
    "boundary",
    "assumption",
    "pattern",
    "budget",
    "detail",
    "cause",
    "default",
    "risk",
)
_OPENINGS = (
    "In short, {topic} comes down to one {adjective} {noun}.",
    "A useful way to think about {topic} is to start from {other}.",
    "The {adjective} part of {topic} is rarely where people look first.",
    "There are two sides to {topic}, and both depend on {other}.",
    "Most explanations of {topic} begin with the wrong {noun}.",
)
_SENTENCES = (
    "Every {noun} here has a cost, and {topic} makes that cost visible.",
    "When {other} changes, {topic} usually follows within a few steps.",
    "It helps to treat {topic} as a {adjective} {noun} rather than a rule.",
    "You can check this by looking at {other} on its own.",
    "In practice the {noun} matters more than the {adjective} case suggests.",
    "The same holds for {other}, although the {noun} is smaller.",
    "That is why careful teams write the {noun} down before they touch {topic}.",
    "A {adjective} example: remove {other}, and {topic} stops making sense.",
    "None of this is new, but the combination with {other} is.",
    "If you need a number, measure {topic} twice and keep the larger figure.",
    "What looks like a {noun} is often a {adjective} consequence of {other}.",
    "Start small, keep the {noun} explicit, and let {topic} grow from there.",
)
_THOUGHTS = (
    "The user is asking about {topic}.",
    "I should consider {other} first.",
    "There may be a {adjective} {noun} hidden here.",
    "Let me check how {topic} relates to {other}.",
    "A shorter answer would skip the {noun}, but it matters.",
    "The {noun} seems settled, so I can move on to {other}.",
)
_BRIEF = re.compile(r"\b(brief|briefly|short|one sentence|one line|concise|summar\w+|tl;?dr)\b", re.IGNORECASE)
_TERSE = re.compile(
    r"\b(one word|single word|yes or no|only the (?:number|answer|name|word)|just the \w+)\b", re.IGNORECASE
)
_LONG = re.compile(r"\b(detailed|in detail|essay|thorough\w*|at length|comprehensive|long)\b", re.IGNORECASE)


def keywords(text: str) -> tuple[str, ...]:
    """The words that carry a text's meaning, capitalised ones first, each once, at most twenty."""
    found = [word for word in re.findall(r"[A-Za-z][\w-]{2,}", text[:4_000]) if word.lower() not in _STOP_WORDS]
    names = [word for word in found if word[0].isupper()]
    plain = [word for word in found if not word[0].isupper() and len(word) > 3]
    return tuple(dict.fromkeys(names[:8] + plain))[:20]


def wanted_words(question: str, typical: int, seed: random.Random) -> int:
    """How many words the answer should have: the model's habit, what the question asks for, and some chance."""
    if _TERSE.search(question):
        return 1
    factor = 0.25 if _BRIEF.search(question) else 2.5 if _LONG.search(question) else 1.0
    return max(int(typical * factor * seed.uniform(0.6, 1.5)), 6)


def answer(question: str, words: int, seed: random.Random) -> str:
    """An answer of about `words` words, in paragraphs; a single word if only one is wanted."""
    topics = _topics(question)
    if words == 1:
        return f"{topics[0].capitalize()}."
    sentences = [_fill(seed.choice(_OPENINGS), topics, seed)]
    length = sentences[0].count(" ") + 1
    for template in itertools.cycle(seed.sample(_SENTENCES, len(_SENTENCES))):
        if length >= words:
            break
        sentence = _fill(template, topics, seed)
        sentences.append(sentence)
        length += sentence.count(" ") + 1
    paragraphs = [" ".join(sentences[i : i + 5]) for i in range(0, len(sentences), 5)]
    return "\n\n".join(paragraphs)


def thinking(question: str, words: int, seed: random.Random) -> str:
    """What a reasoning model mutters before it answers."""
    topics = _topics(question)
    thoughts = [_fill(_THOUGHTS[0], topics, seed)]
    length = 6
    while length < words:
        thought = _fill(seed.choice(_THOUGHTS[1:]), topics, seed)
        thoughts.append(thought)
        length += thought.count(" ") + 1
    return " ".join(thoughts)


def _topics(question: str) -> tuple[str, ...]:
    return (*keywords(question), "the context", "the question itself")


def _fill(template: str, topics: tuple[str, ...], seed: random.Random) -> str:
    topic, other = seed.sample(topics, 2)
    text = template.format(
        topic=topic,
        other=other,
        adjective=seed.choice(_ADJECTIVES),
        noun=seed.choice(_NOUNS),
    )
    return text[0].upper() + text[1:]
