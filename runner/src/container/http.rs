//! Owns one HTTP GET over a Unix socket, bounded in time and size, and connecting to such a socket. Knows no engine.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

/// Time for the whole exchange: connect, request, answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(1);
/// Most bytes of an answer, head and chunk framing included.
const LARGEST_ANSWER: usize = 64 << 20;
/// Most bytes of an answer's head.
const LARGEST_HEAD: usize = 64 << 10;
/// Most header lines.
const MOST_HEADERS: usize = 64;

/// Asks the server at `socket` for `target` and returns the body of a 200.
///
/// # Errors
/// In words: no socket there, no answer within a second, more than 64 MiB, no HTTP, another status.
pub(super) fn get(socket: &Path, target: &str) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + DEADLINE;
    let mut stream = connect_until(socket, deadline)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    // HTTP/1.1 since docker refuses nothing less of its own clients; `close` ends the body where no length is given.
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())?;
    answer(|buffer| {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(too_late()),
            other => other,
        }
    })
}

/// That time is over.
pub(super) fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer within a second")
}

/// The time that is left.
///
/// # Errors
/// [`too_late`].
pub(super) fn left(deadline: Instant) -> io::Result<Duration> {
    deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or_else(too_late)
}

/// Connects without blocking: a server that accepts nothing lets connect(2) wait for ever (its backlog full: `EAGAIN`).
///
/// # Errors
/// As connecting fails, or [`too_late`].
pub(super) fn connect_until(path: &Path, deadline: Instant) -> io::Result<UnixStream> {
    let address = UnixAddr::new(path)?;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    loop {
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) => break,
            Err(Errno::EAGAIN | Errno::EINTR) => std::thread::sleep(left(deadline)?.min(Duration::from_millis(5))),
            Err(e) => return Err(e.into()),
        }
    }
    let stream = UnixStream::from(fd);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Reads an answer through `read` (which fills a buffer like [`Read::read`]).
fn answer(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut head = None;
    loop {
        let n = read(&mut buffer)?;
        bytes.extend_from_slice(buffer.get(..n).unwrap_or_default());
        if bytes.len() > LARGEST_ANSWER {
            return Err(io::Error::other("an answer of more than 64 MiB"));
        }
        if head.is_none() {
            head = parse_head(&bytes)?;
        }
        match &head {
            Some(head) => {
                if let Some(body) = head.body_of(&bytes, n == 0)? {
                    return Ok(body);
                }
            }
            None if bytes.len() > LARGEST_HEAD => return Err(io::Error::other("an answer that is no HTTP")),
            None => {}
        }
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "an answer cut short"));
        }
    }
}

struct Head {
    /// Where the body begins.
    body: usize,
    framing: Framing,
}

impl Head {
    /// The body, once all of it is among the bytes of the answer; `ended` where no more will come.
    fn body_of(&self, bytes: &[u8], ended: bool) -> io::Result<Option<Vec<u8>>> {
        let framed = bytes.get(self.body..).unwrap_or_default();
        match self.framing {
            Framing::Length(length) => Ok(framed.get(..length).map(<[u8]>::to_vec)),
            // Decoding again from the start on each read would be quadratic: wait for the end of a chunk.
            Framing::Chunked if ended || framed.ends_with(b"\r\n") => unchunk(framed),
            Framing::Chunked => Ok(None),
            Framing::UntilEnd => Ok(ended.then(|| framed.to_vec())),
        }
    }
}

enum Framing {
    Length(usize),
    Chunked,
    UntilEnd,
}

/// The head, once it is complete.
fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body) =
        response.parse(bytes).map_err(|e| io::Error::other(format!("no HTTP: {e}")))?
    else {
        return Ok(None);
    };
    let status = response.code.unwrap_or(0);
    if status != 200 {
        return Err(io::Error::other(format!("HTTP status {status}")));
    }
    let header = |name: &str| {
        let found = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
        found.and_then(|h| std::str::from_utf8(h.value).ok()).map(str::trim)
    };
    let framing = if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        Framing::Chunked
    } else if let Some(length) = header("content-length") {
        let length = length.parse().ok().filter(|&n| n <= LARGEST_ANSWER);
        Framing::Length(length.ok_or_else(|| io::Error::other("an answer of more than 64 MiB"))?)
    } else {
        Framing::UntilEnd
    };
    Ok(Some(Head { body, framing }))
}

/// The body out of its chunks; `None` while chunks are missing.
fn unchunk(mut framed: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let (start, size) = match httparse::parse_chunk_size(framed) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(io::Error::other("a chunk without a size")),
        };
        if size == 0 {
            return Ok(Some(body));
        }
        let end = usize::try_from(size).ok().and_then(|size| start.checked_add(size));
        let Some(end) = end.filter(|&end| end <= LARGEST_ANSWER) else {
            return Err(io::Error::other("an answer of more than 64 MiB"));
        };
        let Some(chunk) = framed.get(start..end) else { return Ok(None) };
        body.extend_from_slice(chunk);
        // Behind each chunk stands CR LF (RFC 9112, 7.1).
        let Some(rest) = framed.get(end + 2..) else { return Ok(None) };
        framed = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// The answer as it comes when the server writes it in pieces of `step` bytes.
    fn read_in_steps(text: &[u8], step: usize) -> io::Result<Vec<u8>> {
        let mut rest = text;
        answer(|buffer| {
            let n = rest.len().min(step);
            buffer[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            Ok(n)
        })
    }

    #[test]
    fn each_framing_in_pieces_of_each_size() {
        for text in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n[1,2,3]"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n4;x=y\r\n2,3]\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n[1,2,3]",
        ] {
            for step in [1, 2, 5, 1000] {
                assert_eq!(read_in_steps(text, step).unwrap(), b"[1,2,3]");
            }
        }
    }

    #[test]
    fn a_body_that_holds_line_ends_and_looks_like_a_last_chunk() {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nab\r\n0\r\n\r\n\r\n0\r\n\r\n";
        for step in [1, 3, 1000] {
            assert_eq!(read_in_steps(text, step).unwrap(), b"ab\r\n0\r\n\r\n");
        }
    }

    #[test]
    fn bad_answers_are_errors() {
        for text in [
            &b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"hello",
            b"",
        ] {
            assert!(read_in_steps(text, 1000).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_server_that_never_answers_costs_a_second() {
        let path = std::env::temp_dir().join(format!("ctp-http-{}.sock", std::process::id()));
        let _listener = UnixListener::bind(&path).unwrap();
        let before = Instant::now();
        let error = get(&path, "/").unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(before.elapsed() < Duration::from_secs(3));
    }
}
