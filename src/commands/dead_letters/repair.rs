//! A repair program: it reads a record's value from standard input and writes the repaired one to standard output.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use super::Origin;

/// What came of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Repair {
    Value(Vec<u8>),
    /// The program ended with another code than 0: it does not want the record.
    Declined,
}

/// Runs the program, as the shell reads it, for one record. It finds `DLQ_REASON`, `DLQ_DETAIL`, `DLQ_TOPIC`, `DLQ_PARTITION` and
/// `DLQ_OFFSET` in its environment.
///
/// # Errors
/// There is no shell, or no process.
pub(super) fn run(program: &str, value: &[u8], origin: &Origin) -> io::Result<Repair> {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(program)
        .env("DLQ_REASON", &origin.reason)
        .env("DLQ_DETAIL", &origin.detail)
        .env("DLQ_TOPIC", &origin.topic)
        .env("DLQ_PARTITION", origin.partition.to_string())
        .env("DLQ_OFFSET", origin.offset.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    let mut stdout = child.stdout.take().expect("a pipe was asked for");
    let mut repaired = Vec::new();
    // Beside each other: a program may write before it has read everything.
    thread::scope(|scope| {
        // One that does not read its input closes it.
        scope.spawn(move || drop(stdin.write_all(value)));
        stdout.read_to_end(&mut repaired)
    })?;
    if !child.wait()?.success() {
        return Ok(Repair::Declined);
    }
    if repaired.ends_with(b"\n") {
        repaired.pop();
    }
    Ok(Repair::Value(repaired))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(program: &str, value: &[u8]) -> Repair {
        let origin = Origin {
            reason: "invalid_time".to_owned(),
            detail: "placed_at has no offset".to_owned(),
            topic: "orders".to_owned(),
            partition: 1,
            offset: 17,
            is_cut: false,
        };
        run(program, value, &origin).expect("there is a shell")
    }

    #[test]
    fn a_program_repairs_or_declines() {
        assert_eq!(repaired("sed s/a/b/", b"{\"a\":1}"), Repair::Value(b"{\"b\":1}".to_vec()));
        assert_eq!(
            repaired("printf '%s ' $DLQ_REASON $DLQ_TOPIC $DLQ_OFFSET", b""),
            Repair::Value(b"invalid_time orders 17 ".to_vec())
        );
        assert_eq!(repaired("cat; exit 3", b"{}"), Repair::Declined);
        let large = vec![b'x'; 1 << 20];
        assert_eq!(repaired("cat", &large), Repair::Value(large.clone()));
        assert_eq!(repaired("true", &large), Repair::Value(Vec::new()), "it need not read");
    }
}
