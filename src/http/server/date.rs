//! The date of a response (RFC 9110, section 5.6.7).

use time::UtcDateTime;

/// A date in the form of HTTP, formatted once a second: `Sat, 28 Nov 2026 19:26:00 GMT`.
#[derive(Debug, Default)]
pub struct HttpDate {
    /// Seconds since 1970; 0: none is formatted.
    second: u64,
    text: String,
}

impl HttpDate {
    /// Returns the date of this second since 1970.
    pub fn at(&mut self, second: u64) -> &str {
        if self.second != second || self.text.is_empty() {
            self.second = second;
            self.text = format(second);
        }
        &self.text
    }
}

fn format(second: u64) -> String {
    // Never fails: 64 bits of nanoseconds end in the year 2554.
    let time = i64::try_from(second).ok().and_then(|second| UtcDateTime::from_unix_timestamp(second).ok());
    let time = time.unwrap_or(UtcDateTime::UNIX_EPOCH);
    let weekday = WEEKDAYS[usize::from(time.weekday().number_days_from_monday())];
    let month = MONTHS[usize::from(u8::from(time.month()) - 1)];
    let (day, year) = (time.day(), time.year());
    let (hour, minute, second) = time.as_hms();
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_form_of_http() {
        let mut date = HttpDate::default();
        for (second, text) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            assert_eq!(date.at(second), text);
        }
    }
}
