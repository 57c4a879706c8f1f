"use strict";

const KEPT = 120;
const STATES = [["active", "Active"], ["at_risk", "At risk"], ["lapsed", "Lapsed"], ["prospect", "Prospect"]];
const WINDOWS = [["30d", "30 d"], ["90d", "90 d"], ["365d", "365 d"], ["all", "all time"]];
const PARTITION_STATES = { caught_up: "caught up", catching_up: "catching up", merge_waiting: "waits for an input",
  clock_frozen: "clock frozen", restoring: "restoring", in_history: "reads its history" };
const history = { events: [], signals: [], latency: [], lag: [] };
let before = null, latest = null, typesBefore = [], token = "", feedShown = "";

const element = id => document.getElementById(id);
const sum = object => Object.values(object).reduce((total, value) => total + value, 0);
const whole = value => Math.round(value).toLocaleString("en");
const short = value => value >= 1e5 ? (value / 1e3).toFixed(0) + " k" : value >= 100 ? whole(value)
  : value >= 10 ? value.toFixed(1) : value > 0 ? value.toFixed(2) : "0";
const bytes = value => value >= 2 ** 30 ? (value / 2 ** 30).toFixed(1) + " GiB" : (value / 2 ** 20).toFixed(1) + " MiB";
const moment = text => text ? text.replace("T", " ").slice(0, 19) : "–";
const span = seconds => seconds < 120 ? seconds.toFixed(0) + " s" : seconds < 7200 ? (seconds / 60).toFixed(0) + " min"
  : (seconds / 3600).toFixed(1) + " h";
const words = name => name.replaceAll("_", " ");
/// Amounts are decimal strings: the digits behind the point stay as they are.
const money = (amount, currency) => {
  if (amount === null || amount === undefined) return "–";
  const [units, fraction] = amount.split(".");
  const grouped = units.replace(/\B(?=(\d{3})+$)/g, ",");
  return `${grouped}${fraction ? "." + fraction : ""} ${currency}`;
};

function made(name, text, className) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

// --- Tabs -------------------------------------------------------------------------------------------------------------

const tabs = [...document.querySelectorAll('[role="tab"]')];
function select(chosen, focus) {
  for (const tab of tabs) {
    const isChosen = tab === chosen;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    element(tab.getAttribute("aria-controls")).hidden = !isChosen;
  }
  if (focus) chosen.focus();
}
tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => { window.history.replaceState(null, "", "#" + tab.getAttribute("aria-controls")); select(tab, false); });
  tab.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) select(tabs[(place + step + tabs.length) % tabs.length], true);
  });
});
select(tabs.find(tab => "#" + tab.getAttribute("aria-controls") === location.hash) ?? tabs[0], false);

// --- The shop ---------------------------------------------------------------------------------------------------------

const chosen = name => new FormData(element("choice")).get(name);
const inWindow = (now, name) => name === "all" ? now.all_time : now.windows[name];

/// A base metric: its figure in the chosen window, what it is a share of, and its figures in the other windows.
function metric(now, id, figure, of) {
  const window = chosen("window");
  element(id).textContent = figure(inWindow(now, window));
  element(id + "-of").textContent = of(inWindow(now, window));
  const others = WINDOWS.filter(([name]) => name !== window);
  element(id + "-others").textContent = others.map(([name, label]) => `${label} ${figure(inWindow(now, name))}`).join(" · ");
}

