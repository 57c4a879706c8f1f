"""The board for those who look after customers.

A partition that moves between two instances is exported by both for a scrape, and then by none until it is restored: so
populations take the maximum over instances, or the last values, before they add partitions up.
"""

from panels import choice, columns, figure, increase, label_values, lines, row, steady, word
import panels

GOOD, WARN, BAD = "green", "orange", "red"
WINDOW = 'window="$window"'
COLOURS = {"active": "green", "at_risk": "orange", "lapsed": "red", "prospect": "gray"}


def population(metric, further="", by="state"):
    """The sum over partitions, each counted once. Without `by`, the selectors leave one series a partition."""
    labels = f"{by}, " if by else ""
    outer = f"sum by ({by}) " if by else "sum"
    return f"{outer}({steady(f'{labels}job, partition', metric, further)})"


def windowed(metric, basis):
    return population(metric, f'{WINDOW},basis="{basis}"', by="")


def revenue(kind):
    return population("retention_window_revenue", f'{WINDOW},kind="{kind}",currency=~"$currency"', by="currency")


def per(numerator, denominator, by_currency=False):
    """A ratio; money has a currency and what it is divided by has none."""
    if by_currency:
        return f"{numerator} / on () group_left () ({denominator} > 0)"
    return f"{numerator} / ({denominator} > 0)"


def count(state):
    return population("retention_customers", f'state="{state}"', by="")


