//! LiteLLM's proxy behind Envoy: for providers that speak another format than the client.
//!
//! It is a Python program in a virtual environment in the workspace. Envoy is in front of it, so that the filter
//! reads requests as the client wrote them. Envoy also adds LiteLLM's key.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::Client;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::child::{Child, Launch};
use super::settings::{LITELLM as NAME, LiteLlm, Settings};
use super::supervision::{Start, say};
use crate::providers::{Format, Key, Rewrite, ServedProvider};
use crate::upstream::Upstream;
use crate::yaml;

/// The installed version: the newest one whose extra `proxy` can be installed from PyPI.
const PACKAGE: &str = "litellm[proxy]==1.108.7";
/// The versions of Python that it runs on: the first, and the first unsupported one.
const PYTHON: [(u32, u32); 2] = [(3, 10), (3, 15)];
/// Possible names of such a Python.
const PYTHONS: [&str; 6] = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];
/// The variable of Envoy's environment with the key that LiteLLM requires.
const KEY_VARIABLE: &str = "HEADROOM_LITELLM_KEY";
/// Its imports take 13 to 20 seconds on two cores, and longer on a busy machine.
const READY: Duration = Duration::from_secs(180);
/// Time between two checks whether it is ready.
const LOOK: Duration = Duration::from_millis(250);
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// LiteLLM as a provider for Envoy, at this port. Requests that name no provider go there unchanged.
pub(crate) fn served(port: u16) -> ServedProvider {
    let same = |from: &str, to: &str| Rewrite { from: from.to_owned(), to: to.to_owned() };
    let paths = [
        "/v1/messages",
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/models",
        "/v1beta",
    ];
    ServedProvider {
        name: NAME.to_owned(),
        label: NAME.to_owned(),
        upstream: Upstream {
            tls: false,
            host: "127.0.0.1".to_owned(),
            port,
            prefix: String::new(),
            http2: false,
        },
        formats: vec![Format::Chat, Format::Responses, Format::Messages, Format::GenerateContent],
        rewrites: vec![same("/litellm", "")],
        unnamed: paths.iter().map(|path| same(path, path)).collect(),
        auth: Some("authorization".to_owned()),
        key: Some(Key {
            header: "authorization".to_owned(),
            prefix: "Bearer ",
            variable: KEY_VARIABLE.to_owned(),
        }),
        models: Vec::new(),
        limit: None,
        is_default: true,
    }
}

