//! Checks of the key and the root certificates of Places at the start, so that no WHATSAT has to fail first.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::config::HerdFile;
use crate::places::dialect::Dialect;
use crate::places::trust::check_roots;

/// The key of Places; `None`: the service needs none, or there is none, which a WHATSAT is answered with. The
/// error is one line without the key.
pub(super) fn key(herd: &HerdFile) -> Result<Option<String>, String> {
    let section = herd.places_or_local();
    let Some(variable) = &section.key_env else { return Ok(None) };
    // An empty variable holds no key.
    match env::var_os(variable).filter(|value| !value.is_empty()) {
        Some(value) => printable(&value)
            .and_then(|key| if section.api == Dialect::Google { visible(key) } else { Ok(key) })
            .map(Some)
            .map_err(|problem| {
                format!("places.key_env: the key in the environment variable {variable}: {problem}")
            }),
        None if section.is_local() => Err(format!(
            "places.key_env: the environment variable {variable} holds no key, and the local Places server at \
             {} needs none; write \"key_env\": null in the section places",
            section.url
        )),
        None => Ok(None),
    }
}

/// Checks the file `places.trust`. That of the local Places server is left out, because it is written later.
pub(super) fn trust(herd: &HerdFile) -> Result<(), String> {
    let Some(section) = &herd.places else { return Ok(()) };
    let Some(file) = &section.trust else { return Ok(()) };
    check_roots(file).map_err(|problem| {
        let remedy = if section.is_local() {
            format!("herd places -l HOST:{} writes the file when it starts", section.url.port)
        } else {
            "name a PEM file with at least one certificate".to_owned()
        };
        format!("places.trust: {problem}; {remedy}")
    })
}

fn printable(key: &OsStr) -> Result<String, String> {
    let bytes = key.as_bytes();
    match bytes.iter().position(|byte| !(b' '..=b'~').contains(byte)) {
        None if bytes.starts_with(b" ") || bytes.ends_with(b" ") => {
            Err("it begins or ends with a space; remove the space".to_owned())
        }
        None => Ok(String::from_utf8_lossy(bytes).into_owned()),
        Some(at) if [b'\r', b'\n'].contains(&bytes[at]) => Err(format!(
            "expected printable ASCII, got a line end as byte {}; remove it (files of Windows end lines with CR LF)",
            at + 1
        )),
        Some(at) => {
            Err(format!("expected printable ASCII, got another byte as byte {}; set it again", at + 1))
        }
    }
}

/// A key that is sent as it is, in a header field.
fn visible(key: String) -> Result<String, String> {
    match key.bytes().position(|byte| byte == b' ') {
        None => Ok(key),
        Some(at) => Err(format!("expected printable ASCII without spaces, got a space as byte {}", at + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printable_ascii() {
        assert_eq!(printable(OsStr::new("AIza -_+/%")), Ok("AIza -_+/%".to_owned()));
        for (key, words) in [
            (&b"AIza\r"[..], "got a line end as byte 5; remove it"),
            (b"\nAIza", "got a line end as byte 1"),
            (b"AI\xffza", "got another byte as byte 3"),
            ("AIzä".as_bytes(), "got another byte as byte 4"),
            (b"AI\tza", "got another byte as byte 3"),
            (b"AIza ", "ends with a space"),
            (b" AIza", "begins or ends with a space"),
            (b"   ", "a space"),
        ] {
            let problem = printable(OsStr::from_bytes(key)).unwrap_err();
            assert!(problem.contains(words) && !problem.contains("AI"), "{problem}");
        }
    }

    #[test]
    fn a_key_in_a_header_field_has_no_space() {
        assert_eq!(visible("AIza-_!~".to_owned()), Ok("AIza-_!~".to_owned()));
        let problem = visible("AIza x".to_owned()).unwrap_err();
        assert!(problem.ends_with("got a space as byte 5"), "{problem}");
    }
}
