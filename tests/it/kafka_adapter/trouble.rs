//! A broker that is silent or gone: no call blocks for longer than it may, and an outcome is never guessed.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use libtest_mimic::Trial;
use retention_signals::exit::Exit;
use retention_signals::stream::broker::{Broker, BrokerError, Lookup, Session, Stability, Watermark};
use retention_signals::topic::{Output, Partition, Topic};

use super::{PATIENCE, Shop, offsets, open_producer, to_changelog, transact, until_done};
use crate::kafka::{self, Client, KafkaNode, free_port};

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_own_node("kafka_adapter::no_call_hangs_with_a_silent_broker", silent_broker),
        kafka::on_own_node("kafka_adapter::an_unknown_outcome_is_asked_for", unknown_outcome),
        Trial::test("kafka_adapter::an_unreachable_broker_is_retried", || Ok(unreachable_broker()?)),
        Trial::test("kafka_adapter::settings_that_the_client_refuses_stop", || Ok(refused_settings()?)),
    ]
}

const P0: Partition = Partition(0);
const CHANGELOG: Topic = Topic::Output(Output::Changelog);

/// One call to a silent broker: how long it may take, and what it says.
fn check_bounded<T: std::fmt::Debug>(
    name: &str,
    bound: Duration,
    call: impl FnOnce() -> Result<T, BrokerError>,
) {
    let start = Instant::now();
    let outcome = call();
    let took = start.elapsed();
    eprintln!("silent broker: {name} took {took:?}");
    assert!(matches!(outcome, Err(BrokerError::Retry(_))), "{name}: {outcome:?}");
    assert!(took < bound, "{name} took {took:?}");
}