def coloured():
    return [
        {"matcher": {"id": "byName", "options": state},
         "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}]}
        for state, colour in COLOURS.items()
    ]


def now():
    states = [(state, state.replace("_", " ").capitalize()) for state in COLOURS]
    with_order = population("retention_customers", 'state!="prospect"', by="")
    figures = [
        figure(title, f"Customers that are {title.lower()} now, each partition at its own clock.", "short",
               count(state), width=4)
        for state, title in states
    ]
    upto = [{"type": "range", "options": {"from": 0, "to": 300, "result": {"text": "up to date", "index": 0}}}]
    return row(
        "Now",
        figure("How old is this?", """Age of the oldest order or return that is not in these figures yet. Red: the service
               is behind, and the figures are of then, not of now.""", "s", "max(@retention_consumer_lag_seconds@)",
               [(None, GOOD), (300, WARN), (3600, BAD)], width=4, mappings=upto),
        *figures,
        figure("Clock", """The latest moment that a partition has seen. It moves with orders and deadlines.""",
               "dateTimeAsIso", "1000 * max(@retention_clock_timestamp_seconds@ > 0)", width=4),
        lines("Customers by state", """Active: within their rhythm. At risk: silent beyond the first deadline. Lapsed: beyond
              the second. Prospects have no kept order.""", "short",
              [(population("retention_customers"), "{{state}}")], stacked=True, width=12, height=9,
              overrides=coloured()),
        lines("Share at risk or lapsed", "Of the customers with a kept order.", "percentunit",
              [(f"{count(state)} / ({with_order} > 0)", state) for state in ("at_risk", "lapsed")],
              width=12, height=9, overrides=coloured()),
        collapsed=False)


def moves():
    def emitted(signal_type, over="1d"):
        return f"""sum({increase('retention_signals_total', f'signal_type="{signal_type}"', over)})"""
    return row(
        "State transitions and signals",
        lines("At risk and won back", """Customers who fell silent within a day, against those who came back: recovered
              from at risk, won back from lapsed.""", "short",
              [(emitted("at_risk"), "at_risk"), (emitted("lapsed"), "lapsed"), (emitted("recovered"), "recovered"),
               (emitted("won_back"), "won back")], overrides=coloured()),
        lines("State transitions", "Customers that moved from one state to another within a day.", "short",
              [(f"sum by (from, to) ({increase('retention_customer_transitions_total', '', '1d')}) > 0",
                "{{from}} to {{to}}")]),
        lines("Signals by type", "Signals within a day.", "short",
              [(f"sum by (signal_type) ({increase('retention_signals_total', '', '1d')}) > 0", "{{signal_type}}")],
              stacked=True),
        collapsed=False)


def base_metrics():
    customers = {basis: windowed("retention_window_customers", basis) for basis in ("placed", "kept")}
    orders = {basis: windowed("retention_window_orders", basis) for basis in ("placed", "kept")}
    repeat = {basis: windowed("retention_window_repeat_customers", basis) for basis in ("placed", "kept")}
    return row(
        "The four base metrics, trailing $window",
        lines("Repeat purchase rate", """Customers with more than one order in the window, over those with an order in it. Kept
              orders are neither cancelled nor fully refunded.""", "percentunit",
              [(per(repeat[basis], customers[basis]), basis) for basis in ("kept", "placed")], width=6),
        lines("Purchase frequency", "Orders over customers with an order, in the window.", "none",
              [(per(orders[basis], customers[basis]), basis) for basis in ("kept", "placed")], width=6),
        lines("Average order value", """Net revenue over kept orders, gross revenue over placed orders. With stores of
              several currencies the orders are not told apart, and this is too low.""", "none",
              [(per(revenue("net"), orders["kept"], True), "net {{currency}}"),
               (per(revenue("gross"), orders["placed"], True), "gross {{currency}}")], width=6),
        lines("Customer value", """Net revenue over customers with a kept order: purchase frequency times average order value.
              With several currencies, see there.""", "none",
              [(per(revenue("net"), customers["kept"], True), "net {{currency}}"),
               (per(revenue("gross"), customers["placed"], True), "gross {{currency}}")], width=6),
        collapsed=False)


def money():
    return row(
        "Orders and revenue",
        lines("Revenue in the window", "Gross, and net of refunds and cancellations, over the trailing $window.", "none",
              [(revenue("gross"), "gross {{currency}}"), (revenue("net"), "net {{currency}}")]),
        lines("Refund rate", "Value given back within a day over value ordered within that day.", "percentunit",
              [(f"""sum by (currency) ({increase('retention_refund_value_total', 'currency=~"$currency"', '1d')})
                    / (sum by (currency) ({increase('retention_order_value_total', 'currency=~"$currency"', '1d')}) > 0)""",
                "{{currency}}")]),
        lines("Orders", "Accepted orders within an hour: first ones, repeat ones, and those of guests.", "short",
              [(f"sum by (kind) ({increase('retention_orders_total', '', '1h')})", "{{kind}}"),
               (f"sum({increase('retention_guest_orders_total', '', '1h')})", "guest"),
               (f"sum({increase('retention_returns_total', '', '1h')})", "returns")]),
        lines("Value ordered", "Value of accepted orders within an hour, by currency; guests beside known customers.",
              "none",
              [(f"""sum by (currency) ({increase('retention_order_value_total', 'currency=~"$currency"', '1h')})""",
                "{{currency}}"),
               (f"""sum by (currency) ({increase('retention_guest_revenue_total', 'currency=~"$currency"', '1h')})""",
                "{{currency}} guests")], width=12),
        lines("Orders in the window", "Placed and kept orders over the trailing $window.", "short",
              [(windowed("retention_window_orders", basis), basis) for basis in ("placed", "kept")], width=12),
        collapsed=False)


def of_day(what, by="", further=""):
    """A figure of the newest complete day. One instance exports it; where another one takes over, both may for a scrape."""
    outer = f"max by ({by}) " if by else "max"
    metric = f"retention_shop_{what}"
    now, before = f"@{metric}@{{{further}}}", f"last_over_time(@{metric}@{{{further}}}[{panels.STEADY}])"
    return f"({outer}({now}) or {outer}({before}))"


def shop_day():
    currency, window = 'currency=~"$currency"', 'window="90d"'
    money, net = f"{window},{currency}", "kept_net_revenue"
    returning = of_day(net, "currency", f'{money},kind="returning"')
    new = of_day(net, "currency", f'{money},kind="new"')
    fired, by = 'withheld="false"', "rule, variant"
    difference, margin = (of_day(f"rule_{what}_ratio", by) for what in ["difference", "difference_margin"])
    withheld = 'withheld="true"'
    return row(
        "Shop, day by day",
        figure("Counted up to", """The midnight (UTC) up to which this row is counted: the newest day that all partitions have counted. Without data unless
               metrics.shares is on. The figures change once a day and are never corrected for orders that come later.""",
               "dateTimeAsIso", f"1000 * {of_day('day_timestamp_seconds')}", width=4),
        word("Stage", """How far the shop has come, by its months and its orders: starting, first sales, consistent, established, mature. Early stages
             live on winning customers, late ones on keeping them.""", f"{of_day('stage', 'stage')} == 1", "{{stage}}"),
        figure("Customers who came back", """Of the customers with a kept order in the last 365 days, the share with one that was not their first.""",
               "percentunit", of_day("customer_return_ratio", further='window="365d"'), width=4, decimals=1),
        figure("Customers with two orders", """Of the customers with a kept order in the last 365 days, the share with two or more in them.""",
               "percentunit", of_day("repeat_purchase_ratio", further='window="365d"'), width=4, decimals=1),
        figure("Orders with returned goods", """Of the orders of the last 365 days, the share of which goods came back.""", "percentunit",
               per(of_day("returned_orders", further='window="365d"'), of_day("placed_orders", further='window="365d"')), width=4, decimals=1),
        figure("Days not complete", """Days that some partitions have counted and others have not. A few minutes after midnight there is one; for hours there
               should be none.""", "none", "max(@retention_daily_counts_incomplete@)", [(None, GOOD), (1, WARN)], width=4,
               runbook="RetentionDayIncomplete"),
        lines("Revenue from new and from returning customers", """Net value of the kept orders of the last 90 days: first orders of their customers, and
              all others. A shop that keeps its customers grows in the second.""", "none",
              [(new, "new {{currency}}"), (returning, "returning {{currency}}")], stacked=True, bars=True),
        lines("Share of revenue from returning customers", "Of the net value of the kept orders of the last 90 days.", "percentunit",
              [(f"{returning} / (({new} + {returning}) > 0)", "{{currency}}")]),
        lines("Orders of new and of returning customers", "Kept orders of the last 90 days.", "short",
              [(of_day("kept_orders", "kind", window), "{{kind}}")], stacked=True, bars=True),
        lines("Customers who came back, over time", """Customers with a returning order over customers with a kept order, by trailing window.""", "percentunit",
              [(of_day("customer_return_ratio", "window"), "{{window}}")]),
        lines("Customers at midnight", "Customers by state as the day was counted, all partitions at the same moment.", "short",
              [(of_day("customers", "state"), "{{state}}")], stacked=True, overrides=coloured()),
        lines("Money given back", "What was refunded of the orders of the last 90 days, as a share of their totals.", "percentunit",
              [(per(of_day("revenue", "currency", f'{money},kind="refunded"'), of_day("revenue", "currency", f'{money},kind="gross"')),
                "{{currency}}")]),
        columns("Who still buys, month by month", """The retention curve: of the customers whose first kept order lies one, two, … twelve calendar months back, the
                share that bought in that month. Where the columns level off, customers have become regulars.""", "percentunit",
                [(of_day("retention_ratio", "month"), "{{month}}")]),
        columns("What keeping more customers is worth", """Net revenue of the twelfth month from now if retention stays as it is and new customers keep coming as in
                the last three months, and what 1, 5 and 10 percentage points more in every month add to it.""", "none",
                [(of_day("projected_net_revenue", "currency", currency), "as it is {{currency}}"),
                 (of_day("projected_extra_net_revenue", "points, currency", currency), "+ {{points}} points {{currency}}")]),
        panels.table("What rules brought", """Of the customers for whom a rule fired and whose time to order is over, the share that ordered, by variant, and the difference to
                     those from whom the rule withheld. Chance alone would leave it between the last two columns 19 times of 20: where both are
                     above zero, the rule works. Without data before the first outcome, and empty on the right without a control or a hold-out.""",
                     ["rule", "variant"],
                     [("customers", "none", of_day("rule_customers", by, fired)),
                      ("ordered", "percentunit", of_day("rule_ordered_ratio", by, fired)),
                      ("difference", "percentunit", difference),
                      ("at least", "percentunit", f"{difference} - {margin}"),
                      ("at most", "percentunit", f"{difference} + {margin}")], width=16),
        panels.table("Customers from whom rules withheld", "Controls and the hold-out: whom the others are compared with, and the share of them that ordered all the same.",
                     ["rule", "variant"],
                     [("customers withheld", "none", of_day("rule_customers", by, withheld)),
                      ("ordered anyway", "percentunit", of_day("rule_ordered_ratio", by, withheld))], width=8),
        collapsed=False)


def dashboard():
    variables = [
        choice("window", "Window", ["30d", "90d", "365d", "all"], "90d"),
        label_values("currency", "Currency", 'label_values(retention_order_value_total{job=~"$job"}, currency)'),
    ]
    return panels.dashboard(
        "retention-customers", "Retention signals: customers",
        "How many customers come back, how often, for how much, and who is about to stop.",
        [one() for one in (now, moves, base_metrics, money, shop_day)],
        variables=variables, links=[("Pipeline", "retention-pipeline")])
