//! The question of a WHATSAT to Places, independent of any API. It builds no request; `dialect` does.

/// A centre and a radius. Questions that are equal have the same answer. The bound of a WHATSAT is not part
/// of its question, so that clients can share an answer whatever their bounds.
///
/// Numbers are text with the client's own digits, so that no conversion to floating point rounds them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    latitude: String,
    longitude: String,
    radius_km: String,
    radius_m: String,
}

impl Question {
    /// The question of a WHATSAT. The arguments are valid texts of a location and a radius: `latitude` and
    /// `longitude` in degrees with their sign (`+34.068930`), the radius in kilometres (`D+(.D+)?`).
    pub fn new(latitude: &[u8], longitude: &[u8], radius_km: &[u8]) -> Self {
        Question {
            latitude: without_plus(latitude),
            longitude: without_plus(longitude),
            radius_km: times_thousand(radius_km, 0),
            radius_m: times_thousand(radius_km, 1),
        }
    }

    /// The latitude in degrees, `-` for south. Without `+`, which would be a space in a query string.
    pub fn latitude(&self) -> &str {
        &self.latitude
    }

    /// The longitude in degrees, `-` for west. Without `+`.
    pub fn longitude(&self) -> &str {
        &self.longitude
    }

    /// The radius in kilometres, `D+(.D+)?` without needless zeros.
    pub fn radius_km(&self) -> &str {
        &self.radius_km
    }

    /// Whether the radius is 0.
    pub fn is_a_point(&self) -> bool {
        self.radius_m == "0"
    }

    /// The radius in metres, `D+(.D+)?` without needless zeros.
    pub fn radius_m(&self) -> &str {
        &self.radius_m
    }
}

fn without_plus(degrees: &[u8]) -> String {
    debug_assert!(degrees.iter().all(|byte| byte.is_ascii_digit() || b"+-.".contains(byte)));
    text(degrees.strip_prefix(b"+").unwrap_or(degrees))
}

/// Multiplies by 1000 to the power of `thousands`, exactly, by moving the decimal point three digits to the right
/// each time. Removes needless zeros.
fn times_thousand(number: &[u8], thousands: usize) -> String {
    debug_assert!(number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'));
    let number = text(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let places = 3 * thousands;
    let padded = format!("{fraction:0<places$}");
    let (moved, fraction) = padded.split_at_checked(places).unwrap_or((&padded, ""));
    let whole = format!("{whole}{moved}");
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// Converts ASCII to a string.
fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn degrees_lose_only_their_plus_sign() {
        let question = Question::new(b"+34.068930", b"-118.445127", b"10");
        assert_eq!(question.latitude(), "34.068930");
        assert_eq!(question.longitude(), "-118.445127");
        assert_eq!(question, Question::new(b"+34.068930", b"-118.445127", b"10.000"));
        assert_ne!(question, Question::new(b"+34.06893", b"-118.445127", b"10"));
        assert_eq!(Question::new(b"-00.0", b"+000", b"1").latitude(), "-00.0");
    }

    #[test]
    fn kilometres_are_converted_to_metres() {
        for (kilometres, expected) in [
            ("0", "0"),
            ("0.0", "0"),
            ("000.0000", "0"),
            ("10", "10000"),
            ("1.25", "1250"),
            ("0.0005", "0.5"),
            ("0.00050", "0.5"),
            ("0010.50", "10500"),
            ("50.000", "50000"),
            ("0.001", "1"),
            ("0.01", "10"),
            ("1.2345678901234567890123456789", "1234.5678901234567890123456789"),
        ] {
            let question = Question::new(b"+1", b"+2", kilometres.as_bytes());
            assert_eq!(question.radius_m(), expected, "{kilometres} km");
            assert_eq!(question.is_a_point(), expected == "0", "{kilometres} km");
        }
    }

    #[test]
    fn kilometres_lose_needless_zeros() {
        for (kilometres, expected) in [
            ("0", "0"),
            ("00.000", "0"),
            ("010.50", "10.5"),
            ("50.000", "50"),
            ("0.0005", "0.0005"),
            ("100", "100"),
        ] {
            assert_eq!(Question::new(b"+1", b"+2", kilometres.as_bytes()).radius_km(), expected);
        }
    }

    proptest! {
        /// Compares both numbers as integers, scaled by 10^18.
        #[test]
        fn metres_are_a_thousand_times_kilometres(whole in "[0-9]{1,6}", fraction in "[0-9]{0,15}") {
            let scaled = |text: &str| {
                let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
                format!("{whole}{fraction:0<18}").parse::<u128>().unwrap()
            };
            let kilometres =
                if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") };
            let metres = times_thousand(kilometres.as_bytes(), 1);
            prop_assert_eq!(scaled(&metres), 1000 * scaled(&kilometres));
            let (whole, fraction) = metres.split_once('.').unwrap_or((&metres, "1"));
            prop_assert!(whole == "0" || !whole.starts_with('0'), "{}", metres);
            prop_assert!(!whole.is_empty() && !fraction.is_empty() && !fraction.ends_with('0'), "{}", metres);
        }
    }
}
