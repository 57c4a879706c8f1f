//! The live page in a browser: its figures, its tabs, its look-up; at the widths of a telephone and of a desk; light and dark.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Completion, Failed, Trial};
use retention_signals::domain::signals::kind::SignalType;
use retention_signals::observe::status::{RecentSignal, WorkerPhase};

use crate::browser::{self, Browser};
use crate::demo::Demo;
use crate::http::{Server, show_figures};
use crate::kafka::free_port;

/// Where to write the pictures of the docs, if anywhere.
const PICTURES_VARIABLE: &str = "RETENTION_SCREENSHOTS";

const TELEPHONE: u32 = 390;
const DESK: u32 = 1_280;

pub fn trials() -> Vec<Trial> {
    vec![
        in_a_browser("page: figures, tabs and look-up in a browser", figures),
        in_a_browser("page: customer data behind a token", token),
        in_a_browser("page: the demo's fits and has no errors", demo),
    ]
}

fn in_a_browser(name: &str, test: fn(&mut Browser) -> Result<()>) -> Trial {
    Trial::ignorable_test(name, move || {
        if let Some(completion) = browser::unavailable()? {
            return Ok(completion);
        }
        let mut browser = Browser::start().map_err(|error| Failed::from(format!("{error:#}")))?;
        test(&mut browser).map_err(|error| Failed::from(format!("{error:#}")))?;
        // The browser notes what is answered with these codes; the page shows it.
        let is_shown = |problem: &&String| {
            ["401", "421"].iter().any(|code| problem.contains(&format!("status of {code}")))
        };
        let problems: Vec<&String> = browser.problems().iter().filter(|problem| !is_shown(problem)).collect();
        if problems.is_empty() {
            Ok(Completion::Completed)
        } else {
            Err(format!("on the console: {problems:#?}").into())
        }
    })
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/")
}

fn text_of(browser: &mut Browser, id: &str) -> Result<String> {
    let text = browser.evaluate(&format!("document.getElementById('{id}').textContent"))?;
    Ok(text.as_str().with_context(|| id.to_owned())?.to_owned())
}

fn says(browser: &mut Browser, id: &str, expected: &str) -> Result<()> {
    let text = text_of(browser, id)?;
    ensure!(text.contains(expected), "{id}: {text:?}, not {expected:?}");
    Ok(())
}

fn figures(browser: &mut Browser) -> Result<()> {
    let server = Server::start(None);
    server.pen.set_phase(WorkerPhase::Running);
    show_figures(&server.metrics);
    server.status.on_signals(["c-1042", &"long-".repeat(60)].map(|customer_id| RecentSignal {
        rule: None,
        signal_type: SignalType::OrderValueRose,
        occurred_at_ms: 1_758_802_500_000,
        customer_id: Some(customer_id.to_owned()),
    }));
    browser.resize(DESK, 900, "light")?;
    browser.open(&url(server.address))?;
    browser.wait_for("document.getElementById('repeat-rate').textContent !== '–'")?;
    for (id, expected) in [
        ("application", "shop"),
        ("state", "running"),
        ("repeat-rate", "66.7 %"),
        ("repeat-rate-of", "20 of 30 customers"),
        ("repeat-rate-others", "30 d 100.0 % · 90 d 66.7 % · all time 66.7 %"),
        ("frequency", "3.33"),
        ("order-value", "10,000.00 EUR"),
        ("customer-value", "33,333.33 EUR"),
        ("revenue", "1,000,000.00 EUR"),
        ("revenue", "1,234,567.88 EUR"),
        ("legend", "At risk 25.0 %"),
        ("feed", "order value rose"),
        ("feed", "2025-09-25 12:15:00"),
        ("partitions", "waits for an input"),
    ] {
        says(browser, id, expected)?;
    }
    choose(browser, "placed")?;
    says(browser, "order-value", "10,288.07 EUR")?;
    choose(browser, "30d")?;
    says(browser, "repeat-rate-of", "2 of 4 customers")?;
    look_up(browser)?;
    fits(browser)?;
    tabs(browser)?;
    is_labelled(browser)
}