function showMetrics(now) {
  const basis = chosen("basis"), kind = basis === "kept" ? "net" : "gross", orders = `${basis} orders`;
  const optional = (value, text) => value === null ? "–" : text(value);
  const ofCurrency = name => of => {
    const [currency] = Object.keys(of[name]);
    return currency ? money(of[name][currency][kind], currency) : "–";
  };
  const single = Object.keys(now.all_time.revenue).length < 2;
  const byCurrency = text => single ? text : "Several currencies: see the shop metrics of replay";
  metric(now, "repeat-rate", of => optional(of.repeat_purchase_rate[basis], rate => (100 * rate).toFixed(1) + " %"),
    of => `${whole(of.repeat_customers[basis])} of ${whole(of.customers[basis])} customers have more than one`);
  metric(now, "frequency", of => optional(of.purchase_frequency[basis], value => value.toFixed(2)),
    of => `${whole(of.orders[basis])} ${orders} by ${whole(of.customers[basis])} customers`);
  metric(now, "order-value", ofCurrency("average_order_value"), () => byCurrency(`${kind} revenue for each ${basis} order`));
  metric(now, "customer-value", ofCurrency("customer_value"), () => byCurrency(`${kind} revenue for each customer`));
  showRevenue(inWindow(now, chosen("window")));
}

function showRevenue(of) {
  const lists = Object.entries(of.revenue).map(([currency, amounts]) => {
    const list = made("dl", undefined, "amounts");
    for (const [label, amount] of [["Net", amounts.net], ["Gross", amounts.gross]]) {
      const pair = made("div");
      pair.append(made("dt", label), made("dd", money(amount, currency)));
      list.append(pair);
    }
    return list;
  });
  const counts = `${whole(of.orders.placed)} orders placed, ${whole(of.orders.kept)} kept; ${whole(of.customers.placed)} customers`;
  element("revenue").replaceChildren(...lists, made("p", counts, "soft"));
}

function showStates(now) {
  const all = sum(now.customers), share = state => all > 0 ? 100 * now.customers[state] / all : 0;
  element("bar").replaceChildren(...STATES.map(([state]) => {
    const part = made("span", undefined, state);
    part.style.width = share(state) + "%";
    return part;
  }));
  const texts = STATES.map(([state, name]) => `${name} ${whole(now.customers[state])}`);
  element("bar").setAttribute("aria-label", "Customers by state: " + texts.join(", "));
  element("legend").replaceChildren(...STATES.map(([state, name]) => {
    const item = made("div"), label = made("dt");
    label.append(made("i", undefined, state), `${name} ${share(state).toFixed(1)} %`);
    item.append(label, made("dd", whole(now.customers[state])));
    return item;
  }));
}

function showFeed(now) {
  const shown = JSON.stringify(now.recent_signals);
  // The list stays as it is under a reader's cursor until there is something new.
  if (shown === feedShown || now.recent_signals.length === 0) return;
  feedShown = shown;
  element("feed").replaceChildren(...now.recent_signals.slice(0, 20).map(signal => {
    const item = made("li"), time = made("time", moment(signal.occurred_at));
    time.dateTime = signal.occurred_at;
    const what = signal.rule === null ? words(signal.type) : `${signal.rule} ${signal.action}`;
    item.append(made("span", what, "tag " + signal.type));
    if (signal.customer_id === null) {
      item.append(made("span", signal.guest ? "a guest" : "customer hidden", "soft"));
    } else {
      const customer = made("button", signal.customer_id, "id");
      customer.type = "button";
      customer.title = "Explain this customer";
      customer.addEventListener("click", () => { element("customer").value = signal.customer_id; explain(); });
      item.append(customer);
    }
    item.append(time);
    return item;
  }));
}

function showTypes(now, at) {
  typesBefore.push({ at, signals: now.signals, rules: now.rules });
  while (typesBefore.length > 2 && at - typesBefore[0].at > 60000) typesBefore.shift();
  const minutes = Math.max((at - typesBefore[0].at) / 60000, 1 / 60);
  const types = Object.entries(now.signals).filter(([, count]) => count > 0).sort((one, other) => other[1] - one[1]);
  rows("types", types.map(([type, count]) =>
    [words(type), short((count - typesBefore[0].signals[type]) / minutes), whole(count)]));
  const rules = Object.entries(now.rules).sort(([, one], [, other]) => other.fired - one.fired);
  const firedBefore = rule => typesBefore[0].rules[rule]?.fired ?? 0;
  element("rules-card").hidden = rules.length === 0;
  rows("rules", rules.map(([rule, counts]) =>
    [rule, short((counts.fired - firedBefore(rule)) / minutes), whole(counts.fired), whole(counts.withheld)]));
}

