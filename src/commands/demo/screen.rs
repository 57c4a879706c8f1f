//! Where the demo writes to: lines that scroll, and on a terminal a line below them that stays.

use std::io::{self, IsTerminal, Stdout, Write};
use std::time::{Duration, Instant};

use super::line::Paint;

/// Without a terminal the standing line is written among the others, this often.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// Standard output, or what stands for it in a test.
pub struct Screen<W> {
    out: W,
    stage: Stage,
}

enum Stage {
    Terminal { status: String },
    File { status_at: Option<Instant> },
}

impl Screen<Stdout> {
    /// Standard output, and whether it takes colours.
    pub fn stdout() -> (Self, Paint) {
        let out = io::stdout();
        let is_terminal = out.is_terminal() && std::env::var_os("TERM").is_none_or(|name| name != "dumb");
        let is_plain = !is_terminal || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let screen = if is_terminal { Self::terminal(out) } else { Self::file(out) };
        (screen, if is_plain { Paint::Plain } else { Paint::Colours })
    }
}

impl<W: Write> Screen<W> {
    fn terminal(out: W) -> Self {
        Self { out, stage: Stage::Terminal { status: String::new() } }
    }

    fn file(out: W) -> Self {
        Self { out, stage: Stage::File { status_at: None } }
    }

    /// Writes a line that scrolls.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        match &self.stage {
            Stage::Terminal { status } => {
                write!(self.out, "\r\x1b[2K{text}\n{}", standing(status))?;
            }
            Stage::File { .. } => writeln!(self.out, "{text}")?,
        }
        self.out.flush()
    }

    /// Writes the line that stays.
    pub fn status(&mut self, text: &str, now: Instant) -> io::Result<()> {
        match &mut self.stage {
            Stage::Terminal { status } => {
                text.clone_into(status);
                write!(self.out, "\r\x1b[2K{}", standing(status))?;
            }
            Stage::File { status_at } => {
                if status_at.is_none_or(|before| now.duration_since(before) >= STATUS_EVERY) {
                    *status_at = Some(now);
                    writeln!(self.out, "{text}")?;
                }
            }
        }
        self.out.flush()
    }

    /// Takes the standing line away.
    pub fn end(mut self) -> io::Result<()> {
        if matches!(self.stage, Stage::Terminal { .. }) {
            write!(self.out, "\r\x1b[2K")?;
        }
        self.out.flush()
    }
}

/// Cut at the edge of the terminal: wrapped, it could not be taken back.
fn standing(status: &str) -> String {
    format!("\x1b[?7l{status}\x1b[?7h")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_the_status_now_and_then() {
        let (mut out, start) = (Vec::new(), Instant::now());
        let mut screen = Screen::file(&mut out);
        for second in 0..7 {
            screen.line(&format!("line {second}")).unwrap();
            screen.status(&format!("status {second}"), start + Duration::from_secs(second)).unwrap();
        }
        screen.end().unwrap();
        let expected = "line 0\nstatus 0\nline 1\nline 2\nline 3\nline 4\nline 5\nstatus 5\nline 6\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_terminal_keeps_the_status_below_the_lines() {
        let mut out = Vec::new();
        let mut screen = Screen::terminal(&mut out);
        screen.status("busy", Instant::now()).unwrap();
        screen.line("one").unwrap();
        screen.end().unwrap();
        let standing = "\x1b[?7lbusy\x1b[?7h";
        let expected = format!("\r\x1b[2K{standing}\r\x1b[2Kone\n{standing}\r\x1b[2K");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
