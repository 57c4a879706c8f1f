//! Rules that are read, and rules that are refused with the exact message.

use std::fs;

use super::super::{Config, Purpose, Sources, load};
use crate::domain::rules::points::{Points, PointsPer};
use crate::domain::rules::rule::{Again, Anchor, CapIndex, Every, HoldoutShare, Rule, Trigger, WhilePlanned};
use crate::domain::signals::kind::SignalType;
use crate::domain::values::ids::SkuHash;
use crate::domain::values::number::Decimal;
use crate::domain::values::time::Span;

const SHOP: &str = "shop.currency = \"EUR\"\n";

fn sources(text: &str) -> Sources {
    Sources {
        file_text: Some(format!("{SHOP}{text}")),
        host_name: Some("host".to_owned()),
        ..Sources::default()
    }
}

fn read(text: &str) -> Config {
    load(&sources(text), Purpose::Offline).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    match load(&sources(text), Purpose::Offline) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => assert_eq!(error.problems(), expected, "{text}"),
    }
}

/// Every key at another value than its default.
const WHOLE: &str = r#"
[rules]
holdout = 0.05
send = { from = "09:00", until = "20:00", days = ["mon","tue","wed","thu","fri","sat"] }
[rules.caps.marketing]
max = 2
per = "30d"
[[rule]]
name = "thank-you"
on = "first_order"
after = "7d"
if = 'd365.returned_orders = 0'
cancel_on = ["became_prospect", "order_returned"]
say = { template = "thank-you" }
[[rule]]
name = "win-back"
on = "lapsed"
when = 'trigger.silence_days < 400d'
after = "36h"
if = 'all_time.net > 0.00 and (p_order_90d is null or p_order_90d >= 0.05)'
cancel_on = []
again = "180d"
while_planned = "restart"
send = "always"
expires = "3d"
cap = "marketing"
priority = 70
variants = [{ name = "percent", weight = 45, say = { discount_percent = 20 } }, { name = "credit", weight = 45 }, { name = "control", weight = 10, holdout = true }]
split = "offers"
say = { credit = "10.00" }
announce = true
measure = "60d"
enabled = false
"#;

#[test]
fn every_key_of_a_rule_is_read() {
    let config = read(WHOLE);
    let rules = config.settings.rules.as_ref().expect("rules").set();
    assert_eq!(rules.holdout(), HoldoutShare(500));
    let [win_back, thank_you] = rules.rules() else { panic!("two rules") };
    assert_eq!(
        (&*thank_you.name, &thank_you.trigger),
        ("thank-you", &Trigger::Signal(SignalType::FirstOrder))
    );
    assert_eq!((thank_you.after, thank_you.again), (Span::days(7), Again::Never));
    assert_eq!((thank_you.expires, thank_you.measure), (Span::days(7), Span::days(30)));
    assert_eq!(thank_you.condition.to_string(), "d365.returned_orders = 0");
    assert!(thank_you.when.is_always() && thank_you.enabled && !thank_you.announce);
    assert_eq!(
        thank_you.cancel_on.iter().collect::<Vec<_>>(),
        [SignalType::OrderReturned, SignalType::BecameProspect]
    );
    let hours = thank_you.send.as_ref().expect("those of all rules");
    assert_eq!(
        (hours.from().to_string(), hours.until().to_string(), hours.days().count()),
        ("09:00".into(), "20:00".into(), 6)
    );
    let [variant] = &*thank_you.variants.list else { panic!("one variant") };
    assert_eq!(variant.say.as_deref(), Some("{\"template\":\"thank-you\"}"));
    assert_eq!((&*win_back.variants.split, win_back.while_planned), ("offers", WhilePlanned::Restart));
    assert_eq!((win_back.cap, win_back.priority, win_back.send), (Some(CapIndex(0)), 70, None));
    assert_eq!(
        (win_back.again, win_back.after),
        (Again::After(Span::days(180)), Span::from_millis(36 * 3_600_000))
    );
    assert!(win_back.announce && !win_back.enabled && win_back.cancel_on.iter().next().is_none());
    let said: Vec<_> = win_back.variants.list.iter().map(|variant| variant.say.as_deref()).collect();
    assert_eq!(said, [Some("{\"discount_percent\":20}"), Some("{\"credit\":\"10.00\"}"), None]);
    // A rule that is switched off starts on nothing.
    assert_eq!(rules.triggers().iter().collect::<Vec<_>>(), [SignalType::FirstOrder]);
}

