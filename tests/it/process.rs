//! Child processes that end with the test run, whichever way it ends.
//!
//! A child is started and waited for by one thread of its own. Linux delivers the parent-death signal when the
//! *thread* that started the child ends, so a trial's thread must not do it: a node shared by several trials
//! would die with the first one.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

/// How long a process that was killed may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What a test sends to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: the process is asked to end.
    Terminate,
    /// SIGKILL: it ends where it stands.
    Kill,
    /// SIGSTOP: it stands still, sockets stay open and answer nothing.
    Pause,
    /// SIGCONT: it goes on after [`Signal::Pause`].
    Resume,
}

impl Signal {
    fn number(self) -> libc::c_int {
        match self {
            Signal::Terminate => libc::SIGTERM,
            Signal::Kill => libc::SIGKILL,
            Signal::Pause => libc::SIGSTOP,
            Signal::Resume => libc::SIGCONT,
        }
    }
}

/// A running or ended child process; it is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: libc::pid_t,
    exit: Arc<Exit>,
    stdout: PathBuf,
    stderr: PathBuf,
}

#[derive(Debug, Default)]
struct Exit {
    status: Mutex<Option<ExitStatus>>,
    ended: Condvar,
}

impl Process {
    /// Starts `command` with its output in `<name>.stdout` and `<name>.stderr` of `folder`; a process of the same
    /// name that ran there before is followed by this one in the same files.
    pub fn spawn(name: &str, mut command: Command, folder: &Path) -> Result<Process> {
        let stdout = folder.join(format!("{name}.stdout"));
        let stderr = folder.join(format!("{name}.stderr"));
        command.stdin(Stdio::null()).stdout(append_to(&stdout)?).stderr(append_to(&stderr)?);
        die_with_parent(&mut command);

        let exit = Arc::new(Exit::default());
        let (started, start) = mpsc::channel();
        thread::Builder::new().name(format!("wait-{name}")).spawn({
            let exit = Arc::clone(&exit);
            move || match command.spawn() {
                Ok(mut child) => {
                    let pid = libc::pid_t::try_from(child.id()).expect("a pid fits a pid_t");
                    let _ = started.send(Ok(pid));
                    let status = child.wait().expect("a started child can be waited for");
                    *exit.status.lock().expect("no holder panics") = Some(status);
                    exit.ended.notify_all();
                }
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
        let pid =
            start.recv().context("the starting thread ended")?.with_context(|| format!("start {name}"))?;
        Ok(Process { name: name.to_owned(), pid, exit, stdout, stderr })
    }

    /// The process id, also after the end.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends `signal`; nothing happens if the process has ended.
    pub fn signal(&self, signal: Signal) {
        let status = self.exit.status.lock().expect("no holder panics");
        if status.is_none() {
            #[expect(unsafe_code, reason = "the standard library sends no signal but SIGKILL")]
            // SAFETY: kill has no memory effects; the pid is that of our child, which had not ended just now.
            unsafe {
                libc::kill(self.pid, signal.number());
            }
        }
    }

    /// Whether it stands still after SIGSTOP, with every thread.
    pub fn is_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let states: Vec<bool> = threads
            .map(|thread| {
                let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
                // The name before the state is in brackets and may hold anything.
                stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
            })
            .collect();
        !states.is_empty() && states.iter().all(|is_stopped| *is_stopped)
    }

    /// SIGSTOP, and back when it stands still: until then threads go on, on a busy machine for long enough to answer something.
    pub fn pause(&self) {
        self.signal(Signal::Pause);
        while !self.is_stopped() && self.exits_within(Duration::ZERO).is_none() {
            thread::yield_now();
        }
    }

    /// Waits at most `patience` for the end; none if the process still runs then.
    pub fn exits_within(&self, patience: Duration) -> Option<ExitStatus> {
        let status = self.exit.status.lock().expect("no holder panics");
        let (status, _) = self
            .exit
            .ended
            .wait_timeout_while(status, patience, |status| status.is_none())
            .expect("no holder panics");
        *status
    }

    /// SIGKILL, and back when the process is gone.
    pub fn kill(&self) -> Result<ExitStatus> {
        self.signal(Signal::Kill);
        self.exits_within(KILL_PATIENCE)
            .ok_or_else(|| anyhow!("{} (pid {}) outlived SIGKILL for {KILL_PATIENCE:?}", self.name, self.pid))
    }

    /// What was written to standard output so far.
    pub fn stdout(&self) -> String {
        read_lossy(&self.stdout)
    }

    /// What was written to standard error so far.
    pub fn stderr(&self) -> String {
        read_lossy(&self.stderr)
    }

    /// The last lines of both outputs, for a failure's message.
    pub fn output_tail(&self) -> String {
        format!(
            "--- {name} stdout, last lines ---\n{}\n--- {name} stderr, last lines ---\n{}",
            tail(&self.stdout(), 40),
            tail(&self.stderr(), 40),
            name = self.name
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The test's outcome stands; a process that cannot be killed must not hide it.
        if let Err(error) = self.kill() {
            eprintln!("{error:#}");
        }
    }
}

/// Runs `command` to its end and returns what it wrote to standard output and standard error, in this order.
/// Fails if that takes longer than `patience` or ends with another code than 0.
pub fn run_to_end(name: &str, command: Command, folder: &Path, patience: Duration) -> Result<String> {
    let process = Process::spawn(name, command, folder)?;
    match process.exits_within(patience) {
        Some(status) if status.success() => Ok(process.stdout() + &process.stderr()),
        Some(status) => bail!("{name} ended with {status}\n{}", process.output_tail()),
        None => bail!("{name} did not end in {patience:?}\n{}", process.output_tail()),
    }
}

/// The last `count` lines of `text`.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn append_to(path: &Path) -> Result<File> {
    File::options().create(true).append(true).open(path).with_context(|| format!("open {}", path.display()))
}

fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Elsewhere than on Linux a child outlives a test run that was itself killed; a run that ends takes it along.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "nothing like it there"))]
fn die_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "the signal can only be asked for by the child itself")]
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl is a plain system call.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}
