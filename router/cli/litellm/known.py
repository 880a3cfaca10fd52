"""Keys of LiteLLM that become nothing of their own here, each with what there is instead.

They are those of LiteLLM 1.110.2, read 2026-11-30: `types/router.py`, `proxy/_types.py` (`ConfigGeneralSettings`), the
module's variables in `__init__.py`, which are what `litellm_settings` sets, and the arguments of `Router`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from router.cli.litellm.findings import Verdict

Table = Sequence[tuple[str, Verdict, str]]  # patterns of keys, the first that fits counts

_SAME, _NEAR, _NONE = Verdict.CONVERTED, Verdict.APPROXIMATED, Verdict.NO_EQUAL


@dataclass(frozen=True, slots=True)
class Note:
    verdict: Verdict
    what: str


_RETRIES = (
    "retries are not set: at most four calls a request, over all candidates, and a budget of retries for the whole "
    "process (docs/failover.md)"
)
_BREAKERS = "breakers leave alone what fails, by fixed rules that also obey Retry-After (docs/failover.md)"
_DROP = "nothing is dropped: what Penstock does not act on is forwarded byte for byte, and a provider may refuse it"
_NO_PROMPTS = "Penstock keeps no prompts and no answers, in logs or books, so there is nothing to switch off"
_LIMITS = (
    "limits are of teams, keys and projects (`limits` in the team's file); a provider's own 429 is obeyed until its "
    "Retry-After"
)
_KEYS = "keys are made by `penstock keys create` and hashed; there is no master key for requests"
_DATABASE = (
    "one process needs no database. Several: uncomment `redis` and `postgres` in penstock.yaml; use a database of its "
    "own, never LiteLLM's"
)
_ALERTS = "alerts are Prometheus' rules on Penstock's metrics (docs/metrics.md)"
_GUARDRAILS = (
    "there are no guardrails; `verify` of a policy checks answers (docs/verify.md), `data` says who may see prompts"
)
_HEALTH = "providers are not probed: breakers go by real requests, /readyz by the process; `penstock doctor` asks each"
_ACCOUNTS = "there are no users or organizations: teams are files, with keys and projects below them (docs/policies.md)"
_NETWORK = "taken from the surroundings of the process, or not to be set"
_METRICS = "metrics are fixed, with labels from the configuration alone (docs/metrics.md)"
_TOOLS = "tools run where the client runs; Penstock serves none"
_FILES = "not served: chat, responses, messages, completions, embeddings and moderations are (docs/clients.md)"

OF_DEPLOYMENTS: Table = (
    ("custom_llm_provider", _SAME, "read to tell the provider"),
    ("litellm_credential_name", _SAME, "its address and key were taken"),
    (
        "weight",
        _NEAR,
        "a share of the policy's `weights`, by conversation; of one model the cheapest provider comes first",
    ),
    (
        "order",
        _NEAR,
        "the first come first by `weights`, the others where they fail; of one model the cheapest provider comes first",
    ),
    ("max_tokens", _NEAR, "default_max_output_tokens of the group's policy: what counts where a client names no limit"),
    (
        "max_completion_tokens",
        _NEAR,
        "default_max_output_tokens of the group's policy: what counts where a client names no limit",
    ),
    (
        "stream_timeout",
        _NEAR,
        "first_token_timeout_s of the group's policy, if it is 600 or less: then the next candidate is asked",
    ),
    ("reasoning_effort", _NEAR, "reasoning_effort of the group's policy, if Penstock has the word"),
    ("[rt]p[md]", _NONE, _LIMITS),
    ("[io]tpm", _NONE, _LIMITS),
    ("max_parallel_requests", _NONE, _LIMITS),
    ("daily_reset_time", _NONE, _LIMITS),
    ("default_api_key_*", _NONE, "limits of keys are `each_key` in the team's file"),
    ("timeout*", _NONE, "one patience for all providers: `timeouts` in penstock.yaml, and max_latency_ms of a policy"),
    ("stream_timeout_by*", _NONE, "first_token_timeout_s of a policy is the same for all its requests"),
    ("*_retries", _NEAR, _RETRIES),
    ("cooldown_time", _NEAR, _BREAKERS),
    ("drop_params", _NEAR, _DROP),
    ("additional_drop_params", _NONE, _DROP),
    ("allowed_openai_params", _NEAR, _DROP),
    ("max_budget", _NONE, "budgets are of teams, keys and projects; a share of the requests is `weights`"),
    ("budget_duration", _NONE, "budgets are of teams, keys and projects; a share of the requests is `weights`"),
    (
        "tag*",
        _NONE,
        "a rule `when: {tags: [...]}` with candidates of its own; clients send x-penstock-tags (docs/policies.md)",
    ),
    (
        "region_name",
        _NONE,
        "declare `region` of the provider in penstock.yaml and demand it by `data: {regions: [...]}`",
    ),
    ("api_version", _NONE, "not sent"),
    ("organization", _NONE, "use a key of that organization or project"),
    ("*headers", _NONE, "no headers are added to what providers get"),
    ("extra_body", _NONE, "nothing is added to what clients send"),
    ("mock_*", _NONE, "`penstock sandbox` simulates a provider, with its faults (docs/sandbox.md)"),
    (
        "cache_control_injection_points",
        _NONE,
        "clients mark what is to be cached; warm prompt caches count in prices (docs/prompt-caches.md)",
    ),
    ("thinking", _NONE, "`reasoning_effort` and `max_reasoning_effort` of a policy"),
    ("*cost*", _NONE, "not billed by tokens; request_usd and image_usd of a price come nearest (models.yaml)"),
    ("merge_reasoning_content_in_choices", _NONE, "reasoning is relayed as the provider sends it"),
    ("keepalive_seconds", _NEAR, "comment_every_s of `streams` in penstock.yaml, for all"),
    ("*_router_*", _NONE, "a policy chooses among models (docs/policies.md)"),
    ("aws_*", _NONE, "not needed at OpenRouter, and not copied"),
    ("vertex_*", _NONE, "not needed at OpenRouter, and not copied"),
    ("azure_*", _NONE, "not needed at OpenRouter, and not copied"),
    ("s3_*", _NONE, _FILES),
    ("gcs_*", _NONE, _FILES),
    ("temperature", _NONE, "clients set it; nothing is added to what they send"),
    ("top_*", _NONE, "clients set it; nothing is added to what they send"),
    ("api_key", _NONE, "not copied"),
    ("api_base", _NONE, "not copied"),
    ("base_url", _NONE, "not copied"),
)

OF_INFO: Table = (
    ("base_model", _SAME, "read to tell the model"),
    ("mode", _SAME, "said of the model in models.yaml"),
    ("id", _NONE, "a deployment is called model@provider, in metrics and books"),
    ("supports_prompt_caching", _NONE, "not to be said: cache hits are learned from answers (docs/prompt-caches.md)"),
    (
        "supports_audio*",
        _NONE,
        "audio, video and files are left out, as nothing bounds their price; add them to `capabilities` if you know it",
    ),
    (
        "supports_video*",
        _NONE,
        "audio, video and files are left out, as nothing bounds their price; add them to `capabilities` if you know it",
    ),
    (
        "supports_pdf*",
        _NONE,
        "audio, video and files are left out, as nothing bounds their price; add them to `capabilities` if you know it",
    ),
    ("supports_*", _NONE, "no capability of that name; models.yaml has what it can say"),
    ("access_groups", _NONE, "what a team may ask for stands in its file: aliases and policies"),
    ("team_*", _NONE, "what a team may ask for stands in its file: aliases and policies"),
    ("health_check*", _NONE, _HEALTH),
    ("*cost*", _NONE, "not billed by tokens; request_usd and image_usd of a price come nearest (models.yaml)"),
    ("tier", _NONE, "no tiers: policies say who may be asked for what"),
)

# litellm_settings, router_settings and general_settings: many keys may stand in either of the first two.
OF_SETTINGS: Table = (
    ("drop_params", _NEAR, _DROP),
    ("modify_params", _NEAR, _DROP),
    ("*num_retries*", _NEAR, _RETRIES),
    ("max_retries", _NEAR, _RETRIES),
    ("max_fallbacks", _NEAR, _RETRIES),
    ("retry_after", _NEAR, _RETRIES),
    ("*retry_policy", _NEAR, _RETRIES),
    ("allowed_fails*", _NEAR, _BREAKERS),
    ("cooldown_time", _NEAR, _BREAKERS),
    ("disable_cooldowns", _NEAR, "breakers: false in penstock.yaml, if nobody is to be left alone"),
    (
        "content_policy_fallbacks",
        _NONE,
        "what a provider refuses as wrong or moderated is told the client, and nobody else is asked (docs/failover.md)",
    ),
    ("routing_strategy_args", _NONE, "objectives and limits of policies take its place (docs/policies.md)"),
    ("routing_groups", _NONE, "policies take their place (docs/policies.md)"),
    ("model_group_settings", _NONE, "policies take their place (docs/policies.md)"),
    ("enable_pre_call_checks", _SAME, "always: windows, capabilities and prices are checked before anyone is asked"),
    (
        "optional_pre_call_checks",
        _NEAR,
        "windows, capabilities and limits are always checked; conversations stay where their prompt cache is warm",
    ),
    ("*tag_filtering*", _NONE, "rules `when: {tags: [...]}` (docs/policies.md)"),
    ("tag_*", _NONE, "projects are tags with budgets of their own (`projects` in the team's file)"),
    ("json_logs", _NEAR, "logs are JSON where standard error is no terminal; `logs` of penstock.yaml says so"),
    ("turn_off_message_logging", _SAME, _NO_PROMPTS),
    ("redact_*", _SAME, _NO_PROMPTS),
    ("global_disable_no_log_param", _NONE, _NO_PROMPTS),
    ("*store_prompts*", _NONE, _NO_PROMPTS),
    ("spend_logs_prompt_storage", _NONE, _NO_PROMPTS),
    ("log_raw_request_response", _NONE, _NO_PROMPTS),
    ("set_verbose", _NONE, "`penstock explain`, and x-penstock-dry-run: 1, tell why a request goes where it goes"),
    (
        "suppress_debug_info",
        _NONE,
        "`penstock explain`, and x-penstock-dry-run: 1, tell why a request goes where it goes",
    ),
    ("include_cost_in_streaming_usage", _SAME, "cost stands in the last chunk of a stream whose client asks for usage"),
    ("return_response_headers", _NEAR, "answers carry x-penstock-… headers (docs/reference/headers.md)"),
    ("prometheus_*", _NONE, _METRICS),
    ("*_prometheus*", _NONE, _METRICS),
    ("service_callback", _NEAR, _METRICS),
    (
        "require_auth_for_metrics_endpoint",
        _NEAR,
        "the admin port wants its token, if it has one (admin.token_env in penstock.yaml)",
    ),
    ("cache_params", _NONE, "no cache is switched on that it could speak of"),
    ("caching*", _NONE, "`cache` in the team's file (docs/answers-again.md)"),
    ("enable_redis_*", _NONE, _DATABASE),
    ("enable_json_schema_validation", _NONE, "`verify: [json_schema]` of a policy (docs/verify.md)"),
    ("*guardrail*", _NONE, _GUARDRAILS),
    ("*moderation*", _NONE, _GUARDRAILS),
    ("llamaguard*", _NONE, _GUARDRAILS),
    ("presidio*", _NONE, _GUARDRAILS),
    ("banned_keywords_list", _NONE, _GUARDRAILS),
    ("blocked_user_list", _NONE, "revoke the key: `penstock keys revoke`"),
    ("mcp_*", _NONE, _TOOLS),
    ("*_interception*", _NONE, _TOOLS),
    ("default_team_*", _NONE, "a file for each team, in teams/"),
    ("default_internal_user_params", _NONE, _ACCOUNTS),
    ("*internal_user*", _NONE, _ACCOUNTS),
    ("*user_budget*", _NONE, _ACCOUNTS),
    (
        "*end_user*",
        _NONE,
        "what an end user spends is told by tags (x-penstock-tags); projects are tags with budgets of their own",
    ),
    ("upperbound_key_generate_params", _NEAR, "`each_key` in the team's file holds for every key"),
    ("key_generation_settings", _NONE, _KEYS),
    ("default_soft_budget", _NONE, _ALERTS),
    ("priority_reservation*", _NONE, "limits of keys and projects share out what a team has"),
    ("cost_discount_config", _NONE, "own `prices` of a deployment in models.yaml"),
    ("cost_margin_config", _NONE, "books hold what providers bill"),
    (
        "model_cost_map_url",
        _NONE,
        "prices are genai-prices', OpenRouter's own list while running, and your own in models.yaml",
    ),
    ("block_requests_for_models_without_pricing", _SAME, "always: a deployment without a price is never chosen"),
    ("forward_traceparent_to_llm_provider", _NONE, "no headers of clients are forwarded"),
    ("ssl_*", _NONE, _NETWORK),
    ("*aiohttp*", _NONE, _NETWORK),
    ("force_ipv4", _NONE, "a provider's addresses are tried side by side (RFC 8305)"),
    ("*redis*", _NONE, _DATABASE),
    ("cache_responses", _NONE, "`cache` in the team's file (docs/answers-again.md)"),
    ("database_*", _NONE, _DATABASE),
    ("master_key", _NEAR, "the admin port has a token, PENSTOCK_ADMIN_TOKEN; " + _KEYS),
    (
        "store_model_in_db",
        _NONE,
        "models stand in models.yaml alone; what was added in LiteLLM's UI is not in its config either",
    ),
    ("supported_db_objects", _NONE, "everything is configured in files"),
    ("alert*", _NONE, _ALERTS),
    ("spend_report_frequency", _NONE, "`penstock spend --since`, in a timer of yours"),
    ("otel", _NEAR, "`traces` of penstock.yaml, with penstock[otel] (docs/tracing.md)"),
    ("callback_settings", _NONE, "no callbacks: metrics and the ledger tell what requests did (docs/metrics.md)"),
    ("*_callback*", _NONE, "no callbacks: metrics and the ledger tell what requests did (docs/metrics.md)"),
    ("langfuse_*", _NONE, "no callbacks: metrics and the ledger tell what requests did (docs/metrics.md)"),
    ("custom_auth*", _NONE, "no code of yours runs in it; " + _KEYS),
    ("custom_*", _NONE, "no code of yours runs in it"),
    ("enable_jwt_auth", _NONE, _KEYS),
    ("litellm_jwtauth", _NONE, _KEYS),
    ("enable_oauth2*", _NONE, _KEYS),
    ("litellm_key_header_name", _NONE, "keys come in authorization or x-api-key"),
    ("key_management_*", _NONE, "secrets come from variables or files (api_key_file); a secret store can write these"),
    ("use_*_key_vault", _NONE, "secrets come from variables or files (api_key_file); a secret store can write these"),
    ("use_google_kms", _NONE, "secrets come from variables or files (api_key_file); a secret store can write these"),
    ("pass_through_*", _NONE, _FILES),
    ("*health_check*", _NONE, _HEALTH),
    ("*spend_logs*", _NONE, "the ledger is kept whole; its text-free entries are small (docs/money.md)"),
    ("disable_reset_budget", _NONE, "windows of budgets begin by the calendar (docs/money.md)"),
    ("fail_closed_*", _NEAR, "closed is usual: redis.when_unreachable in penstock.yaml (docs/money.md)"),
    (
        "disable_budget_reservation",
        _NONE,
        "budgets always hold the worst case first, so that they cannot be overspent (docs/money.md)",
    ),
    ("budget_*", _NONE, "budgets hold to the nano-dollar, and windows begin by the calendar (docs/money.md)"),
    ("ui_*", _NONE, "the console is on the admin port, behind its token"),
    ("allowed_ips", _NONE, "for what stands before it, or the firewall"),
    ("allowed_routes", _NONE, "the data port has the API alone, the admin port the rest"),
    ("max_response_size_mb", _NONE, "answers are relayed as they come"),
    ("infer_model_from_keys", _NONE, "models are named"),
    ("user_header_*", _NONE, "tags (x-penstock-tags) tell who a request is for"),
    ("reject_clientside_metadata_tags", _NONE, "tags come by the header x-penstock-tags alone"),
    ("completion_model", _NONE, "an alias of that name"),
    ("background_*", _NONE, _HEALTH),
    ("*role*", _NONE, _ACCOUNTS),
)

# What else may stand at the top of a config.
OF_TOP: Table = (
    ("guardrails", _NONE, _GUARDRAILS),
    ("policies", _NONE, "these are guardrails in LiteLLM: " + _GUARDRAILS),
    ("policy_attachments", _NONE, "these are guardrails in LiteLLM: " + _GUARDRAILS),
    ("mcp_*", _NONE, _TOOLS),
    ("*_tools", _NONE, _TOOLS),
    ("agent*", _NONE, _TOOLS),
    ("prompts", _NONE, "prompts belong to the clients"),
    ("vector_store*", _NONE, _FILES),
    ("files_settings", _NONE, _FILES),
    ("finetune_settings", _NONE, _FILES),
    ("assistant_settings", _NONE, _FILES),
    ("pass_through_endpoints", _NONE, _FILES),
    ("default_vertex_config", _NONE, _FILES),
    ("callback_settings", _NONE, "no callbacks: metrics and the ledger tell what requests did (docs/metrics.md)"),
)


def note_on(key: str, table: Table) -> Note:
    """What there is instead of a key; of an unknown one, that it is unknown."""
    found = next((Note(verdict, what) for pattern, verdict, what in table if fnmatchcase(key, pattern)), None)
    return found or Note(_NONE, "unknown here; nothing was made of it")


CALLBACKS: Mapping[str, Note] = {
    "prometheus": Note(
        _SAME, "/metrics on the admin port, always; the names are others (docs/migrate-from-litellm.md)"
    ),
    "otel": Note(_NEAR, "`traces` of penstock.yaml, with penstock[otel] (docs/tracing.md)"),
    "opentelemetry": Note(_NEAR, "`traces` of penstock.yaml, with penstock[otel] (docs/tracing.md)"),
    "prometheus_system": Note(_NEAR, "/metrics on the admin port tells of the process too"),
}
NO_CALLBACK = Note(_NONE, "no callbacks: metrics and the ledger tell what requests did (docs/metrics.md)")
