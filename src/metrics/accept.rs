//! The format of an exposition, chosen by the `Accept` of a request (RFC 9110, section 12.5.1).

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The Prometheus text format, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The format that the members of `Accept` prefer. Prometheus' own is the last resort: without `Accept`, with none
    /// of the known types, and between equals.
    pub fn accepted<'a>(members: impl IntoIterator<Item = &'a [u8]>) -> Format {
        // A weight of 0 means "not acceptable" (RFC 9110, section 12.4.2).
        let (mut open_metrics, mut prometheus) = (0, 0);
        for member in members {
            let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let media_type = parts.next().unwrap_or_default();
            let (mut weight, mut version) = (WEIGHT_MAX, None);
            for (name, value) in parts.filter_map(parameter) {
                if name.eq_ignore_ascii_case(b"q") {
                    weight = weight_of(value);
                } else if name.eq_ignore_ascii_case(b"version") {
                    version = Some(value);
                }
            }
            if media_type.eq_ignore_ascii_case(b"application/openmetrics-text") {
                // OpenMetrics has one version but for the draft 0.0.1, which names its type otherwise.
                if version.is_none_or(|version| version == b"1.0.0") {
                    open_metrics = open_metrics.max(weight);
                }
            } else if media_type.eq_ignore_ascii_case(b"text/plain") {
                if version.is_none_or(|version| version == b"0.0.4") {
                    prometheus = prometheus.max(weight);
                }
            } else if [&b"*/*"[..], b"text/*"].contains(&media_type) {
                prometheus = prometheus.max(weight);
            }
        }
        if open_metrics > prometheus { Format::OpenMetrics } else { Format::Prometheus }
    }

    /// The `Content-Type` of the text. Prometheus 3 takes no text with another one.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A parameter, `name=value`, whose value may be quoted.
fn parameter(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = part.iter().position(|&byte| byte == b'=')?;
    let value = part[equals + 1..].trim_ascii();
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some((part[..equals].trim_ascii(), unquoted.unwrap_or(value)))
}

/// A weight, 0 to 1 with three digits after the point, in thousandths. One that is none counts as 0.
fn weight_of(text: &[u8]) -> u32 {
    let weight = str::from_utf8(text).ok().and_then(|text| text.parse::<f32>().ok());
    weight.filter(|weight| (0.0..=1.0).contains(weight)).map_or(0, |weight| (weight * 1000.0).round() as u32)
}

/// The weight of a member without one, in thousandths.
const WEIGHT_MAX: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Format {
        Format::accepted(accept.split(',').map(str::trim).map(str::as_bytes))
    }

    #[test]
    fn the_last_resort_is_the_format_of_prometheus() {
        for accept in
            ["", "*/*", "text/plain", "text/html", "image/png", "application/openmetrics-text;q=0", ";;=,"]
        {
            assert_eq!(accepted(accept), Format::Prometheus, "{accept}");
        }
        assert_eq!(Format::accepted([]), Format::Prometheus);
    }

    #[test]
    fn open_metrics_is_chosen_when_it_has_the_greatest_weight() {
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text; version=\"1.0.0\"; charset=utf-8; q=0.5, text/plain;q=0.4",
            "Application/OpenMetrics-Text;Q=1.0,*/*;q=0.9",
            "text/plain;q=0.2, application/openmetrics-text;version=1.0.0;q=0.3",
            // Prometheus 3.
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ] {
            assert_eq!(accepted(accept), Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn another_version_or_a_lower_weight_is_not_chosen() {
        for accept in [
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=0.3, text/plain;q=0.4",
            "application/openmetrics-text;q=0.3, */*;q=0.4",
            "application/openmetrics-text, text/plain",
            "application/openmetrics-text;q=x",
        ] {
            assert_eq!(accepted(accept), Format::Prometheus, "{accept}");
        }
    }
}
