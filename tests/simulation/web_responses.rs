//! The responses of a server over HTTP, read by a second reader, which uses no code of the program.

/// A response. Its body is whole, unless it is a stream of events.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection ends after it.
    pub closes: bool,
    /// Events follow until the connection ends.
    pub is_stream: bool,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    /// The body as text. The error: it is not UTF-8.
    pub fn text(&self) -> Result<&str, String> {
        str::from_utf8(&self.body).map_err(|error| error.to_string())
    }

    /// Checks the fields that every response has.
    pub fn check_fields(&self) -> Result<(), String> {
        for (name, value) in [
            ("X-Content-Type-Options", Some("nosniff")),
            ("Referrer-Policy", Some("no-referrer")),
            ("Date", None),
            ("Content-Type", None),
            ("Cache-Control", None),
        ] {
            let own = self.field(name).ok_or_else(|| format!("it has no field {name}"))?;
            if value.is_some_and(|value| value != own) {
                return Err(format!("its field {name} is {own}"));
            }
        }
        if !self.field("Cache-Control").is_some_and(|value| value.starts_with("no-store")) {
            return Err("it may be kept".into());
        }
        Ok(())
    }
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|own| own.0.eq_ignore_ascii_case(name)).map(|own| &*own.1)
}

/// Reads the response at the front. Returns it and how many bytes it has; `None`: it is not complete. `is_head`: it
/// answers a HEAD. `has_ended`: no more bytes follow.
pub fn read_response(
    received: &[u8],
    is_head: bool,
    has_ended: bool,
) -> Result<Option<(Response, usize)>, String> {
    let Some(end) = received.windows(4).position(|part| part == b"\r\n\r\n") else { return Ok(None) };
    let head = str::from_utf8(&received[..end]).map_err(|error| error.to_string())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|rest| rest.get(..4)?.strip_suffix(' ')?.parse().ok());
    let status: u16 = status.ok_or("it has no status line")?;
    let fields: Option<Vec<(String, String)>> = lines
        .map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let fields = fields.ok_or("it has a line that is no field")?;
    let (length, coding) = (field(&fields, "Content-Length"), field(&fields, "Transfer-Encoding"));
    let closes = field(&fields, "Connection") == Some("close");
    let is_stream = field(&fields, "Content-Type") == Some("text/event-stream");
    let rest = &received[end + 4..];
    let body = match (length, coding) {
        (Some(_), Some(_)) => return Err("it has two lengths".into()),
        _ if status == 100 || is_head => Some((Vec::new(), 0)),
        (Some(length), None) => {
            let length: usize = length.parse().map_err(|_| "its length is no number".to_owned())?;
            rest.get(..length).map(|body| (body.to_vec(), length))
        }
        (None, Some("chunked")) => read_chunks(rest)?,
        (None, Some(_)) => return Err("it has an unknown coding".into()),
        (None, None) if !closes => return Err("nothing says where it ends".into()),
        (None, None) if is_stream => Some((Vec::new(), 0)),
        (None, None) => has_ended.then(|| (rest.to_vec(), rest.len())),
    };
    let Some((body, used)) = body else { return Ok(None) };
    let is_stream = is_stream && !is_head;
    Ok(Some((Response { status, fields, body, closes, is_stream }, end + 4 + used)))
}

/// Reads a chunked body. Returns it and how many bytes it took; `None`: it is not complete.
fn read_chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = bytes[at..].windows(2).position(|part| part == b"\r\n") else { return Ok(None) };
        let digits = String::from_utf8_lossy(&bytes[at..at + line]);
        let size = usize::from_str_radix(&digits, 16).map_err(|_| format!("a chunk of '{digits}' bytes"))?;
        at += line + 2;
        let Some(chunk) = bytes.get(at..at + size + 2) else { return Ok(None) };
        let (data, line_end) = chunk.split_at(size);
        if line_end != b"\r\n" {
            return Err("a chunk is longer than it says".into());
        }
        body.extend_from_slice(data);
        at += chunk.len();
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}
