//! `headroomctl retrieve`: prints the original behind a marker.

use std::io::{Write as _, stdout};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use reqwest::StatusCode;
use serde::Deserialize;

use crate::misuse::Misuse;
use crate::running::SidecarArgs;

/// Prints the original that a marker points to.
#[derive(Args, Clone, Debug, Default)]
pub struct RetrieveArgs {
    /// The hash in the marker, or the marker itself
    pub hash: String,
    /// Only the part that matches best, as rows of a JSON list or as lines
    #[arg(long, value_name = "TEXT", conflicts_with = "lines")]
    pub query: Option<String>,
    /// Only this range: 40-80, 40-, -20, "rows 3-7", "characters 1-900"
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    pub lines: Option<String>,
    /// The tenant, as the filter's `tenant` or `tenant_from` says. headroomd is then asked directly, unless --url is given
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Where Headroom listens.
    #[command(flatten)]
    pub at: SidecarArgs,
}

#[derive(Deserialize)]
struct Whole {
    original_content: String,
}

#[derive(Deserialize)]
struct Part {
    content: String,
}

/// Asks `/v1/retrieve` and prints the answer, byte for byte.
pub async fn retrieve(args: &RetrieveArgs) -> anyhow::Result<()> {
    let running = if args.tenant.is_some() { args.at.sidecar()? } else { args.at.running()? };
    let hash = hash(&args.hash).map_err(Misuse::of)?;
    let path = format!("/v1/retrieve/{hash}");
    let mut request = running.get(&path);
    for (name, value) in [("query", &args.query), ("lines", &args.lines)] {
        if let Some(value) = value {
            request = request.query(&[(name, value)]);
        }
    }
    if let Some(tenant) = &args.tenant {
        let visible = !tenant.is_empty() && tenant.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible {
            return Err(Misuse::of(anyhow!("--tenant: expected visible ASCII characters, found {tenant:?}")));
        }
        request = request.header("x-headroom-user-id", tenant);
    }
    let (status, body) = running.answer(&path, request).await?;
    let url = running.url(&path);
    match status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND if body.contains("expired") => {
            bail!("{hash} was not found: it was never stored for this tenant, or it has expired")
        }
        status => bail!("{url} answered {status} instead of an original: {body}"),
    }
    let strange = || format!("{url} answered something other than an original");
    let text = if args.query.is_some() || args.lines.is_some() {
        let part: Part = serde_json::from_str(&body).with_context(strange)?;
        if part.content.is_empty() {
            bail!("nothing in {hash} matches");
        }
        part.content
    } else {
        serde_json::from_str::<Whole>(&body).with_context(strange)?.original_content
    };
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// The hash in a copied text: alone, as `hash=…`, or the whole marker.
fn hash(text: &str) -> anyhow::Result<String> {
    let hex = |part: &&str| part.len() == 24 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parts = text.split(|c: char| !c.is_ascii_alphanumeric());
    let hash = parts.rfind(hex).with_context(|| format!("expected 24 hexadecimal digits, found {text:?}"))?;
    Ok(hash.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_found_in_what_people_copy() {
        let bare = "9f86d081884c7d659a2feaa0";
        for text in [
            bare,
            "hash=9F86D081884C7D659A2FEAA0",
            "[headroom: 4 of 9 rows left out. Full text: headroom_retrieve hash=9f86d081884c7d659a2feaa0]",
        ] {
            assert_eq!(hash(text).unwrap(), bare);
        }
        for text in ["", "9f86", "../../etc/passwd", "9f86d081884c7d659a2feaa0a"] {
            assert!(hash(text).is_err(), "{text}");
        }
    }
}
