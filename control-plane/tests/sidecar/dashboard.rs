//! The dashboard in a real browser. Skipped, with a message, if there is no browser; on GitHub there has to be one.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use headroom_api::pages::Cache;
use headroom_api::v1::{AnswerLookup, BlockRecord, LoggedBlock, LoggedMessages, ReportRequest};
use headroomd::clock::{DAY_MS, HOUR_MS, MINUTE_MS, now_ms};

use crate::child::{Sidecar, client};
use crate::records::{record, report};

const TOKEN: (&str, &str) = ("HEADROOM_TOKEN", "s3cret-t0ken");
/// A possible name of a tool, a model or a project.
const HOSTILE: &str = "<img src=x onerror=\"document.title=1\">";

/// The programs that drive a browser.
struct Browser {
    python: PathBuf,
    chromium: String,
}

/// `None` if there is none; standard error has the reason.
fn browser() -> Option<&'static Browser> {
    static BROWSER: OnceLock<Option<Browser>> = OnceLock::new();
    let skipped = |why: String| {
        assert!(std::env::var_os("GITHUB_ACTIONS").is_none(), "GitHub's machine must have a browser: {why}");
        eprintln!("skipped: {why}");
    };
    BROWSER.get_or_init(|| install().map_err(skipped).ok()).as_ref()
}

fn install() -> Result<Browser, String> {
    let scripts = scripts();
    let requirements = scripts.join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let environment = target().join("browser-venv");
    let python = environment.join("bin/python");
    let marker = environment.join("installed-requirements.txt");
    // Each test may run in a separate process: the second waits for the installation of the first.
    let lock = std::fs::File::create(environment.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    // One from a cache is a link to an interpreter that may be gone.
    let runs = || run(Command::new(&python).arg("--version")).is_ok();
    if std::fs::read_to_string(&marker).ok().as_ref() != Some(&wanted) || !runs() {
        // `--clear` would empty the target of a link, which may be shared.
        if environment.is_symlink() {
            std::fs::remove_file(&environment).unwrap();
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run(Command::new(&python).args(pip).arg(&requirements))?;
        std::fs::write(&marker, wanted).unwrap();
    }
    let chromium = run(Command::new(scripts.join("chromium.sh")).env("CARGO_TARGET_DIR", target()))?;
    Ok(Browser { python, chromium: chromium.trim().to_owned() })
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?} does not start: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)))
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

/// The folder that cargo builds into: the program is in `target/PROFILE`.
fn target() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_headroomd")).ancestors().nth(2).unwrap().to_owned()
}

/// Runs a scenario; `asked` carries out each line that the scenario prints.
async fn drive(browser: &'static Browser, scenario: &str, url: &str, mut asked: impl AsyncFnMut(&str)) {
    let screenshots = target().join("dashboard");
    std::fs::create_dir_all(&screenshots).unwrap();
    let mut child = Command::new(&browser.python)
        .arg(scripts().join("dashboard.py"))
        .args([scenario, url, &browser.chromium])
        .arg(&screenshots)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, mut lines) = tokio::sync::mpsc::channel(1);
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        for line in stdout.lines() {
            sender.blocking_send(line.unwrap()).ok();
        }
    });
    while let Some(line) = lines.recv().await {
        asked(&line).await;
    }
    reader.join().unwrap();
    assert!(child.wait().unwrap().success(), "{scenario}: see above, and {}", screenshots.display());
}

fn url(sidecar: &Sidecar) -> String {
    format!("http://{}", sidecar.ready.http)
}

fn block(tool: &str, kind: &str, outcome: &str, before: u32, after: u32) -> BlockRecord {
    BlockRecord {
        tool: tool.to_owned(),
        kind: kind.to_owned(),
        outcome: outcome.to_owned(),
        tokens_before: before,
        tokens_after: after,
        memo: before.is_multiple_of(2),
        new: true,
        pressure: 0,
        ..BlockRecord::default()
    }
}