fn one(text: &str) -> Rule {
    let config = read(text);
    let rules = config.settings.rules.as_ref().expect("rules").set();
    let [rule] = rules.rules() else { panic!("one rule") };
    rule.clone()
}

#[test]
fn every_trigger_is_read() {
    let every = |days_min, days_max, from| Trigger::Every(Every { days_min, days_max, from });
    for (text, expected) in [
        ("on = \"order\"", Trigger::Order),
        ("on = \"guest_order\"", Trigger::GuestOrder),
        ("on = \"every\"\nevery = \"21d\"", every(21, 21, Anchor::LastOrder)),
        ("on = \"every\"\nevery = \"14d..21d\"\nfrom = \"first_order\"", every(14, 21, Anchor::FirstOrder)),
    ] {
        assert_eq!(one(&format!("[[rule]]\nname = \"a\"\n{text}")).trigger, expected, "{text}");
    }
    let date = one("rule = [{ name = \"a\", on = \"date\", date = \"11-27\", spread = \"6h\" }]").trigger;
    let Trigger::Date(date) = date else { panic!("a date") };
    let told = (date.date.to_string(), date.time.to_string(), date.spread);
    assert_eq!(told, ("11-27".to_owned(), "09:00".to_owned(), Span::from_millis(6 * 3_600_000)));
    for text in
        ["lives = { \"A\" = \"91d\", \"B\" = \"30d\" }\nlead = \"5d\"", "[lives]\nA = \"91d\"\nB = \"30d\""]
    {
        let Trigger::Product(product) =
            one(&format!("[[rule]]\nname = \"a\"\non = \"product\"\n{text}")).trigger
        else {
            panic!("a product: {text}")
        };
        let life =
            |sku: &str| product.life(SkuHash(crate::wire::hash::hash(sku.as_bytes()))).map(|life| life.life);
        assert_eq!([life("A"), life("B"), life("C")], [Some(Span::days(91)), Some(Span::days(30)), None]);
    }
    let ends_itself = one("[[rule]]\nname = \"a\"\non = \"became_prospect\"\nafter = \"1d\"");
    assert!(ends_itself.cancel_on.iter().next().is_none(), "its own signal would end it");
}

