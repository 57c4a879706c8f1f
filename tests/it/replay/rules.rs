//! Rules in a replay of the story: with the ids that they have everywhere.

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use super::Folder;
use crate::examples;

const STORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/examples/story");

/// A thank-you waits for a Monday, `news` have 21 days for c-1042.
const RULES: &str = r#"
points.per = "1.00"

[[rule]]
name = "thank-you"
on = "first_order"
after = "7d"
if = 'd365.returned_orders = 0'
send = { from = "08:00", until = "20:00", days = ["mon", "tue", "wed", "thu", "fri", "sat"] }
say = { template = "thank-you" }

[[rule]]
name = "win-back"
on = "lapsed"
again = "180d"
variants = [
    { name = "percent", weight = 45, say = { discount_percent = 20 } },
    { name = "credit", weight = 45 },
    { name = "control", weight = 10, holdout = true },
]

[[rule]]
name = "news"
on = "every"
every = "14d..21d"
again = "14d"

[[rule]]
name = "reward"
on = "points"
reach = 100
say = { voucher = "5.00" }

[[rule]]
name = "refill"
on = "product"
lives = { "TEA-ASSAM-250" = "30d" }
lead = "5d"
again = "always"
say = { template = "refill" }

[[rule]]
name = "invite-guest"
on = "guest_order"
after = "1d"
say = { template = "create-account" }
"#;

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("replay::rules_fire_in_the_story", rules_fire_in_the_story)]
}

fn rules_fire_in_the_story() -> Result<(), Failed> {
    let folder = Folder::new();
    let settings = folder.write("settings.toml", RULES);
    let (orders, returns) = (format!("{STORY}/orders.jsonl"), format!("{STORY}/returns.jsonl"));
    let inputs = ["--orders", &orders, "--returns", &returns, "--until", "2026-02-01T00:00:00Z"];
    let results = folder.replay(&[&inputs[..], &["--config", &settings]].concat())?;
    let found = |id: &str| results.signals.iter().filter(|signal| signal["id"] == id).collect::<Vec<_>>();
    for (id, at, data) in expected() {
        let found = found(id);
        let is_it = |signal: &&&Value| signal["occurred_at"] == at && signal["data"] == data;
        if found.len() != 1 || found.iter().filter(is_it).count() != 1 {
            let name = &data["rule"];
            let of_rule: Vec<&Value> =
                results.signals.iter().filter(|signal| signal["data"]["rule"] == *name).collect();
            return Err(format!("{found:?} at {at}, expected {data}\n{of_rule:?}").into());
        }
    }
    let mut compared = 0;
    for example in examples::valid("signals") {
        let signal: Value = serde_json::from_str(&example.text)?;
        if signal["type"] == "rule" && signal["data"]["action"] == "fired" {
            if !results.signals.contains(&signal) {
                return Err(format!("{} is not in the story", example.path).into());
            }
            compared += 1;
        }
    }
    if compared < 6 {
        return Err(format!("only {compared} examples").into());
    }
    let fired = results.signals.iter().filter(|signal| signal["type"] == "rule").count();
    let counted = &results.summary["signals"]["rule"];
    if *counted != json!(fired) {
        return Err(format!("{counted} are counted, {fired} written").into());
    }
    Ok(())
}

/// Id, instant and data of firings, some of which are examples.
fn expected() -> [(&'static str, &'static str, Value); 6] {
    [
        (
            "8392baa56fa94c3aa8915f60f36cbbbf",
            "2025-01-13T08:00:00.000Z",
            json!({
                "rule": "thank-you", "action": "fired", "variant": null, "trigger": "c34855389c504bef490fd9d291d04952",
                "due_at": "2025-01-13T08:00:00.000Z", "expires_at": "2025-01-20T08:00:00.000Z", "sku": null, "points": null,
                "say": {"template": "thank-you"},
            }),
        ),
        (
            "be6737322cc112b0bc195d596ed70218",
            "2025-02-25T18:15:00.000Z",
            json!({
                "rule": "news", "action": "fired", "variant": null, "trigger": null, "due_at": "2025-02-25T18:15:00.000Z",
                "expires_at": "2025-03-04T18:15:00.000Z", "sku": null, "points": null, "say": null,
            }),
        ),
        (
            "7df37ba3aed9773fc554ca2dd2d3bd4b",
            "2025-02-04T18:15:00.000Z",
            json!({
                "rule": "reward", "action": "fired", "variant": null, "trigger": null, "due_at": "2025-02-04T18:15:00.000Z",
                "expires_at": "2025-02-11T18:15:00.000Z", "sku": null, "points": 1, "say": {"voucher": "5.00"},
            }),
        ),
        (
            "83eb051fc89a748c6a65affa9dfc9bae",
            "2025-09-13T12:15:00.000Z",
            json!({
                "rule": "win-back", "action": "fired", "variant": "percent", "trigger": "38e38a9c4c8feb00f250d63951fb1adc",
                "due_at": "2025-09-13T12:15:00.000Z", "expires_at": "2025-09-20T12:15:00.000Z", "sku": null, "points": null,
                "say": {"discount_percent": 20},
            }),
        ),
        (
            "c9c7831afe0c4d550f3e38a3f7cf256e",
            "2025-01-30T09:30:00.000Z",
            json!({
                "rule": "refill", "action": "fired", "variant": null, "trigger": null, "due_at": "2025-01-30T09:30:00.000Z",
                "expires_at": "2025-02-06T09:30:00.000Z", "sku": "TEA-ASSAM-250", "points": null, "say": {"template": "refill"},
            }),
        ),
        (
            "4b3914395873d445a53abc6676441615",
            "2025-09-14T12:02:11.000Z",
            json!({
                "rule": "invite-guest", "action": "fired", "variant": null, "trigger": null, "due_at": "2025-09-15T12:02:11.000Z",
                "expires_at": "2025-09-22T12:02:11.000Z", "sku": null, "points": null, "say": {"template": "create-account"},
            }),
        ),
    ]
}
