//! The dialect of Google's Nearby Search (legacy). Its answers have the shape that clients receive, so nothing is
//! translated.

use percent_encoding::utf8_percent_encode;

use super::secret::RESERVED;
use crate::places::question::Question;

/// The path of a Nearby Search, below the base path of `places.url`.
pub const PATH: &str = "/maps/api/place/nearbysearch/json";

/// The request target of a question (RFC 9112, section 3.2.1). The result contains the key and must not be logged.
pub(super) fn target(base_path: &str, question: &Question, key: Option<&str>) -> String {
    // The comma is not encoded: some of Google's servers reject `%2C`.
    let mut target = format!(
        "{base_path}{PATH}?location={},{}&radius={}",
        question.latitude(),
        question.longitude(),
        question.radius_m()
    );
    if let Some(key) = key {
        target.push_str("&key=");
        target.extend(utf8_percent_encode(key, RESERVED));
    }
    target
}
