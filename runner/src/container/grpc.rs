//! Owns one call of gRPC over a Unix socket (HTTP/2, RFC 9113), bounded in time and size, and reading protobuf's wire
//! format. Knows no engine.
//!
//! One request on a connection of its own, so stream 1 is the only one; header fields go out as literals and those
//! that come back are not read: an answer without a message has failed, and nothing else is asked of them.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Instant;

use super::http::{DEADLINE, connect_until, left, too_late};

/// Most bytes of all messages of an answer.
const LARGEST_ANSWER: usize = 64 << 20;
/// Largest frame taken: the size every peer keeps to unless it was told of more (RFC 9113, 4.2).
const LARGEST_FRAME: usize = 16384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// `END_STREAM` of data and header fields, `ACK` of settings and pings.
const LAST: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// Windows never fill: both are as wide as can be from the start.
const WIDEST: u32 = (1 << 31) - 1;
const FIRST_WINDOW: u32 = 65_535;
/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Calls `path` (`/package.Service/Method`) with one message and returns those of the answer. `metadata` are further
/// header fields.
///
/// # Errors
/// In words: no socket there, no answer within a second, more than 64 MiB, no gRPC, or a call that was refused.
pub(super) fn call(socket: &Path, path: &str, metadata: &[(&str, &str)], message: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let deadline = Instant::now() + DEADLINE;
    let mut stream = connect_until(socket, deadline)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let widest = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &WIDEST.to_be_bytes()].concat();
    frame(&mut request, SETTINGS, 0, 0, &widest)?;
    frame(&mut request, WINDOW_UPDATE, 0, 0, &(WIDEST - FIRST_WINDOW).to_be_bytes())?;
    frame(&mut request, HEADERS, END_HEADERS, 1, &fields(path, metadata)?)?;
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    frame(&mut request, DATA, LAST, 1, &[&[0][..], &length.to_be_bytes(), message].concat())?;
    stream.write_all(&request)?;

    let mut data = Vec::new();
    loop {
        let mut read = |buffer: &mut [u8]| -> io::Result<()> {
            stream.set_read_timeout(Some(left(deadline)?))?;
            match stream.read_exact(buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(too_late()),
                other => other,
            }
        };
        let mut head = [0; 9];
        read(&mut head)?;
        let [a, b, c, kind, flags, ..] = head;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).map_err(io::Error::other)?;
        if length > LARGEST_FRAME {
            return Err(io::Error::other("an answer that is no gRPC"));
        }
        let mut body = vec![0; length];
        read(&mut body)?;
        match kind {
            SETTINGS | PING if flags & LAST == 0 => {
                let mut answer = Vec::new();
                frame(&mut answer, kind, LAST, 0, if kind == PING { &body } else { &[] })?;
                stream.write_all(&answer)?;
            }
            // Padding serves to hide lengths, which no engine does.
            DATA if flags & PADDED != 0 => return Err(io::Error::other("an answer that ctp does not read")),
            DATA => data.extend_from_slice(&body),
            RST_STREAM | GOAWAY => return Err(io::Error::other("the call was refused")),
            // Header fields, and what may be left unread (RFC 9113, 5.5).
            _ => {}
        }
        if data.len() > LARGEST_ANSWER {
            return Err(io::Error::other("an answer of more than 64 MiB"));
        }
        if matches!(kind, DATA | HEADERS) && flags & LAST != 0 {
            return messages(&data);
        }
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, body: &[u8]) -> io::Result<()> {
    let [a, b, c, d] = u32::try_from(body.len()).map_err(io::Error::other)?.to_be_bytes();
    if a != 0 || body.len() > LARGEST_FRAME {
        return Err(io::Error::other("a message larger than ctp sends"));
    }
    out.extend_from_slice(&[b, c, d, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(body);
    Ok(())
}

/// Header fields as literals that nobody is to index (RFC 7541, 6.2.2), those of HTTP/2 by the static table:
/// 3 is `:method POST`, 6 `:scheme http`, 4 the name `:path`, 1 `:authority`.
fn fields(path: &str, metadata: &[(&str, &str)]) -> io::Result<Vec<u8>> {
    fn text(out: &mut Vec<u8>, text: &str) -> io::Result<()> {
        // A length below 127 is one byte, and no Huffman code.
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
        out.push(length.ok_or_else(|| io::Error::other("a header field longer than ctp sends"))?);
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
    let mut out = vec![0x80 | 3, 0x80 | 6, 4];
    text(&mut out, path)?;
    out.push(1);
    text(&mut out, "localhost")?;
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")].iter().chain(metadata) {
        out.push(0);
        text(&mut out, name)?;
        text(&mut out, value)?;
    }
    Ok(out)
}

/// The messages in the data of a stream: each behind a byte that tells whether it is compressed and its length.
fn messages(mut data: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    while let Some((&[compressed, a, b, c, d], rest)) = data.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(io::Error::other)?;
        let message = rest.get(..length).filter(|_| compressed == 0);
        found.push(message.ok_or_else(|| io::Error::other("an answer cut short"))?.to_vec());
        data = rest.get(length..).unwrap_or_default();
    }
    if !data.is_empty() {
        return Err(io::Error::other("an answer cut short"));
    }
    if found.is_empty() { Err(io::Error::other("the call was refused")) } else { Ok(found) }
}

/// The fields of a message that hold bytes, text or messages: number and content. What cannot be read ends them.
pub(super) fn bytes_fields(message: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = message;
    let next = move || -> Option<(u64, Option<&[u8]>)> {
        let key = varint(&mut rest)?;
        let length = match key & 7 {
            0 => {
                varint(&mut rest)?;
                return Some((key >> 3, None));
            }
            1 => 8,
            2 => usize::try_from(varint(&mut rest)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (content, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some((key >> 3, (key & 7 == 2).then_some(content)))
    };
    std::iter::from_fn(next).filter_map(|(number, content)| Some((number, content?)))
}

/// The first field of a number that is text.
pub(super) fn text(message: &[u8], number: u64) -> Option<String> {
    let found = bytes_fields(message).find(|(has, _)| *has == number);
    found.and_then(|(_, content)| String::from_utf8(content.to_vec()).ok())
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    // https://protobuf.dev/programming-guides/encoding: field 1 is 150, field 2 the text "testing".
    #[test]
    fn fields_of_the_wire_format() {
        let message = b"\x08\x96\x01\x12\x07testing\x1d\x01\x02\x03\x04\x21\x01\x02\x03\x04\x05\x06\x07\x08\x2a\x01x";
        let found: Vec<_> = bytes_fields(message).collect();
        assert_eq!(found, [(2, &b"testing"[..]), (5, b"x")]);
        assert_eq!(text(message, 2).as_deref(), Some("testing"));
        let long = [&b"\x0a\xac\x02"[..], &[b'x'; 300]].concat();
        assert_eq!(text(&long, 1), Some("x".repeat(300)));
    }

    #[test]
    fn what_is_cut_short_ends_a_message() {
        let message = b"\x12\x07testing";
        for end in 0..message.len() {
            assert_eq!(bytes_fields(&message[..end]).count(), 0, "{end}");
        }
        assert_eq!(bytes_fields(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x").count(), 0);
        assert_eq!(bytes_fields(&[0xff; 40]).count(), 0);
        assert_eq!(bytes_fields(b"\x13\x12\x01x").count(), 0);
    }

    #[test]
    fn several_messages_of_a_stream() {
        assert_eq!(messages(b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\x01c").unwrap(), [&b"ab"[..], b"", b"c"]);
        for bad in [&b""[..], b"\0\0\0", b"\0\0\0\0\x03ab", b"\x01\0\0\0\x02ab", b"\0\xff\xff\xff\xffab"] {
            assert!(messages(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_server_that_says_nothing_or_nonsense() {
        let path = std::env::temp_dir().join(format!("ctp-grpc-{}.sock", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let silent = call(&path, "/a.B/C", &[], b"").unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::TimedOut, "{silent}");
        let talker = std::thread::spawn(move || {
            let (_silent, _) = listener.accept().unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        assert!(call(&path, "/a.B/C", &[], b"").is_err());
        talker.join().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(call(&path, "/a.B/C", &[], b"").is_err());
    }
}