/// Installs it if necessary, and returns how to start it. From here on Envoy may have a route to it.
pub(super) fn prepare(litellm: &LiteLlm, settings: &mut Settings) -> anyhow::Result<Backend> {
    let program = match &litellm.program {
        Some(program) => {
            ensure!(program.is_file(), "--litellm or HEADROOM_LITELLM: {} is not a file", program.display());
            program.clone()
        }
        None => installed(&settings.workspace_dir.join(NAME))?,
    };
    let own = match &litellm.config {
        Some(file) => {
            let text = fs::read_to_string(file);
            let text =
                text.with_context(|| format!("--litellm-config: {} cannot be read", file.display()))?;
            yaml::object(&text)
                .map_err(|reason| anyhow::anyhow!("--litellm-config: {}: {reason}", file.display()))?
        }
        None => Map::new(),
    };
    let file = settings.run_dir().join("litellm.json");
    let text = Value::Object(configuration(own)).to_string();
    headroom_private::write(&file, text.as_bytes())
        .with_context(|| format!("{} cannot be written", file.display()))?;
    // The port is free now. If another program takes it before LiteLLM starts, LiteLLM fails, and that is reported.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut random = [0; 24];
    getrandom::fill(&mut random).context("no random numbers for a key")?;
    let key: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("sk-{key}");
    settings.served.retain(|served| served.name != NAME);
    settings.served.push(served(port));
    settings.envoy_variables.push((KEY_VARIABLE, key.clone()));
    let arguments =
        ["--config", &file.display().to_string(), "--host", "127.0.0.1", "--port", &port.to_string()];
    let launch = Launch {
        name: "LiteLLM",
        program,
        arguments: arguments
            .iter()
            .chain(&["--num_workers", "1", "--telemetry", "False"])
            .map(|it| (*it).to_owned())
            .collect(),
        environment: vec![
            ("LITELLM_MASTER_KEY", key),
            // Otherwise it downloads its table of prices.
            ("LITELLM_LOCAL_MODEL_COST_MAP", "True".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
        ],
        // It must not store anything. The variable is for other programs.
        unset: vec!["DATABASE_URL".to_owned()],
        log: settings.workspace_dir.join("logs/litellm.log"),
    };
    let client = Client::builder().no_proxy().timeout(LOOK_TIMEOUT).build()?;
    Ok(Backend { launch, url: format!("http://127.0.0.1:{port}/health/liveliness"), client })
}

/// How LiteLLM is started, and the check whether it is ready.
pub(super) struct Backend {
    launch: Launch,
    url: String,
    client: Client,
}

impl Backend {
    pub(super) fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Waits until it answers.
    pub(super) async fn wait(&self, place: &mut Option<Child>) -> anyhow::Result<()> {
        let Some(child) = place else { bail!("LiteLLM was not started") };
        let deadline = Instant::now() + READY;
        loop {
            let answer = self.client.get(&self.url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let trouble = match child.has_ended()? {
                Some(status) => format!("ended ({status}) before it was ready"),
                None if Instant::now() >= deadline => format!("was not ready after {} s", READY.as_secs()),
                None => {
                    sleep(LOOK).await;
                    continue;
                }
            };
            bail!("LiteLLM {trouble}. Its log, {}, ends:\n{}", child.log.display(), child.tail());
        }
    }
}

impl Start for Backend {
    fn name(&self) -> &'static str {
        "LiteLLM"
    }

    fn meanwhile(&self) -> &'static str {
        "Requests for it fail meanwhile"
    }

    async fn start(&self, place: &mut Option<Child>) -> anyhow::Result<()> {
        *place = Some(Child::start_again(&self.launch)?);
        self.wait(place).await
    }
}

/// The program in a separate virtual environment, which is created if it does not exist.
fn installed(folder: &Path) -> anyhow::Result<PathBuf> {
    let program = folder.join("bin/litellm");
    let mark = folder.join("headroom-installed");
    if program.is_file() && fs::read_to_string(&mark).is_ok_and(|text| text == PACKAGE) {
        return Ok(program);
    }
    let python = python()?;
    say(&format!("Installing {PACKAGE} from PyPI into {}, once: 750 MB, some minutes …", folder.display()));
    run(Command::new(&python).args(["-m", "venv"]).arg(folder)).with_context(|| {
        format!("{python} has no venv: install it (Debian and Ubuntu: apt-get install python3-venv)")
    })?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE];
    run(Command::new(folder.join("bin/python")).args(pip)).context("LiteLLM cannot be installed")?;
    headroom_private::write(&mark, PACKAGE.as_bytes()).with_context(|| mark.display().to_string())?;
    Ok(program)
}