/// Requests of the last year, the last day and the last hour, with everything that a page can show.
fn rich() -> ReportRequest {
    let now = now_ms();
    let models = ["claude-sonnet-4-5-20250929", "claude-opus-4-5", "gpt-5", "gemini-2.5-pro", HOSTILE];
    let ages = (0..50)
        .map(|n| n * 7 * DAY_MS)
        .chain((0..30).map(|n| n * DAY_MS))
        .chain((0..48).map(|n| n * HOUR_MS / 2))
        .chain((0..55).map(|n| n * MINUTE_MS));
    let mut all = report("rich", 1..=183);
    for (n, (record, age)) in all.records.iter_mut().rev().zip(ages).enumerate() {
        record.started_unix_ms = now - age;
        record.model = models[n * n % 5].to_owned();
        record.provider = ["anthropic", "openai", "gemini"][n % 3].to_owned();
        record.project = ["billing", "search-backend", HOSTILE][n % 3].to_owned();
        record.stack = ["claude_code", "wrap_codex", "sdk_python"][n % 3].to_owned();
        record.tenant = ["", "payments"][n % 2].to_owned();
        record.team = "research".to_owned();
        record.key = "0f3a9c51d2e87b64".to_owned();
        record.conversation_id = format!("{:016x}", 10 + n % 7);
        record.turn_id = format!("{:016x}", n / 14);
        if let Some(tokens) = &mut record.tokens {
            tokens.before = 20_000 + (n as u64 * 7_919) % 90_000;
            tokens.after = tokens.before - tokens.before * (n as u64 * 31 % 70) / 100;
        }
        record.blocks = vec![
            block("Bash", "test_build", "test_build", 9_000 + n as u32, 2_100),
            block("Read", "source", "skipped:no_gain", 4_200, 4_200),
            block(HOSTILE, "json", "json_table", 3_000, 1_900),
            block("mcp__github__search_code", "search", "search", 2_400, 800),
            block("Glob", "short", "skipped:too_small", 12, 12),
        ];
        if n % 9 == 4 {
            record.set_answer_lookup(AnswerLookup::Miss);
        }
        if n % 17 == 3 {
            record.status = 529;
            record.error_class = "overloaded_error".to_owned();
        }
    }
    all.logged_messages = vec![logged("hr_b7")];
    all
}

/// A filter's report of a request's texts.
fn logged(request_id: &str) -> LoggedMessages {
    let before = format!("{HOSTILE}\n{}", "a line of the log\n".repeat(60));
    let output = |index, after: &str| LoggedBlock {
        index,
        before: before.clone(),
        before_cut: true,
        after: after.to_owned(),
        after_cut: false,
    };
    LoggedMessages {
        request_id: request_id.to_owned(),
        request_messages: vec![r#"{"role":"user","content":"what is wrong?"}"#.to_owned()],
        response_content: r#"{"content":"the answer"}"#.to_owned(),
        blocks: vec![output(4, ""), output(3, "… 40 lines left out"), output(0, "… 40 lines left out")],
        ..LoggedMessages::default()
    }
}

/// A sidecar that has all of [`rich`], shows texts, and has a used-up budget.
async fn full(dir: &Path) -> Sidecar {
    let budgets = r#"{"budgets":[{"per":"team","window":"month","usd":0.01},{"per":"all","window":"month","tokens":900000000}]}"#;
    let sidecar = Sidecar::start_with(dir, &["--log-messages"], &[("HEADROOM_BUDGETS", budgets)]).await;
    sidecar.grpc().await.report(rich()).await.unwrap();
    sidecar
}

#[tokio::test]
async fn an_empty_dashboard_says_what_to_do_and_shows_what_lands() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    drive(browser, "empty", &url(&sidecar), async |_| {
        sidecar.grpc().await.report(report("vm", 1..=3)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn both_views_show_and_export_and_no_name_becomes_markup() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let sidecar = full(dir.path()).await;
    drive(browser, "full", &url(&sidecar), async |_| {
        let mut more = record(1);
        more.request_id = HOSTILE.to_owned();
        more.model = HOSTILE.to_owned();
        let more = ReportRequest { records: vec![more], ..report("more", []) };
        sidecar.grpc().await.report(more).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn requests_are_searched_filtered_opened_and_shared() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let sidecar = full(dir.path()).await;
    drive(browser, "requests", &url(&sidecar), async |_| {}).await;
}

#[tokio::test]
async fn conversations_have_a_row_each_and_their_requests_in_order() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let sidecar = full(dir.path()).await;
    drive(browser, "sessions", &url(&sidecar), async |_| {}).await;
}

#[tokio::test]
async fn the_cache_page_tells_what_was_lost_and_says_so_where_headroomd_does_not_know() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let sidecar = full(dir.path()).await;
    drive(browser, "cached", &url(&sidecar), async |_| {}).await;
}

/// The tests of the page would prove nothing if headroomd answered differently.
#[test]
fn the_cache_page_that_the_browser_is_shown_has_the_shape_of_headroomds() {
    let Ok(printed) = run(Command::new("python3").arg(scripts().join("cache.py"))) else { return };
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let page: Cache = serde_json::from_value(printed.clone()).unwrap();
    assert!(page.hours.len() == 7 * 24 && page.losses.len() > 5 && page.groups.len() > 10);
    assert_eq!(serde_json::to_value(page).unwrap(), printed);
}

#[tokio::test]
async fn a_dashboard_that_needs_a_token_asks_for_it_and_keeps_it_for_the_tab() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &[], &[TOKEN]).await;
    drive(browser, "token", &url(&sidecar), async |_| {}).await;
}

#[tokio::test]
async fn a_dashboard_that_lost_its_sidecar_says_so_and_comes_back() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut sidecar = Some(Sidecar::start(dir.path()).await);
    let first = sidecar.as_ref().unwrap();
    first.grpc().await.report(report("vm", 1..=3)).await.unwrap();
    let (url, http) = (url(first), first.ready.http.clone());
    // Nobody else gets the address while nothing listens there.
    let mut held = None;
    drive(browser, "lost", &url, async |asked| match asked {
        "kill" => {
            sidecar = None;
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(http.parse().unwrap()).unwrap();
            held = Some(socket);
        }
        _ => sidecar = Some(Sidecar::start_with(dir.path(), &["--http", &http], &[]).await),
    })
    .await;
    drop(held);
}

