//! `headroomctl open`: the address, the token and the opener.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::server::{server, server_of};

/// Runs it with an opener that records its argument, and the content of the file that the argument names.
fn run(arguments: &[&str], folder: &Path, token: Option<&str>) -> Output {
    let opener = folder.join("xdg-open");
    let script = "#!/bin/sh\necho \"$1\" > \"$NOTES\"\nif [ -f \"$1\" ]; then stat -c %a \"$1\" >> \"$NOTES\"; cat \"$1\" >> \"$NOTES\"; fi\n";
    std::fs::write(&opener, script).unwrap();
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroomctl"));
    command
        .arg("open")
        .args(arguments)
        .env_remove("HEADROOM_PORT")
        .env_remove("HEADROOM_TOKEN")
        .env("PATH", path);
    command.env("NOTES", folder.join("notes")).env("HEADROOM_WORKSPACE_DIR", folder.join("workspace"));
    if let Some(token) = token {
        command.env("HEADROOM_TOKEN", token);
    }
    command.output().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn the_address_is_printed_and_handed_to_the_opener() {
    let folder = tempfile::tempdir().unwrap();
    let (url, server) = server("200 OK", "<html>".to_owned());
    let answer = run(&["--url", &url], folder.path(), None);
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), format!("{url}/dashboard\n"));
    assert_eq!(std::fs::read_to_string(folder.path().join("notes")).unwrap(), format!("{url}/dashboard\n"));
    assert!(server.join().unwrap().starts_with("GET /dashboard "));
}

#[test]
#[cfg(target_os = "linux")]
fn a_token_reaches_the_browser_in_a_file_of_the_users_own_that_does_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    // A caller without a token also gets this answer.
    let (url, server) = server_of("401 Unauthorized", String::new(), 1);
    let refused = run(&["--url", &url], folder.path(), Some("secret"));
    assert_eq!(refused.status.code(), Some(1), "a dashboard that is refused is not opened");
    server.join().unwrap();

    let url = asking_for_a_token();
    let answer = run(&["--url", &url], folder.path(), Some("se cret"));
    assert_eq!(answer.status.code(), Some(0), "{}", String::from_utf8_lossy(&answer.stderr));
    let notes = std::fs::read_to_string(folder.path().join("notes")).unwrap();
    let lines: Vec<&str> = notes.lines().collect();
    assert!(lines[0].ends_with(".html") && !lines[0].contains("cret"), "{notes}");
    assert_eq!(lines[1], "600");
    assert!(notes.contains(&format!("{url}/dashboard#token=se%20cret")), "{notes}");
    assert!(!Path::new(lines[0]).exists());
    assert!(!String::from_utf8(answer.stdout).unwrap().contains("cret"));
}

/// A server that shows its dashboard to everyone, and its figures only with a token.
fn asking_for_a_token() -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_err() {
                    break;
                }
                request.push(byte[0]);
            }
            let status = if request.starts_with(b"GET /dashboard") { "200 OK" } else { "401 Unauthorized" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    url
}

#[test]
fn printing_opens_nothing_and_a_headroomd_without_a_dashboard_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (url, server) = server("200 OK", "<html>".to_owned());
    assert!(run(&["--print", "--url", &url], folder.path(), None).status.success());
    assert!(!folder.path().join("notes").exists());
    server.join().unwrap();
    let (url, server) = crate::server::server("404 Not Found", String::new());
    let answer = run(&["--url", &url], folder.path(), None);
    assert_eq!(answer.status.code(), Some(1));
    assert!(String::from_utf8(answer.stderr).unwrap().contains("without a dashboard"));
    server.join().unwrap();
}
