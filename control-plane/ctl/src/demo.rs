//! `headroomctl demo`: a recorded conversation of an agent through Headroom, without a key, a repository or a network.

mod conversation;
mod provider;
mod shown;

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use headroom_api::pages::Stats;
use headroom_compress::{Api, Config, Memo, Request, compress};
use reqwest::Client;
use tokio::time::{Instant, sleep};

use self::conversation::Conversation;
use self::provider::{Exchange, Provider};
use crate::environment::Environment;
use crate::up::{self, Programs, Settings, UpArgs};

/// Plays a recorded conversation through Headroom, and shows what that saved.
#[derive(Args, Clone, Debug, Default)]
pub struct DemoArgs {
    /// Run the engine in this program instead of in Envoy: the same bytes, without Envoy, headroomd or the filter module
    #[arg(long, conflicts_with_all = ["envoy", "module", "headroomd"])]
    pub no_envoy: bool,
    /// Envoy's program [env: ENVOY] [default: what make installed, or on PATH]
    #[arg(long, value_name = "FILE")]
    pub envoy: Option<PathBuf>,
    /// The filter module [env: HEADROOM_MODULE] [default: where make and the image put it]
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// The sidecar's program [env: HEADROOMD] [default: next to this one, or on PATH]
    #[arg(long, value_name = "FILE")]
    pub headroomd: Option<PathBuf>,
}

/// A request of the agent, as sent and as received by the provider, each with the provider's price.
#[derive(Clone, Debug)]
struct Turn {
    before: Exchange,
    after: Exchange,
}

/// The variables that say where programs are; the user's other variables are ignored.
const PROGRAMS: [&str; 4] = ["PATH", "ENVOY", "HEADROOM_MODULE", "HEADROOMD"];
/// The prefix of variables that would change what the demo does: a store, a mode, a token.
const OURS: &str = "HEADROOM_";
/// The filter reports once a second; this leaves time for a machine under load.
const COUNTED: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);
/// Time limit of one request, which a program on this machine answers.
const ANSWER: Duration = Duration::from_secs(30);
/// Memory for remembered blocks. Bytes.
const MEMO: usize = 16 << 20;

/// Plays the conversation and prints the results.
pub async fn demo(args: &DemoArgs) -> anyhow::Result<()> {
    let conversation = Conversation::embedded()?;
    let mut out = stdout().lock();
    let programs = if args.no_envoy { None } else { find(args, &mut out)? };
    out.write_all(shown::introduction(&conversation, programs.is_some()).as_bytes())?;
    out.flush()?;
    let played = match &programs {
        Some(programs) => through_envoy(&conversation, programs).await?,
        None => Some((in_this_program(&conversation)?, None)),
    };
    let Some((turns, stats)) = played else {
        writeln!(out, "\nStopped; nothing is left of it.")?;
        return Ok(());
    };
    out.write_all(shown::turns(&conversation, &turns).as_bytes())?;
    if stats.is_some() {
        out.write_all(shown::own_tool().as_bytes())?;
    }
    out.write_all(shown::example(&turns).as_bytes())?;
    out.write_all(shown::bill(&conversation, &turns, stats.as_ref()).as_bytes())?;
    Ok(())
}

/// The programs that `up` needs. If one is missing, this prints which, and the demo runs without Envoy. If the
/// arguments name a program, a missing one is an error.
fn find(args: &DemoArgs, out: &mut impl std::io::Write) -> anyhow::Result<Option<Programs>> {
    let found = up::programs(&up_args(args), Environment::new(&lookup));
    let told = args.envoy.is_some() || args.module.is_some() || args.headroomd.is_some();
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if told => Err(error),
        Err(error) => {
            writeln!(out, "{error:#}\n\nSo the demo runs without Envoy, as with --no-envoy.\n")?;
            Ok(None)
        }
    }
}

fn lookup(name: &str) -> Option<String> {
    PROGRAMS.contains(&name).then(|| std::env::var(name).ok()).flatten()
}

fn up_args(args: &DemoArgs) -> UpArgs {
    UpArgs {
        envoy: args.envoy.clone(),
        module: args.module.clone(),
        headroomd: args.headroomd.clone(),
        // Free ports, because another Headroom may be running here.
        port: Some("0".to_owned()),
        workers: Some(1),
        ..UpArgs::default()
    }
}