// --- The service ------------------------------------------------------------------------------------------------------

function rows(id, all, labels) {
  element(id).replaceChildren(...all.map(values => {
    const row = made("tr");
    if (labels) row.setAttribute("role", "row");
    values.forEach((value, place) => {
      const isWarning = Array.isArray(value);
      const cell = made("td", isWarning ? value[0] : value, isWarning ? "warning" : "");
      if (labels) { cell.dataset.label = labels[place]; cell.setAttribute("role", "cell"); }
      row.append(cell);
    });
    return row;
  }));
}

function spark(id, values) {
  const top = Math.max(...values, 1e-9), step = 100 / (KEPT - 1), start = 100 - step * (values.length - 1);
  const points = values.map((value, place) => `${(start + place * step).toFixed(2)},${(36 - 33 * value / top).toFixed(2)}`);
  const line = "M" + points.join("L");
  element(id).innerHTML = `<path class="area" d="${line}L100,38L${start.toFixed(2)},38Z"/><path d="${line}"/>`;
}

function keep(name, value, figure) {
  const values = history[name];
  values.push(value);
  if (values.length > KEPT) values.shift();
  element(name).textContent = figure;
  spark(name + "-spark", values);
}

function showRates(now, earlier) {
  const seconds = now.uptime_seconds - earlier.uptime_seconds;
  const events = (sum(now.outcomes) - sum(earlier.outcomes)) / seconds;
  const signals = (sum(now.signals) - sum(earlier.signals)) / seconds;
  const records = now.latency.records - earlier.latency.records;
  const latency = records > 0 ? 1000 * (now.latency.seconds - earlier.latency.seconds) / records : 0;
  keep("events", events, short(events));
  keep("signals", signals, short(signals));
  keep("latency", latency, records > 0 ? short(latency) : "–");
}

function showService(now) {
  keep("lag", sum(now.lag_records), whole(sum(now.lag_records)));
  const dead = now.outcomes.dead_lettered, restoring = now.restore_remaining;
  const reasons = now.unready_reasons.length > 0 ? [now.unready_reasons.join("; ")] : "ready";
  const answered = now.brokers.last_answer === null ? "none yet" : moment(now.brokers.last_answer);
  const brokers = [["Kafka's last answer", now.brokers.up ? answered : [answered + ", silent since"]]];
  rows("health", [
    ["State", now.state === "running" ? now.state : [now.state]], ["Readiness", reasons], ...brokers,
    ["Oldest record waiting", now.lag_seconds_max > 0 ? span(now.lag_seconds_max) : "none"],
    ["Restore: records remaining", restoring > 0 ? [whole(restoring)] : "0"],
    ["Dead letters since start", dead > 0 ? [whole(dead)] : "0"],
    ["Clocks apart by", now.clock ? span((Date.parse(now.clock.max) - Date.parse(now.clock.min)) / 1000) : "–"]]);
  rows("facts", [
    ["Partitions owned", whole(now.partitions)], ["Records applied", whole(now.outcomes.applied)],
    ["Duplicates", whole(now.outcomes.duplicate)], ["Transactions committed", whole(now.transactions)],
    ["Timers fired", whole(now.timers_fired)], ["Timers pending", whole(now.timers_pending)],
    ["State", `${whole(now.state_entries)} customers, ${bytes(now.state_bytes)}`]]);
  const labels = ["Partition", "State", "Clock", "Lag", "Oldest waiting", "Customers", "Memory", "Timers", "Snapshot"];
  rows("partitions", now.partition_details.map(one => {
    const state = PARTITION_STATES[one.state] ?? one.state;
    return [String(one.partition), one.state === "caught_up" ? state : [state], moment(one.clock), whole(one.lag_records),
      one.lag_seconds > 0 ? span(one.lag_seconds) : "none", whole(one.state_entries), bytes(one.state_bytes),
      whole(one.timers_pending), moment(one.snapshot_at)];
  }), labels);
}

