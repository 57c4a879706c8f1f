//! Whole configurations and what is read from them.

mod refused;

use super::*;
use crate::domain::lapse::Cadence;
use crate::domain::settings::Shops;
use crate::domain::signals::ratio_signal::Thresholds;
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::money::{Currency, SentAmount, ShopAmount};
use crate::topic::Output;

const SHOP: &str = "[shop]\ncurrency = \"EUR\"\n";

fn file(text: &str) -> Sources {
    Sources { file_text: Some(text.to_owned()), host_name: Some("host".to_owned()), ..Sources::default() }
}

fn environment(variables: &[(&str, &str)]) -> Sources {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Sources { environment: variables.collect(), ..file(SHOP) }
}

fn assignments(assignments: &[&str]) -> Sources {
    Sources { assignments: assignments.iter().map(|text| (*text).to_owned()).collect(), ..file(SHOP) }
}

fn read(sources: &Sources) -> Config {
    load(sources, Purpose::Offline).expect("a valid configuration")
}

#[test]
fn the_defaults_are_those_of_the_domain() {
    let config = read(&file(SHOP));
    assert_eq!(config.application, "retention-signals");
    assert_eq!(config.instance, "host");
    assert_eq!(config.workers, 1);
    assert_eq!(config.state_dir, PathBuf::from("state"));
    assert_eq!(config.topics.outputs[Output::DeadLetters], "retention.dead-letters");
    assert_eq!(config.settings.return_window, Span::days(365));
    assert_eq!(config.settings.lateness, Span::days(35));
    assert_eq!(config.settings.orders_max, 1_000);
    assert_eq!(config.settings.thresholds, Thresholds::default());
    assert!(format!("{:?}", config.settings.lapse).contains(&format!("Cadence({:?})", Cadence::default())));
    assert_eq!(config.clock.grace, Span::from_millis(60_000));
    assert_eq!(config.clock.at_end, AtEnd::Wall);
    assert_eq!(config.clock.skew, Span::from_millis(3_600_000));
    let bounds = RecordBounds { bytes_max: 1 << 20, depth_max: 32 };
    assert_eq!(config.record_bounds, bounds);
    let commit = CommitPace {
        interval: Duration::from_millis(100),
        backlog_interval: Duration::from_secs(1),
        patience: Duration::from_secs(30),
    };
    assert_eq!(config.commit, commit);
    let limit = DeadLetterLimit { share_max: Decimal::new(5, 2).expect("two digits"), window: 10_000 };
    assert_eq!(config.dead_letters, limit);
    assert!(config.http.listen.ip().is_loopback());
    let log = LogSettings { level: LogLevel::Info, format: LogFormat::Auto };
    assert_eq!(config.log, log);
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_a_fallback_beats_the_default() {
    let interval = |sources: &Sources| read(sources).commit.interval.as_millis();
    let mut sources = file(SHOP);
    assert_eq!(interval(&sources), 100);
    sources.fallbacks = vec![("commit.interval", "20ms".to_owned(), "column map")];
    assert_eq!(interval(&sources), 20);
    sources.file_text = Some(format!("{SHOP}[commit]\ninterval = \"30ms\""));
    assert_eq!(interval(&sources), 30);
    sources.environment = [("RETENTION_COMMIT__INTERVAL".to_owned(), "40ms".to_owned())].into();
    assert_eq!(interval(&sources), 40);
    sources.assignments = vec!["commit.interval=50ms".to_owned()];
    assert_eq!(interval(&sources), 50);
    sources.assignments.push("commit.interval = 60ms".to_owned());
    assert_eq!(interval(&sources), 60);
    sources.assignments.push("commit.interval = \"70ms\"".to_owned());
    assert_eq!(interval(&sources), 70, "copied from the file");
}

#[test]
fn every_key_can_be_set_by_the_environment() {
    let config = read(&environment(&[
        ("RETENTION_STATE_DIR", "/var/lib/state"),
        ("RETENTION_LAPSE__CADENCE__PRIOR_GAP_DAYS", "30.5"),
        ("RETENTION_CLOCK__AT_END", "2011-12-09T12:50:00Z"),
        ("RETENTION_RATES__USD", "0.9"),
        ("RETENTION_KAFKA__BOOTSTRAP_SERVERS", "broker:9092"),
        ("RETENTION_KAFKA__SASL_PASSWORD", "hunter2"),
        ("RETENTION_CONFIG", "elsewhere.toml"),
        // What Kubernetes sets for services called `retention` and `retention-signals`.
        ("RETENTION_PORT", "tcp://10.0.0.1:80"),
        ("RETENTION_SIGNALS_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "/bin"),
    ]));
    assert_eq!(config.state_dir, PathBuf::from("/var/lib/state"));
    assert!(format!("{:?}", config.settings.lapse).contains("units: 305"));
    assert_eq!(config.clock.at_end, AtEnd::At(Time::from_millis(1_323_435_000_000).expect("in range")));
    assert_eq!(config.kafka.bootstrap_servers(), Some("broker:9092"));
    assert_eq!(config.kafka.get("sasl.password"), Some("hunter2"));
    let Shops::One(shop) = &config.settings.shops else { panic!("one shop") };
    assert_eq!(
        shop.convert(SentAmount(1_000), Currency::from_code(b"USD").expect("dollars")),
        ShopAmount(900)
    );
}

#[test]
fn stores_have_their_own_currency_and_zone() {
    let config = read(&file(
        r#"
        key = "store_id/customer_id"
        [stores.berlin]
        currency = "EUR"
        time_zone = "Europe/Berlin"
        [stores."tokyo.1"]
        currency = "JPY"
        [rates]
        EUR = "1"
        JPY = "0.0065"
        USD = 0.9
        "#,
    ));
    let shops = &config.settings.shops;
    assert_eq!(shops.len(), 2);
    assert_eq!(shops.of_key(b"berlin/c1"), Some(ShopIndex(0)));
    assert_eq!(shops.of_key(b"tokyo.1/c1"), Some(ShopIndex(1)));
    assert_eq!(shops.of_key(b"paris/c1"), None);
    let euro = Currency::from_code(b"EUR").expect("euros");
    assert_eq!(shops.get(ShopIndex(1)).convert(SentAmount(65), euro), ShopAmount(100));
    assert_eq!(shops.get(ShopIndex(0)).conversions.len(), 2);
}

#[test]
fn currencies_beyond_iso_4217_are_declared() {
    let text = "[shop]\ncurrency = \"IRT\"\n[rates]\nIRR = \"0.1\"\n[currencies]\nIRT = 1\n";
    let environment = environment(&[("RETENTION_CURRENCIES__IRT", "0")]).environment;
    let config = read(&Sources { environment, ..file(text) });
    let Shops::One(shop) = &config.settings.shops else { panic!("one shop") };
    assert_eq!((shop.currency.to_string().as_str(), shop.currency.digits()), ("IRT", 0));
    let letters = Currency::from_letters(b"irt").expect("three letters");
    assert_eq!(shop.accepted(letters).map(Currency::digits), Some(0));
    let rials = Currency::from_code(b"IRR").expect("rials");
    assert_eq!(shop.convert(SentAmount(1_000), rials), ShopAmount(100));
}

#[test]
fn client_options_pass_to_the_clients_that_know_them() {
    let config = read(&file(&format!(
        "{SHOP}[kafka]\nbootstrap.servers = \"a:1\"\n\"fetch.min.bytes\" = 10\nlinger.ms = 0\nsocket.keepalive.enable = true\n"
    )));
    let consumers: Vec<_> = config.kafka.for_consumers().collect();
    let producers: Vec<_> = config.kafka.for_producers().collect();
    let admins: Vec<_> = config.kafka.for_admins().collect();
    let (servers, keepalive) = (("bootstrap.servers", "a:1"), ("socket.keepalive.enable", "true"));
    assert_eq!(consumers, [servers, ("fetch.min.bytes", "10"), keepalive]);
    assert_eq!(producers, [servers, ("linger.ms", "0"), keepalive]);
    assert_eq!(admins, [servers, keepalive]);
}

#[test]
fn secrets_come_from_files_and_are_never_printed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("write");
        path.display().to_string()
    };
    let (password, token) = (write("password", "hunter2\n"), write("token", "correct-horse-battery\n"));
    let erasure = write("erasure", "staple-staple-staple\n");
    let mut sources = file(&format!(
        "{SHOP}[http]\ntoken_file = {token:?}\n[erasure]\nsecret_file = {erasure:?}\n[kafka]\nsasl.password.file = {password:?}\n"
    ));
    sources.environment = [("RETENTION_KAFKA__SSL_KEY_PASSWORD".to_owned(), "hunter3".to_owned())].into();
    let config = read(&sources);
    assert_eq!(config.kafka.get("sasl.password"), Some("hunter2"));
    assert_eq!(config.kafka.get("ssl.key.password"), Some("hunter3"));
    assert_eq!(config.http.token.as_ref().map(Secret::expose), Some(&b"correct-horse-battery"[..]));
    let printed = format!("{config:#?} {:?} {:?}", config.kafka, config.http);
    for secret in ["hunter", "horse", "staple"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(printed.contains("(redacted)"), "{printed}");
}

#[test]
fn another_erasure_secret_has_another_fingerprint_and_other_markers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let with_secret = |content: &str| {
        let path = folder.path().join("secret");
        std::fs::write(&path, content).expect("write");
        read(&file(&format!("{SHOP}[erasure]\nsecret_file = {path:?}\n")))
    };
    let (one, same, other) =
        (with_secret("0123456789abcdef"), with_secret("0123456789abcdef\n"), with_secret("0123456789abcdeF"));
    let none = read(&file(SHOP));
    assert_eq!(one.erasure_fingerprint, same.erasure_fingerprint);
    assert_ne!(one.erasure_fingerprint, other.erasure_fingerprint);
    assert_ne!(one.erasure_fingerprint, none.erasure_fingerprint);
    let marker = |config: &Config| (config.settings.erasure_hash)(b"c1");
    assert_eq!(marker(&one), marker(&same));
    assert_ne!(marker(&one), marker(&other));
    assert_eq!(one.former_erasure_fingerprint, Some(none.erasure_fingerprint));
    assert_eq!(none.former_erasure_fingerprint, None);
    let former = one.settings.former_erasure_hash.as_ref().expect("what was in force without a secret");
    assert_eq!(former(b"c1"), marker(&none));
}

