"""What was spent, by whom and on what; what the baseline would have cost; how far budgets will go."""

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
    total,
)


def spend_rate(by: str) -> str:
    """Dollars an hour. Sums held may be corrected later, so that their counter falls: deriv() and not rate()."""
    return (
        f'sum by ({by}) (rate(penstock_spend_usd_total{{{TEAM_MODEL}, source!="held"}}[$__rate_interval]) '
        f'or deriv(penstock_spend_usd_total{{{TEAM_MODEL}, source="held"}}[$__rate_interval])) * 3600'
    )


SPENT = (
    f"({total('penstock_spend_usd_total', TEAM_MODEL + ', source!=' + chr(34) + 'held' + chr(34))} + "
    f'(sum(delta(penstock_spend_usd_total{{{TEAM_MODEL}, source="held"}}[$__range])) or vector(0)))'
)
NET_SAVED = f"({total('penstock_saved_usd_total', TEAM)} - {total('penstock_extra_usd_total', TEAM)})"
NET_SAVED_RATE = (
    f"((sum(rate(penstock_saved_usd_total{{{TEAM}}}[$__rate_interval])) or vector(0)) - "
    f"(sum(rate(penstock_extra_usd_total{{{TEAM}}}[$__rate_interval])) or vector(0))) * 3600"
)
ALL_SPEND_RATE = (
    f'sum(rate(penstock_spend_usd_total{{{TEAM}, source!="held"}}[$__rate_interval]) '
    f'or deriv(penstock_spend_usd_total{{{TEAM}, source="held"}}[$__rate_interval])) * 3600'
)
BUDGET = "{{team}} {{project}} / {{per}}"
USED: Thresholds = ((None, GREEN), (0.8, YELLOW), (1, RED))


def budget(name: str) -> str:
    """A gauge of every budget: all processes share it, so the largest figure is the newest."""
    return f"max by (team, project, per) (penstock_budget_{name}{{{TEAM}}})"


