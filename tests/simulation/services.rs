//! The services that Places may be: what each is asked, and what it answers. All answers are derived from their
//! questions, so that a client knows which one to expect.

use herd::places::dialect::Dialect;

use crate::chance::Chance;
use crate::rules::coordinates;
use crate::scripts::{kilometres, metres};

/// The key of all servers for a service. Only a header field cannot have a space in it.
pub fn key(dialect: Dialect) -> &'static str {
    if dialect == Dialect::Google { "se-cret&key" } else { "se cret&key" }
}

/// A question, as it is written in a request: latitude, longitude, radius.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked([String; 3]);

impl Asked {
    /// The question that must be put for a location and a radius of a WHATSAT.
    pub fn about(dialect: Dialect, location: &[u8], radius: &[u8]) -> Option<Asked> {
        let (latitude, longitude) = coordinates(location)?;
        let degrees = |text: &[u8]| {
            let text = String::from_utf8_lossy(text.strip_prefix(b"+").unwrap_or(text)).into_owned();
            if dialect != Dialect::Google {
                return text;
            }
            let (sign, digits) = text.strip_prefix('-').map_or(("", &*text), |digits| ("-", digits));
            let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
            let needless = whole.bytes().take(whole.len() - 1).take_while(|&byte| byte == b'0').count();
            format!("{sign}{}{fraction}", &whole[needless..])
        };
        let radius = if dialect == Dialect::Photon { kilometres(radius)? } else { metres(radius)? };
        Some(Asked([degrees(latitude), degrees(longitude), radius.to_owned()]))
    }

    /// The question of a request that is right in every byte which matters, and is meant for this port.
    pub fn of_request(dialect: Dialect, head: &str, body: &str, port: u16) -> Option<Asked> {
        let mut lines = head.lines();
        let (method, rest) = lines.next()?.split_once(' ')?;
        let target = rest.strip_suffix(" HTTP/1.1")?;
        let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
        let field = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1);
        let of_texts = |texts: [&str; 3]| Some(Asked(texts.map(str::to_owned)));
        if !field("Host")?.ends_with(&format!(":{port}")) || field("Accept-Encoding") != Some("identity") {
            return None;
        }
        match dialect {
            Dialect::GoogleLegacy => {
                let target = target.strip_prefix("/maps/api/place/nearbysearch/json?location=")?;
                let (location, rest) = target.split_once("&radius=")?;
                let (latitude, longitude) = location.split_once(',')?;
                let radius = rest.strip_suffix("&key=se%20cret%26key")?;
                (method == "GET" && body.is_empty()).then_some(())?;
                of_texts([latitude, longitude, radius])
            }
            Dialect::Google => {
                let has_key = field("X-Goog-Api-Key") == Some(key(dialect));
                let has_mask = field("X-Goog-FieldMask").is_some_and(|mask| mask.contains("places.location"));
                let is_json = field("Content-Type") == Some("application/json");
                let is_post = method == "POST" && target == "/v1/places:searchNearby";
                (is_post && has_key && has_mask && is_json).then_some(())?;
                let start = r#"{"maxResultCount":20,"locationRestriction":{"circle":{"center":{"latitude":"#;
                let (latitude, rest) = body.strip_prefix(start)?.split_once(r#","longitude":"#)?;
                let (longitude, rest) = rest.split_once(r#"},"radius":"#)?;
                of_texts([latitude, longitude, rest.strip_suffix("}}}")?])
            }
            Dialect::Photon => {
                let (latitude, rest) = target.strip_prefix("/reverse?lat=")?.split_once("&lon=")?;
                let (longitude, rest) = rest.split_once("&radius=")?;
                let has_key = head.contains("cret");
                (method == "GET" && body.is_empty() && !has_key).then_some(())?;
                of_texts([latitude, longitude, rest.strip_suffix("&limit=20")?])
            }
        }
    }

    /// Whether the radius is 0, which only the oldest service is asked about.
    pub fn is_a_point(&self) -> bool {
        self.0[2] == "0"
    }

    fn chance(&self) -> Chance {
        let hash = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Chance::new(self.0.iter().flat_map(|text| text.bytes()).fold(7, hash))
    }
}

/// The answer to a question.
pub struct Answer {
    before: String,
    results: Vec<String>,
    after: String,
    /// The body of the service's response.
    pub body: Vec<u8>,
}

impl Answer {
    pub fn to(dialect: Dialect, asked: &Asked) -> Answer {
        match dialect {
            Dialect::GoogleLegacy => Answer::google_legacy(asked),
            Dialect::Google => Answer::google(asked),
            Dialect::Photon => Answer::photon(asked),
        }
    }

