//! A server with a few answers.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

/// Gives one answer on a free port, and returns its request.
pub(crate) fn server(status: &'static str, body: String) -> (String, JoinHandle<String>) {
    server_of(status, body, 1)
}

/// Gives the same answer several times, and returns the last request.
pub(crate) fn server_of(status: &'static str, body: String, times: usize) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut last = String::new();
        for _ in 0..times {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).unwrap();
            last = String::from_utf8(request).unwrap();
        }
        last
    });
    (url, thread)
}
