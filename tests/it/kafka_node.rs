//! The test harness's own promises: what is produced is read back, a killed node keeps what it had, a paused one is
//! silent.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use libtest_mimic::Trial;
use rdkafka::consumer::Consumer;
use serde_json::json;

use crate::kafka::{self, Committed, Isolation, KafkaNode, NodeSettings, Record, compacted};
use crate::process::{Process, Signal, run_to_end};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("process::a_failed_command_is_told_with_its_output", || Ok(failed_command_is_told()?)),
        Trial::test("process::signals_arrive", || Ok(signals_arrive()?)),
        kafka::on_shared_node("kafka_node::records_come_back_as_they_went", records_come_back),
        kafka::on_shared_node("kafka_node::keys_hash_as_in_java", keys_hash_as_in_java),
        kafka::on_shared_node("kafka_node::topics_grow_and_go", topics_grow_and_go),
        kafka::on_shared_node("kafka_node::group_offsets_are_set_and_read", group_offsets),
        kafka::on_own_node("kafka_node::a_killed_node_comes_back_with_its_records", killed_node_comes_back),
    ]
}

fn failed_command_is_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("sh");
    command.args(["-c", "echo out; echo why >&2; exit 3"]);
    let error = run_to_end("fails", command, folder.path(), Duration::from_secs(10)).expect_err("code 3");
    let told = format!("{error:#}");
    assert!(told.contains("exit status: 3") && told.contains("out") && told.contains("why"), "{told}");

    let error =
        run_to_end("missing", Command::new("/no/such/command"), folder.path(), Duration::from_secs(10));
    assert!(format!("{:#}", error.expect_err("no such command")).contains("start missing"));
    Ok(())
}

fn signals_arrive() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("sleep");
    command.arg("600");
    let process = Process::spawn("sleeper", command, folder.path())?;
    let state = || -> Result<String> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid()))?;
        Ok(stat.split(' ').nth(2).unwrap_or_default().to_owned())
    };
    let wait_for = |wanted: &str| -> Result<()> {
        while state()? != wanted {
            assert!(
                process.exits_within(Duration::from_millis(1)).is_none(),
                "ended while waiting for {wanted}"
            );
        }
        Ok(())
    };
    process.signal(Signal::Pause);
    wait_for("T")?;
    process.signal(Signal::Resume);
    wait_for("S")?;
    process.signal(Signal::Terminate);
    let status = process.exits_within(Duration::from_secs(10)).expect("SIGTERM ends a sleep");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
    process.signal(Signal::Kill);
    Ok(())
}

fn records_come_back(node: &KafkaNode) -> Result<()> {
    let client = node.client();
    let topic = client.unique_name("records");
    client.create_topic(&topic, 2, &[("cleanup.policy", "compact")])?;
    let with_header = Record {
        headers: vec![("ce_type".to_owned(), b"order".to_vec())],
        ..Record::json("a", &json!({"n": 1})).at_partition(1).at_timestamp(1_291_191_900_000)
    };
    let sent = [
        Record::new("b", "first").at_partition(0),
        with_header,
        Record::new("b", "second").at_partition(0),
        Record::tombstone("c").at_partition(0),
        Record::new("d", "gone").at_partition(1),
        Record::tombstone("d").at_partition(1),
    ];
    assert_eq!(client.produce(&topic, sent)?, 6);

    let records = client.read_committed(&topic)?;
    let places: Vec<_> =
        records.iter().map(|record| (record.partition, record.offset, record.key_text())).collect();
    assert_eq!(places, [(0, 0, "b"), (0, 1, "b"), (0, 2, "c"), (1, 0, "a"), (1, 1, "d"), (1, 2, "d")]);
    assert_eq!(records[3].value_json(), json!({"n": 1}));
    assert_eq!(records[3].timestamp, 1_291_191_900_000);
    assert_eq!(records[3].header("ce_type"), Some("order"));
    assert_eq!(records[3].topic, topic);
    let left: Vec<_> = compacted(&records).into_iter().collect();
    assert_eq!(left, [(b"a".to_vec(), b"{\"n\":1}".to_vec()), (b"b".to_vec(), b"second".to_vec())]);
    assert_eq!(client.high_watermarks(&topic)?, [3, 3]);
    Ok(())
}

/// The values are those of Kafka's own test of its hash, `UtilsTest.testMurmur2`.
fn keys_hash_as_in_java(node: &KafkaNode) -> Result<()> {
    let client = node.client();
    let topic = client.unique_name("hashed");
    client.create_topic(&topic, 4, &[])?;
    let keys = [("21", -973_932_308), ("foobar", -790_332_482), ("abc", 479_470_107)];
    client.produce(&topic, keys.map(|(key, _)| Record::new(key, "")))?;
    for record in client.read_committed(&topic)? {
        let (_, hash) = keys.iter().find(|(key, _)| *key == record.key_text()).expect("a key that was sent");
        assert_eq!(record.partition, (hash & i32::MAX) % 4, "{}", record.key_text());
    }
    Ok(())
}

fn topics_grow_and_go(node: &KafkaNode) -> Result<()> {
    let client = node.client();
    let topic = client.unique_name("growing");
    client.create_topic(&topic, 1, &[])?;
    client.grow_topic(&topic, 3)?;
    assert_eq!(client.partition_count(&topic)?, 3);
    client.delete_topic(&topic)?;
    assert!(client.partition_count(&topic).is_err());
    Ok(())
}

fn group_offsets(node: &KafkaNode) -> Result<()> {
    let client = node.client();
    let topic = client.unique_name("inputs");
    let group = client.unique_name("group");
    client.create_topic(&topic, 2, &[])?;
    assert_eq!(client.group_offsets(&group, &[&topic])?.len(), 0);
    client.reset_group_offsets(&group, &[(&topic, 1, 7)])?;
    let offsets = client.group_offsets(&group, &[&topic])?;
    let expected = Committed { offset: 7, metadata: String::new() };
    assert_eq!(offsets.into_iter().collect::<Vec<_>>(), [((topic, 1), expected)]);
    assert_eq!(client.group_state(&group)?, ("Empty".to_owned(), 0));
    Ok(())
}

fn killed_node_comes_back() -> Result<()> {
    // The restarted node is let in when its predecessor's session is over.
    let mut node = KafkaNode::start_with(NodeSettings::default().set("broker.session.timeout.ms", "1500"))?;
    let client = node.client().clone();
    client.create_topic("orders", 1, &[])?;
    client.produce("orders", [Record::new("c1", "kept")])?;

    node.kill()?;
    node.restart()?;
    assert_eq!(client.read_committed("orders")?.len(), 1);

    let consumer = client.plain_consumer(Isolation::Uncommitted)?;
    consumer.fetch_metadata(Some("orders"), Duration::from_secs(10))?;
    node.pause();
    assert!(
        consumer.fetch_metadata(Some("orders"), Duration::from_millis(300)).is_err(),
        "a paused node answered"
    );
    node.resume();
    consumer.fetch_metadata(Some("orders"), Duration::from_secs(10))?;
    Ok(())
}
