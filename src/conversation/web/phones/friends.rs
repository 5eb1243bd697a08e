//! The friends of a phone with OwnTracks: the clients that its token may read, as the app shows them.

use crate::access::Grant;
use crate::store::Store;
use crate::text::decimal::integer;
use crate::text::json;
use crate::text::record::Statement;

/// The newest clients that a token may read, newest first, as a JSON array of locations. `own` is the client itself.
pub(super) fn friends(store: &Store, grant: &Grant, own: &[u8]) -> Vec<u8> {
    let mut output = b"[".to_vec();
    if grant.may_read_some() {
        let mut found = Vec::new();
        for change in store.newest_changes().take(LOOKS_MAX) {
            let Some(friend) = Friend::of(change.line, own, grant) else { continue };
            found.push(friend);
            if found.len() == FRIENDS_MAX {
                break;
            }
        }
        let names = names(&found);
        for (index, (friend, name)) in found.iter().zip(&names).enumerate() {
            if index > 0 {
                output.push(b',');
            }
            friend.write(name, &mut output);
        }
    }
    output.push(b']');
    output
}

/// A client as the app shows it.
struct Friend<'a> {
    id: &'a [u8],
    latitude: &'a [u8],
    longitude: &'a [u8],
    /// Whole seconds since 1970, not 0.
    seconds: u64,
}

impl<'a> Friend<'a> {
    /// The client of a line; `None`: the token may not read it, it is the phone itself, or the apps would throw it away.
    fn of(line: &'a [u8], own: &[u8], grant: &Grant) -> Option<Friend<'a>> {
        let statement = Statement::parse(line.strip_suffix(b"\n")?)?;
        let (id, location) = (statement.id, statement.location?);
        if id == own || !grant.may_read(id) {
            return None;
        }
        let whole = statement.time_text.split(|&byte| byte == b'.').next()?;
        let seconds = integer(whole).filter(|&seconds| seconds > 0)?;
        let is_zero = |text: &[u8]| !text.iter().any(|byte| (b'1'..=b'9').contains(byte));
        let (latitude, longitude) = (location.latitude(), location.longitude());
        (!(is_zero(latitude) && is_zero(longitude))).then_some(Friend { id, latitude, longitude, seconds })
    }

    fn write(&self, name: &str, output: &mut Vec<u8>) {
        output.extend_from_slice(b"{\"_type\":\"location\",\"tid\":\"");
        output.extend_from_slice(name.as_bytes());
        output.extend_from_slice(b"\",\"lat\":");
        json::write_coordinate(self.latitude, output);
        output.extend_from_slice(b",\"lon\":");
        json::write_coordinate(self.longitude, output);
        output.extend_from_slice(format!(",\"tst\":{},\"topic\":", self.seconds).as_bytes());
        json::write_string(&[b"owntracks/", self.id].concat(), output);
        output.push(b'}');
    }
}

/// The names by which the apps tell friends apart: the beginnings of hashes of their IDs, each as short as no other has it.
/// The same friends have the same names at all times and at all servers.
fn names(friends: &[Friend<'_>]) -> Vec<String> {
    let hashes: Vec<String> = friends.iter().map(|friend| hash(friend.id)).collect();
    let is_alone = |own: &str| hashes.iter().filter(|hash| hash.starts_with(own)).count() == 1;
    let name = |hash: &String| {
        let length = (NAME_MIN..HASH_DIGITS).find(|&length| is_alone(&hash[..length]));
        hash[..length.unwrap_or(HASH_DIGITS)].to_owned()
    };
    hashes.iter().map(name).collect()
}

/// FNV-1a of 64 bits, mixed, in base 36. It has to be the same in each process, and nothing depends on an attacker's choice.
fn hash(id: &[u8]) -> String {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = id.iter().fold(0xcbf2_9ce4_8422_2325, step);
    // The last bytes of an ID would move the low digits only.
    let mut rest = (hash ^ (hash >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    rest ^= rest >> 32;
    let mut digits = String::with_capacity(HASH_DIGITS);
    for _ in 0..HASH_DIGITS {
        digits.push(char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize]));
        rest /= 36;
    }
    digits
}

/// Friends of an answer.
const FRIENDS_MAX: usize = 50;
/// Changes that are looked at, the newest first: about a millisecond. A friend that has not moved since so many others did
/// is left out.
const LOOKS_MAX: usize = 10_000;
/// Digits of a name: the apps show two.
const NAME_MIN: usize = 2;
/// Digits of a 64-bit number in base 36.
const HASH_DIGITS: usize = 12;
