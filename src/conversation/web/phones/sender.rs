//! What a request says about its phone besides the message.

use percent_encoding::percent_decode_str;

use super::parameters::Parameters;
use super::point::id;

/// What a request says about its phone besides the message.
#[derive(Clone, Debug, Default)]
pub(super) struct Sender {
    /// `USER/DEVICE` of the path.
    pub(super) path: Option<Vec<u8>>,
    /// The fields X-Limit-U and X-Limit-D, as `U/D`.
    pub(super) limit: Option<Vec<u8>>,
    /// The user of Basic.
    pub(super) user: Option<Vec<u8>>,
    /// The name of the token.
    pub(super) token: Option<Vec<u8>>,
    /// The query.
    pub(super) query: Parameters,
}

/// `USER/DEVICE`, if both are there.
pub(super) fn pair(user: &[u8], device: &[u8]) -> Option<Vec<u8>> {
    (!user.is_empty() && !device.is_empty()).then(|| [user, device].join(&b'/'))
}

/// `USER/DEVICE` of the rest of a path after `/owntracks/`.
pub(super) fn pair_of_path(rest: &str) -> Option<Vec<u8>> {
    let (user, device) = rest.split_once('/')?;
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    if device.contains('/') { None } else { pair(&decoded(user), &decoded(device)) }
}

impl Sender {
    /// The name of the token as an ID: the last way out.
    pub(super) fn token_id(&self) -> Option<Vec<u8>> {
        self.token.as_deref().and_then(id)
    }

    /// A sender with this query.
    #[cfg(test)]
    pub(super) fn with_query(query: &str) -> Sender {
        Sender { query: Parameters::of_query(query), ..Sender::default() }
    }
}
