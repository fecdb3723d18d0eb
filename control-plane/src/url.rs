//! URLs in logs and on pages.

use url::Url;

/// A URL's scheme, host, port and path: the other parts may contain a password or a key. Empty if the text is not a
/// URL.
pub(crate) fn without_secrets(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return String::new() };
    // a URL without a host has neither of the two
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_holds_no_credentials() {
        for (url, shown) in [
            ("https://u:p@t.example/in?key=k#f", "https://t.example/in"),
            ("postgres://u:p%40@h:5/d?password=x", "postgres://h:5/d"),
            ("postgres:///d?host=/run&user=u", "postgres:///d"),
            ("u:p@h", "u:p@h"),
            ("no URL, p", ""),
        ] {
            assert_eq!(without_secrets(url), shown, "{url}");
        }
    }
}
