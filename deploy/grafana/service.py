"""How many requests there are, how they end, how long they take, and how the processes are."""

from deploy.grafana.parts import (
    ALL,
    GREEN,
    MODEL,
    RED,
    TEAM,
    YELLOW,
    Dashboard,
    Panel,
    Query,
    Row,
    Thresholds,
    quantile,
    spread,
)

ERRORS = 'outcome=~"failed|cut|lost"'
ASKED = 'outcome!~"refused|client_gone"'
ERROR_RATIO = (
    f"(sum(rate(penstock_requests_total{{{TEAM}, {ERRORS}}}[$__rate_interval])) or vector(0)) "
    f"/ sum(rate(penstock_requests_total{{{TEAM}, {ASKED}}}[$__rate_interval]))"
)
ALLOWED: Thresholds = ((None, GREEN), (0.005, RED))

SERVICE = Dashboard(
    uid="penstock-service",
    title="Penstock / Service",
    description="How many requests there are, how they end, how long they take, and how the processes are.",
    rows=(
        Row(
            "Now",
            (
                Panel(
                    "Requests",
                    "A second, over all that were decided upon.",
                    "reqps",
                    (Query(f"sum(rate(penstock_requests_total{{{TEAM}}}[$__rate_interval]))"),),
                    "stat",
                    4,
                    4,
                ),
                Panel(
                    "Errors",
                    "Nobody answered, it broke off, or the process died, as a share of requests; 0.5 % is allowed for.",
                    "percentunit",
                    (Query(ERROR_RATIO),),
                    "stat",
                    4,
                    4,
                    ALLOWED,
                    most=1,
                ),
                Panel(
                    "In flight",
                    "Requests under way.",
                    "none",
                    (Query(f"sum(penstock_in_flight_requests{{{ALL}}})"),),
                    "stat",
                    4,
                    4,
                ),
                Panel(
                    "First token, p95",
                    "From admission to the first byte of the answer.",
                    "s",
                    (Query(quantile(0.95, "penstock_time_to_first_token_seconds")),),
                    "stat",
                    4,
                    4,
                ),
                Panel(
                    "Overhead, p99",
                    "What is ours of a request's time: from admission to the first call to a provider.",
                    "s",
                    (Query(quantile(0.99, "penstock_overhead_seconds")),),
                    "stat",
                    4,
                    4,
                    ((None, GREEN), (0.05, YELLOW), (0.1, RED)),
                ),
                Panel(
                    "Instances up",
                    "That answer to Prometheus.",
                    "none",
                    (Query(f"sum(up{{{ALL}}})"),),
                    "stat",
                    4,
                    4,
                    ((None, RED), (1, GREEN)),
                ),
            ),
        ),
        Row(
            "Requests",
            (
                Panel(
                    "By outcome",
                    "How requests ended for their clients.",
                    "reqps",
                    (
                        Query(
                            f"sum by (outcome) (rate(penstock_requests_total{{{TEAM}}}[$__rate_interval]))",
                            "{{outcome}}",
                        ),
                    ),
                    width=6,
                    is_stacked=True,
                ),
                Panel(
                    "Share of errors",
                    "failed, cut and lost, of all that were not refused and whose client stayed. The line: allowed.",
                    "percentunit",
                    (Query(ERROR_RATIO, "errors"),),
                    width=6,
                    thresholds=ALLOWED,
                ),
                Panel(
                    "By team",
                    "Requests that were decided upon.",
                    "reqps",
                    (Query(f"sum by (team) (rate(penstock_requests_total{{{TEAM}}}[$__rate_interval]))", "{{team}}"),),
                    width=6,
                    is_stacked=True,
                ),
                Panel(
                    "Refused before a decision",
                    "No valid key, a body that cannot be read, an unknown model: by the code of the error.",
                    "reqps",
                    (
                        Query(
                            f"sum by (code) (rate(penstock_client_errors_total{{{ALL}}}[$__rate_interval]))", "{{code}}"
                        ),
                    ),
                    width=6,
                ),
            ),
        ),
        Row(
            "Times",
            (
                Panel(
                    "To the first token",
                    "Of answered requests, from admission to the first byte of the answer.",
                    "s",
                    spread("penstock_time_to_first_token_seconds", 0.5, 0.95, 0.99),
                    width=6,
                ),
                Panel(
                    "To the end of the answer",
                    "Of answered requests, from admission.",
                    "s",
                    spread("penstock_request_duration_seconds", 0.5, 0.95, 0.99),
                    width=6,
                ),
                Panel(
                    "Overhead",
                    "Ours alone, from admission to the first call to a provider.",
                    "s",
                    spread("penstock_overhead_seconds", 0.5, 0.99),
                    width=6,
                ),
                Panel(
                    "Output tokens a second",
                    "Of each answered call, over its whole duration; a tenth of the calls is slower than p10.",
                    "none",
                    spread("penstock_output_tokens_per_second", 0.1, 0.5, 0.9),
                    width=6,
                ),
            ),
        ),
        Row(
            "Providers",
            (
                Panel(
                    "Calls by outcome",
                    "ok, the code of the error, or what became of an answer that was checked.",
                    "ops",
                    (
                        Query(
                            f"sum by (outcome) (rate(penstock_attempts_total{{{MODEL}}}[$__rate_interval]))",
                            "{{outcome}}",
                        ),
                    ),
                ),
                Panel(
                    "Breakers",
                    "By the process that sees it worst. closed: it is asked; half-open: by one request; open: not.",
                    "none",
                    (
                        Query(
                            f"max by (provider, model) (penstock_breaker_state{{{MODEL}}})", "{{model}} at {{provider}}"
                        ),
                    ),
                    "state-timeline",
                    most=2,
                    mappings=(("0", "closed", GREEN), ("1", "half-open", YELLOW), ("2", "open", RED)),
                ),
                Panel(
                    "Answers without usage",
                    "Over the last minutes, by the model whose provider told none.",
                    "short",
                    (
                        Query(
                            "sum by (provider, model) "
                            f"(increase(penstock_missing_usage_total{{{MODEL}}}[$__rate_interval]))",
                            "{{model}} at {{provider}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Processes",
            (
                Panel(
                    "In flight",
                    "Requests under way, by instance.",
                    "none",
                    (Query(f"sum by (instance) (penstock_in_flight_requests{{{ALL}}})", "{{instance}}"),),
                    width=8,
                ),
                Panel(
                    "Event loop lag",
                    "How late the event loop is. Much of it: the process has more to do than one core can.",
                    "s",
                    (Query(f"max by (instance) (penstock_loop_lag_seconds{{{ALL}}})", "{{instance}}"),),
                    width=8,
                    thresholds=((None, GREEN), (0.1, YELLOW), (1, RED)),
                ),
                Panel(
                    "Turned away",
                    "Requests a second that were not let in, as more is asked than the processes can do.",
                    "reqps",
                    (
                        Query(
                            f"sum by (reason) (rate(penstock_shed_total{{{ALL}}}[$__rate_interval])) or vector(0)",
                            "{{reason}}",
                        ),
                    ),
                    width=8,
                ),
                Panel(
                    "Ledger lag",
                    "Age of the oldest entry that is not in the ledger yet.",
                    "s",
                    (Query(f"max by (instance) (penstock_ledger_lag_seconds{{{ALL}}})", "{{instance}}"),),
                    width=12,
                    thresholds=((None, GREEN), (60, RED)),
                ),
                Panel(
                    "Journal",
                    "Bytes on the disk for what the ledger does not have yet.",
                    "bytes",
                    (Query(f"sum by (instance) (penstock_ledger_journal_bytes{{{ALL}}})", "{{instance}}"),),
                    width=12,
                ),
                Panel(
                    "Reloads that failed",
                    "Changed configurations with mistakes, over the time shown; the last good one stays in force.",
                    "none",
                    (
                        Query(
                            f"sum by (instance) (increase(penstock_config_reload_failures_total{{{ALL}}}[$__range]))",
                            "{{instance}}",
                        ),
                    ),
                    "stat",
                    6,
                    6,
                    ((None, GREEN), (1, RED)),
                ),
                Panel(
                    "Last reload",
                    "Since the configuration in force was taken up.",
                    "s",
                    (
                        Query(
                            "time() - max by (instance) "
                            f"(penstock_config_last_reload_success_timestamp_seconds{{{ALL}}} > 0)",
                            "{{instance}}",
                        ),
                    ),
                    "stat",
                    6,
                    6,
                ),
                Panel(
                    "Configurations in force",
                    "Instances by the fingerprint of their configuration, as in x-penstock-config. One, as a rule.",
                    "none",
                    (Query(f"count by (version) (penstock_config_info{{{ALL}}})"),),
                    "table",
                    6,
                    6,
                    columns=(("Instances", "none"),),
                ),
                Panel(
                    "Versions",
                    "Instances by the version that runs.",
                    "none",
                    (Query(f"count by (version) (penstock_build_info{{{ALL}}})"),),
                    "table",
                    6,
                    6,
                    columns=(("Instances", "none"),),
                ),
            ),
        ),
    ),
)