/// What follows the name of a rule `a` on line 3, and the error message.
#[rustfmt::skip]
const WRONG_RULES: &[(&str, &str)] = &[
    (
        "on = \"frist_order\"",
        "rule.a.on (line 4): \"frist_order\" is nothing that starts a rule; did you mean first_order?",
    ),
    ("on = \"lapsed\"\nafer = \"7d\"", "rule.a.afer (line 5): unknown key; did you mean after?"),
    (
        "on = \"lapsed\"\nafter = \"500d\"",
        "rule.a.after (line 5): \"500d\" is out of bounds; give 0ms to 400d",
    ),
    ("on = \"lapsed\"\nafter = 7", "rule.a.after (line 5): is a number; give a text in quotes"),
    (
        "on = \"lapsed\"\nif = 'stat = \"x\"'",
        "rule.a.if (line 5): at character 1: stat is no field; did you mean state?",
    ),
    (
        "on = \"lapsed\"\nif = 'state = \"actve\"'",
        "rule.a.if (line 5): at character 9: state is never \"actve\"; it is one of prospect, active, at_risk, lapsed; did you mean active?",
    ),
    (
        "on = \"lapsed\"\nwhen = 'trigger.value > 1'",
        "rule.a.when (line 5): at character 1: trigger.value is no field",
    ),
    (
        "on = \"lapsed\"\ncancel_on = [\"wonback\"]",
        "rule.a.cancel_on (line 5): \"wonback\" is no type of signal; did you mean won_back?",
    ),
    (
        "on = \"lapsed\"\nagain = \"often\"",
        "rule.a.again (line 5): \"often\" is not a duration; write a whole number and a unit (ms, s, m, h, d), such as 100ms, 1m or 365d, or \"never\" or \"always\"",
    ),
    (
        "on = \"lapsed\"\ncap = \"marketing\"",
        "rule.a.cap (line 5): \"marketing\" is no cap; say how often it allows in [rules.caps.marketing]",
    ),
    ("on = \"lapsed\"\npriority = 101", "rule.a.priority (line 5): 101 is out of bounds; give 0 to 100"),
    (
        "on = \"lapsed\"\nsend = { from = \"20:00\", until = \"09:00\" }",
        "rule.a.send.until (line 5): 09:00 must be later than from, which is 20:00",
    ),
    (
        "on = \"lapsed\"\nsend = { days = [\"mo\"] }",
        "rule.a.send.days (line 5): \"mo\" is not mon, tue, wed, thu, fri, sat or sun; did you mean mon?",
    ),
    (
        "on = \"lapsed\"\nevery = \"7d\"",
        "rule.a.every (line 5): is for rules on \"every\", and this one is on \"lapsed\"; leave it out",
    ),
    (
        "on = \"every\"",
        "rule.a.every (line 3): is not set; say how often, such as \"21d\" or \"14d..21d\"",
    ),
    (
        "on = \"every\"\nevery = \"36h\"",
        "rule.a.every (line 5): \"36h\" is no number of whole days, such as \"21d\"",
    ),
    ("on = \"every\"\nevery = \"9d..8d\"", "rule.a.every (line 5): \"9d..8d\" ends before it begins"),
    (
        "on = \"date\"\ndate = \"02-29\"",
        "rule.a.date (line 5): \"02-29\" is no date such as \"11-27\" (each year) or \"2026-11-27\"; not every year has a 29th of February",
    ),
    (
        "on = \"date\"\ndate = \"11-27\"\ntime = \"24:00\"",
        "rule.a.time (line 6): \"24:00\" is the next date at \"00:00\"",
    ),
    (
        "on = \"date\"\ndate = \"11-27\"\nafter = \"1d\"",
        "rule.a.after (line 6): says nothing for a rule on \"date\": a date has its own instant: say it by `date` and `time`",
    ),
    (
        "on = \"product\"\nlives = { A = \"5d\" }\nlead = \"5d\"",
        "rule.a.lead (line 6): must be shorter than every life; the goods would be due before they were bought",
    ),
    (
        "on = \"product\"",
        "rule.a.lives (line 3): is not set, and there is no [lives]; give how long goods last, such as { \"COFFEE-1KG\" = \"30d\" }",
    ),
    (
        "on = \"product\"\nlives = { A = \"30d\" }\nwhile_planned = \"restart\"",
        "rule.a.while_planned (line 6): says nothing for a rule on \"product\": buying again always moves the firing",
    ),
    (
        "on = \"guest_order\"\nif = 'state = \"active\"'",
        "rule.a.if (line 5): says nothing for a rule on \"guest_order\": nothing is remembered of guests, so each order fires at once",
    ),
    (
        "on = \"points\"\nreach = 100",
        "rule.a.on (line 4): \"points\" needs points.per in the settings file, such as \"1.00\" or \"order\"",
    ),
    (
        "on = \"guest_order\"\nagain = \"always\"",
        "rule.a.again (line 5): says nothing for a rule on \"guest_order\": nothing is remembered of guests, so each order fires at once",
    ),
    (
        "on = \"lapsed\"\nsplit = \"b\"",
        "rule.a.split (line 5): says nothing without variants; leave it out",
    ),
    (
        "on = \"lapsed\"\nvariants = [{ name = \"b\", weight = 0 }]",
        "rule.a.variants.weight (line 5): 0 is out of bounds; give 1 to 10000",
    ),
    (
        "on = \"lapsed\"\nvariants = [{ name = \"b\", weight = 1 }, { name = \"b\", weight = 1 }]",
        "rule.a.variants (line 5): holds \"b\" twice; each variant has its own name",
    ),
    (
        "on = \"lapsed\"\nsay = \"hello\"",
        "rule.a.say (line 5): is a text; give a table, such as { template = \"thank-you\" }",
    ),
];

