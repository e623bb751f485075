//! Where request heads begin and end in what a client sends, before hyper gets to them.
//!
//! Only heads behind which another request may follow matter: what has a body, or asks for the connection's end,
//! ends the watch. Whatever is reported here hyper reads again, and judges.

/// Counts request heads in a stream of bytes.
pub(super) struct Heads {
    /// What has come of a head that is not complete yet.
    partial: Vec<u8>,
    /// Complete heads seen.
    count: u32,
    /// Off for good once something comes behind which no head is expected that will be answered.
    watching: bool,
    limit: usize,
}

impl Heads {
    pub(super) const fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), count: 0, watching: true, limit }
    }

    /// Whether further heads are looked for.
    pub(super) const fn is_watching(&self) -> bool {
        self.watching
    }

    /// Whether a head has begun and not ended.
    pub(super) fn in_head(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Takes the next bytes and reports each head that they complete, with its number from 1.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut report: impl FnMut(u32, &[u8])) {
        while self.watching && !bytes.is_empty() {
            // Usually a head comes whole, and nothing is copied.
            if self.partial.is_empty() {
                // Empty lines before a request are ignored (RFC 9112 §2.2).
                let start =
                    bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
                bytes = &bytes[start..];
                let Some(end) = head_end(bytes) else {
                    self.partial.extend_from_slice(bytes);
                    break;
                };
                let (head, rest) = bytes.split_at(end);
                bytes = rest;
                self.complete(head, &mut report);
                continue;
            }
            let before = self.partial.len();
            self.partial.extend_from_slice(bytes);
            let Some(end) = head_end(&self.partial) else { break };
            bytes = &bytes[end - before..];
            let mut head = std::mem::take(&mut self.partial);
            head.truncate(end);
            self.complete(&head, &mut report);
        }
        if self.partial.len() > self.limit {
            self.watching = false;
        }
        if !self.watching {
            self.partial = Vec::new();
        }
    }

    fn complete(&mut self, head: &[u8], report: &mut impl FnMut(u32, &[u8])) {
        self.count = self.count.wrapping_add(1);
        let next = if head.len() > self.limit { Next::Unknown } else { next_after(head) };
        if next != Next::Unknown {
            report(self.count, head);
        }
        self.watching = next == Next::Request;
    }
}

/// What follows a request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The head of another request.
    Request,
    /// Nothing that will be answered.
    Nothing,
    /// A body, or who knows: it is no head that hyper accepts either.
    Unknown,
}

fn next_after(head: &[u8]) -> Next {
    if is_plain(head) { Next::Request } else { parsed_next(head) }
}

fn parsed_next(head: &[u8]) -> Next {
    /// As many as hyper takes.
    const MOST_FIELDS: usize = 100;
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let whole = request.parse(head).is_ok_and(|status| status.is_complete());
    let target = request.path.is_some_and(|target| target.parse::<http::Uri>().is_ok());
    if !whole || !target || !matches!(request.method, Some("GET" | "HEAD")) {
        return Next::Unknown;
    }
    let mut next = if request.version == Some(1) { Next::Request } else { Next::Nothing };
    for field in request.headers.iter() {
        match field.name {
            name if name.eq_ignore_ascii_case("content-length") => return Next::Unknown,
            name if name.eq_ignore_ascii_case("transfer-encoding") => return Next::Unknown,
            name if name.eq_ignore_ascii_case("connection") => {
                let mut options = field.value.split(|byte| *byte == b',');
                if options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close")) {
                    next = Next::Nothing;
                }
            }
            _ => {}
        }
    }
    next
}

/// Whether a head is, as nearly all are, that of a request without a body behind which another may follow:
/// nothing unusual in its target, no field that could say otherwise. Asking this costs a tenth of parsing.
fn is_plain(head: &[u8]) -> bool {
    /// Well below what hyper takes.
    const MOST_FIELDS: usize = 32;
    /// What may stand in a target.
    const TARGET: [bool; 256] = those(b"/-._~%+:@=,");
    /// What may stand in the name of a field.
    const NAME: [bool; 256] = those(b"-");
    let all = |bytes: &[u8], among: &[bool; 256]| bytes.iter().all(|byte| among[usize::from(*byte)]);
    let Some(rest) = head.strip_prefix(b"GET ").or_else(|| head.strip_prefix(b"HEAD ")) else { return false };
    let Some(end) = memchr::memchr(b' ', rest) else { return false };
    let (target, rest) = rest.split_at(end);
    if target.first() != Some(&b'/') || !all(target, &TARGET) {
        return false;
    }
    let Some(mut fields) = rest.strip_prefix(b" HTTP/1.1\r\n") else { return false };
    for _ in 0..MOST_FIELDS {
        if fields == b"\r\n" {
            return true;
        }
        // `Connection`, `Content-Length`, `Transfer-Encoding` and others are for the parser.
        if matches!(fields.first(), Some(b'C' | b'c' | b'T' | b't')) {
            return false;
        }
        let Some(end) = memchr::memchr(b'\n', fields) else { return false };
        let Some(line) = fields[..end].strip_suffix(b"\r") else { return false };
        let Some(colon) = memchr::memchr(b':', line) else { return false };
        let (name, value) = line.split_at(colon);
        // Not ended by the first that is none, so that many are looked at together.
        let printable = value.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
        if name.is_empty() || !all(name, &NAME) || !printable {
            return false;
        }
        fields = &fields[end + 1..];
    }
    false
}

