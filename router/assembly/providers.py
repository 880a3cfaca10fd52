"""Who is asked, and at what price: providers' endpoints, their live prices, and who has no key."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import anyio
import anyio.to_thread

from router.assembly.clock import utc_now
from router.assembly.stores import has_store, open_store
from router.catalog.book import PriceBook
from router.catalog.catalog import DeploymentId, ModelName, ProviderName
from router.catalog.listing import ListingReader
from router.config.snapshot import Settings, Snapshot
from router.gateway.live_prices import Listeners, LivePrices
from router.keys import Redaction
from router.storage.store import Store
from router.upstream.client import Endpoint, UpstreamClient
from router.upstream.listing import listed_models
from router.upstream.transport import UpstreamTransport
from router.wire.replies import ReplyReader


def provider_endpoints(settings: Settings) -> dict[ProviderName, Endpoint]:
    timeouts = settings.timeouts
    return {
        name: Endpoint(
            provider=access.provider,
            api_key=access.api_key,
            connect_s=timeouts.connect_s,
            first_byte_s=timeouts.first_byte_s,
            between_bytes_s=timeouts.between_bytes_s,
        )
        for name, access in settings.providers.items()
    }


def reply_reader(settings: Settings) -> ReplyReader:
    """Reads what providers answer; whatever they say in errors, our keys are not in it."""
    keys = (access.api_key for access in settings.providers.values())
    return ReplyReader(Redaction(key for key in keys if key is not None))


def unavailable(snapshot: Snapshot) -> dict[DeploymentId, str]:
    """Deployments nobody can be sent to: their provider wants a key and none is configured."""
    providers = snapshot.settings.providers
    return {
        deployment.id: f"no key for provider {deployment.provider.name}: {access.api_key_from} is empty"
        for deployment in snapshot.catalog
        if (access := providers[deployment.provider.name]).api_key is None and access.api_key_from is not None
    }


def listing_providers(settings: Settings) -> list[ProviderName]:
    """Who has a list of prices that may be read. A provider for which no key is configured is not asked."""
    return [
        name
        for name, access in settings.providers.items()
        if access.provider.kind == "openrouter" and access.api_key is not None
    ]


def live_prices(
    snapshot: Snapshot, store: Store, client: Callable[[], UpstreamClient], listeners: Listeners
) -> LivePrices:
    """The catalog at the prices in force. `client` is that of the configuration in force."""
    reader = ListingReader()
    return LivePrices(
        snapshot.catalog,
        providers=listing_providers(snapshot.settings),
        read=lambda provider, names: listed_models(client(), reader, provider, names),
        store=store,
        times=snapshot.settings.prices,
        now=utc_now,
        listeners=listeners,
    )


def price_book(settings: Settings) -> PriceBook:
    """What providers' own lists have said so far. Raises StoreUnavailable."""
    if not has_store(settings):
        return PriceBook()
    with closing(open_store(settings)) as store:
        return PriceBook().with_rows(store.prices())


@asynccontextmanager
async def prices_to_refresh(snapshot: Snapshot) -> AsyncIterator[LivePrices]:
    """The prices in force for a command that reads them anew, once."""
    with closing(open_store(snapshot.settings)) as store:
        transport = UpstreamTransport()
        client = UpstreamClient(transport, provider_endpoints(snapshot.settings), reply_reader(snapshot.settings))
        try:
            prices = live_prices(snapshot, store, lambda: client, Listeners(price_changed=_ignored, repointed=_ignored))
            await anyio.to_thread.run_sync(prices.load)
            yield prices
        finally:
            await transport.aclose()


def _ignored(_: ModelName) -> None:
    """A command that ends at once has nobody to tell."""