SPEND = Dashboard(
    uid="penstock-spend",
    title="Penstock / Spend",
    description="What was spent, by whom and on what; what the baseline would have cost; how far budgets will go.",
    rows=(
        Row(
            "The bill of the time shown",
            (
                Panel("Spent", "Dollars booked.", "currencyUSD", (Query(SPENT),), "stat", 4, 4, least=None),
                Panel(
                    "Saved",
                    "Dollars that the teams' baseline models would have cost more, less what was spent above them.",
                    "currencyUSD",
                    (Query(NET_SAVED),),
                    "stat",
                    4,
                    4,
                    ((None, RED), (0, GREEN)),
                    None,
                ),
                Panel(
                    "Saved, of the bill at the baseline",
                    "Savings divided by what the baseline would have cost.",
                    "percentunit",
                    (Query(f"{NET_SAVED} / ({NET_SAVED} + {SPENT})"),),
                    "stat",
                    4,
                    4,
                    ((None, RED), (0, GREEN)),
                    None,
                    1,
                ),
                Panel(
                    "Per request",
                    "Dollars spent divided by requests, those refused included.",
                    "currencyUSD",
                    (Query(f"{SPENT} / sum(increase(penstock_requests_total{{{TEAM}}}[$__range]))"),),
                    "stat",
                    4,
                    4,
                    least=None,
                ),
                Panel(
                    "Not confirmed",
                    "Dollars on the books that no provider has confirmed: sums held for calls whose cost nobody knows.",
                    "currencyUSD",
                    (Query(f'sum(penstock_spend_usd_total{{{TEAM_MODEL}, source="held"}}) or vector(0)'),),
                    "stat",
                    4,
                    4,
                    ((None, GREEN), (1, YELLOW)),
                ),
                Panel(
                    "Budgets that will not last",
                    "Of days, weeks and months: those that will be spent before they end, at the present rate.",
                    "none",
                    (
                        Query(
                            "count(job_team_project_per:penstock_budget_projected_usd:at_reset"
                            f"{{{RECORDED}}} > job_team_project_per:penstock_budget_limit_usd:max{{{RECORDED}}}) "
                            "or vector(0)"
                        ),
                    ),
                    "stat",
                    4,
                    4,
                    ((None, GREEN), (1, RED)),
                ),
            ),
        ),
        Row(
            "Spend",
            (
                Panel(
                    "By team, an hour",
                    "Dollars an hour at the present rate.",
                    "currencyUSD",
                    (Query(spend_rate("team"), "{{team}}"),),
                    width=12,
                    least=None,
                    is_stacked=True,
                ),
                Panel(
                    "By model, an hour",
                    "Dollars an hour at the present rate, at all providers of a model.",
                    "currencyUSD",
                    (Query(spend_rate("model"), "{{model}}"),),
                    width=12,
                    least=None,
                    is_stacked=True,
                ),
                Panel(
                    "By team and model",
                    "Dollars over the time shown. Sums held are left out.",
                    "currencyUSD",
                    (
                        Query(
                            "sort_desc(sum by (team, model) (increase(penstock_spend_usd_total"
                            f'{{{TEAM_MODEL}, source!="held"}}[$__range])))'
                        ),
                    ),
                    "table",
                    12,
                    columns=(("Spent", "currencyUSD"),),
                ),
                Panel(
                    "Tokens by kind",
                    "Cached and cache-write tokens are parts of input, reasoning is part of output.",
                    "short",
                    (
                        Query(
                            f"sum by (kind) (rate(penstock_tokens_total{{{TEAM_MODEL}}}[$__rate_interval]))", "{{kind}}"
                        ),
                    ),
                    width=12,
                ),
            ),
        ),
        Row(
            "Beside the baseline",
            (
                Panel(
                    "What it costs and would have cost, an hour",
                    "Spend of the teams chosen, and the same requests at each team's baseline model.",
                    "currencyUSD",
                    (
                        Query(ALL_SPEND_RATE, "spent"),
                        Query(f"{ALL_SPEND_RATE} + {NET_SAVED_RATE}", "at the baseline"),
                    ),
                    width=12,
                    least=None,
                ),
                Panel(
                    "Saved by team, an hour",
                    "Dollars that requests cost less than at the baseline, over those that did.",
                    "currencyUSD",
                    (
                        Query(
                            f"sum by (team) (rate(penstock_saved_usd_total{{{TEAM}}}[$__rate_interval])) * 3600",
                            "{{team}}",
                        ),
                    ),
                    width=6,
                ),
                Panel(
                    "Spent above the baseline by team, an hour",
                    "Dollars that requests cost more than at the baseline, over those that did.",
                    "currencyUSD",
                    (
                        Query(
                            f"sum by (team) (rate(penstock_extra_usd_total{{{TEAM}}}[$__rate_interval])) * 3600",
                            "{{team}}",
                        ),
                    ),
                    width=6,
                ),
            ),
        ),
        Row(
            "Budgets",
            (
                Panel(
                    "Budgets",
                    "Where each stands in its open window. Projected: spent when that ends, at the present rate.",
                    "currencyUSD",
                    (
                        Query(budget("limit_usd")),
                        Query(budget("spent_usd")),
                        Query(budget("held_usd")),
                        Query(
                            "max by (team, project, per) (job_team_project_per:penstock_budget_projected_usd:at_reset"
                            f"{{{RECORDED}}})"
                        ),
                        Query(f"{budget('resets_timestamp_seconds')} - time()"),
                    ),
                    "table",
                    16,
                    columns=(
                        ("Limit", "currencyUSD"),
                        ("Spent", "currencyUSD"),
                        ("Held", "currencyUSD"),
                        ("Projected", "currencyUSD"),
                        ("Resets in", "s"),
                    ),
                ),
                Panel(
                    "Used",
                    "Spent and held, as a share of the limit.",
                    "percentunit",
                    (
                        Query(
                            f"({budget('spent_usd')} + {budget('held_usd')}) / {budget('limit_usd')}",
                            BUDGET,
                        ),
                    ),
                    "bargauge",
                    8,
                    thresholds=USED,
                    most=1,
                ),
                Panel(
                    "Burn-down",
                    "Dollars left of each budget: neither spent nor held. It rises when the next window begins.",
                    "currencyUSD",
                    (Query(f"{budget('limit_usd')} - {budget('spent_usd')} - {budget('held_usd')}", BUDGET),),
                    width=12,
                ),
                Panel(
                    "Projection",
                    "What will have been spent when the window ends, as a share of the limit: by the last hour "
                    "of a day, by the last day of a week or a month. Above 1 it will not last.",
                    "percentunit",
                    (
                        Query(
                            f"job_team_project_per:penstock_budget_projected_usd:at_reset{{{RECORDED}}} "
                            f"/ (job_team_project_per:penstock_budget_limit_usd:max{{{RECORDED}}} > 0)",
                            BUDGET,
                        ),
                    ),
                    width=12,
                    thresholds=((None, GREEN), (1, RED)),
                ),
            ),
        ),
        Row(
            "How costs are known",
            (
                Panel(
                    "Spend by source, an hour",
                    "reported by the provider, computed from tokens, or its record asked afterwards. Sums held: above.",
                    "currencyUSD",
                    (
                        Query(
                            "sum by (source) (rate(penstock_spend_usd_total"
                            f'{{{TEAM_MODEL}, source!="held"}}[$__rate_interval])) * 3600',
                            "{{source}}",
                        ),
                    ),
                ),
                Panel(
                    "Models without a price",
                    "Decisions that had to leave a model out. Anything but zero wants a price.",
                    "short",
                    (
                        Query(
                            f"sum by (model) (increase(penstock_unpriced_requests_total{{{MODEL}}}[$__rate_interval]))",
                            "{{model}}",
                        ),
                    ),
                ),
                Panel(
                    "Age of the prices",
                    "Since each provider's list was last read whole, by the process that has waited longest.",
                    "s",
                    (Query(f"max by (provider) (penstock_price_age_seconds{{{ALL}}})", "{{provider}}"),),
                    thresholds=((None, GREEN), (3600, RED)),
                ),
            ),
        ),
    ),
)
