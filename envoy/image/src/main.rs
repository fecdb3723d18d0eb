//! `headroom-image`: writes the filter's image, and checks one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, Subcommand};
use headroom_image::{
    Files, Image, Labels, archive, build, from_archive, from_folder, read, sha256, to_folder,
};

/// Puts the filter into an OCI image for Istio and Envoy Gateway, and reads it back.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes an OCI layout and, beside it with `.tar` behind its name, the same as an archive
    Write {
        /// The filter
        #[arg(long, value_name = "FILE")]
        module: PathBuf,
        /// Folder of the layout; an older one is replaced
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// The time that the image states, in seconds since the Unix epoch
        #[arg(long, value_name = "SECONDS")]
        created: i64,
        /// The commit that the image states
        #[arg(long, value_name = "COMMIT")]
        revision: String,
        /// A path of this machine, which the module may not contain: its bytes would be others elsewhere
        #[arg(long, value_name = "PATH")]
        foreign: Vec<String>,
    },
    /// Checks every digest, length and type of a layout or its archive
    Check {
        /// A folder or a tar archive
        image: PathBuf,
        /// The module that has to be in it
        #[arg(long, value_name = "FILE")]
        module: Option<PathBuf>,
    },
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Write { module, out, created, revision, foreign } => {
            let module = content(&module)?;
            for path in foreign.iter().filter(|path| !path.is_empty()) {
                let needle = path.as_bytes();
                ensure!(
                    !module.windows(needle.len()).any(|window| window == needle),
                    "the module contains the path {path}: built elsewhere, it would be another"
                );
            }
            let labels = Labels { version: env!("CARGO_PKG_VERSION").to_owned(), revision, created };
            let files = build(&module, &labels)?;
            let packed = archive(&files, u64::try_from(created).unwrap_or_default())?;
            to_folder(&files, &out)?;
            let tar = PathBuf::from(format!("{}.tar", out.display()));
            fs::write(&tar, packed).with_context(|| tar.display().to_string())?;
            for written in [&out, &tar] {
                let image = check(written, Some(&module))?;
                print(written, &image)?;
            }
            Ok(())
        }
        Command::Check { image, module } => {
            let module = module.as_deref().map(content).transpose()?;
            print(&image, &check(&image, module.as_deref())?)
        }
    }
}

fn content(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

fn check(path: &Path, module: Option<&[u8]>) -> Result<Image> {
    let files: Files = if path.is_dir() { from_folder(path)? } else { from_archive(&content(path)?)? };
    let image = read(&files).with_context(|| path.display().to_string())?;
    if module.is_some_and(|module| module != image.module) {
        bail!("{}: the module inside is another one than the one given", path.display());
    }
    Ok(image)
}

fn print(path: &Path, image: &Image) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", path.display())?;
    writeln!(out, "  tag           {}", image.tag.as_deref().unwrap_or("none"))?;
    writeln!(out, "  image         sha256:{}", image.digest)?;
    writeln!(out, "  plugin.wasm   sha256:{}  {} bytes", sha256(&image.module), image.module.len())?;
    Ok(())
}
