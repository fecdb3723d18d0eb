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
            let head = String::from_utf8(request).unwrap();
            // What is not read when a connection is closed resets it, and the answer may be lost.
            stream.read_exact(&mut vec![0; body_length(&head)]).unwrap();
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((answer + &body).as_bytes()).unwrap();
            last = head;
        }
        last
    });
    (url, thread)
}

fn body_length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().map_or(0, |(_, length)| length.trim().parse().unwrap())
}
