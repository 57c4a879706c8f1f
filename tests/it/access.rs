//! Rights: what `acls print` prints is enough and not more than enough, tried on a broker with TLS, passwords by SCRAM, and ACLs.

mod printed;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;

use crate::kafka::{self, Client, KafkaNode, NodeSettings, Record, Tools, free_port};
use crate::process::run_to_end;
use crate::python;
use crate::service::{Exit, ServiceProcess, ServiceSettings, run_command};

use printed::{SingleRight, formats_say_the_same, principals_are_checked, rules_of, single_rights};

const PATIENCE: Duration = Duration::from_secs(30);

/// Of the broker's keystore, on this machine only and for as long as the trial runs.
const STORE_PASSWORD: &str = "changeit";

/// Users by name.
const USERS: [&str; 5] = ["service", "ops", "repairer", "eraser", "crm"];

const GROUP: &str = "crm-signals";

/// Rights without which `run` is tried too, not `check` alone: one of each kind.
const TRIED_WITH_RUN: [&str; 3] =
    ["Read on topic orders", "Read on group shop", "Write on transactional ids with prefix shop-"];

/// The topics of which the operator's rights are taken away.
const TRIED_WITH_PLAN: [&str; 2] = [" --topic orders", " --topic retention.changelog"];

/// Rights without which a remark is printed; everything else works.
const REMARKED_UPON: [&str; 3] = [
    "DescribeConfigs on topic orders",
    "DescribeConfigs on topic returns",
    "DescribeConfigs on topic erasures",
];

/// Rights that a repairer needs for dead letters of these inputs only; the trial has those of orders.
const OF_OTHER_DEAD_LETTERS: &[&str] = &["Write on topic returns", "Write on topic erasures"];

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_own_node("access::the_printed_rights_are_enough_and_each_is_needed", least_rights),
        python::trial(
            "access::every_format_prints_the_same_rights",
            "tests/helm/requirements.txt",
            formats_say_the_same,
        ),
        Trial::test("access::principals_are_checked", || Ok(principals_are_checked()?)),
    ]
}

/// A broker that wants a log-in, and the tools of its administrator.
struct Guarded {
    folder: tempfile::TempDir,
    node: KafkaNode,
    tools: Tools,
    port: u16,
}

impl Guarded {
    fn start() -> Result<Guarded> {
        let folder = tempfile::tempdir()?;
        let store = folder.path().join("broker.p12");
        make_certificate(&store, folder.path())?;
        let port = free_port()?;
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let protocols = "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL";
        let settings = NodeSettings { sasl_port: Some(port), ..NodeSettings::default() }
            .set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
            // The harness itself, on the listener without passwords.
            .set("super.users", "User:ANONYMOUS")
            .set("listener.security.protocol.map", protocols)
            .set("sasl.enabled.mechanisms", "SCRAM-SHA-512")
            .set("listener.name.sasl.scram-sha-512.sasl.jaas.config", scram)
            .set("listener.name.sasl.ssl.keystore.type", "PKCS12")
            .set("listener.name.sasl.ssl.keystore.location", &store.to_string_lossy())
            .set("listener.name.sasl.ssl.keystore.password", STORE_PASSWORD);
        let node = KafkaNode::start_with(settings)?;
        let mut tools = node.tools()?;
        for user in USERS {
            let password = format!("SCRAM-SHA-512=[password={}]", password(user));
            let entity = ["--entity-type", "users", "--entity-name", user];
            let arguments = [&["--alter", "--add-config", &password][..], &entity].concat();
            let servers = ["--bootstrap-server", node.bootstrap_servers()];
            tools.run("kafka.admin.ConfigCommand", &[&servers[..], &arguments].concat())?;
        }
        Ok(Guarded { folder, node, tools, port })
    }

    /// A configuration of the service that logs in as a user.
    fn settings(&self, user: &str) -> Result<ServiceSettings> {
        let file = self.folder.path().join(user);
        fs::write(&file, password(user))?;
        let settings = ServiceSettings::new(&self.servers(), "shop", "one")
            .set(&["state_dir"], self.folder.path().join("state").display().to_string())
            .set(&["commit", "patience"], "10s")
            .set(&["dead_letters", "max_share"], 1)
            .set(&["kafka", "session.timeout.ms"], "1000")
            .set(&["kafka", "heartbeat.interval.ms"], "100")
            .set(&["kafka", "sasl.password.file"], file.display().to_string());
        Ok(self
            .log_in(user)
            .iter()
            .fold(settings, |settings, (name, value)| settings.set(&["kafka", *name], value.as_str())))
    }

