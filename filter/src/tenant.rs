//! The tenant of a request: it separates reports, and decides which originals are found.
//!
//! A tenant can read its originals, so the name is never taken from the client unless the configuration
//! trusts the clients.

use crate::host::Headers;
use crate::lenient::Reader;

/// The header that names a tenant to the sidecar, and in which a trusted client may name itself.
pub(crate) const HEADER: &str = "x-headroom-user-id";

/// Where the tenant's name comes from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum TenantSource {
    /// The configuration's `tenant`, for every request.
    #[default]
    Configured,
    /// The client, in `x-headroom-user-id`.
    Client,
    /// A hash of the request's credential.
    Key,
    /// The certificate that the client has shown to Envoy: its first URI or DNS name, else its subject.
    Peer,
    /// headroomd decides by the token that the client sends: the filter names no tenant.
    Token,
    /// A request header that a filter before this one sets, in lower case. That filter has to remove or
    /// replace a header of the client's.
    Header(String),
}

/// Their names in the configuration.
const SOURCES: &[(&str, TenantSource)] = &[
    ("configured", TenantSource::Configured),
    ("client", TenantSource::Client),
    ("key", TenantSource::Key),
    ("peer", TenantSource::Peer),
    ("token", TenantSource::Token),
];

/// Properties of the client's certificate; the first one that Envoy has is used.
const PEER: [&str; 3] = [
    "connection\0uri_san_peer_certificate",
    "connection\0dns_san_peer_certificate",
    "connection\0subject_peer_certificate",
];

/// Longer than names of tenants usually are.
const MAX_BYTES: usize = 128;

impl TenantSource {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        let text = reader.text("tenant_from");
        let header = text.strip_prefix("header:").map(|name| name.trim().to_ascii_lowercase());
        let known = SOURCES.iter().find(|(name, _)| *name == text).map(|(_, source)| source.clone());
        match (header, known) {
            (Some(name), _) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Self::Header(name)
            }
            (_, Some(source)) => source,
            _ => {
                if !text.is_empty() {
                    reader.refuse(
                        "tenant_from",
                        "expected configured, client, key, peer, token or header:NAME",
                        "every request has the configured tenant",
                    );
                }
                Self::Configured
            }
        }
    }

    /// The header from which the name is read, if any.
    fn header(&self) -> Option<&str> {
        match self {
            Self::Client => Some(HEADER),
            Self::Header(name) => Some(name),
            Self::Configured | Self::Key | Self::Peer | Self::Token => None,
        }
    }

    /// The tenant of a request with these `keys`; `configured` if there is no other name. `property` returns
    /// what Envoy knows about the client.
    pub(crate) fn tenant(
        &self,
        headers: &Headers,
        keys: &[String],
        configured: &str,
        property: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> String {
        let named = match self {
            Self::Configured => None,
            // headroomd derives the tenant from the token.
            Self::Token => return String::new(),
            Self::Key => keys.first().cloned(),
            Self::Peer => PEER.into_iter().find_map(|of| name(&property(of)?)),
            Self::Client | Self::Header(_) => {
                let mut values =
                    headers.iter().filter(|(key, _)| Some(*key) == self.header().map(str::as_bytes));
                // Two of them: one was added, and it is unknown by whom.
                let value = values.next().filter(|_| values.next().is_none());
                value.and_then(|(_, value)| name(value))
            }
        };
        named.unwrap_or_else(|| configured.to_owned())
    }
}

/// The name of a person or a team. A text that looks like an API key is rejected (I9).
pub(crate) fn name(value: &[u8]) -> Option<String> {
    label(value, |byte| byte.is_ascii_graphic())
}

/// A text for reports, if it consists of allowed bytes and does not look like an API key.
pub(crate) fn label(value: &[u8], is_plain: impl Fn(u8) -> bool) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let plain = text.len() <= MAX_BYTES && text.bytes().all(is_plain);
    let credential = ["sk-", "sk_", "Bearer", "AIza", "eyJ"].iter().any(|start| text.starts_with(start));
    (plain && !credential && !text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(source: &TenantSource, pairs: &[(&str, &str)]) -> String {
        let peer = |name: &str| name.contains("dns").then(|| b"agent.example".to_vec());
        source.tenant(&Headers::of(pairs), &["0123456789abcdef".to_owned()], "default", peer)
    }

    #[test]
    fn who_says_it_is_configured() {
        let said = [("x-headroom-user-id", "mallory"), ("x-jwt-sub", "ann")];
        let header = TenantSource::Header("x-jwt-sub".to_owned());
        for (source, expected) in [
            (TenantSource::Configured, "default"),
            (TenantSource::Client, "mallory"),
            (TenantSource::Key, "0123456789abcdef"),
            (TenantSource::Token, ""),
            (TenantSource::Peer, "agent.example"),
            (header.clone(), "ann"),
        ] {
            assert_eq!(tenant(&source, &said), expected, "{source:?}");
        }
        for nobody in [&[][..], &[("x-jwt-sub", "")], &[("x-jwt-sub", "a"), ("x-jwt-sub", "b")]] {
            assert_eq!(tenant(&header, nobody), "default", "{nobody:?}");
        }
    }
}
