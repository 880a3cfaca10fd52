"""The APIs by which a model can be asked: what clients speak to us, and what we speak to providers."""

from enum import StrEnum


class Api(StrEnum):
    """By its path below the base URL, the same at OpenAI, OpenRouter and here; `messages` is Anthropic's."""

    CHAT = "chat/completions"
    RESPONSES = "responses"
    MESSAGES = "messages"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    MODERATIONS = "moderations"
