"""OpenRouter's lists of models, fetched page by page: `/models`, and for what is not there `/embeddings/models`, of the
same shape. What the pages mean is `catalog/listing.py`'s."""

from collections.abc import Collection
from contextlib import suppress

import anyio
import anyio.to_thread

from router.catalog.catalog import ProviderName
from router.catalog.listing import Listed, ListingReader
from router.errors import PricingError, UpstreamError, UpstreamTimeout
from router.upstream.client import ModelList, UpstreamClient

# 338 models in 531,616 bytes on one page of at most 1,000 (openrouter.md §4.1, August 2026).
_MOST_PAGES = 20
_PATIENCE_S = 60.0  # for all pages together


async def listed_models(
    client: UpstreamClient, reader: ListingReader, provider: ProviderName, names: Collection[str]
) -> tuple[Listed, ...]:
    """The models of these names that the provider lists now, the whole list read.

    Raises UpstreamError if it cannot be fetched to its end, PricingError if it cannot be read or is empty. Of the list
    of embedding models neither is raised: what is not found there is not listed.
    """
    try:
        with anyio.fail_after(_PATIENCE_S):
            listed = await _all_pages(client, reader, provider, names, ModelList.ALL)
            missing = set(names) - {each.name for each in listed}
            if missing:
                with suppress(UpstreamError, PricingError):
                    listed += await _all_pages(client, reader, provider, missing, ModelList.EMBEDDINGS)
            return listed
    except TimeoutError as error:
        raise UpstreamTimeout(f"{provider} did not send its list of models in time.", provider=provider) from error


async def _all_pages(
    client: UpstreamClient, reader: ListingReader, provider: ProviderName, names: Collection[str], which: ModelList
) -> tuple[Listed, ...]:
    listed: dict[str, Listed] = {}
    following: str | None = None
    for number in range(_MOST_PAGES):
        body = await client.models_page(provider, following, which)
        # Half a megabyte takes some milliseconds, which belong to requests.
        page = await anyio.to_thread.run_sync(reader.page, body, names)
        if number == 0 and not page.models:
            raise PricingError(f"The list of models of {provider} is empty.")
        listed.update((each.name, each) for each in page.listed)
        following = page.following
        if following is None:
            return tuple(listed.values())
    raise PricingError(f"The list of models of {provider} does not end after {_MOST_PAGES} pages.")
