//! Configurations that are refused, with the exact message.

use super::*;

#[track_caller]
fn refused(sources: &Sources, purpose: Purpose, expected: &[&str]) {
    match load(sources, purpose) {
        Ok(_) => panic!("accepted: {sources:#?}"),
        Err(error) => assert_eq!(error.problems(), expected, "{sources:#?}"),
    }
}

/// A line of a file, and its error message.
#[rustfmt::skip]
const WRONG_VALUES: &[(&str, &str)] = &[
    ("workers = 0", "workers (line 1): \"0\" is out of bounds; give 1 to 64"),
    ("workers = -1", "workers (line 1): \"-1\" is not a whole number of threads"),
    ("workers = [1]", "workers (line 1): is a list; give one value"),
    (
        "instance = \"a b\"",
        "instance (line 1): \"a b\" is out of bounds; give 1 to 100 of A-Z a-z 0-9 . _ -",
    ),
    ("key = \"customer\"", "key (line 1): \"customer\" is none of `customer_id`, `store_id/customer_id`"),
    (
        "topics.orders = \"a/b\"",
        "topics.orders (line 1): \"a/b\" is out of bounds; give 1 to 249 of A-Z a-z 0-9 . _ -",
    ),
    (
        "topics.orders = \"returns\"",
        "topics.returns (default): \"returns\" is also the topic of topics.orders; every topic has its own name",
    ),
    ("state_dir = \"\"", "state_dir (line 1): is empty; give a path or leave the key out"),
    (
        "commit.interval = 100",
        "commit.interval (line 1): \"100\" is not a duration; write a whole number and a unit (ms, s, m, h, d), such as 100ms, 1m or 365d",
    ),
    ("commit.interval = \"1m\"", "commit.interval (line 1): \"1m\" is out of bounds; give 10ms to 5s"),
    (
        "commit.interval = \"2s\"",
        "commit.backlog_interval (default): is shorter than commit.interval; a backlog is worked off in longer transactions, so raise it",
    ),
    (
        "records.max_bytes = \"1MB\"",
        "records.max_bytes (line 1): \"1MB\" is not a size; write a whole number and a unit (B, KiB, MiB, GiB), such as 64KiB or 1MiB",
    ),
    (
        "records.return_window = \"180d\"",
        "records.return_window (line 1): return_window and lateness must add up to at least 365d, the longest window; raise one of them",
    ),
    (
        "lapse.fixed.lapsed_days = 30",
        "lapse.fixed.lapsed_days (line 1): 30 must be above lapse.fixed.at_risk_days, which is 30; raise the one or lower the other",
    ),
    (
        "lapse.cadence.lapsed_factor = 1.5",
        "lapse.cadence.lapsed_factor (line 1): 1.5 must be above lapse.cadence.at_risk_factor, which is 1.5; raise the one or lower the other",
    ),
    (
        "lapse.cadence.prior_weight = 0",
        "lapse.cadence.prior_weight (line 1): \"0\" is out of bounds; give 0.01 to 1000",
    ),
    (
        "lapse.cadence.prior_weight = 1.00001",
        "lapse.cadence.prior_weight (line 1): 1.00001 has more than 4 digits after the point",
    ),
    (
        "lapse.cadence.prior_weight = 1e1",
        "lapse.cadence.prior_weight (line 1): \"1e1\" is not a decimal; write digits with at most one point, such as 45 or 1.5",
    ),
    (
        "signals.frequency_fell_rearm = 1.6",
        "signals.frequency_fell_rearm (line 1): 1.6 would arm a signal again that has just fired; give at most signals.frequency_fell, which is 1.5",
    ),
    (
        "signals.frequency_rose_rearm = 0.5",
        "signals.frequency_rose_rearm (line 1): 0.5 would arm a signal again that has just fired; give at least signals.frequency_rose, which is 0.67",
    ),
    (
        "clock.at_end = \"2011-12-09T12:50:00\"",
        "clock.at_end (line 1): \"2011-12-09T12:50:00\" is none of `wall`, `stay`, an RFC 3339 instant (with an offset)",
    ),
    (
        "http.listen = \"localhost:80\"",
        "http.listen (line 1): \"localhost:80\" is not an IP address and a port, such as 127.0.0.1:9464",
    ),
    (
        "rates.usd = 1",
        "rates.usd (line 1): \"usd\" is not the code of an ISO 4217 currency, such as EUR; did you mean USD?",
    ),
    ("rates.USD = \"0\"", "rates.USD (line 1): a rate must be above 0"),
    (
        "rates.IRT = 1",
        "rates.IRT (line 1): \"IRT\" is not the code of an ISO 4217 currency, such as EUR; one that ISO 4217 does not have needs its digits: [currencies] IRT = 2",
    ),
    ("currencies.EUR = 2", "currencies.EUR (line 1): EUR is an ISO 4217 currency with 2 digits; leave it out"),
    ("currencies.irt = 0", "currencies.irt (line 1): \"irt\" is not the code of a currency: three capital letters"),
    (
        "currencies.IRT = 5",
        "currencies.IRT (line 1): \"5\" is out of bounds; give 0 to 4",
    ),
    (
        "rates.USD = \"9999999999999\"\nrates.EUR=\"0.000000007\"",
        "rates.USD (line 1): 9999999999999 to 0.000000007 of EUR cannot be computed exactly; use fewer digits",
    ),
    (
        "stores.a.currency = \"EUR\"",
        "stores.a: stores are for the key store_id/customer_id; set key, or describe the one shop in [shop]",
    ),
    (
        "shop.time_zone = \"Mars\"",
        "shop.time_zone (line 1): \"Mars\" is not an IANA time zone such as Europe/Berlin",
    ),
    (
        "http.token_file = \"/nowhere/token\"",
        "http.token_file (line 1): cannot read /nowhere/token: No such file or directory (os error 2)",
    ),
];

