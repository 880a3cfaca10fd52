"""The providers: whether each answers, takes our key, has money left, and has the same time as we.

They are asked the way requests are: by the same transport, at the configured address, with the configured key.
"""

import json
from collections.abc import Iterator
from contextlib import aclosing
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import anyio

from router.assembly.providers import provider_endpoints, reply_reader
from router.cli.doctor.findings import Finding, fault, fine, noted
from router.config.snapshot import ProviderAccess, Settings
from router.errors import UpstreamError
from router.upstream.client import UpstreamClient
from router.upstream.transport import UpstreamTransport

PATIENCE_S = 10.0

# Days and months of budgets begin by our clock, and OpenRouter's records by theirs. HTTP's Date has whole seconds.
_MOST_SKEW = timedelta(seconds=5)
_LOW_USD = 5.0  # of what a key may still spend

# OpenRouter tells what a key may still spend, and refuses one that it does not know; its list of models takes any key
# (openapi.yaml of OpenRouter, read November 2026). The others have the list of models, which wants a valid key.
_PATHS = {"openrouter": "/key"}
_USUAL_PATH = "/models"


class Answer(NamedTuple):
    """What a provider said to being looked up."""

    status: int  # 0: nothing was said
    date: datetime | None  # of its clock, when it answered
    body: bytes
    why_not: str = ""


async def provider_findings(settings: Settings, now: datetime) -> list[Finding]:
    """What is found of all providers, asked at once, and of the clock by what they say."""
    answers: dict[str, Answer] = {}
    transport = UpstreamTransport()
    client = UpstreamClient(transport, provider_endpoints(settings), reply_reader(settings))
    try:
        async with anyio.create_task_group() as tasks:
            for access in settings.providers.values():
                if access.api_key is not None or access.api_key_from is None:
                    tasks.start_soon(_ask, answers, client, access)
    finally:
        await transport.aclose()
    found = [
        finding
        for name, access in settings.providers.items()
        for finding in _of_provider(name, access, answers.get(name))
    ]
    if not any(access.api_key is not None or access.api_key_from is None for access in settings.providers.values()):
        found.append(fault("providers", "none has a key, so no request can be served", "set one of the above"))
    return [*found, _clock([each.date for each in answers.values() if each.date is not None], now)]


async def _ask(answers: dict[str, Answer], client: UpstreamClient, access: ProviderAccess) -> None:
    name = access.provider.name
    try:
        with anyio.fail_after(PATIENCE_S):
            reply = await client.look_up(name, _PATHS.get(access.provider.kind, _USUAL_PATH))
            async with aclosing(reply):
                answers[name] = Answer(reply.status, _date(reply.header(b"date")), await reply.body())
    except TimeoutError:
        answers[name] = Answer(0, None, b"", f"no answer within {PATIENCE_S:.0f} s")
    except UpstreamError as error:
        answers[name] = Answer(0, None, b"", str(error.__cause__ or error))


def _of_provider(name: str, access: ProviderAccess, answer: Answer | None) -> Iterator[Finding]:
    check, url = f"provider {name}", access.provider.base_url
    if answer is None:
        yield noted(
            check,
            f"{access.api_key_from} holds no key, so nothing is sent to it",
            f"set {access.api_key_from}, or take the provider out of penstock.yaml",
        )
    elif not answer.status:
        yield fault(
            check,
            f"{url} cannot be reached: {answer.why_not}",
            "try `curl -v` on it from this machine; look at DNS, firewall and certificates",
        )
    elif answer.status in (401, 403):
        yield fault(
            check,
            f"{url} does not take the key in {access.api_key_from} ({answer.status})",
            f"put a valid key into {access.api_key_from}",
        )
    elif answer.status == 404 and access.provider.kind == "openai_compatible":
        yield fine(check, f"{url} answers (it has no list of models)")
    elif answer.status >= 400:
        yield fault(check, f"{url} answers {answer.status}", "look at the provider's status page, and try again")
    elif access.provider.kind == "openrouter":
        yield from _of_key(check, url, answer.body)
    else:
        yield fine(check, f"{url} answers and takes the key" if access.api_key is not None else f"{url} answers")


def _of_key(check: str, url: str, body: bytes) -> Iterator[Finding]:
    """What OpenRouter says of the key: what it may spend in all, and what is left."""
    try:
        left = json.loads(body)["data"]["limit_remaining"]
    except (ValueError, KeyError, TypeError):
        yield noted(check, f"{url} answers, and not as OpenRouter does", "is base_url the address of OpenRouter?")
        return
    told = f"{url} answers and takes the key"
    if not isinstance(left, int | float):
        yield fine(check, f"{told}, which has no limit of its own")
    elif left < _LOW_USD:
        yield noted(check, f"{told}, which has ${left:.2f} left", "raise its limit at openrouter.ai/settings/keys")
    else:
        yield fine(check, f"{told}, which has ${left:.2f} left")


def _clock(dates: list[datetime], now: datetime) -> Finding:
    if not dates:
        return noted("clock", "no provider told its time, so it could not be compared", "make one reachable")
    skew = min((now - date for date in dates), key=abs)
    if abs(skew) > _MOST_SKEW:
        ahead = "ahead of" if skew > timedelta() else "behind"
        return fault(
            "clock",
            f"{abs(skew).total_seconds():.0f} s {ahead} the providers': budgets begin their days at the wrong moment",
            "let chrony or systemd-timesyncd keep it",
        )
    return fine("clock", "within seconds of the providers'")


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo is not None else None
