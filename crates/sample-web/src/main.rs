//! A web application to try a cluster with: shows which pod answers, and how often it has answered.
//!
//! | path | answers |
//! | --- | --- |
//! | `/` | a page that names the pod |
//! | `/healthz` | `ok` |
//!
//! It uses only the standard library, so that it can be linked statically and packed into an image with one file.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a client may take to ask.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// How long a request line may be, in bytes.
const LINE_BYTES_MAX: u64 = 8192;

fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("listening on port {port}");
    let pages = Arc::new(AtomicU64::new(0));
    for stream in listener.incoming() {
        let (stream, pages) = (stream?, Arc::clone(&pages));
        std::thread::spawn(move || {
            if let Err(error) = answer(stream, &pages) {
                eprintln!("a request failed: {error}");
            }
        });
    }
    Ok(())
}

fn answer(stream: TcpStream, pages: &AtomicU64) -> std::io::Result<()> {
    use std::io::Read;
    stream.set_read_timeout(Some(READ_WITHIN))?;
    let mut line = String::new();
    BufReader::new((&stream).take(LINE_BYTES_MAX)).read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or("/");
    let (code, kind, body) = match path {
        "/" => ("200 OK", "text/html; charset=utf-8", page(pages.fetch_add(1, Ordering::Relaxed) + 1)),
        "/healthz" => ("200 OK", "text/plain", "ok\n".to_owned()),
        _ => ("404 Not Found", "text/plain", "there is no such page\n".to_owned()),
    };
    println!("{path} {code}");
    write!(
        &stream,
        "HTTP/1.1 {code}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn page(count: u64) -> String {
    let pod = std::env::var("HOSTNAME").unwrap_or_else(|_| "a machine without a name".to_owned());
    format!(
        "<!doctype html><title>Ironhull</title><h1>It works</h1>\n<p>Pod {pod} answers, for the {count}. time.</p>\n"
    )
}
