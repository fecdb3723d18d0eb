//! `--llmlingua`: texts that no form shortens, shortened by a text model.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use headroom_api::llmlingua::{self, Rates, left_out};
use headroom_compress::{Encoding, address, append_marker};

use crate::environment::Environment;

/// The name of the text model among the forms.
pub(super) const FORM: &str = "llmlingua";
const MODEL: &str = "HEADROOM_LLMLINGUA_MODEL";
const DEVICE: &str = "HEADROOM_LLMLINGUA_DEVICE";
const RATE: &str = "HEADROOM_LLMLINGUA_RATE";

/// The text model.
#[derive(Args, Clone, Debug, Default)]
pub struct TextModelArgs {
    /// Shorten a text that no form shortens with a text model, LLMLingua-2; needs a build with the feature llmlingua
    #[arg(long, requires = "text")]
    pub llmlingua: bool,
    /// Folder of the text model, or its name on the Hugging Face hub, from where it is then downloaded once [env: HEADROOM_LLMLINGUA_MODEL] [default: llmlingua in the configuration folder]
    #[arg(long, value_name = "DIR|OWNER/NAME", requires = "llmlingua")]
    pub llmlingua_model: Option<String>,
    /// Where the text model runs: auto or cpu [env: HEADROOM_LLMLINGUA_DEVICE] [default: auto]
    #[arg(long, value_name = "DEVICE", requires = "llmlingua")]
    pub llmlingua_device: Option<String>,
    /// The share of prose that is kept: a number; or text=0.3,json=0.35,code=0.4, or auto for these [env: HEADROOM_LLMLINGUA_RATE] [default: 0.3]
    #[arg(long, value_name = "RATE", requires = "llmlingua")]
    pub llmlingua_rate: Option<String>,
}

/// A text model that is loaded.
#[derive(Debug)]
pub(super) struct TextModel {
    #[cfg(feature = "llmlingua")]
    model: headroom_text_model::TextModel,
    rates: Rates,
}

/// A text that was shortened.
#[derive(Debug)]
pub(super) struct ShortenedText {
    pub(super) text: String,
    pub(super) left_out: String,
    pub(super) hash: String,
    pub(super) tokens: u32,
}

impl TextModel {
    /// Loads the model that was asked for; `None` where none was.
    pub(super) fn load(args: &TextModelArgs, env: Environment<'_>) -> anyhow::Result<Option<Self>> {
        if !args.llmlingua {
            return Ok(None);
        }
        let named = |flag: &Option<String>, name| env.or(flag.as_ref(), name);
        if let Some(device) = named(&args.llmlingua_device, DEVICE)
            && let Err(problem) = llmlingua::device(&device)
        {
            bail!("--llmlingua-device: {problem}");
        }
        let rates = match named(&args.llmlingua_rate, RATE).as_deref().map(Rates::parse) {
            None => Rates::default(),
            Some(Ok(rates)) => rates,
            Some(Err(problem)) => bail!("--llmlingua-rate: {problem}"),
        };
        let folder = env.config_dir().map(|folder| folder.join(llmlingua::FOLDER));
        Self::open(named(&args.llmlingua_model, MODEL), folder, env.workspace_dir(None), rates).map(Some)
    }

    #[cfg(not(feature = "llmlingua"))]
    fn open(_: Option<String>, _: Option<PathBuf>, _: Option<PathBuf>, _: Rates) -> anyhow::Result<Self> {
        bail!("--llmlingua: {}", llmlingua::NOT_BUILT)
    }

    #[cfg(feature = "llmlingua")]
    fn open(
        named: Option<String>,
        folder: Option<PathBuf>,
        workspace: Option<PathBuf>,
        rates: Rates,
    ) -> anyhow::Result<Self> {
        use anyhow::Context as _;
        use headroom_text_model::{Source, hub};

        let none = "no folder for the text model: --llmlingua-model names one";
        let folder = match named {
            None => folder.context(none)?,
            Some(name) => match Source::named(&name, workspace.context(none)?.join("models")) {
                Source::Folder(folder) => folder,
                Source::Hub { name, cache } => {
                    let progress = crate::progress::of_download();
                    let told = |file: &str, bytes| progress.told(file, bytes);
                    let base = hub::base();
                    let fetch = hub::fetch(&base, &name, &cache, &told);
                    tokio::runtime::Runtime::new()?.block_on(fetch)?
                }
            },
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let doing = crate::progress::Spinner::now("Loading the text model …");
        let model = headroom_text_model::TextModel::load(&folder, threads)?;
        drop(doing);
        Ok(Self { model, rates })
    }

    /// What stays of a text of a kind; `None` where such texts stay whole, or where nothing is won.
    pub(super) fn shorten(
        &self,
        text: &str,
        kind: &str,
        tokens: u32,
    ) -> anyhow::Result<Option<ShortenedText>> {
        let Some(rate) = self.rates.of_kind(kind) else { return Ok(None) };
        let mut short = self.run(text, rate)?;
        let (left_out, hash) = (left_out(text, &short), address(text));
        append_marker(&mut short, &left_out, &hash);
        let after = u32::try_from(Encoding::O200kBase.count(&short)).unwrap_or(u32::MAX);
        Ok((after < tokens).then_some(ShortenedText { text: short, left_out, hash, tokens: after }))
    }

    #[cfg(feature = "llmlingua")]
    fn run(&self, text: &str, rate: f64) -> anyhow::Result<String> {
        let options = headroom_text_model::Options::of_rate(rate);
        Ok(self.model.compress(text, &options, &|| true)?.text)
    }

    #[cfg(not(feature = "llmlingua"))]
    fn run(&self, _: &str, _: f64) -> anyhow::Result<String> {
        bail!("{}", llmlingua::NOT_BUILT)
    }
}