#[test]
fn values_out_of_form_or_bounds_are_refused() {
    for (lines, expected) in WRONG_VALUES {
        refused(&file(&format!("{lines}\nshop.currency = \"EUR\"")), Purpose::Offline, &[expected]);
    }
}

#[test]
fn a_store_that_cannot_be_is_refused() {
    let key = "key = \"store_id/customer_id\"\n";
    for (lines, expected) in [
        (
            "",
            "stores: there are 0 stores; with the key store_id/customer_id describe 1 to 10000 in [stores.<id>]",
        ),
        (
            "[stores.a]",
            "stores.a.currency: is not set; give the ISO 4217 code of the currency that figures are kept in, such as \"EUR\"",
        ),
        (
            "[stores.\"a/b\"]\ncurrency = \"EUR\"",
            "stores.\"a/b\": a store id has 1 to 512 bytes and no `/`, because keys are split there",
        ),
        (
            "[stores.a]\ncurency = \"EUR\"\ncurrency = \"EUR\"",
            "stores.a.curency (line 3): unknown key; did you mean stores.a.currency?",
        ),
        (
            "[stores.a]\ncurrency = \"EUR\"\n[shop]\ncurrency = \"EUR\"",
            "shop.currency (line 5): has no effect with the key store_id/customer_id; move it to each [stores.<id>]",
        ),
        (
            "[stores.a]\ncurrency = \"EUR\"\n[stores.b]\ncurrency = \"USD\"\n[rates]\nEUR = \"1\"",
            "rates.USD: is not set; the stores keep figures in several currencies, so each of them needs a rate",
        ),
    ] {
        refused(&file(&format!("{key}{lines}")), Purpose::Offline, &[expected]);
    }
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    for (sources, expected) in [
        (
            file(&format!("{SHOP}[comit]\ninterval = \"1s\"")),
            "comit.interval (line 4): unknown key; did you mean commit.interval?",
        ),
        (
            file(&format!("patience = \"1s\"\n{SHOP}")),
            "patience (line 1): unknown key; did you mean commit.patience?",
        ),
        (
            file(&format!("{SHOP}[zoo]\nzebra = 1")),
            "zoo.zebra (line 4): unknown key; docs/CONFIGURATION.md lists all of them",
        ),
        (
            environment(&[("RETENTION_COMIT__INTERVAL", "1s")]),
            "RETENTION_COMIT__INTERVAL: unknown key; did you mean RETENTION_COMMIT__INTERVAL?",
        ),
        (
            environment(&[("RETENTION_COMMIT_INTERVAL", "1s")]),
            "RETENTION_COMMIT_INTERVAL: unknown key; did you mean RETENTION_COMMIT__INTERVAL?",
        ),
        (
            environment(&[("RETENTION_STORES__A__CURRENCY", "EUR")]),
            "RETENTION_STORES__A__CURRENCY: stores cannot be set by the environment, because ids keep their case; write them in the file",
        ),
        (
            environment(&[("RETENTION_WORKERS", "many")]),
            "workers (RETENTION_WORKERS): \"many\" is not a whole number of threads",
        ),
        (assignments(&["workers"]), "--set: \"workers\" is not KEY=VALUE, such as commit.interval=50ms"),
        (
            assignments(&["a b=1"]),
            "--set: \"a b\" is not a key; write it as in the file, such as commit.interval",
        ),
        (assignments(&["worker=1"]), "worker (--set): unknown key; did you mean workers?"),
        // A problem is one line, and what is in a name does nothing to a terminal.
        (
            environment(&[("RETENTION_WORK\x1bERS", "1")]),
            "RETENTION_WORK\\u{1b}ERS: unknown key; did you mean RETENTION_WORKERS?",
        ),
        (
            file(&format!("{SHOP}[kafka]\n\"linger\\n.x\" = 1")),
            "kafka.\"linger\\n.x\" (line 4): unknown option of the Kafka client; did you mean kafka.linger.ms?",
        ),
        (
            file(&format!("erasure.secret_file = \"a\\tb\"\n{SHOP}")),
            "erasure.secret_file (line 1): cannot read a\\tb: No such file or directory (os error 2)",
        ),
        (file("[shop\n"), "line 1: this is not TOML: unclosed table, expected `]`"),
    ] {
        let problems = load(&sources, Purpose::Offline).err().map(|error| error.problems());
        assert_eq!(problems.and_then(|list| list.into_iter().next()).as_deref(), Some(expected));
    }
}