#[test]
fn what_is_wrong_with_a_rule_is_named_with_its_place() {
    let rule = |text: &str| format!("[[rule]]\nname = \"a\"\n{text}");
    for (text, expected) in WRONG_RULES {
        refused(&rule(text), &[expected]);
    }
    refused("[[rule]]\non = \"lapsed\"", &["rule.name (line 3): is not set; a rule is known by its name"]);
    refused(
        "[[rule]]\nname = \"A b\"\non = \"lapsed\"",
        &["rule.name (line 3): \"A b\" is no name: give 1 to 40 of a-z 0-9 -"],
    );
    refused("rule = \"lapsed\"", &["rule (line 2): is a text; give a list in [ ]"]);
    let again = format!("{}{}", rule("on = \"order\"\n"), rule("on = \"lapsed\"\n"));
    refused(&again, &["rule.a.name (line 6): \"a\" is the name of another rule (line 3) already"]);
}

#[test]
fn sections_around_rules_are_checked() {
    refused("[rules]\nholdot = 0.1", &["rules.holdot (line 3): unknown key; did you mean holdout?"]);
    refused("[rules]\nholdout = 0.6", &["rules.holdout (line 3): \"0.6\" is out of bounds; give 0 to 0.5"]);
    refused(
        "[rules.caps.a]\nmax = 11\nper = \"1d\"",
        &["rules.caps.a.max (line 3): 11 is out of bounds; give 1 to 10"],
    );
    refused(
        "[rules.caps.a]\nmax = 1",
        &["rules.caps.a.per (line 2): is not set; say within which time, such as \"30d\""],
    );
    refused(
        "[rules.caps]\na = 3",
        &["rules.caps.a (line 3): is a number; a cap is a section: [rules.caps.NAME]"],
    );
    refused(
        "[lives]\nA = \"30\"",
        &[
            "lives (line 2): holds \"A\": \"30\" is not a duration; write a whole number and a unit (ms, s, m, h, d), such as 100ms, 1m or 365d",
        ],
    );
    let many = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let rules = many(65, |index| format!("[[rule]]\nname = \"r-{index}\"\non = \"order\"\n"));
    refused(&rules, &["rule.r-64 (line 195): is one too many; there are at most 64 rules"]);
    let lives = |from: usize, count: usize| {
        let lives: Vec<String> = (from..from + count).map(|number| format!("S{number} = \"30d\"")).collect();
        format!("{{ {} }}", lives.join(", "))
    };
    let refill =
        |name: &str, lives: &str| format!("[[rule]]\nname = \"{name}\"\non = \"product\"\nlives = {lives}\n");
    let watched =
        "lives: of all enabled rules on \"product\" together hold 1001 SKUs; at most 1000 are watched";
    refused(&(refill("a", &lives(0, 600)) + &refill("b", &lives(500, 501))), &[watched]);
    let resting = refill("b", &lives(500, 501)) + "enabled = false\n";
    let config = read(&(refill("a", &lives(0, 600)) + &resting + &refill("c", &lives(500, 500))));
    assert_eq!(config.settings.rules.expect("rules").watched().len(), 1_000);
    let caps = many(9, |index| format!("[rules.caps.c{index}]\nmax = 1\nper = \"1d\"\n"));
    refused(&caps, &["rules.caps.c8 (line 26): is one too many; there are at most 8 caps"]);
}

