//! The page in a real browser: what it shows, for whom, and that it goes on.

#[cfg(feature = "cli")]
use std::process::{Command, Stdio};

use steadyscribe_monitor::alert::{Key, Kind};
use steadyscribe_monitor::capacity::Thresholds;
use steadyscribe_monitor::{Component, gauge::Unit};

use super::browser::{Browser, SKIPPED};
use super::{Served, serve};

#[test]
fn page_renders_updates_and_shows_a_critical_alert() {
    let Some(browser) = Browser::start(false) else {
        println!("{SKIPPED}");
        return;
    };
    let served = serve();
    browser.open(&format!(
        "http://127.0.0.1:{}/#t={}",
        served.port, served.token
    ));
    browser.eventually("document.getElementById('link').textContent === 'live'");
    assert_eq!(
        browser.evaluate("location.hash"),
        "",
        "the token leaves the address"
    );
    assert_eq!(
        browser.evaluate("document.cookie"),
        "",
        "scripts cannot read the token"
    );
    browser.eventually("document.querySelectorAll('#parts tbody tr').length === 6");
    // How short memory is depends on the machine that runs the tests.
    browser.eventually("document.getElementById('level').textContent.endsWith(' pressure')");
    let text = "document.querySelector('#parts').innerText";
    assert!(
        browser
            .evaluate(text)
            .as_str()
            .unwrap()
            .contains("Audio\t7.8 MiB"),
        "{}",
        browser.evaluate(text)
    );
    panels_show_models_and_pipelines(&browser, &served);
    let held = vec![1_u8; 200 << 20];
    for span in ["sevenDays", "twoHours", "tenMinutes"] {
        browser.evaluate(&format!(
            "document.querySelector('[data-span={span}]').click()"
        ));
        let pressed = "document.querySelector('[aria-pressed=true]').dataset.span";
        assert_eq!(browser.evaluate(pressed), span);
    }
    browser.eventually("document.querySelectorAll('#chart path.area').length >= 2");
    browser.eventually("document.querySelectorAll('#course tbody tr').length >= 3");
    browser.eventually(
        "(t => parseFloat(t) * (t.endsWith('GiB') ? 1024 : 1))\
         (document.querySelector('#figures dd').textContent) > 200",
    );
    for unit in ["MiB", "now", "s ago"] {
        browser.eventually(&format!(
            "document.getElementById('chart').textContent.includes('{unit}')"
        ));
    }
    browser.picture("dashboard-light.png");
    critical_alert_is_shown_and_acknowledged(&browser, &served);
    assert!(held.iter().all(|b| *b == 1));
    let foreign = "performance.getEntriesByType('resource').filter(
        (r) => !r.name.startsWith(location.origin) && !r.name.startsWith('data:')).length";
    assert_eq!(
        browser.evaluate(foreign),
        0,
        "no request leaves this machine"
    );
}

fn critical_alert_is_shown_and_acknowledged(browser: &Browser, served: &Served) {
    // No machine has as much available memory as these thresholds want.
    let thresholds = Thresholds::new(u64::MAX, u64::MAX - 1, u64::MAX - 2).unwrap();
    served.monitor.set_memory_thresholds(Some(thresholds));
    browser.eventually("document.getElementById('level').dataset.level === 'Critical'");
    browser.eventually(
        "document.getElementById('urgent').textContent\
         .startsWith('Critical · System: memory pressure is Critical')",
    );
    let pressure = Key::new(Kind::Pressure, None);
    assert!(
        served
            .monitor
            .record_action(pressure, "unloaded llama3.2:3b")
    );
    browser.eventually(
        "document.getElementById('alerts').textContent.includes('Done: unloaded llama3.2:3b.')",
    );
    assert_eq!(browser.evaluate("document.title"), "Critical · Memory");
    browser.picture("dashboard-critical.png");
    every_word_can_be_read(browser);
    nothing_is_cut_off_on_a_narrow_screen(browser);
    acknowledge_by_keyboard(browser);
    browser.eventually("document.getElementById('urgent').textContent === ''");
}

/// No text has less contrast than WCAG 2.2 AA asks for (1.4.3).
fn every_word_can_be_read(browser: &Browser) {
    let faint = browser.evaluate(
        "(() => {
            const part = (v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
            const light = (c) => {
                const [r, g, b] = c.map(part);
                return .2126 * r + .7152 * g + .0722 * b;
            };
            const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
            const behind = (node) => {
                for (let n = node; n; n = n.parentElement) {
                    const c = rgb(getComputedStyle(n).backgroundColor);
                    if (c.length < 4 || c[3] > 0) return c.slice(0, 3);
                }
                return [255, 255, 255];
            };
            const own = (node) =>
                [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
            const isShown = (n) => own(n) && n.tagName !== 'title' && n.getClientRects().length;
            const seen = [...document.querySelectorAll('body *')].filter(isShown);
            const faint = seen.filter((n) => {
                const style = getComputedStyle(n);
                const ink = rgb(n instanceof SVGElement ? style.fill : style.color).slice(0, 3);
                const [a, b] = [light(ink), light(behind(n))].sort((x, y) => y - x);
                return (a + .05) / (b + .05) < 4.5;
            });
            return seen.length < 50 ? 'too few texts' : faint.map((n) => n.textContent).join('; ');
        })()",
    );
    assert_eq!(faint, "");
}