#[test]
fn client_options_that_would_break_a_guarantee_are_refused() {
    for (line, expected) in [
        (
            "enable.auto.commit = true",
            "kafka.enable.auto.commit (line 1): cannot be set: offsets are committed in the transaction of their effects",
        ),
        (
            "isolation.level = \"read_uncommitted\"",
            "kafka.isolation.level (line 1): cannot be set: records of aborted transactions must never be counted",
        ),
        ("acks = 1", "kafka.acks (line 1): cannot be set: a commit must survive the loss of a broker"),
        (
            "transactional.id = \"x\"",
            "kafka.transactional.id (line 1): cannot be set: it is derived from application, instance and worker, so that a restart fences its predecessor",
        ),
        (
            "group.protocol = \"consumer\"",
            "kafka.group.protocol (line 1): cannot be set: only the classic protocol is proven with these hand-overs",
        ),
        (
            "fetch.min.byte = 1",
            "kafka.fetch.min.byte (line 1): unknown option of the Kafka client; did you mean kafka.fetch.min.bytes?",
        ),
        ("linger.ms = []", "kafka.linger.ms (line 1): is a list; give one value"),
        (
            "sasl.password = \"hunter2\"",
            "kafka.sasl.password (line 1): a secret belongs neither here nor in an argument; name a file that holds it in kafka.sasl.password.file, or set RETENTION_KAFKA__SASL_PASSWORD",
        ),
        (
            "sasl.password.file = \"/nowhere\"",
            "kafka.sasl.password.file (line 1): cannot read /nowhere: No such file or directory (os error 2)",
        ),
        (
            "sasl.username.file = \"/nowhere\"",
            "kafka.sasl.username.file (line 1): unknown option of the Kafka client; did you mean kafka.sasl.username?",
        ),
    ] {
        let text = format!("kafka.{line}\nshop.currency = \"EUR\"\nkafka.bootstrap.servers = \"a:1\"");
        refused(&file(&text), Purpose::Kafka, &[expected]);
    }
}

#[test]
fn what_a_purpose_needs_must_be_there() {
    let servers =
        "kafka.bootstrap.servers: is not set; give the brokers to ask first, such as \"localhost:9092\"";
    let currency = "shop.currency: is not set; give the ISO 4217 code of the currency that figures are kept in, such as \"EUR\"";
    let instance =
        "instance: is not set and the host name is not known; give a name that is unique and stays";
    refused(&file(SHOP), Purpose::Kafka, &[servers]);
    refused(&file(""), Purpose::Offline, &[currency]);
    refused(&Sources::default(), Purpose::Kafka, &[instance, currency, servers]);
}

#[test]
fn all_problems_are_told_in_one_message() {
    let mut sources = file("workers = 0\n[clock]\ngrace = \"soon\"\n");
    sources.file_name = Some("shop.toml".to_owned());
    let error = load(&sources, Purpose::Offline).expect_err("it is wrong");
    assert_eq!(
        error.to_string(),
        "the configuration in shop.toml cannot be used, 3 problems:\n  \
         workers (line 1): \"0\" is out of bounds; give 1 to 64\n  \
         shop.currency: is not set; give the ISO 4217 code of the currency that figures are kept in, such as \"EUR\"\n  \
         clock.grace (line 3): \"soon\" is not a duration; write a whole number and a unit (ms, s, m, h, d), such as 100ms, 1m or 365d"
    );
}
