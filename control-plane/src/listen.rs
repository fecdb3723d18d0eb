//! Listening sockets, TCP or Unix, and the other end of a connection.

use std::net::SocketAddr;
use std::path::Path;
use std::{fs, io};

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::settings::{Bind, is_loopback};

/// A bound socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Binds, and returns the address: `ip:port`, or `unix:/path`.
pub(crate) async fn bind(bind: &Bind) -> io::Result<(Listener, String)> {
    match bind {
        Bind::Tcp(addr) => {
            let listener = TcpListener::bind(addr).await?;
            let bound = listener.local_addr()?.to_string();
            Ok((Listener::Tcp(listener), bound))
        }
        Bind::Unix(path) => {
            remove_stale(path).await?;
            let listener = UnixListener::bind(path)?;
            owner_only(path)?;
            Ok((Listener::Unix(listener), format!("unix:{}", path.display())))
        }
    }
}

/// Removes a socket file that does not answer: it is left over from a killed process.
async fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file that is not a socket is in the way",
            ));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        Err(_) => fs::remove_file(path),
    }
}

fn owner_only(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// The other end of a connection, never taken from a header.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    /// Someone who may open our socket file.
    Unix,
}

impl Peer {
    pub(crate) fn is_loopback(self) -> bool {
        match self {
            Self::Tcp(addr) => is_loopback(addr.ip()),
            Self::Unix => true,
        }
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self::Tcp(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(_: IncomingStream<'_, UnixListener>) -> Self {
        Self::Unix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_loopback_is_loopback_and_nothing_else_is() {
        let peer = |addr: &str| Peer::Tcp(addr.parse().unwrap()).is_loopback();
        assert!(
            peer("127.0.0.1:1") && peer("127.8.8.8:1") && peer("[::1]:1") && peer("[::ffff:127.0.0.1]:1")
        );
        assert!(
            !peer("10.0.0.1:1") && !peer("[::ffff:10.0.0.1]:1") && !peer("[fe80::1]:1") && !peer("0.0.0.0:1")
        );
        assert!(Peer::Unix.is_loopback());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_or_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let at = Bind::Unix(path.clone());
        let (first, _) = bind(&at).await.unwrap();
        assert_eq!(bind(&at).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        let (_second, said) = bind(&at).await.unwrap();
        assert_eq!(said, format!("unix:{}", path.display()));
        let file = dir.path().join("f");
        fs::write(&file, "precious").unwrap();
        assert_eq!(bind(&Bind::Unix(file.clone())).await.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(file).unwrap(), "precious");
    }
}
