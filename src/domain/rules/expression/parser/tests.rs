//! What is read, what is refused, and random expressions.

use super::super::fields::Value;
use super::*;
use crate::domain::values::number::Ratio;

const CUSTOMER: Scope<'static> = Scope::Customer { has_sku: false, tiers: &[] };

fn in_customer(text: &str) -> Result<Condition, ExpressionError> {
    parse(text, CUSTOMER)
}

/// Values of one customer, as texts.
fn value(field: Field) -> Value<'static> {
    let number = |numerator: i64, denominator: i64| {
        Ratio::new(numerator, denominator).map_or(Value::Null, Value::Number)
    };
    match field.to_string().as_str() {
        "state" => Value::Text("active"),
        "silence_days" => number(30 * 86_400_000, 86_400_000),
        "mean_gap_days" => number(263, 3),
        "all_time.kept" => number(4, 1),
        "all_time.net" => number(18_670, 100),
        "all_time.aov_net" => number(18_670, 400),
        "d30.net" => number(-250, 100),
        "p_order_90d" => number(500, 10_000),
        "all_time.came_back" => Value::Flag(true),
        "d30.came_back" => Value::Flag(false),
        _ => Value::Null,
    }
}

#[test]
fn conditions_hold_or_not() {
    for (text, expected) in [
        ("state = \"active\"", true),
        ("state != \"active\"", false),
        ("state in [\"lapsed\", \"active\"]", true),
        ("silence_days >= 30d", true),
        ("silence_days > 30d", false),
        ("silence_days < 721h", true),
        ("mean_gap_days > 87d", true),
        ("mean_gap_days < 88d", true),
        ("all_time.net = 186.7", true),
        ("all_time.aov_net = 46.675", true),
        ("all_time.aov_net = 46.68", false),
        ("d30.net < 0.00 and d30.net >= -2.50", true),
        ("p_order_90d >= 0.05", true),
        ("all_time.kept in [1, 4]", true),
        ("all_time.came_back and not d30.came_back", true),
        ("segment = \"loyal\" or segment != \"loyal\"", false),
        ("not segment = \"loyal\"", true),
        ("segment is null and state is not null", true),
        ("tier = \"anything\"", false),
        // `and` binds the closer, and brackets decide.
        ("d30.came_back and d30.came_back or all_time.came_back", true),
        ("d30.came_back and (d30.came_back or all_time.came_back)", false),
        ("not (d30.came_back or all_time.came_back) or all_time.came_back", true),
        ("days_since_return is null or days_since_return > 30d", true),
    ] {
        let condition = in_customer(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(condition.holds(value), expected, "{text}");
        assert!(!condition.is_always(), "{text}");
    }
    assert!(Condition::always().holds(value) && Condition::always().is_always());
}

#[test]
fn what_is_no_condition_is_refused_with_its_place() {
    let trigger = |signal| Scope::Trigger { signal, has_sku: false, tiers: &[] };
    let tiers = ["silver".to_owned()];
    for (text, scope, position, message) in [
        ("", CUSTOMER, 1, "found the end where a field"),
        ("stat = \"active\"", CUSTOMER, 1, "stat is no field"),
        ("state = \"actve\"", CUSTOMER, 9, "state is never \"actve\""),
        ("tier = \"sliver\"", Scope::Customer { has_sku: false, tiers: &tiers }, 8, "tier is never"),
        ("not  ( state = 3 )", CUSTOMER, 16, "found 3 where state is compared with a text"),
        ("silence_days > 30", CUSTOMER, 16, "with a duration"),
        ("silence_days > 30w", CUSTOMER, 16, "with a duration"),
        ("silence_days > 999999d", CUSTOMER, 16, "with a duration"),
        ("all_time.kept > 3d", CUSTOMER, 17, "with a number"),
        ("all_time.net > 3.", CUSTOMER, 16, "an amount"),
        ("all_time.net > 0.1234567891", CUSTOMER, 16, "an amount"),
        ("state > \"active\"", CUSTOMER, 7, "compared by =, != and in"),
        ("state", CUSTOMER, 6, "found the end behind state"),
        ("all_time.came_back = true", CUSTOMER, 20, "write all_time.came_back or not"),
        ("state == \"active\"", CUSTOMER, 7, "write = to compare"),
        ("state = 'active'", CUSTOMER, 9, "double quotes"),
        ("state = \"active", CUSTOMER, 9, "no closing quote"),
        ("r = 1 && f = 2", CUSTOMER, 7, "write and"),
        ("r = 1 r = 2", CUSTOMER, 7, "found r where \"and\""),
        ("(r = 1", CUSTOMER, 7, "found the end where ) is expected"),
        ("r in []", CUSTOMER, 7, "found ] where r is compared"),
        ("r is nul", CUSTOMER, 6, "found nul where null is expected"),
        ("é = 1", CUSTOMER, 1, "'é' has no meaning here"),
        ("trigger.value > 1", CUSTOMER, 1, "ask for it in `when`"),
        ("sku = \"A\"", CUSTOMER, 1, "only to rules on a product"),
        ("state = \"active\"", trigger(Some(SignalType::Lapsed)), 1, "ask for it in `if`"),
        ("trigger.value > 1", trigger(None), 1, "not triggered by one"),
        ("trigger.valeu > 1", trigger(Some(SignalType::FirstOrder)), 1, "trigger.valeu is no field"),
        ("valeu > 1", trigger(None), 1, "valeu is no field"),
    ] {
        let error = parse(text, scope).expect_err(text);
        assert_eq!(error.position, position, "{text}: {}", error.message);
        assert!(error.message.contains(message), "{text}: {}", error.message);
    }
    let (word, known) = in_customer("stat = 1").expect_err("no field").unknown.expect("a word");
    assert!(word == "stat" && known.iter().any(|name| name == "state"), "{known:?}");
    assert!(parse("trigger.after = \"champions\"", trigger(Some(SignalType::SegmentChanged))).is_ok());
}

#[test]
fn conditions_are_bounded() {
    let nested = |depth: usize| format!("{}r = 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(in_customer(&nested(DEPTH_MAX)).is_ok());
    assert!(in_customer(&nested(DEPTH_MAX + 1)).expect_err("too deep").message.contains("16 deep"));
    let wide = vec!["(not r = 1)"; 60].join(" or ");
    assert!(in_customer(&wide).is_ok(), "depth counts what is nested, not what stands side by side");
    let long = |length: usize| format!("r = 1{}", " ".repeat(length - 5));
    assert!(in_customer(&long(LENGTH_MAX)).is_ok());
    assert_eq!(in_customer(&long(LENGTH_MAX + 1)).expect_err("too long").position, LENGTH_MAX + 1);
}

// === random expressions ===

fn random_test(random: &mut fastrand::Rng) -> Test {
    let fields: Vec<Field> = Field::of_customers().collect();
    let field = fields[random.usize(..fields.len())];
    let literal = |random: &mut fastrand::Rng| match (field.field_type(), field.words()) {
        (FieldType::Text, Some(words)) => Literal::Text(words[random.usize(..words.len())].into()),
        (FieldType::Text, None) => Literal::Text("silver".into()),
        (FieldType::Days, _) => Literal::Duration(Span::from_millis(random.i64(0..200) * 43_200_000)),
        (FieldType::Flag | FieldType::Number | FieldType::Money, _) => {
            let magnitude = Decimal::new(random.u64(0..20_000), random.u8(0..=4)).expect("few digits");
            Literal::Number { is_negative: random.bool() && magnitude.numerator() != 0, magnitude }
        }
    };
    let comparisons = if field.field_type() == FieldType::Text { 2 } else { Comparison::ALL.len() };
    match (random.u8(0..4), field.field_type()) {
        (0, _) => Test::IsNull(field),
        (1, _) => Test::IsNotNull(field),
        (_, FieldType::Flag) => Test::Is(field),
        (2, _) => Test::In(field, (0..random.usize(1..4)).map(|_| literal(random)).collect()),
        _ => Test::Compare(field, Comparison::ALL[random.usize(..comparisons)], literal(random)),
    }
}

fn random_expression(random: &mut fastrand::Rng, depth: usize) -> Expression {
    let parts = |random: &mut fastrand::Rng| {
        (0..random.usize(2..4)).map(|_| random_expression(random, depth - 1)).collect()
    };
    match if depth == 0 { 3 } else { random.u8(0..4) } {
        0 => Expression::Or(parts(random)),
        1 => Expression::And(parts(random)),
        2 => Expression::Not(Box::new(random_expression(random, depth - 1))),
        _ => Expression::Test(random_test(random)),
    }
}

/// As the definition says it.
fn naive(expression: &Expression) -> bool {
    match expression {
        Expression::Or(parts) => parts.iter().any(naive),
        Expression::And(parts) => parts.iter().all(naive),
        Expression::Not(inner) => !naive(inner),
        Expression::Test(test) => test.holds(value),
    }
}

#[test]
fn random_expressions_are_read_as_they_are_written_and_hold_as_they_say() {
    let mut random = fastrand::Rng::with_seed(24);
    let mut held = [0; 2];
    for _ in 0..3_000 {
        let expression = random_expression(&mut random, 4);
        let (text, condition) = (expression.to_string(), Condition::new(expression.clone()));
        if text.chars().count() <= LENGTH_MAX {
            assert_eq!(in_customer(&text), Ok(condition.clone()), "{text}");
        }
        assert_eq!(condition.holds(value), naive(&expression), "{text}");
        held[usize::from(condition.holds(value))] += 1;
    }
    assert!(held.iter().all(|count| *count > 500), "{held:?}");
}

#[test]
fn random_texts_are_refused_at_a_place_in_them() {
    let pieces = [
        "state",
        "all_time.net",
        "=",
        "!=",
        "<",
        "(",
        ")",
        "[",
        "]",
        ",",
        "and",
        "or",
        "not",
        "is",
        "null",
        "in",
        "\"active\"",
        "\"",
        "30d",
        "-1.5",
        "é",
        " ",
        "all_time.came_back",
    ];
    let mut random = fastrand::Rng::with_seed(25);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let text: String =
            (0..random.usize(1..9)).map(|_| [pieces[random.usize(..pieces.len())], " "].concat()).collect();
        match in_customer(&text) {
            Ok(condition) => {
                accepted += 1;
                assert_eq!(in_customer(&condition.to_string()), Ok(condition), "{text}");
            }
            Err(error) => {
                assert!((1..=text.chars().count() + 1).contains(&error.position), "{text}: {error:?}")
            }
        }
    }
    assert!(accepted > 20, "{accepted}");
}

#[test]
fn the_part_that_is_false_is_named_with_its_value() {
    for (text, part, is) in [
        ("state = \"lapsed\"", "state = \"lapsed\"", Some("\"active\"")),
        ("state = \"active\" and silence_days > 30d and all_time.kept = 1", "silence_days > 30d", Some("30")),
        (
            "all_time.aov_net < 10 or mean_gap_days > 88d",
            "all_time.aov_net < 10 or mean_gap_days > 88d",
            None,
        ),
        ("all_time.kept = 4 and (d30.came_back and state = \"lapsed\")", "d30.came_back", Some("no")),
        ("mean_gap_days < 80d", "mean_gap_days < 80d", Some("87.6667")),
        ("d30.net > 0.00", "d30.net > 0", Some("-2.5")),
        ("not all_time.came_back", "not all_time.came_back", Some("yes")),
        ("p_order_90d > 0.05", "p_order_90d > 0.05", Some("0.05")),
        ("tier = \"gold\"", "tier = \"gold\"", Some("null")),
    ] {
        let scope = Scope::Customer { has_sku: false, tiers: &["gold".to_owned()] };
        let condition = parse(text, scope).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let (found, field) = condition.first_false(value).unwrap_or_else(|| panic!("{text} holds"));
        let found_is = field.map(|field| value(field).to_string());
        assert_eq!((found.as_str(), found_is.as_deref()), (part, is), "{text}");
    }
    let holds =
        in_customer("state = \"active\" and (all_time.kept = 4 or d30.came_back)").expect("a condition");
    assert_eq!(holds.first_false(value), None);
    assert_eq!(Condition::always().first_false(value), None);
}