/// A Python that LiteLLM runs on.
fn python() -> anyhow::Result<String> {
    let [least, beyond] = PYTHON;
    let mut found = Vec::new();
    for name in PYTHONS {
        let output = Command::new(name).args(["-c", "import sys; print(*sys.version_info[:2])"]).output();
        let Ok(output) = output else { continue };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut numbers = text.split_whitespace().filter_map(|number| number.parse().ok());
        let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else { continue };
        if (least..beyond).contains(&(major, minor)) {
            return Ok(name.to_owned());
        }
        found.push(format!("{name} is {major}.{minor}"));
    }
    bail!(
        "--backend litellm needs Python from {}.{} to {}.{}, which is not on PATH{}: install one (Debian and Ubuntu: apt-get \
         install python3 python3-venv), or name a LiteLLM that is installed with --litellm",
        least.0,
        least.1,
        beyond.0,
        beyond.1 - 1,
        if found.is_empty() { String::new() } else { format!(" ({})", found.join(", ")) }
    );
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = Path::new(command.get_program()).file_name().map(OsStr::to_owned).unwrap_or_default();
    let output = command.output().with_context(|| format!("{} does not start", name.display()))?;
    ensure!(
        output.status.success(),
        "{} ended with {}: {}",
        name.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// LiteLLM's configuration: the user's, and the settings that are required behind Headroom.
fn configuration(mut own: Map<String, Value>) -> Map<String, Value> {
    // By LiteLLM's conventions: names of models with the provider as a prefix, and keys from the environment.
    own.entry("model_list").or_insert_with(|| json!([{"model_name": "*", "litellm_params": {"model": "*"}}]));
    let mut put = |section: &str, key: &str, value: Value, wins: bool| {
        let section = own.entry(section).or_insert_with(|| json!({}));
        if !section.is_object() {
            *section = json!({});
        }
        if let Some(section) = section.as_object_mut()
            && (wins || !section.contains_key(key))
        {
            section.insert(key.to_owned(), value);
        }
    };
    // Only Headroom can use it.
    put("general_settings", "master_key", "os.environ/LITELLM_MASTER_KEY".into(), true);
    // Envoy already retries; retries in both would multiply.
    put("litellm_settings", "num_retries", 0.into(), false);
    // Parameters that a provider does not know are dropped instead of refused: Claude Code sends many.
    put("litellm_settings", "drop_params", true.into(), false);
    // For clients of Anthropic's format, a target `openai/…` gets Chat Completions and not Responses.
    put("litellm_settings", "use_chat_completions_url_for_anthropic_messages", true.into(), false);
    put("litellm_settings", "telemetry", false.into(), false);
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::up::UpArgs;

    #[test]
    fn the_users_configuration_stays_but_for_the_key() {
        let own = yaml::object(
            "model_list:\n- model_name: claude-sonnet-4-5\n  litellm_params: {model: hosted_vllm/qwen, api_base: 'http://h/v1', \
             timeout: 1.5}\nlitellm_settings:\n  num_retries: 3\ngeneral_settings:\n  master_key: mine\n",
        )
        .unwrap();
        let whole = Value::Object(configuration(own));
        assert_eq!(whole["model_list"][0]["litellm_params"]["timeout"], 1.5);
        assert_eq!(whole["litellm_settings"]["num_retries"], 3);
        assert_eq!(whole["litellm_settings"]["drop_params"], true);
        assert_eq!(whole["general_settings"]["master_key"], "os.environ/LITELLM_MASTER_KEY");
        let none = Value::Object(configuration(yaml::object("").unwrap()));
        assert_eq!(none["model_list"][0]["model_name"], "*");
        for broken in ["- a", "a: [", "a: 1\n---\nb: 2", "text"] {
            assert!(yaml::object(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn all_that_names_nobody_goes_to_it_with_its_own_key() {
        let served = served(4000);
        assert!(served.is_default && served.unnamed.iter().all(|rewrite| rewrite.from == rewrite.to));
        assert_eq!(served.key.unwrap().variable, KEY_VARIABLE);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let lookup = |name: &str| (name == "HOME").then(|| folder.path().display().to_string());
        let env = Environment::new(&lookup);
        let args = UpArgs {
            backend: Some("LiteLLM".to_owned()),
            litellm: Some("/none/litellm".into()),
            ..UpArgs::default()
        };
        let mut settings = Settings::resolve(&args, env).unwrap();
        let asked = settings.litellm.clone().unwrap();
        let error = prepare(&asked, &mut settings).err().unwrap();
        assert!(error.to_string().contains("/none/litellm"), "{error:#}");
        assert_eq!(Settings::resolve(&UpArgs::default(), env).unwrap().litellm, None);
    }
}