/// Runs the engine on each request, and lets the provider charge for the result.
fn in_this_program(conversation: &Conversation) -> anyhow::Result<Vec<Turn>> {
    let (mut sent, mut got) = (Provider::default(), Provider::default());
    let mut memo = Memo::new(MEMO);
    let request = Request { reversible: true, ..Request::new(Api::AnthropicMessages) };
    let turn = |turn: usize| {
        let body = conversation.request(turn)?;
        let after = compress(body.as_bytes(), &request, &Config::default(), &mut memo).body.into_owned();
        let after = String::from_utf8(after).context("the engine wrote something that is not text")?;
        let answer = conversation.answer(turn);
        Ok(Turn { before: sent.exchange(&body, answer)?, after: got.exchange(&after, answer)? })
    };
    (0..conversation.turns()).map(turn).collect()
}

/// Sends each request through Envoy to a provider in this process. At the end come headroomd's own figures.
async fn through_envoy(
    conversation: &Conversation,
    programs: &Programs,
) -> anyhow::Result<Option<(Vec<Turn>, Option<Stats>)>> {
    // It contains everything that is written, and is removed at the end.
    let folder = tempfile::Builder::new().prefix("headroom-").tempdir().context("no folder can be made")?;
    let served = provider::serve(conversation.clone()).await?;
    let settings = settings(folder.path(), &served.url)?;
    let played = up::run_during(&settings, programs, async |url| play(conversation, &url, &served).await);
    let played = played.await.context("`headroomctl demo --no-envoy` shows the same without Envoy")?;
    folder.close().context("the demo's folder cannot be removed")?;
    Ok(played.map(|(turns, stats)| (turns, Some(stats))))
}

/// The default settings of `up`, in a separate folder, with every provider on this machine.
fn settings(folder: &Path, provider: &str) -> anyhow::Result<Settings> {
    let url = || Some(provider.to_owned());
    let args = UpArgs {
        workspace_dir: Some(folder.to_owned()),
        anthropic_api_url: url(),
        openai_api_url: url(),
        gemini_api_url: url(),
        chatgpt_api_url: url(),
        code_assist_api_url: url(),
        copilot_api_url: url(),
        ..up_args(&DemoArgs::default())
    };
    let mut settings = Settings::resolve(&args, Environment::new(&lookup))?;
    settings.not_inherited = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with(OURS))
        .collect();
    // The user's own prices, budgets and tenants do not apply to the demo.
    settings.sidecar_variables.push(("HEADROOM_CONFIG_DIR", folder.join("config").display().to_string()));
    Ok(settings)
}

async fn play(
    conversation: &Conversation,
    url: &str,
    served: &provider::DemoProvider,
) -> anyhow::Result<(Vec<Turn>, Stats)> {
    let client = Client::builder().no_proxy().timeout(ANSWER).build()?;
    let mut sent = Provider::default();
    let mut turns = Vec::new();
    for turn in 0..conversation.turns() {
        let body = conversation.request(turn)?;
        let request = client
            .post(format!("{url}/v1/messages"))
            .header("content-type", "application/json")
            .header("anthropic-version", "2023-06-01")
            .header("x-headroom-stack", "headroom_demo")
            .body(body.clone());
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "Envoy answered the demo's request {} with {status}: {text}", turn + 1);
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        ensure!(
            answer.get("content") == Some(conversation.answer(turn)),
            "the agent got a different answer from the one that the provider gave"
        );
        let after = served.last().context("the provider has got no request")?;
        turns.push(Turn { before: sent.exchange(&body, conversation.answer(turn))?, after });
    }
    let stats = counted(&client, url, conversation.turns()).await?;
    Ok((turns, stats))
}

/// headroomd's figures, once it has counted every request.
async fn counted(client: &Client, url: &str, requests: usize) -> anyhow::Result<Stats> {
    let deadline = Instant::now() + COUNTED;
    loop {
        let stats: Stats =
            client.get(format!("{url}/stats")).send().await?.error_for_status()?.json().await?;
        let total = stats.requests.as_ref().map_or(0, |it| it.total);
        if usize::try_from(total).is_ok_and(|total| total >= requests) || Instant::now() >= deadline {
            return Ok(stats);
        }
        sleep(LOOK).await;
    }
}