// --- One customer -----------------------------------------------------------------------------------------------------

const day = text => `${moment(text)} UTC`;
const counted = (count, name) => `${whole(count)} ${name}${count === 1 ? "" : "s"}`;
const number = value => value.toLocaleString("en", { maximumFractionDigits: 6 });

function policyInWords(explanation) {
  const { name, parameters: of } = explanation.policy;
  if (name === "fixed") return `Policy fixed: at risk after ${number(of.at_risk_days)} days of silence, lapsed after ${number(of.lapsed_days)}.`;
  if (name === "model") return `Policy model: at risk below ${number(of.at_risk_share)} times a new customer's probability of an order within `
    + `${number(of.horizon_days)} days (${number(of.at_risk_days_min)} to ${number(of.at_risk_days_max)} days), lapsed below `
    + `${number(of.lapsed_share)} times (${number(of.lapsed_days_min)} to ${number(of.lapsed_days_max)} days).`;
  const seen = explanation.history;
  const gap = seen ? `${counted(seen.gaps, "gap")} over ${counted(seen.span_days, "day")} and ${number(of.prior_weight)} expected ones of ${number(of.prior_gap_days)} days`
    : "no kept order";
  return `Policy ${name}, from ${gap}: at risk after ${number(of.at_risk_factor)} × the expected gap (${number(of.at_risk_days_min)} to `
    + `${number(of.at_risk_days_max)} days), lapsed after ${number(of.lapsed_factor)} × (${number(of.lapsed_days_min)} to `
    + `${number(of.lapsed_days_max)} days).`;
}

function tierInWords(customer, tier) {
  const lines = [];
  if (customer.points !== undefined) lines.push(`Points: ${customer.points}.`);
  if (!tier) return lines;
  const kept = tier.kept_from === null ? "" : `, kept from ${tier.kept_from} on`, next = tier.next ? `; ${tier.next.name} from ${tier.next.from} on` : "";
  lines.push(`Tier: ${tier.name ?? "none"}, by ${tier.net} ${customer.currency} in 365 days${kept}${next}.`);
  if (tier.change) lines.push(`Without a record, tier ${tier.change.to ?? "none"} at ${day(tier.change.at)}.`);
  return lines;
}

function inWords(body) {
  const { customer, explanation } = body, { deadlines, emitted, next, remembered } = explanation, lines = [];
  const since = customer.since ? ` since ${day(customer.since)}` : "";
  lines.push(`${customer.customer_id} is ${words(customer.state)}${customer.kind ? ` (${customer.kind})` : ""}${since}`
    + (customer.customer_type ? `; type ${words(customer.customer_type)}.` : "."));
  if (customer.last_order_at) {
    const gap = customer.expected_gap_days === null ? "" : `; the next is expected ${number(customer.expected_gap_days)} days later`;
    lines.push(`Last kept order ${day(customer.last_order_at)}${gap}.`);
  }
  if (deadlines) lines.push(`Without another kept order: at risk at ${day(deadlines.at_risk)}, lapsed at ${day(deadlines.lapsed)}.`);
  lines.push(policyInWords(explanation), ...tierInWords(customer, explanation.tier));
  const open = ["at_risk", "lapsed"].filter(name => emitted[name])
    .map(name => `${words(name)} (deadline ${day(emitted[name].deadline)}, id ${emitted[name].id})`);
  const disarmed = Object.entries(emitted.armed).filter(([, armed]) => !armed).map(([name]) => words(name));
  lines.push(`Emitted so far: state ${words(emitted.state)}; open signals: ${open.join(", ") || "none"}; `
    + `waiting to re-arm: ${disarmed.join(", ") || "none"}.`);
  lines.push(next ? `Next instant: ${day(next.at)} (${words(next.change)}).` : "The clock alone changes nothing more.");
  lines.push(`Kept one by one: orders ${remembered.orders}, returns ${remembered.returns}, cancellations ${remembered.cancellations}; `
    + `orders folded into sums: ${remembered.folded_orders}.`);
  lines.push(`Partition ${body.partition}, batch ${body.batch}, clock ${moment(body.clock)}`
    + (body.staleness_seconds > 0.05 ? `, ${body.staleness_seconds.toFixed(1)} s behind its inputs.` : ", caught up."));
  return lines.map(line => made("p", line));
}