fn choose(browser: &mut Browser, value: &str) -> Result<()> {
    browser.evaluate(&format!("document.querySelector('input[value=\"{value}\"]').click()"))?;
    Ok(())
}

/// A click on a signal's customer explains that customer; a customer who is not known is said so.
fn look_up(browser: &mut Browser) -> Result<()> {
    browser.evaluate("document.querySelectorAll('#feed .id')[1].click()")?;
    browser.wait_for("document.querySelector('#answer table') !== null")?;
    for expected in [
        "c-1042 is at risk since 2025-04-05 18:15:00 UTC",
        "at risk at 2025-04-05 18:15:00 UTC, lapsed at 2025-06-04 18:15:00 UTC",
        "1 gap over 30 days and 2 expected ones of 45 days",
        "id 21af7a2c108a72d53fe561b9c86da51c",
        "Next instant: 2025-06-04 18:15:00 UTC (lapsed)",
        "110.50",
    ] {
        says(browser, "answer", expected)?;
    }
    browser.evaluate("document.getElementById('customer').value = 'elsewhere'; document.querySelector('#ask button').click()")?;
    browser.wait_for("document.getElementById('answer').textContent.includes('another instance owns')")?;
    Ok(())
}

/// The keyboard moves between the tabs, and the address leads to one.
fn tabs(browser: &mut Browser) -> Result<()> {
    const SHOWN: &str = "[...document.querySelectorAll('[role=tabpanel]')].filter(panel => !panel.hidden).map(panel => panel.id).join()";
    ensure!(browser.evaluate(SHOWN)? == "shop");
    browser.evaluate("document.getElementById('tab-shop').focus()")?;
    browser.press("ArrowRight")?;
    ensure!(browser.evaluate(SHOWN)? == "service");
    ensure!(browser.evaluate("document.activeElement.id")? == "tab-service");
    ensure!(browser.evaluate("document.activeElement.getAttribute('aria-selected')")? == "true");
    says(browser, "health", "Dead letters since start")
}

/// Every control has a name, every heading a text, and what is loaded comes from the server.
fn is_labelled(browser: &mut Browser) -> Result<()> {
    let nameless = browser.evaluate(
        "[...document.querySelectorAll('input, button, a, h1, h2, th')].filter(one => \
         !(one.labels?.length > 0) && !one.textContent.trim()).map(one => one.outerHTML)",
    )?;
    ensure!(nameless == serde_json::json!([]), "without a name: {nameless}");
    let foreign = browser.evaluate(
        "performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith(location.origin))",
    )?;
    ensure!(foreign == serde_json::json!([]), "from elsewhere: {foreign}");
    ensure!(browser.evaluate("document.documentElement.lang")? == "en");
    Ok(())
}

/// Nothing is wider than the window or cut off, and every text stands out from its ground, on both tabs.
fn fits(browser: &mut Browser) -> Result<()> {
    for (width, colours) in [(TELEPHONE, "light"), (TELEPHONE, "dark"), (DESK, "light"), (DESK, "dark")] {
        browser.resize(width, 900, colours)?;
        for tab in ["service", "shop"] {
            browser.evaluate(&format!("document.getElementById('tab-{tab}').click()"))?;
            let at = format!("{tab} at {width}, {colours}");
            let wide = browser.evaluate(WIDE)?;
            ensure!(wide == serde_json::json!([]), "{at}: cut off or too wide: {wide}");
            let faint = browser.evaluate(FAINT)?;
            ensure!(faint == serde_json::json!([]), "{at}: hard to read: {faint}");
        }
    }
    Ok(())
}