    /// An answer that is passed on, but for its end and its blank lines.
    fn google_legacy(asked: &Asked) -> Answer {
        let mut chance = asked.chance();
        let newlines = |chance: &mut Chance| "\n".repeat(chance.below(4) as usize);
        let padding = ["", "\n\n", " \n\t", "\r\n"];
        let before = format!(
            "{{{}\"html_attributions\":[],{}\"asked\":\"{}\",\"results\" : [",
            newlines(&mut chance),
            newlines(&mut chance),
            asked.0.join(" ")
        );
        let count = *chance.pick(&COUNTS);
        let results: Vec<String> = (0..count)
            .map(|number| {
                let comma = if number > 0 { "," } else { "" };
                let gap = newlines(&mut chance);
                format!("{comma}{gap} {{\"name\":\"] {number}é\\u00e9\",\"rating\":4.{number}0}}")
            })
            .collect();
        let after = format!("{}],{}\"status\":\"OK\"}}", newlines(&mut chance), newlines(&mut chance));
        let (first, last) = (*chance.pick(&padding), *chance.pick(&padding));
        let body = format!("{first}{before}{}{after}{last}", results.concat()).into_bytes();
        Answer { before, results, after, body }
    }

    fn google(asked: &Asked) -> Answer {
        let [latitude, longitude, radius] = &asked.0;
        let count = *asked.chance().pick(&FEWER);
        let place = |number: usize| {
            format!(
                r#"{{ "rating" : 4.{number}0, "id":"{radius}", "displayName":{{"text":"] {number}\u00e9"}}, "location" : {{"latitude":{latitude},"longitude": {longitude}}}, "attributions":[{{"provider":"<us>"}}] }}"#
            )
        };
        let body = match count {
            0 => "{}\n".to_owned(),
            _ => {
                format!("{{\n \"places\": [\n{}]}}", (0..count).map(place).collect::<Vec<_>>().join(",\n\n"))
            }
        };
        let result = |number: usize| {
            format!(
                r#"{{"geometry":{{"location":{{"lat":{latitude},"lng":{longitude}}}}},"name":"] {number}é","place_id":"{radius}","rating":4.{number}0}}"#
            )
        };
        let attributions = if count == 0 { "" } else { r#""&lt;us&gt;""# };
        Answer::of_results(attributions, (0..count).map(result), body)
    }

    fn photon(asked: &Asked) -> Answer {
        let count = *asked.chance().pick(&FEWER);
        let asked = asked.0.join(" ");
        let feature = |number: usize| {
            format!(
                r#"{{"geometry":{{"type":"Point","coordinates":[{number}.50, -7E0]}}, "properties":{{"osm_id":{number},"osm_type":"N","name":"] {number}\u00e9","city":"{asked}"}}}}"#
            )
        };
        let features: Vec<String> = (0..count).map(feature).collect();
        let body = format!("{{\"features\" : [\n\n{}]}}\n", features.join(","));
        let result = |number: usize| {
            format!(
                r#"{{"geometry":{{"location":{{"lat":-7E0,"lng":{number}.50}}}},"name":"] {number}é","place_id":"osm:n{number}","types":["point_of_interest","establishment"],"vicinity":"{asked}"}}"#
            )
        };
        let licence = r#""Data © OpenStreetMap contributors, ODbL 1.0. https://osm.org/copyright""#;
        Answer::of_results(licence, (0..count).map(result), body)
    }

    /// An answer that is written anew.
    fn of_results(attributions: &str, results: impl Iterator<Item = String>, body: String) -> Answer {
        let comma = |number: usize| if number > 0 { "," } else { "" };
        let results: Vec<String> =
            results.enumerate().map(|(number, result)| format!("{}{result}", comma(number))).collect();
        let status = if results.is_empty() { "ZERO_RESULTS" } else { "OK" };
        let before = format!(r#"{{"html_attributions":[{attributions}],"results":["#);
        Answer { before, results, after: format!(r#"],"status":"{status}"}}"#), body: body.into_bytes() }
    }

    /// The answer that a client receives with so many results.
    pub fn cut(&self, bound: usize) -> Vec<u8> {
        let kept = self.results.iter().take(bound).map(String::as_str).collect::<String>();
        let whole = format!("{}{kept}{}", self.before, self.after);
        let mut text = Vec::new();
        for byte in whole.bytes() {
            if byte != b'\n' || text.last() != Some(&b'\n') {
                text.push(byte);
            }
        }
        text
    }
}

/// The numbers of results.
const COUNTS: [usize; 6] = [0, 1, 2, 5, 20, 20];
/// The same where a result is longer: an answer has less than 2 KiB.
const FEWER: [usize; 6] = [0, 1, 2, 5, 8, 8];