/// The commit's safe call hangs for 45 s here.
fn silent_broker() -> Result<()> {
    const WITHIN: Duration = Duration::from_secs(1);
    const BOUND: Duration = Duration::from_secs(3);
    let mut node = KafkaNode::start()?;
    let shop = Shop::create(node.client(), 1)?;
    let mut broker = shop.sole_member()?;
    let next = offsets(P0, [0, 0, 0], "shop 1");
    transact(&mut broker, &[to_changelog(P0, "k", "before")], &next)?;

    broker.begin()?;
    broker.send(&to_changelog(P0, "k", "during"))?;
    broker.flush(PATIENCE)?;
    let membership = broker.membership()?;
    broker.send_offsets(&next, &membership, PATIENCE)?;
    node.pause();
    check_bounded("commit", BOUND, || broker.commit(WITHIN));
    check_bounded("the commit's next slice", BOUND, || broker.commit(WITHIN));
    check_bounded("poll", BOUND, || broker.poll().and_then(|_| Err::<(), _>(BrokerError::retry("polled"))));
    check_bounded("committed", BOUND, || broker.lookup().committed(&[P0], Stability::Stable, WITHIN));
    check_bounded("watermarks", BOUND, || {
        broker.lookup().watermarks(Watermark::High, &[(CHANGELOG, P0)], WITHIN)
    });
    check_bounded("partition counts", BOUND, || broker.lookup().partition_counts(&[CHANGELOG], WITHIN));
    check_bounded("takeover", BOUND, || broker.lookup().end_transaction_of("somebody", WITHIN));
    node.resume();
    // The same call goes on where it was.
    until_done(|| broker.commit(WITHIN))?;
    let committed = node.client().read_committed(shop.name(CHANGELOG))?;
    let values: Vec<_> = committed.iter().map(|record| record.value_text()).collect();
    assert_eq!(values, ["before", "during"]);

    broker.begin()?;
    broker.send(&to_changelog(P0, "k", "flushed late"))?;
    node.pause();
    check_bounded("flush", BOUND, || broker.flush(WITHIN));
    check_bounded("abort", BOUND, || broker.abort(WITHIN));
    node.resume();
    // The client may have asked for a new epoch meanwhile; either way nothing of it may be seen.
    match until_done(|| broker.abort(WITHIN)) {
        Ok(()) => {}
        Err(error) => {
            let error = error.downcast::<BrokerError>()?;
            assert!(matches!(error, BrokerError::OutcomeUnknown(..)), "abort: {error:?}");
            open_producer(&mut broker)?;
        }
    }
    assert_eq!(node.client().read_committed(shop.name(CHANGELOG))?.len(), 2);

    broker.poll()?;
    broker.begin()?;
    let membership = broker.membership()?;
    node.pause();
    // The client waits for the answer to its request, whatever it is asked for.
    let start = Instant::now();
    let outcome = broker.send_offsets(&next, &membership, WITHIN);
    eprintln!("silent broker: send_offsets took {:?}: {outcome:?}", start.elapsed());
    assert!(outcome.is_err() && start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    let start = Instant::now();
    broker.close(Duration::from_secs(2));
    assert!(start.elapsed() < BOUND, "closing took {:?}", start.elapsed());
    node.resume();
    Ok(())
}

/// The patience ends while a commit is under way. A new producer settles it, and the committed offsets tell how.
fn unknown_outcome() -> Result<()> {
    let mut node = KafkaNode::start()?;
    let shop = Shop::create(node.client(), 1)?;
    let mut broker = shop.sole_member()?;
    transact(&mut broker, &[to_changelog(P0, "k", "batch 1")], &offsets(P0, [1, 1, 1], "shop 1"))?;
    broker.begin()?;
    broker.send(&to_changelog(P0, "k", "batch 2"))?;
    broker.flush(PATIENCE)?;
    let membership = broker.membership()?;
    broker.send_offsets(&offsets(P0, [2, 2, 2], "shop 2"), &membership, PATIENCE)?;
    node.pause();
    let outcome = broker.commit(Duration::from_millis(500));
    assert!(matches!(outcome, Err(BrokerError::Retry(_))), "{outcome:?}");
    // The node had the request in its socket or it had not: both happen.
    node.resume();
    open_producer(&mut broker)?;
    let found = until_done(|| broker.lookup().committed(&[P0], Stability::Stable, Duration::from_secs(1)))?;
    let metadata = found[0].0[0].as_ref().expect("committed at least once").metadata.clone();
    let committed = node.client().read_committed(shop.name(CHANGELOG))?;
    let last = committed.last().expect("at least batch 1").value_text().to_owned();
    eprintln!("the outcome was {last}");
    assert_eq!(metadata.strip_prefix("shop "), last.strip_prefix("batch "));

    // Killed in the middle of a transaction: what was open is gone, and the producer goes on or is replaced.
    broker.poll()?;
    broker.begin()?;
    broker.send(&to_changelog(P0, "k", "batch 3"))?;
    broker.flush(PATIENCE)?;
    node.restart()?;
    let membership = broker.membership()?;
    let next = offsets(P0, [3, 3, 3], "shop 3");
    let outcome = until_done(|| broker.send_offsets(&next, &membership, Duration::from_secs(1)))
        .and_then(|()| until_done(|| broker.commit(Duration::from_secs(1))));
    let is_committed = outcome.is_ok();
    eprintln!("after a broker's restart: {outcome:?}");
    if let Err(error) = outcome {
        let error = error.downcast::<BrokerError>()?;
        let is_expected = matches!(error, BrokerError::AbortTransaction(_) | BrokerError::OutcomeUnknown(..));
        assert!(is_expected, "{error:?}");
        open_producer(&mut broker)?;
    }
    let found = until_done(|| broker.lookup().committed(&[P0], Stability::Stable, Duration::from_secs(1)))?;
    assert_eq!(found[0].0[0].as_ref().is_some_and(|last| last.metadata == "shop 3"), is_committed);
    broker.close(PATIENCE);
    Ok(())
}

fn unreachable_broker() -> Result<()> {
    let nowhere = Client::new(&format!("127.0.0.1:{}", free_port()?));
    let shop = Shop::imagine(&nowhere)?;
    let mut broker = shop.slot(0)?;
    broker.subscribe()?;
    let within = Duration::from_millis(300);
    let start = Instant::now();
    assert!(matches!(broker.open_producer(within), Err(BrokerError::Retry(_))));
    assert!(matches!(broker.lookup().partition_counts(&[CHANGELOG], within), Err(BrokerError::Retry(_))));
    assert_eq!(broker.poll()?, None);
    broker.close(Duration::from_secs(2));
    assert!(start.elapsed() < Duration::from_secs(4), "took {:?}", start.elapsed());
    Ok(())
}

fn refused_settings() -> Result<()> {
    let nowhere = Client::new(&format!("127.0.0.1:{}", free_port()?));
    let shop = Shop::imagine_with(
        &nowhere,
        &["kafka.ssl.ca.location=/no/such/file", "kafka.security.protocol=ssl"],
    )?;
    match shop.slot(0).map(|_| ()).map_err(|error| error.downcast::<BrokerError>()) {
        Err(Ok(BrokerError::Stop(Exit::Configuration, cause))) => {
            assert!(cause.to_string().contains("ssl.ca.location"), "{cause}");
        }
        other => bail!("{other:?}"),
    }
    Ok(())
}