    /// The commands that `acls print` prints; asks no broker.
    fn print(&self, who: &[&str]) -> Result<Vec<String>> {
        let output = run_command(&self.settings("service")?, &[&["acls", "print"], who].concat(), PATIENCE)?;
        ensure!(output.status.success(), "{}", said(&output));
        Ok(output.stdout.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect())
    }

    fn log_in(&self, user: &str) -> [(&'static str, String); 4] {
        [
            ("security.protocol", "sasl_ssl".to_owned()),
            ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
            ("sasl.username", user.to_owned()),
            ("ssl.ca.location", self.folder.path().join("ca.pem").display().to_string()),
        ]
    }

    fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Runs a printed command as it is, but for the administrator's way in, and returns when the broker knows of it.
    fn carry_out(&mut self, command: &str) -> Result<()> {
        let words = self.words(command)?;
        self.administer(&words)?;
        let last = words.iter().rposition(|word| word == "--operation").context("an operation")? + 2;
        let question = [&["--list".to_owned()], &words[last..]].concat();
        let is_granted = words.iter().any(|word| word == "--add");
        let start = Instant::now();
        loop {
            let listed = self.administer(&question)?.replace('_', "").to_lowercase();
            let knows = |[principal, _, _, _, operation]: [String; 5]| {
                let rule = format!("(principal={principal}, host=*, operation={operation}, ").to_lowercase();
                listed.contains(&rule) == is_granted
            };
            if rules_of(command)?.into_iter().all(knows) {
                return Ok(());
            }
            ensure!(start.elapsed() < PATIENCE, "{command} has no effect: {listed}");
        }
    }

    /// The arguments of a command for `kafka-acls.sh`, without the way to the brokers.
    fn words(&self, command: &str) -> Result<Vec<String>> {
        let way_in = format!("--bootstrap-server {} --command-config admin.properties", self.servers());
        ensure!(command.contains(&way_in), "{command}");
        let words: Vec<_> = command.replace(&way_in, "").split_whitespace().map(str::to_owned).collect();
        let (program, arguments) = words.split_first().context("a command")?;
        ensure!(program == "kafka-acls.sh", "{command}");
        Ok(arguments.to_vec())
    }

    fn administer(&mut self, arguments: &[String]) -> Result<String> {
        let way_in = ["--bootstrap-server".to_owned(), self.node.bootstrap_servers().to_owned()];
        let arguments: Vec<&str> = way_in.iter().chain(arguments).map(String::as_str).collect();
        self.tools.run("org.apache.kafka.tools.AclCommand", &arguments)
    }
}

fn password(user: &str) -> String {
    format!("{user}-password-of-the-trial")
}

/// A key for the broker with a certificate that it has signed itself; clients know the certificate.
fn make_certificate(store: &Path, folder: &Path) -> Result<()> {
    let keytool = |arguments: &[&str]| {
        let mut command = Command::new(kafka::java_tool("keytool"));
        command.args(arguments).arg("-keystore").arg(store).args(["-storepass", STORE_PASSWORD]);
        run_to_end("keytool", command, folder, PATIENCE)
    };
    let subject = ["-dname", "CN=127.0.0.1", "-ext", "SAN=IP:127.0.0.1", "-validity", "2"];
    let key = ["-genkeypair", "-alias", "broker", "-keyalg", "RSA", "-storetype", "PKCS12"];
    keytool(&[&key[..], &subject].concat())?;
    let certificate = folder.join("ca.pem");
    keytool(&["-exportcert", "-rfc", "-alias", "broker", "-file", &certificate.to_string_lossy()])?;
    Ok(())
}

fn least_rights() -> Result<()> {
    let mut broker = Guarded::start()?;
    refuses_a_wrong_password(&broker)?;
    let operator = broker.print(&["--operator", "User:ops"])?;
    creates_topics(&mut broker, &operator)?;
    let consumer = broker.print(&["--consumer", "User:crm", "--group", GROUP])?;
    let service = Attempt::new(&broker, "service", &["check"], "--principal")?;
    for command in service.rights.iter().chain(&consumer) {
        broker.carry_out(command)?;
    }
    service.succeeds()?;
    let signals = runs_and_goes_on(&broker, &service.settings)?;
    reads_signals(&broker, signals)?;
    each_right_is_needed(&mut broker, &service)?;
    others_do_their_own_work(&mut broker, &operator)
}

/// A command as one user.
struct Attempt {
    settings: ServiceSettings,
    arguments: Vec<&'static str>,
    /// The commands that grant what it needs.
    rights: Vec<String>,
    /// Rights that it does not need this time.
    spare: &'static [&'static str],
}

