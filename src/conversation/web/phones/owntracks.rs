//! OwnTracks: one JSON object, of many types. Whatever it is, it is taken as delivered, because a message that is refused
//! blocks all those after it.

use super::parameters::Parameters;
use super::point::{NoPosition, Point, Position, id};
use super::sender::{Sender, pair};

/// Reads a message.
pub(super) fn read(message: &str, sender: &Sender) -> Point {
    let nothing = Point { id: None, position: Err(NoPosition::OtherMessage) };
    let Some(message) = Parameters::of_json(message) else { return nothing };
    // A waypoint is the place of a region, not of the phone.
    if !matches!(message.get("_type"), Some(b"location" | b"transition")) {
        return nothing;
    }
    let time = message.first(&["tst", "created_at"]);
    Point {
        id: client(&message, sender),
        position: Position::read(message.get("lat"), message.get("lon"), time),
    }
}

/// The ID of the client: of the path, of the topic, of the fields, of the query, of the user of Basic and `tid`, of `tid`
/// alone, of the token. Letters are lower-cased, because the apps write the same name in both ways.
fn client(message: &Parameters, sender: &Sender) -> Option<Vec<u8>> {
    let (query, tid) = (&sender.query, message.get("tid"));
    let of_query = || pair(query.get("u")?, query.get("d")?);
    let of_user = || pair(sender.user.as_deref()?, tid?);
    let named = sender
        .path
        .clone()
        .or_else(|| of_topic(message.get("topic")?))
        .or_else(|| sender.limit.clone())
        .or_else(of_query)
        .or_else(of_user)
        .or_else(|| tid.map(<[u8]>::to_vec));
    let lower_case = |text: &[u8]| id(&text.to_ascii_lowercase());
    named.and_then(|named| lower_case(&named)).or_else(|| lower_case(sender.token.as_deref()?))
}

/// `user/device` of `owntracks/user/device`, `device` of `owntracks/device`; what the first part is does not matter, and a
/// fourth one, such as `event`, is left out.
fn of_topic(topic: &[u8]) -> Option<Vec<u8>> {
    let mut parts = topic.split(|&byte| byte == b'/').skip(1);
    let first = parts.next()?;
    match parts.next() {
        Some(second) => pair(first, second),
        None => (!first.is_empty()).then(|| first.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_a_user_and_a_device() {
        let topic = |text: &str| of_topic(text.as_bytes()).map(|id| String::from_utf8(id).unwrap());
        assert_eq!(topic("owntracks/ada/pixel").as_deref(), Some("ada/pixel"));
        assert_eq!(topic("x/ada/pixel/event/y").as_deref(), Some("ada/pixel"));
        assert_eq!(topic("owntracks/pixel").as_deref(), Some("pixel"));
        for none in ["", "owntracks", "owntracks/", "owntracks//x", "owntracks/ada/"] {
            assert_eq!(topic(none), None, "{none}");
        }
    }

    #[test]
    fn the_most_certain_name_counts() {
        let text = |id: Option<Vec<u8>>| id.map(|id| String::from_utf8(id).unwrap());
        let message = |json: &str| Parameters::of_json(json).unwrap();
        let full = message(r#"{"topic":"o/T/D","tid":"TT"}"#);
        let (tid, none) = (message(r#"{"tid":"TT"}"#), message("{}"));
        let mut sender = Sender {
            path: Some(b"P/d".to_vec()),
            limit: Some(b"L/d".to_vec()),
            user: Some(b"Bob".to_vec()),
            token: Some(b"Key".to_vec()),
            query: Parameters::of_query("u=Q&d=d"),
        };
        assert_eq!(text(client(&full, &sender)).as_deref(), Some("p/d"));
        sender.path = None;
        assert_eq!(text(client(&full, &sender)).as_deref(), Some("t/d"));
        assert_eq!(text(client(&tid, &sender)).as_deref(), Some("l/d"));
        sender.limit = None;
        assert_eq!(text(client(&tid, &sender)).as_deref(), Some("q/d"));
        sender.query = Parameters::of_query("u=Q");
        assert_eq!(text(client(&tid, &sender)).as_deref(), Some("bob/tt"));
        sender.user = None;
        assert_eq!(text(client(&tid, &sender)).as_deref(), Some("tt"));
        assert_eq!(text(client(&none, &sender)).as_deref(), Some("key"));
        sender.token = None;
        assert_eq!(client(&none, &sender), None);
        let odd = message("{\"topic\":\"o/A\\nB \\u007f\\u00c9/%0a\"}");
        assert_eq!(text(client(&odd, &sender)).as_deref(), Some("a%0Ab%20%7FÉ/%0a"));
    }
}
