"""Which model answered and why; who was passed over; what failed; how good it was."""

from deploy.grafana.parts import (
    ALL,
    GREEN,
    MODEL,
    RECORDED,
    RED,
    TEAM,
    TEAM_MODEL,
    YELLOW,
    Dashboard,
    Panel,
    Query,
    Row,
    Thresholds,
    mean,
    quantile,
    spread,
    total,
)

NEAR_ONE: Thresholds = ((None, YELLOW), (0.8, GREEN), (1.25, YELLOW))

ROUTING = Dashboard(
    uid="penstock-routing",
    title="Penstock / Routing",
    description="Which model answered and why; who was passed over; what failed; how good it was.",
    rows=(
        Row(
            "Decisions",
            (
                Panel(
                    "By policy and rule",
                    "Decisions a second, by the rule of the policy that applied; none: the policy's own terms.",
                    "reqps",
                    (
                        Query(
                            "sum by (team, policy, rule) "
                            f"(rate(penstock_decisions_total{{{TEAM_MODEL}}}[$__rate_interval]))",
                            "{{team}}: {{policy}}/{{rule}}",
                        ),
                    ),
                    is_stacked=True,
                ),
                Panel(
                    "By model that answered",
                    "none: nobody did.",
                    "reqps",
                    (
                        Query(
                            f"sum by (model) (rate(penstock_decisions_total{{{TEAM_MODEL}}}[$__rate_interval]))",
                            "{{model}}",
                        ),
                    ),
                    is_stacked=True,
                ),
                Panel(
                    "Candidates passed over",
                    "By reason; one request may add several. docs/metrics.md lists them.",
                    "ops",
                    (
                        Query(
                            f"sum by (reason) (rate(penstock_rejections_total{{{ALL}}}[$__rate_interval]))",
                            "{{reason}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "When a model fails",
            (
                Panel(
                    "Fallbacks by reason",
                    "Calls made because another one failed; verification: its answer failed a check.",
                    "ops",
                    (
                        Query(
                            f"sum by (reason) (rate(penstock_fallbacks_total{{{ALL}}}[$__rate_interval]))", "{{reason}}"
                        ),
                    ),
                ),
                Panel(
                    "From which model to which",
                    "Fallbacks over the time shown. The same model twice: only the provider changed.",
                    "short",
                    (
                        Query(
                            "sort_desc(sum by (from_model, to_model, reason) "
                            f"(increase(penstock_fallbacks_total{{{ALL}}}[$__range])))"
                        ),
                    ),
                    "table",
                    columns=(("Fallbacks", "short"),),
                ),
                Panel(
                    "Escalations by check",
                    "Answers that failed a check of their policy, so that a better model was asked.",
                    "ops",
                    (
                        Query(
                            f"sum by (team, check) (rate(penstock_escalations_total{{{TEAM}}}[$__rate_interval]))",
                            "{{team}}: {{check}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Quality",
            (
                Panel(
                    "Scores of answers",
                    "Sent by clients, an hour, by verdict.",
                    "short",
                    (
                        Query(
                            "sum by (verdict) "
                            f"(rate(penstock_quality_feedback_total{{{TEAM_MODEL}}}[$__rate_interval])) * 3600",
                            "{{verdict}}",
                        ),
                    ),
                    is_stacked=True,
                ),
                Panel(
                    "Bad scores by model",
                    "As a share of the scores of the last day.",
                    "percentunit",
                    (
                        Query(
                            "job_team_model:penstock_quality_feedback_bad:ratio_increase1d"
                            f'{{{RECORDED}, model=~"$model"}}',
                            "{{team}}: {{model}}",
                        ),
                    ),
                    most=1,
                ),
                Panel(
                    "What was learned from labels",
                    "Over the time shown: corrections promoted or refused by a refit, silenced, or fallen back.",
                    "short",
                    (
                        Query(
                            "sum by (event) "
                            f"(increase(penstock_quality_learning_events_total{{{TEAM}}}[$__range])) or vector(0)",
                            "{{event}}",
                        ),
                    ),
                    "bargauge",
                ),
                Panel(
                    "Copies to shadows",
                    "A second, by what became of them.",
                    "ops",
                    (
                        Query(
                            "sum by (policy, model, outcome) "
                            f"(rate(penstock_shadows_total{{{TEAM_MODEL}}}[$__rate_interval]))",
                            "{{policy}}: {{model}} {{outcome}}",
                        ),
                    ),
                    width=12,
                ),
                Panel(
                    "Shadows: time to the end of the answer",
                    "95 in 100 took no longer.",
                    "s",
                    (
                        Query(
                            quantile(0.95, "penstock_shadow_duration_seconds", "le, model", MODEL),
                            "{{model}}",
                        ),
                    ),
                    width=12,
                ),
            ),
        ),
        Row(
            "Prompt caches",
            (
                Panel(
                    "Warmth kept",
                    "Cached tokens reported divided by those expected, lately. Low: the provider forgets too soon.",
                    "percentunit",
                    (
                        Query(
                            f"avg by (model, provider) (penstock_prompt_cache_hit_ratio{{{MODEL}}})",
                            "{{model}} at {{provider}}",
                        ),
                    ),
                    width=12,
                    thresholds=((None, RED), (0.5, GREEN)),
                ),
                Panel(
                    "Input that was cached",
                    "As a share of all input tokens.",
                    "percentunit",
                    (
                        Query(
                            "sum by (model) (rate(penstock_tokens_total"
                            f'{{{TEAM_MODEL}, kind="cached"}}[$__rate_interval])) '
                            "/ sum by (model) (rate(penstock_tokens_total"
                            f'{{{TEAM_MODEL}, kind="input"}}[$__rate_interval]))',
                            "{{model}}",
                        ),
                    ),
                    width=12,
                    most=1,
                ),
            ),
        ),
        Row(
            "Were the expectations right?",
            (
                Panel(
                    "Cost, divided by what was expected",
                    "The mean should be near 1.",
                    "none",
                    (
                        Query(mean("penstock_estimate_ratio"), "mean"),
                        *spread("penstock_estimate_ratio", 0.1, 0.5, 0.9),
                    ),
                    thresholds=NEAR_ONE,
                ),
                Panel(
                    "Input tokens, divided by those counted",
                    "Near 1 after some dozens of requests to a model.",
                    "none",
                    (
                        Query(mean("penstock_token_count_ratio"), "mean"),
                        *spread("penstock_token_count_ratio", 0.1, 0.9),
                    ),
                    thresholds=NEAR_ONE,
                ),
                Panel(
                    "What providers changed",
                    "Over the time shown: prices put into force, and versions put behind a model's name.",
                    "short",
                    (
                        Query(f"{total('penstock_price_changes_total', MODEL)}", "prices"),
                        Query(f"{total('penstock_model_repointed_total', MODEL)}", "versions"),
                    ),
                    "stat",
                ),
            ),
        ),
    ),
)