function figures(customer) {
  const table = made("table"), head = made("tr"), body = made("tbody"), top = made("thead");
  for (const title of [customer.currency, "Placed", "Kept", "Net", "AOV net"]) {
    const cell = made("th", title);
    cell.scope = "col";
    head.append(cell);
  }
  for (const [name, label] of WINDOWS) {
    const of = name === "all" ? customer.all_time : customer.windows[name], row = made("tr");
    for (const text of [label, String(of.placed), String(of.kept), of.net, of.aov_net ?? "–"]) row.append(made("td", text));
    body.append(row);
  }
  top.append(head);
  table.append(top, body);
  return table;
}

async function explain() {
  const key = element("customer").value;
  if (!key) return;
  token = element("token").value;
  const path = "/v1/customers/" + key.split("/").map(encodeURIComponent).join("/") + "?explain";
  let parts;
  try {
    const response = await fetch(path, { headers: headers() });
    element("token").hidden = element("token-label").hidden = response.status !== 401 && !token;
    const body = await response.json(), raw = made("details"), json = made("pre", JSON.stringify(body, null, 2));
    raw.append(made("summary", "As JSON"), json);
    parts = body.customer ? [...inWords(body), figures(body.customer), raw] : [made("p", body.error ?? "no answer", "warning")];
  } catch (error) {
    parts = [made("p", "no answer", "warning")];
  }
  element("answer").replaceChildren(...parts);
}

// --- All of it, every second ------------------------------------------------------------------------------------------

const headers = () => token ? { authorization: "Bearer " + token } : {};

function showHeader(now) {
  document.title = now.application;
  element("application").textContent = now.application;
  element("about").textContent = `${now.instance} · ${now.version} · up ${span(now.uptime_seconds)}`;
  // Whatever the workers do, nothing moves without Kafka.
  const away = !now.brokers.up && now.brokers.last_answer !== null;
  element("state").textContent = away ? "no Kafka" : now.state;
  element("state").className = "pill " + (away ? "unreachable" : now.state);
  element("clock").textContent = now.clock ? `clock ${moment(now.clock.max)} UTC` : "";
  const notes = [...now.unready_reasons, ...now.remarks];
  element("note").hidden = notes.length === 0;
  element("note").textContent = notes.join(" · ");
  element("scope").textContent = `Figures of the ${whole(now.partitions)} partitions that this instance owns; with several instances, `
    + "the dashboards add them up. Windows reach back from each partition's clock.";
}

function show(now) {
  const at = performance.now();
  if (before && now.uptime_seconds < before.uptime_seconds) { before = null; typesBefore = []; }
  if (before && now.uptime_seconds > before.uptime_seconds) showRates(now, before);
  showHeader(now);
  showMetrics(now);
  showStates(now);
  showFeed(now);
  showTypes(now, at);
  showService(now);
  before = latest = now;
}

async function poll() {
  let now = null;
  try {
    const response = await fetch("/v1/status", { headers: headers(), signal: AbortSignal.timeout(4000) });
    now = await response.json();
  } catch (error) {
    element("state").textContent = "unreachable";
    element("state").className = "pill unreachable";
  }
  setTimeout(poll, 1000);
  if (now) show(now);
}

element("choice").addEventListener("change", () => { if (latest) showMetrics(latest); });
element("ask").addEventListener("submit", event => { event.preventDefault(); explain(); });
poll();