impl Attempt {
    fn new(broker: &Guarded, user: &str, arguments: &[&'static str], role: &str) -> Result<Attempt> {
        let (settings, rights) = (broker.settings(user)?, broker.print(&[role, &format!("User:{user}")])?);
        Ok(Attempt { settings, arguments: arguments.to_vec(), rights, spare: &[] })
    }

    fn run(&self) -> Result<Exit> {
        run_command(&self.settings, &self.arguments, PATIENCE)
    }

    fn succeeds(&self) -> Result<String> {
        let output = self.run()?;
        ensure!(output.status.success(), "{:?}: {}", self.arguments, said(&output));
        Ok(output.stdout)
    }
}

/// Takes away one right after the other; what takes it away must show, and be undone by what is printed then.
fn each_right_is_needed(broker: &mut Guarded, attempt: &Attempt) -> Result<()> {
    for command in &attempt.rights {
        for right in single_rights(command)? {
            if attempt.spare.contains(&right.name.as_str()) {
                continue;
            }
            broker.carry_out(&right.remove)?;
            names_what_is_missing(broker, attempt, &right)?;
            broker.carry_out(&right.grant)?;
        }
    }
    // Nothing was taken away for good, and there is nothing to remark upon but that one broker keeps one copy.
    let printed = attempt.succeeds()?;
    ensure!(!printed.contains("DescribeConfigs"), "{printed}");
    Ok(())
}

fn names_what_is_missing(broker: &Guarded, attempt: &Attempt, right: &SingleRight) -> Result<()> {
    let output = attempt.run()?;
    let context = || format!("{:?} without {}: {}", attempt.arguments, right.name, said(&output));
    if REMARKED_UPON.contains(&right.name.as_str()) {
        ensure!(output.status.success() && output.stdout.contains(&right.grant), "{}", context());
        return Ok(());
    }
    ensure!(output.status.code() == Some(77), "{}", context());
    expect_named(&output.stderr, right)?;
    if attempt.arguments == ["check"] && TRIED_WITH_RUN.contains(&right.name.as_str()) {
        append(broker.node.client())?;
        let stopped = ServiceProcess::start(&attempt.settings)?.wait_for_end(PATIENCE)?;
        stopped.expect_code(77);
        expect_named(&stopped.stderr, right)?;
    }
    Ok(())
}

fn others_do_their_own_work(broker: &mut Guarded, operator: &[String]) -> Result<()> {
    // Of the rights to create, the creation has shown that they are needed. Of the others one input and one output: all take a minute.
    let tried = |command: &&String| TRIED_WITH_PLAN.iter().any(|topic| command.ends_with(topic));
    let tried = operator.iter().filter(tried);
    let plan = Attempt {
        settings: broker.settings("ops")?,
        arguments: vec!["topics", "plan"],
        rights: tried.map(|command| command.replace("--operation Create ", "")).collect(),
        spare: &[],
    };
    each_right_is_needed(broker, &plan)?;
    looks_at_no_state_without_the_group(broker, &plan)?;
    let requeue = ["dead-letters", "requeue", "--yes", "--through", "sed s/ten/10.00/"];
    for (user, arguments, role, shows, spare) in [
        ("repairer", &requeue[..], "--repairer", " to orders", OF_OTHER_DEAD_LETTERS),
        ("eraser", &["erase", "--yes", "a-customer"], "--eraser", "written to erasures", &[]),
    ] {
        let attempt = Attempt { spare, ..Attempt::new(broker, user, arguments, role)? };
        for command in &attempt.rights {
            broker.carry_out(command)?;
        }
        let printed = attempt.succeeds()?;
        ensure!(printed.contains(shows), "{printed}");
        each_right_is_needed(broker, &attempt)?;
    }
    Ok(())
}

fn refuses_a_wrong_password(broker: &Guarded) -> Result<()> {
    let wrong = broker.settings("service")?;
    fs::write(broker.folder.path().join("service"), "not-the-password")?;
    let output = run_command(&wrong, &["check"], PATIENCE)?;
    ensure!(output.status.code() == Some(77), "{}", said(&output));
    let stderr = &output.stderr;
    ensure!(stderr.to_lowercase().contains("authentication") && !stderr.contains("kafka-acls"), "{stderr}");
    fs::write(broker.folder.path().join("service"), password("service"))?;
    Ok(())
}

/// With the operator's rights, and not without the one to create.
fn creates_topics(broker: &mut Guarded, operator: &[String]) -> Result<()> {
    let settings = broker.settings("ops")?;
    let apply = ["topics", "apply", "--partitions", "2"];
    for without_create in operator.iter().map(|command| command.replace("--operation Create ", "")) {
        broker.carry_out(&without_create)?;
    }
    let refused = run_command(&settings, &apply, PATIENCE)?;
    let stderr = &refused.stderr;
    ensure!(refused.status.code() == Some(77), "{stderr}");
    for command in operator {
        for right in single_rights(command)?.iter().filter(|right| right.name.starts_with("Create ")) {
            ensure!(stderr.contains(&format!("{}: {}", right.name, right.grant)), "{}: {stderr}", right.name);
        }
        broker.carry_out(command)?;
    }
    let applied = run_command(&settings, &apply, PATIENCE)?;
    ensure!(applied.status.success(), "{}", said(&applied));
    Ok(())
}

/// Reads, publishes, commits, restores from changelog and snapshot, goes on. Returns how many signals there are.
fn runs_and_goes_on(broker: &Guarded, settings: &ServiceSettings) -> Result<usize> {
    let client = broker.node.client();
    let mut signals = 0;
    for _ in 0..2 {
        let service = ServiceProcess::start(settings)?;
        service.wait_until_ready(PATIENCE)?;
        append(client)?;
        service.wait_until("at the end of its inputs", PATIENCE, |service| {
            let applied = service.metric("retention_records_total", &["dead_lettered"])?.unwrap_or_default();
            Ok(applied >= 1.0 && client.read_committed("retention.signals")?.len() > signals)
        })?;
        signals = client.read_committed("retention.signals")?.len();
        service.terminate(PATIENCE)?.expect_clean();
    }
    let snapshots = fs::read_dir(broker.folder.path().join("state/snapshots"))?.count();
    ensure!(snapshots > 0, "no snapshot was kept");
    Ok(signals)
}

/// The first order of a customer, which gives a signal, and a record that becomes a dead letter.
fn append(client: &Client) -> Result<()> {
    let customer = client.unique_name("customer");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let order = json!({
        "order_id": client.unique_name("order"), "customer_id": customer, "placed_at": u64::try_from(now)?,
        "currency": "GBP", "total": "10.00",
    });
    let mut poison = order.clone();
    poison["total"] = json!("ten");
    client.produce("orders", [Record::json(customer.clone(), &order), Record::json(customer, &poison)])?;
    Ok(())
}

fn reads_signals(broker: &Guarded, expected: usize) -> Result<()> {
    let mut config = Client::new(&broker.servers()).config();
    for (name, value) in broker.log_in("crm") {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config
        .set("sasl.password", password("crm"))
        .set("group.id", GROUP)
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()?;
    consumer.subscribe(&["retention.signals"])?;
    let start = Instant::now();
    let mut read = 0;
    while read < expected && start.elapsed() < PATIENCE {
        // A rebalance ends it early, without a record.
        if let Some(message) = consumer.poll(PATIENCE) {
            ensure!(message?.payload().is_some(), "a signal has a value");
            read += 1;
        }
    }
    ensure!(read == expected, "{read} of {expected} signals are read");
    Ok(())
}

/// Of a group that is refused, the client's questions get no answer: the refusal must show all the same.
fn looks_at_no_state_without_the_group(broker: &mut Guarded, plan: &Attempt) -> Result<()> {
    let changelog = plan.rights.iter().find(|command| command.ends_with(" retention.changelog"));
    let reads = changelog
        .context("a right on the changelog")?
        .replace("--operation DescribeConfigs", "--operation Read");
    broker.carry_out(&reads)?;
    let printed = plan.succeeds()?;
    ensure!(printed.contains("what the topics hold is not looked at: "), "{printed}");
    ensure!(printed.contains("GroupAuthorizationFailed"), "{printed}");
    Ok(())
}

/// The user, the right and the command that grants it; and that right alone.
fn expect_named(message: &str, right: &SingleRight) -> Result<()> {
    let expected = format!("{}: {}", right.name, right.grant);
    ensure!(message.contains(&expected), "{expected:?} is not in {message}");
    let principal = right.grant.split_whitespace().find(|word| word.starts_with("User:"));
    let lacks = format!("{} lacks rights", principal.context("a principal")?);
    ensure!(message.contains(&lacks), "{lacks:?} is not in {message}");
    ensure!(message.matches("kafka-acls.sh").count() == 1, "more than {} is named: {message}", right.name);
    Ok(())
}

fn said(exit: &Exit) -> String {
    format!("{}{}", exit.stdout, exit.stderr)
}