/// Letters, digits and these.
const fn those(others: &[u8]) -> [bool; 256] {
    let mut among = [false; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let byte = at as u8;
        among[at] = byte.is_ascii_alphanumeric();
        at += 1;
    }
    at = 0;
    while at < others.len() {
        among[others[at] as usize] = true;
        at += 1;
    }
    among
}

/// Where the first head in `bytes` ends, if it does. As to hyper, a line may end without `\r`.
fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match bytes.get(at + 1..)? {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(pieces: &[&[u8]]) -> (Vec<(u32, usize)>, Heads) {
        let mut heads = Heads::new(1000);
        let mut seen = Vec::new();
        for piece in pieces {
            heads.feed(piece, |number, head| seen.push((number, head.len())));
        }
        (seen, heads)
    }

    const HEAD: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn heads_are_counted_however_they_are_cut() {
        let three = [HEAD, HEAD, HEAD].concat();
        let expected = vec![(1, HEAD.len()), (2, HEAD.len()), (3, HEAD.len())];
        assert_eq!(numbers(&[&three]).0, expected);
        for cut in 1..three.len() {
            assert_eq!(numbers(&[&three[..cut], &three[cut..]]).0, expected, "cut at {cut}");
        }
        let single: Vec<&[u8]> = three.chunks(1).collect();
        assert_eq!(numbers(&single).0, expected);
    }

    #[test]
    fn a_request_with_a_body_or_that_is_none_ends_the_watch() {
        for head in [
            &b"POST /a HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"GET /a HTTP/1.1\r\nCONTENT-LENGTH: 3\r\n\r\n",
            b"GET /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            b"GET /a HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/1.2\r\nHost: x\r\n\r\n",
        ] {
            let (seen, heads) = numbers(&[head, HEAD]);
            assert!(seen.is_empty());
            assert!(!heads.watching);
        }
    }

    #[test]
    fn nothing_is_expected_after_the_last_request() {
        for head in [
            &b"GET /a HTTP/1.0\r\nHost: x\r\n\r\n"[..],
            b"GET /a HTTP/1.1\r\nHost: x\r\nCONNECTION: keep-alive, Close\r\n\r\n",
        ] {
            let (seen, heads) = numbers(&[head, HEAD]);
            assert_eq!(seen, [(1, head.len())]);
            assert!(!heads.watching);
        }
        let kept = b"GET /a HTTP/1.1\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(numbers(&[kept, HEAD]).0.len(), 2);
    }

    #[test]
    fn bare_line_feeds_end_lines_too() {
        let head = b"GET /a HTTP/1.1\nHost: x\n\n";
        let mixed = b"GET /a HTTP/1.1\r\nHost: x\n\r\n";
        assert_eq!(numbers(&[head, mixed, HEAD]).0, [(1, head.len()), (2, mixed.len()), (3, HEAD.len())]);
    }

    #[test]
    fn an_endless_head_is_not_kept() {
        let (_, heads) = numbers(&[&[b'x'; 1001]]);
        assert!(!heads.watching && heads.partial.is_empty());
    }

    #[test]
    fn an_unfinished_head_is_noticed() {
        assert!(numbers(&[b"GET /a"]).1.in_head());
        assert!(!numbers(&[HEAD]).1.in_head());
    }

    /// What is plain must be what the parser takes for a request behind which another may follow.
    #[test]
    fn a_plain_head_is_one_to_the_parser_too() {
        let plain: [&[u8]; 3] = [
            HEAD,
            b"HEAD /pool/g%2b%2b_1:2~x_amd64.deb HTTP/1.1\r\nHost: a:1\r\nUser-Agent: b\r\nRange: bytes=1-\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ];
        for head in plain {
            assert!(is_plain(head));
            assert_eq!(parsed_next(head), Next::Request);
        }
        let others: [&[u8]; 10] = [
            b"POST /a HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/1.0\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/1.1\nHost: x\n\n",
            b"GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            b"GET /a HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
            b"GET /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            b"GET /a HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/1.1\r\nHost : x\r\n\r\n",
        ];
        for head in others {
            assert!(!is_plain(head), "{}", String::from_utf8_lossy(head));
        }
    }
}
