//! A headless Chromium, driven over the DevTools protocol: JSON messages through two pipes, each ended by a zero byte.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::{Completion, Failed};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;

/// Debian's packages of these names have what is needed; the first one nothing else.
const PROGRAMS: [&str; 3] = ["chromium-headless-shell", "chromium", "chromium-browser"];
const REQUIRE_VARIABLE: &str = "RETENTION_REQUIRE_CHROMIUM";

/// A browser starts in a second; a busy machine takes a multiple.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Why a trial cannot run, if it cannot: ignored, or failed where Chromium is required.
pub fn unavailable() -> Result<Option<Completion>, Failed> {
    if program().is_some() {
        return Ok(None);
    }
    let reason = "Chromium is not installed (Debian: apt-get install chromium-headless-shell)";
    match std::env::var_os(REQUIRE_VARIABLE) {
        Some(_) => Err(reason.into()),
        None => Ok(Some(Completion::ignored_with(reason))),
    }
}

fn program() -> Option<&'static str> {
    let folders: Vec<_> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    PROGRAMS.into_iter().find(|program| folders.iter().any(|folder| folder.join(program).is_file()))
}

/// A browser with one page. Dropped, it ends.
pub struct Browser {
    process: Process,
    commands: File,
    messages: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    problems: Vec<String>,
    _folder: TempDir,
}

impl Browser {
    pub fn start() -> Result<Browser> {
        let program = program().context("Chromium is not installed")?;
        let folder = tempfile::Builder::new().prefix("browser-").tempdir()?;
        let [to, from] = ["to", "from"].map(|name| folder.path().join(name));
        let made = Command::new("mkfifo").args([&to, &from]).status()?;
        ensure!(made.success(), "mkfifo: {made}");
        let mut command = Command::new("sh");
        // Descriptors 3 and 4 are where the browser reads and writes.
        command.args(["-c", r#"exec "$0" "$@" 3<to 4>from"#, program, "--headless", "--no-sandbox"]);
        command.args([
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--remote-debugging-pipe",
        ]);
        command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
        command.current_dir(folder.path());
        let process = Process::spawn("chromium", command, folder.path())?;
        // Each waits for the other side to open it, in the order of the shell's redirections.
        let commands = OpenOptions::new().write(true).open(&to)?;
        let messages = read_messages(File::open(&from)?);
        let mut browser = Browser {
            process,
            commands,
            messages,
            last_id: 0,
            session: None,
            problems: Vec::new(),
            _folder: folder,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach)?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    /// The size of the window in CSS pixels, and the colours that its user prefers: `light` or `dark`.
    pub fn resize(&mut self, width: u32, height: u32, colours: &str) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size)?;
        let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }))?;
        Ok(())
    }

    pub fn open(&mut self, url: &str) -> Result<()> {
        let answer = self.call("Page.navigate", json!({ "url": url }))?;
        ensure!(answer["errorText"].is_null(), "{url}: {answer}");
        self.wait_for("document.readyState === 'complete'")
    }

    /// The value of a JavaScript expression in the page; a promise is waited for.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", parameters)?;
        let exception = &answer["exceptionDetails"];
        ensure!(exception.is_null(), "{expression}: {exception}");
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression holds.
    pub fn wait_for(&mut self, expression: &str) -> Result<()> {
        let patience_ms = ANSWER_PATIENCE.as_millis() / 2;
        let found = self.evaluate(&format!(
            "new Promise(resolve => {{ const end = Date.now() + {patience_ms}; (function look() {{ \
             if ({expression}) resolve(true); else if (Date.now() > end) resolve(false); else setTimeout(look, 20); }})(); }})"
        ))?;
        if found == true {
            return Ok(());
        }
        let text = self.evaluate("document.body.innerText")?;
        bail!("{expression} does not hold; problems {:?}; the page says\n{text}", self.problems)
    }

    /// A key press, where the focus is.
    pub fn press(&mut self, key: &str) -> Result<()> {
        for kind in ["rawKeyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "code": key}))?;
        }
        Ok(())
    }

    /// The window as a PNG.
    pub fn screenshot(&mut self, path: &Path) -> Result<()> {
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}))?;
        std::fs::write(path, STANDARD.decode(answer["data"].as_str().context("a picture")?)?)?;
        Ok(())
    }

    /// Exceptions, errors on the console and failed loads since the start.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).with_context(|| self.process.output_tail())?;
        loop {
            let message = self
                .messages
                .recv_timeout(ANSWER_PATIENCE)
                .with_context(|| format!("{method}: no answer\n{}", self.process.output_tail()))?;
            if message["id"] == self.last_id {
                ensure!(message["error"].is_null(), "{method}: {}", message["error"]);
                return Ok(message["result"].clone());
            }
            self.note(&message);
        }
    }

    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        let is_problem = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => parameters["type"] == "error",
            Some("Log.entryAdded") => parameters["entry"]["level"] == "error",
            Some(_) | None => false,
        };
        if is_problem {
            self.problems.push(parameters.to_string());
        }
    }
}

/// The thread ends with the browser.
fn read_messages(from: File) -> Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for message in BufReader::new(from).split(0).map_while(Result::ok) {
            let Ok(message) = serde_json::from_slice(&message) else { return };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}