#[tokio::test]
async fn the_page_is_served_with_a_strict_policy_and_without_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &[], &[TOKEN]).await;
    for path in ["/dashboard", "/dashboard/", "/dashboard/app.js", "/dashboard/uplot.js"] {
        let answer = client().get(format!("{}{path}", url(&sidecar))).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && policy.contains("require-trusted-types-for 'script'"));
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
    assert_eq!(sidecar.get("/dashboard/nothing.js").await.0, 404);
    let unled = crate::child::client_builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let root = unled.get(format!("{}/", url(&sidecar))).send().await.unwrap();
    assert_eq!((root.status().as_u16(), root.headers()["location"].to_str().unwrap()), (307, "/dashboard"));
    let icon = client().get(format!("{}/favicon.ico", url(&sidecar))).send().await.unwrap();
    assert_eq!(
        (icon.status().as_u16(), &icon.headers()["content-type"]),
        (200, &"image/svg+xml".parse().unwrap())
    );
    assert_eq!(sidecar.get("/dashboard/../stats").await.0, 401, "the path that it stands for");
}

#[tokio::test]
async fn a_range_is_broken_down_by_the_values_of_one_dimension() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    sidecar.grpc().await.report(rich()).await.unwrap();
    let week = now_ms() - 7 * DAY_MS;
    for by in ["project", "model", "provider", "stack"] {
        let page = sidecar.json(&format!("/stats-history?by={by}&from={week}&series=daily")).await;
        let values = page["breakdown"]["values"].as_object().unwrap();
        let sum = |name: &str| values.values().map(|sums| sums[name].as_i64().unwrap()).sum::<i64>();
        // the range begins with an hour there, and with a day in the series
        assert!(values.len() >= 3 && sum("requests") >= 48 + 55, "{by}: {values:?}");
        assert_eq!(page["series"].as_object().unwrap().keys().collect::<Vec<_>>(), ["daily"]);
    }
    let all = sidecar.json("/stats-history?by=model&history_mode=full").await;
    let requests = |sums: &serde_json::Value| sums["requests"].as_i64().unwrap();
    let by_model: i64 = all["breakdown"]["values"].as_object().unwrap().values().map(requests).sum();
    assert_eq!(by_model, 183);
    let minutes = sidecar.json("/stats").await["activity"].as_array().unwrap().clone();
    let shown: i64 = minutes.iter().map(requests).sum();
    assert!((50..=70).contains(&shown) && minutes.len() <= 60, "{shown} in {}", minutes.len());
}
