//! `/logs/`: the host's own log directory, as files and lists of links.
//!
//! Pods with a host path may put links into that directory. They are followed as if the directory were the root, so that
//! none shows another file of the host (upstream follows them anywhere).

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use object::Status;
use rustix::fs::{Dir, FileType, OFlags};
use tokio::io::AsyncReadExt;

use super::query::decode_path;
use super::{Body, Server, full, text};

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// How many entries of a directory are listed.
const ENTRIES_MAX: usize = 10_000;

/// The object at a path.
#[derive(Debug)]
enum Found {
    File(File),
    /// Sorted names, with a slash behind those of directories.
    Directory(Vec<String>),
}

impl Server {
    /// Answers a path below `/logs`.
    pub(super) async fn host_logs(&self, path: &str) -> Result<Response<Body>, Status> {
        let below = path.strip_prefix("/logs").unwrap_or_default();
        let (root, wanted) = (PathBuf::from(&self.shared.config.host_log_dir), decode_path(below));
        let is_directory_path = wanted.ends_with('/');
        let look = move || look(&root, wanted.trim_matches('/'));
        match self.shared.files.run(look).await.flatten() {
            // Links are relative to the directory.
            Ok(Found::Directory(_)) if !is_directory_path => Ok(moved(path)),
            Ok(Found::Directory(names)) => Ok(full(StatusCode::OK, "text/html; charset=utf-8", page(&names))),
            Ok(Found::File(file)) => Ok(stream(file, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(text(StatusCode::NOT_FOUND, "404 page not found\n"))
            }
            Err(error) => {
                tracing::debug!(path, %error, "cannot show a log of the host");
                Ok(text(StatusCode::FORBIDDEN, "403 Forbidden\n"))
            }
        }
    }
}

/// Opens a path inside `root`. Blocks.
fn look(root: &Path, path: &str) -> io::Result<Found> {
    let root = hostfs::open_root(root)?;
    let named = hostfs::open(root.as_fd(), path.as_bytes(), OFlags::PATH)?;
    match FileType::from_raw_mode(rustix::fs::fstat(&named)?.st_mode) {
        FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let mut names = Vec::new();
            for entry in Dir::read_from(hostfs::open(root.as_fd(), path.as_bytes(), flags)?)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name == "." || name == ".." {
                    continue;
                }
                let slash = if entry.file_type() == FileType::Directory { "/" } else { "" };
                names.push(name + slash);
                if names.len() == ENTRIES_MAX {
                    break;
                }
            }
            names.sort();
            Ok(Found::Directory(names))
        }
        FileType::RegularFile => {
            let file =
                File::from(hostfs::open(root.as_fd(), path.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK)?);
            // It may have been replaced by now.
            match file.metadata()?.is_file() {
                true => Ok(Found::File(file)),
                false => Err(io::ErrorKind::InvalidData.into()),
            }
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn moved(path: &str) -> Response<Body> {
    let mut response = text(StatusCode::MOVED_PERMANENTLY, "");
    let name = path.rsplit('/').next().unwrap_or_default();
    if let Ok(location) = HeaderValue::from_str(&format!("{name}/")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// A list of links, in the form of Go's file server.
fn page(names: &[String]) -> String {
    let mut page =
        String::from("<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n");
    for name in names {
        page.push_str(&format!("<a href=\"{}\">{}</a>\n", in_url(name), in_html(name)));
    }
    page + "</pre>\n"
}

fn in_url(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let escape =
        |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(escape).collect()
}

fn in_html(name: &str) -> String {
    let escaped = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('"', "&#34;").replace('\'', "&#39;")
}

/// The file at its current length: a log grows while it is read.
fn stream(file: File, path: &str) -> Response<Body> {
    let length = file.metadata().map_or(0, |meta| meta.len());
    let file = tokio::fs::File::from_std(file).take(length);
    let pieces = futures::stream::unfold(file, |mut file| async move {
        let mut buffer = vec![0; CHUNK_BYTES];
        match file.read(&mut buffer).await {
            Ok(count @ 1..) => {
                buffer.truncate(count);
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from(buffer))), file))
            }
            _ => None,
        }
    });
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    let kind = if path.ends_with(".gz") { "application/x-gzip" } else { "text/plain; charset=utf-8" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("log");
        fs::create_dir_all(root.join("pods")).unwrap();
        fs::write(root.join("a.log"), "hello").unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        symlink("/etc/passwd", root.join("absolute")).unwrap();
        symlink("../secret", root.join("climbing")).unwrap();
        symlink("a.log", root.join("good")).unwrap();
        for (path, expected) in [("a.log", true), ("good", true), ("../secret", false), ("absolute", false)] {
            let found = look(&root, path);
            let text = found.ok().map(|found| match found {
                Found::File(mut file) => {
                    let mut text = String::new();
                    file.read_to_string(&mut text).unwrap();
                    text
                }
                Found::Directory(_) => panic!("a file"),
            });
            assert_eq!(text.as_deref(), expected.then_some("hello"), "{path}");
        }
        assert!(look(&root, "climbing").is_err());
        let Found::Directory(names) = look(&root, "").unwrap() else { panic!("a directory") };
        assert_eq!(names, ["a.log", "absolute", "climbing", "good", "pods/"]);
        let page = page(&["a<b".to_owned(), "pods/".to_owned()]);
        assert!(page.contains("<a href=\"a%3Cb\">a&lt;b</a>\n<a href=\"pods/\">pods/</a>\n"), "{page}");
    }
}