#[test]
fn a_digest_tells_configurations_apart_and_holds_no_secret() {
    let digest = |sources: &Sources| read(sources).digest();
    let own = digest(&file(SHOP));
    assert_eq!(own, digest(&assignments(&["instance=another"])), "instances of one application");
    assert_ne!(own, digest(&assignments(&["commit.interval=50ms"])));
    assert_eq!(own, digest(&assignments(&["commit.interval=100ms"])), "the default, written out");
    let with_password = |password| digest(&environment(&[("RETENTION_KAFKA__SASL_PASSWORD", password)]));
    assert_eq!(with_password("hunter2"), with_password("correct horse"));
    assert_ne!(own, with_password("hunter2"));
}

#[test]
fn how_to_log_is_known_although_the_rest_is_wrong() {
    let settings = log_settings(&file("log.format = \"json\"\n[shop]\ncurrency = \"nonsense\"\n"));
    assert_eq!(settings.format, LogFormat::Json);
    let broken = Sources { assignments: vec!["log.format=text".to_owned()], ..file("this is not TOML") };
    assert_eq!(log_settings(&broken).format, LogFormat::Text);
    assert_eq!(log_settings(&assignments(&["log.format=loud"])).format, LogFormat::Auto);
}

#[test]
fn sources_of_the_intake_are_checked_together() {
    let file = "kafka.bootstrap.servers = \"k:9\"\nshop.currency = \"EUR\"\ninstance = \"one\"\n[intake.sources.shop]\n\
                topics = [\"webhooks\", \"backfill\"]\nmap = \"shopify\"\noptions = { money = \"paid\" }\n";
    let load_with = |more: &str| {
        let sources = Sources { file_text: Some(format!("{file}{more}")), ..Sources::default() };
        load(&sources, Purpose::Kafka)
    };
    let config = load_with("").expect("valid");
    let [source] = config.intake.expect("a source").sources.try_into().expect("one");
    assert_eq!(
        (source.topics, source.map.as_str()),
        (vec!["webhooks".to_owned(), "backfill".to_owned()], "shopify")
    );
    assert_eq!(source.options.into_iter().collect::<Vec<_>>(), [("money".to_owned(), "paid".to_owned())]);
    for (more, expected) in [
        ("[intake.sources.b]\ntopics = \"webhooks\"\nmap = \"x\"\n", "belongs to the source \"b\" already"),
        ("[intake.sources.b]\ntopics = \"orders\"\nmap = \"x\"\n", "which intake writes"),
        ("[intake.sources.b]\ntopics = \"retention.signals\"\nmap = \"x\"\n", "that the service writes"),
        ("[intake.sources.b]\nmap = \"x\"\n", "intake.sources.b.topics: is not set"),
        ("[intake.sources.b]\ntopic = \"y\"\nmap = \"x\"\n", "unknown key"),
    ] {
        let error = load_with(more).expect_err(expected).to_string();
        assert!(error.contains(expected), "{more}: {error}");
    }
    for (assignment, expected) in [
        ("instance=intake-1", "begins with \"intake-\""),
        ("application=shop-intake", "ends with \"-intake\""),
    ] {
        let sources = Sources {
            file_text: Some(file.replace("instance = \"one\"\n", "")),
            assignments: vec!["instance=one".to_owned(), assignment.to_owned()],
            ..Sources::default()
        };
        let error = load(&sources, Purpose::Kafka).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}
