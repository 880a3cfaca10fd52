"""`POST /moderations`, as OpenAI words it: each text is judged by one word, and nothing costs."""

from starlette.requests import Request
from starlette.responses import Response

from router.sandbox.control import json_response, refused
from router.sandbox.embeddings import texts_in
from router.sandbox.json_text import JsonObject
from router.sandbox.refusals import Refusal
from router.sandbox.requests import read_object

_BAD_WORD = "violence"


async def moderate(request: Request) -> Response:
    """The judgements of a request's texts, in their order."""
    try:
        fields = read_object(await request.body())
        texts = texts_in(fields.get("input"), "input")
    except Refusal as refusal:
        return refused(refusal)
    return json_response(
        {"id": "modr-sandbox", "model": fields.get("model"), "results": [_judgement(text) for text in texts]}
    )


def _judgement(text: str) -> JsonObject:
    is_flagged = _BAD_WORD in text.lower()
    return {
        "flagged": is_flagged,
        "categories": {_BAD_WORD: is_flagged},
        "category_scores": {_BAD_WORD: 0.9 if is_flagged else 0.01},
        "category_applied_input_types": {_BAD_WORD: ["text"]},
    }