#[test]
fn rules_stand_in_files_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let cap = "[rules.caps.marketing]\nmax = 2\nper = \"30d\"\n";
    let one =
        write("one.toml", &format!("{cap}[[rule]]\nname = \"one\"\non = \"lapsed\"\ncap = \"marketing\"\n"));
    let two =
        write("two.toml", &format!("{cap}[[rule]]\nname = \"two\"\non = \"order\"\ncap = \"marketing\"\n"));
    let config =
        read(&format!("rules.files = [{one:?}, {two:?}]\n[[rule]]\nname = \"three\"\non = \"order\""));
    let names = |config: &Config| -> Vec<String> {
        let rules = config.settings.rules.as_ref().expect("rules").set();
        rules.rules().iter().map(|rule| rule.name.to_string()).collect()
    };
    assert_eq!(names(&config), ["one", "three", "two"]);
    let flag = Sources { assignments: vec![format!("rules.files={one},{two}")], ..sources("") };
    let by_flag = load(&flag, Purpose::Offline).expect("valid");
    assert_eq!(names(&by_flag), ["one", "two"]);
    let shown = |config: &Config| {
        config.effective().find(|(path, ..)| path == "rule").map(|(_, value, _)| value).unwrap_or_default()
    };
    assert!(shown(&by_flag).starts_with("2 rules, version "), "{}", shown(&by_flag));
    assert_ne!(config.digest(), by_flag.digest(), "instances with other rules are told apart");

    let wrong = write("wrong.toml", "[rules]\nholdout = 0.1\n[[rule]]\nname = \"one\"\non = \"lapsd\"\n");
    let other_cap = write("cap.toml", "[rules.caps.marketing]\nmax = 3\nper = \"30d\"\n");
    let broken = write("broken.toml", "[[rule]\n");
    let missing = folder.path().join("missing.toml").display().to_string();
    let files = [&one, &wrong, &other_cap, &broken, &missing].map(|name| format!("{name:?}")).join(", ");
    let error = load(&sources(&format!("rules.files = [{files}]")), Purpose::Offline).expect_err("refused");
    for expected in [
        format!("rules.holdout ({wrong} line 2): unknown key; the keys here are caps"),
        format!(
            "rule.one.on ({wrong} line 5): \"lapsd\" is nothing that starts a rule; did you mean lapsed?"
        ),
        format!(
            "rules.caps.marketing ({other_cap} line 1): is another cap than an earlier file has by this name"
        ),
        format!("{broken} line 1: this is not TOML"),
        format!("rules.files (line 2): cannot read {missing}: No such file or directory"),
    ] {
        assert!(error.problems().iter().any(|problem| problem.starts_with(&expected)), "{expected}\n{error}");
    }
    assert_eq!(error.problems().len(), 5, "{error}");
}

#[test]
fn points_and_tiers_are_facts_that_rules_ask_for() {
    let tiers = "[[tiers]]\nname = \"silver\"\nfrom = \"150.00\"\n[[tiers]]\nname = \"gold\"\nfrom = 500\n";
    let config = read(&format!(
        "tiers_keep = 0.75\n[points]\nper = \"1.00\"\nfactor = 10\n{tiers}[[rule]]\nname = \"a\"\non = \"points\"\nreach = 100\nif = 'tier = \"gold\"'\n"
    ));
    let [rule] = config.settings.rules.as_ref().expect("rules").set().rules() else { panic!("one rule") };
    assert_eq!((&rule.trigger, rule.again), (&Trigger::Points { reach: 100 }, Again::Always));
    let points = Points { per: PointsPer::Amount(Decimal::whole(1)), factor: 10 };
    assert_eq!(config.settings.points, Some(points));
    let names = config.settings.tiers.as_ref().expect("tiers").names().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names, ["silver", "gold"]);
    assert_eq!(
        read("points.per = \"order\"").settings.points,
        Some(Points { per: PointsPer::Order, factor: 1 })
    );
    for (text, expected) in [
        ("points.per = \"0\"", "points.per (line 2): \"0\" is none of an amount above 0, `order`"),
        ("points.per = \"oder\"", "points.per (line 2): \"oder\" is none of an amount above 0, `order`"),
        (
            "[[tiers]]\nname = \"a\"",
            "tiers.from (line 3): is not set; give the net value of a year from which on a customer belongs to it, such as \"150.00\"",
        ),
        (
            "[[tiers]]\nname = \"a\"\nfrom = 0",
            "tiers.from (line 4): \"0\" is no amount above 0, such as \"150.00\"",
        ),
        (
            "tiers = []",
            "tiers (line 2): must be 1 to 8 tiers, each from a greater amount on than the one before",
        ),
    ] {
        refused(text, &[expected]);
    }
    refused(
        &format!(
            "{tiers}[[rule]]\nname = \"a\"\non = \"tier_changed\"\nwhen = 'trigger.after in [\"silver\", \"glod\"]'"
        ),
        &[
            "rule.a.when (line 11): at character 29: trigger.after is never \"glod\"; it is one of silver, gold; did you mean gold?",
        ],
    );
    refused(
        &format!("{tiers}[[rule]]\nname = \"a\"\non = \"order\"\nif = 'tier = \"glod\"'"),
        &[
            "rule.a.if (line 11): at character 8: tier is never \"glod\"; it is one of silver, gold; did you mean gold?",
        ],
    );
}

#[test]
fn a_configuration_without_rules_has_none() {
    assert!(read("").settings.rules.is_none());
    assert!(read("[rules]\nholdout = 0.1\n[rules.caps.a]\nmax = 1\nper = \"1d\"").settings.rules.is_none());
}
