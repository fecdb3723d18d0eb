//! `/dashboard`: one page with its scripts, styles and chart library, all inside the binary.
//!
//! The files contain no figures: the page requests those from the other paths, with the token if one is
//! required. So the files themselves are served without it.

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::error::Refusal;

/// Everything comes from this origin only, no inline code runs, other pages cannot frame this one, and no
/// text becomes HTML: `require-trusted-types-for` makes the browser refuse `innerHTML` and similar.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal: $kind:ident = $path:literal,)*) => {
        &[$(File { name: $name, kind: $kind, bytes: include_bytes!(concat!("../../dashboard/", $path)) },)*]
    };
}

/// The page first, then its files, each below `/dashboard/`.
const FILES: &[File] = files! {
    "": HTML = "index.html",
    "style.css": CSS = "style.css",
    "views.css": CSS = "views.css",
    "icon.svg": SVG = "icon.svg",
    "theme.js": JS = "theme.js",
    "app.js": JS = "app.js",
    "access.js": JS = "access.js",
    "toin.js": JS = "toin.js",
    "address.js": JS = "address.js",
    "api.js": JS = "api.js",
    "cache.js": JS = "cache.js",
    "chart.js": JS = "chart.js",
    "compare.js": JS = "compare.js",
    "dom.js": JS = "dom.js",
    "drawer.js": JS = "drawer.js",
    "filters.js": JS = "filters.js",
    "format.js": JS = "format.js",
    "history.js": JS = "history.js",
    "live.js": JS = "live.js",
    "money.js": JS = "money.js",
    "more.js": JS = "more.js",
    "recent.js": JS = "recent.js",
    "requests.js": JS = "requests.js",
    "sessions.js": JS = "sessions.js",
    "stack.js": JS = "stack.js",
    "words.js": JS = "words.js",
    "uplot.css": CSS = "vendor/uplot.css",
    "uplot.js": JS = "vendor/uplot.js",
};

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page = |headers: HeaderMap| async move { answer("", &headers) };
    // browsers request it for pages that name no icon, such as the JSON pages
    let icon = |headers: HeaderMap| async move { answer("icon.svg", &headers) };
    let file = |Path(name): Path<String>, headers: HeaderMap| async move { answer(&name, &headers) };
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/dashboard") }))
        .route("/favicon.ico", get(icon))
        // where Envoy serves the page, it answers this itself
        .route("/dashboard/proxy", get(|| async { "none" }))
        .route("/dashboard", get(page))
        .route("/dashboard/", get(page))
        .route("/dashboard/{name}", get(file))
}

/// Whether a path is the page's, or below it, or redirects there.
pub(super) fn is_page(path: &str) -> bool {
    ["/", "/favicon.ico"].contains(&path)
        || path.strip_prefix("/dashboard").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn answer(name: &str, asked: &HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Refusal::NOT_FOUND.into_response();
    };
    let tag = format!("\"{}\"", &blake3::hash(file.bytes).to_hex()[..16]);
    let unchanged = asked.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response =
        if unchanged { StatusCode::NOT_MODIFIED.into_response() } else { file.bytes.into_response() };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, file.kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        // revalidated each time, usually with a 304: a new version shows at once
        (CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_only_begins_like_the_page_is_not_the_page() {
        for page in
            ["/", "/favicon.ico", "/dashboard", "/dashboard/", "/dashboard/app.js", "/dashboard/nothing"]
        {
            assert!(is_page(page), "{page}");
        }
        for other in
            ["//", "/favicon.ico/", "/dashboards", "/dashboard.json", "/stats", "//dashboard", "/Dashboard"]
        {
            assert!(!is_page(other), "{other}");
        }
    }

    #[test]
    fn what_is_known_already_is_not_sent_again() {
        let first = answer("app.js", &HeaderMap::new());
        assert_eq!(first.status(), 200);
        let mut asked = HeaderMap::new();
        asked.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(answer("app.js", &asked).status(), 304);
        assert_eq!(answer("style.css", &asked).status(), 200);
        assert_eq!(answer("../Cargo.toml", &asked).status(), 404);
    }

    #[test]
    fn every_reason_for_which_a_cache_misses_has_words() {
        let words = FILES.iter().find(|file| file.name == "words.js").unwrap();
        let words = std::str::from_utf8(words.bytes).unwrap();
        for (reason, _) in headroom_api::names::MISS_REASONS {
            assert!(words.contains(&format!("  {reason}: [\"")), "{reason}");
        }
    }

    #[test]
    fn the_files_ask_nobody_else_and_write_no_html() {
        for file in FILES.iter().filter(|file| !file.name.starts_with("uplot")) {
            let text = std::str::from_utf8(file.bytes).unwrap();
            for bad in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\""]
            {
                assert!(!text.contains(bad), "{} has {bad}", file.name);
            }
            let outside = text.split("//").skip(1).zip(text.split("//"));
            for (after, before) in outside.filter(|(_, before)| before.ends_with(':')) {
                let allowed =
                    ["127.0.0.1", "www.w3.org/2000/svg"].iter().any(|known| after.starts_with(known));
                assert!(
                    allowed,
                    "{} names {}//{after:.40}",
                    file.name,
                    &before[before.len().saturating_sub(6)..]
                );
            }
        }
    }
}