fn nothing_is_cut_off_on_a_narrow_screen(browser: &Browser) {
    browser.resize(420, 1_600);
    browser.eventually("document.getElementById('chart').viewBox.baseVal.width < 420");
    assert_eq!(
        browser.evaluate("document.documentElement.scrollWidth <= innerWidth"),
        true,
        "only tables are scrolled sideways"
    );
    browser.picture("dashboard-narrow.png");
    browser.resize(1_200, 2_100);
}

fn acknowledge_by_keyboard(browser: &Browser) {
    const TAB: char = '\u{e004}';
    const ENTER: char = '\u{e007}';
    let at = "document.activeElement.textContent";
    let mut seen = Vec::new();
    while browser.evaluate(at) != "Acknowledge" {
        browser.press(TAB);
        seen.push(browser.evaluate(at));
        assert!(seen.len() < 10, "{seen:?}");
    }
    let outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "the focus is seen");
    browser.press(ENTER);
}

/// What is drawn stands in a table, too, and both follow the figures.
fn panels_show_models_and_pipelines(browser: &Browser, served: &Served) {
    let text = |selector: &str| {
        let text = browser.evaluate(&format!("document.querySelector('{selector}').innerText"));
        text.as_str().unwrap().replace('\u{202f}', ",")
    };
    let models = text("#models");
    for row in [
        "llama3.2:3b\tOllama\t1.86 GiB\t700 MiB\t4,096\tunknown\tnever",
        "base.en\tAudio\t2.0 MiB\tunknown\tunknown\tworking\tunknown",
    ] {
        assert!(models.contains(row), "{models}");
    }
    let label = "document.querySelector('#model-bars svg').getAttribute('aria-label')";
    assert_eq!(
        browser.evaluate(label),
        "llama3.2:3b: 1.86 GiB in RAM, 700 MiB on the GPU"
    );
    assert_eq!(
        text("#pipe-bars figcaption"),
        "Audio holds 7.8 MiB · blocks queued 5 · segments queued 2 · rtf 0.310"
    );
    let pipes = text("#pipes");
    for row in [
        "Audio\tpool\t3.0 MiB",
        "Audio\tprocess private\t200 MiB",
        "Audio\trtf\t0.310",
    ] {
        assert!(pipes.contains(row), "{pipes}");
    }
    assert_eq!(
        browser.evaluate("document.querySelectorAll('#pipe-bars rect').length"),
        4
    );
    served
        .gauges
        .gauge("blocks_queued", Unit::Count)
        .unwrap()
        .set(31);
    browser.eventually(
        "document.querySelector('#pipe-bars figcaption').innerText.includes('blocks queued 31')",
    );
    browser.picture("dashboard-models.png");
    served.monitor.report_models(Component::Ollama, []);
    browser.eventually("document.querySelectorAll('#models tbody tr').length === 1");
}

#[cfg(feature = "cli")]
#[test]
fn page_survives_a_restart_of_the_server() {
    use std::io::{BufRead, BufReader};

    let Some(browser) = Browser::start(true) else {
        println!("{SKIPPED}");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let start = |port: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_steadyscribe-monitor"))
            .args([
                "serve",
                "--interval",
                "0.3",
                "--port",
                port,
                "--token-file",
                token.to_str().unwrap(),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        (child, address.trim().to_owned())
    };
    let (mut server, address) = start("0");
    browser.open(&address);
    browser.eventually("document.getElementById('link').textContent === 'live'");
    server.kill().unwrap();
    server.wait().unwrap();
    browser.eventually("document.getElementById('link').textContent.startsWith('not connected')");
    browser.picture("dashboard-dark.png");
    let port = address
        .rsplit(':')
        .next()
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    let (mut server, again) = start(port);
    assert_eq!(again, address, "the token is kept");
    browser.eventually("document.getElementById('link').textContent === 'live'");
    server.kill().unwrap();
    server.wait().unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            token.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

/// A critical alert that was not seen before the program ended is shown by the next run until it is
/// acknowledged.
#[cfg(feature = "cli")]
#[test]
fn alert_of_the_last_run_is_shown_until_it_is_acknowledged() {
    use std::io::{BufRead, BufReader};

    use steadyscribe_monitor::alert::journal::{Journal, unacknowledged};

    let Some(browser) = Browser::start(false) else {
        println!("{SKIPPED}");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("alerts.jsonl");
    let limit = Key::new(Kind::Limit, Some(Component::Backend));
    let notice = crate::alerts::notice(7, limit);
    Journal::open(&journal).unwrap().critical(&notice).unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_steadyscribe-monitor"))
        .args(["serve", "--interval", "0.3", "--journal"])
        .arg(&journal)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    browser.open(address.trim());
    let shown = "document.getElementById('alerts').textContent.includes('before the last start')";
    browser.eventually(shown);
    browser.eventually(
        "document.getElementById('urgent').textContent.startsWith('Critical · Backend')",
    );
    // It stays until the user acknowledges it.
    browser.open("about:blank");
    browser.open(address.trim());
    browser.eventually(shown);
    browser.picture("dashboard-recovered.png");
    browser.evaluate("document.querySelector('#alerts button').click()");
    browser.eventually("document.getElementById('alerts').textContent === 'None.'");
    browser.eventually("document.getElementById('urgent').textContent === ''");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !unacknowledged(&journal).unwrap().is_empty() {
        assert!(std::time::Instant::now() < until, "the journal knows");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    server.kill().unwrap();
    let mut log = String::new();
    std::io::Read::read_to_string(&mut server.stderr.take().unwrap(), &mut log).unwrap();
    assert!(
        log.contains("Critical · Backend: 900 MiB"),
        "the log has it, too: {log}"
    );
    server.wait().unwrap();
}