/// What reaches beyond the window, and what holds more than it shows across.
const WIDE: &str = r"[...document.body.querySelectorAll('*')].filter(one => one.checkVisibility()
    && !one.closest('svg') && !one.closest('.stacked thead') && (one.getBoundingClientRect().right > innerWidth + 0.5
      || (getComputedStyle(one).overflowX !== 'visible' && one.scrollWidth > one.clientWidth + 1)))
  .map(one => one.outerHTML.slice(0, 120))
  .concat(document.documentElement.scrollWidth > innerWidth ? ['the page'] : [])";

/// Texts of a contrast below 4.5, as the Web Content Accessibility Guidelines reckon it.
const FAINT: &str = r"(() => {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const channels = colour => { context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data]; };
  const light = colour => { const [r, g, b] = channels(colour).map(of => of / 255)
    .map(of => of <= 0.03928 ? of / 12.92 : ((of + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = one => { for (let at = one; at; at = at.parentElement) { const colour = getComputedStyle(at).backgroundColor;
    if (channels(colour)[3] > 250) return colour; } return 'white'; };
  const faint = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !one.checkVisibility()) continue;
    const [dark, bright] = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => a - b);
    if ((bright + 0.05) / (dark + 0.05) < 4.5) faint.push(one.outerHTML.slice(0, 120));
  }
  return faint;
})()";

/// Without the token the page shows figures and signals, but no customer; with it, the customer.
fn token(browser: &mut Browser) -> Result<()> {
    let server = Server::start(Some("s3cret"));
    server.status.on_signals([crate::http::signal()]);
    browser.resize(TELEPHONE, 800, "dark")?;
    browser.open(&url(server.address))?;
    browser.wait_for("document.getElementById('feed').textContent.includes('customer hidden')")?;
    ensure!(!text_of(browser, "feed")?.contains("canary"));
    let ask =
        "document.getElementById('customer').value = 'c-1042'; document.querySelector('#ask button').click()";
    browser.evaluate(ask)?;
    browser.wait_for("!document.getElementById('token').hidden")?;
    browser.wait_for("document.getElementById('answer').textContent.includes('a bearer token is needed')")?;
    browser.evaluate(&format!("document.getElementById('token').value = 's3cret'; {ask}"))?;
    browser.wait_for("document.getElementById('answer').textContent.includes('c-1042 is at risk')")?;
    browser.wait_for("document.getElementById('feed').textContent.includes('canary')")
}

/// The demo's page, with customers whose names are long and figures that move.
fn demo(browser: &mut Browser) -> Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let seconds = if pictures().is_some() { "60s" } else { "20s" };
    let demo = Demo::start(address, &["--for", seconds])?;
    demo.wait_for("page", |demo| demo.get("/livez").ok())?;
    browser.resize(DESK, 1_130, "light")?;
    browser.open(&url(address))?;
    let signals = if pictures().is_some() { 12_000 } else { 20 };
    browser.wait_for(&format!(
        "latest && sum(latest.signals) > {signals} && latest.partition_details.length === 4"
    ))?;
    browser.wait_for("document.querySelectorAll('#feed .id').length > 5")?;
    browser.evaluate("document.querySelector('#feed .id').click()")?;
    browser.wait_for("document.querySelector('#answer table') !== null")?;
    says(browser, "answer", "Policy cadence")?;
    fits(browser)?;
    if let Some(folder) = pictures() {
        browser.resize(DESK, 1_130, "light")?;
        browser.screenshot(&folder.join("page-shop.png"))?;
        browser.evaluate("document.getElementById('tab-service').click()")?;
        browser.resize(DESK, 900, "dark")?;
        browser.screenshot(&folder.join("page-service.png"))?;
        browser.evaluate("document.getElementById('tab-shop').click()")?;
        browser.resize(TELEPHONE, 1_500, "light")?;
        browser.screenshot(&folder.join("page-telephone.png"))?;
    }
    Ok(())
}

fn pictures() -> Option<PathBuf> {
    std::env::var_os(PICTURES_VARIABLE).map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
}
