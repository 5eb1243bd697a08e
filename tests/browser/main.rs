//! The live map in a real browser: Debian's Chromium, headless, with real servers.
//!
//! `make test-map` runs these tests. They are not part of `make test`, since they need Chromium. `CHROMIUM` names
//! another program than `/usr/bin/chromium`, `HERD_BIN` another server.

mod devtools;
mod herd;
mod measure;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::devtools::Browser;
use crate::herd::Herd;

/// A browser takes much memory, so that the tests run one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn browser(herd: &Herd) -> Browser {
    Browser::start(&herd.folder.join("profile"))
}

/// The texts of the rows of the list are these.
fn rows_are(names: &[&str]) -> String {
    format!(
        "JSON.stringify([...document.querySelectorAll('#rows th')].map(e => e.textContent)) === JSON.stringify({})",
        json!(names)
    )
}

/// The status is this.
fn status_is(text: &str) -> String {
    format!("document.getElementById('status-text').textContent.startsWith({})", json!(text))
}

const LIVE: &str = "document.getElementById('status').dataset.phase === 'live'";

/// Whether something is painted around the middle of the canvas of the dots.
const DOT_IN_THE_MIDDLE: &str = "(() => {
    const canvas = document.getElementById('dots');
    const [x, y] = [canvas.width / 2 - 8, canvas.height / 2 - 8];
    return canvas.getContext('2d').getImageData(x, y, 16, 16).data.some(value => value > 0);
})()";

const CLICK_MIDDLE: &str = "(() => {
    const box = document.getElementById('map').getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
})()";

fn middle(browser: &mut Browser) -> (f64, f64) {
    let point = browser.evaluate(CLICK_MIDDLE);
    (point[0].as_f64().unwrap(), point[1].as_f64().unwrap())
}

/// No error, no violation of the policy, and no request to another host.
fn assert_clean(browser: &mut Browser, own: &str) {
    let problems = browser.problems();
    assert!(problems.is_empty(), "{problems:#?}");
    assert_own_requests(browser, own);
}

fn assert_own_requests(browser: &mut Browser, own: &str) {
    let requests = browser.requests();
    assert!(requests.len() > 20, "{requests:?}");
    let others: Vec<&String> =
        requests.iter().filter(|url| !url.starts_with(own) && *url != "about:blank").collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
#[ignore = "needs Chromium: make test-map"]
fn clients_appear_move_and_disappear() {
    let _alone = alone();
    let herd = Herd::running("appear");
    let mut browser = browser(&herd);
    browser.open(&herd.url("Riley"));
    browser.until(LIVE);
    browser.until("document.getElementById('empty').textContent === 'No client has reported yet.'");

    herd.report("Riley", "kiwi", "+34.068930-118.445127");
    browser.until(&rows_are(&["kiwi"]));
    browser.until("document.querySelector('#rows .age').textContent.startsWith('◉now')");
    assert_eq!(browser.evaluate("document.querySelector('#rows .server').textContent"), "Riley");
    browser.evaluate("document.getElementById('fit').click()");
    browser.until(DOT_IN_THE_MIDDLE);

    // The neighbour's report arrives here too, and the dot has left the middle.
    herd.report("Jaquez", "kiwi", "+34.268930-118.145127");
    browser.until("document.querySelector('#rows .where').textContent === '34.27° N 118.15° W'");
    browser.until("document.querySelector('#rows .server').textContent === 'Jaquez'");
    browser.until(&format!("!{DOT_IN_THE_MIDDLE}"));
    browser.evaluate("document.getElementById('fit').click()");
    browser.until(DOT_IN_THE_MIDDLE);

    herd.report("Jaquez", "plum", "-17-179.9");
    browser.until(&rows_are(&["kiwi", "plum"]));
    herd.tell("Riley", &["FORGET kiwi".to_owned(), "FORGET plum".to_owned()]);
    browser.until(&rows_are(&[]));
    browser.until(&format!("!{DOT_IN_THE_MIDDLE}"));
    assert_clean(&mut browser, &herd.url("Riley"));
}

#[test]
#[ignore = "needs Chromium: make test-map"]
fn the_page_reconnects_after_a_restart_and_says_so() {
    let _alone = alone();
    let mut herd = Herd::new("restart");
    herd.start("Riley");
    let mut browser = browser(&herd);
    herd.report("Riley", "kiwi", "+34.068930-118.445127");
    browser.open(&herd.url("Riley"));
    browser.until(&rows_are(&["kiwi"]));
    browser.until(LIVE);

    herd.kill("Riley");
    browser.until(&status_is("Not connected: "));
    browser.until("document.getElementById('status-age').textContent.startsWith('What you see is ')");
    browser.until("document.body.classList.contains('old')");
    browser.until(&rows_are(&["kiwi"]));

    // Without a store the server begins a new epoch, and knows no client.
    herd.start("Riley");
    browser.until(LIVE);
    browser.until(&rows_are(&[]));
    browser.until("!document.body.classList.contains('old')");
    herd.report("Riley", "plum", "+34.068930-118.445127");
    browser.until(&rows_are(&["plum"]));
    assert_own_requests(&mut browser, &herd.url("Riley"));
}

#[test]
#[ignore = "needs Chromium: make test-map"]
fn a_token_signs_in_for_this_tab_only() {
    let _alone = alone();
    let mut herd = Herd::new("sign-in");
    herd.config["http"] = json!({ "tokens": "tokens.json" });
    let (ada, eye) = (herd.token("ada", &[]), herd.token("eye", &["read:*"]));
    herd.start("Riley");
    herd.report("Riley", "ada-phone", "+34.068930-118.445127");
    herd.report("Riley", "bob-phone", "+34.168930-118.445127");
    let mut browser = browser(&herd);
    browser.open(&herd.url("Riley"));
    let is_asked = "document.activeElement.id === 'token' && !document.getElementById('sign-in').hidden";
    browser.until(is_asked);

    browser.write("wrong");
    browser.press("Enter");
    browser.until(
        "document.getElementById('sign-in-why').textContent === 'This server does not take that token.'",
    );
    browser.until(is_asked);

    browser.write(&ada);
    browser.press("Enter");
    browser.until(&rows_are(&["ada-phone"]));
    browser.until("document.getElementById('sign-in').hidden");
    browser.until("document.getElementById('herd-summary').textContent === 'not with this token'");
    assert_eq!(browser.evaluate("localStorage.length"), 0);
    assert_eq!(browser.evaluate("document.cookie"), "");
    let in_addresses: Vec<String> = browser.requests().into_iter().filter(|url| url.contains(&ada)).collect();
    assert!(in_addresses.is_empty(), "{in_addresses:?}");

    browser.call("Page.reload", json!({}));
    browser.until(&rows_are(&["ada-phone"]));
    browser.evaluate("document.getElementById('sign-out').click()");
    browser.until(is_asked);
    browser.until(&rows_are(&[]));
    assert_eq!(browser.evaluate("sessionStorage.length"), 0);

    // A link with the token signs in too, and the token leaves the address.
    browser.open(&format!("{}t/{eye}/", herd.url("Riley")));
    browser.until(&rows_are(&["ada-phone", "bob-phone"]));
    assert_eq!(browser.evaluate("location.href"), json!(herd.url("Riley")));
}

#[test]
#[ignore = "needs Chromium: make test-map"]
fn ids_are_text_and_keep_their_direction() {
    let _alone = alone();
    let herd = Herd::running("ids");
    let mut browser = browser(&herd);
    let ids = ["<img/src=x>", "a\u{202e}b", "\u{5e9}\u{5dc}\u{5d5}\u{5dd}", "x\u{2069}y", "&lt;"];
    ids.iter().for_each(|id| herd.report("Riley", id, "+34.068930-118.445127"));
    browser.open(&herd.url("Riley"));
    browser.until("document.querySelectorAll('#rows tr').length === 5");
    let texts = browser.evaluate("[...document.querySelectorAll('#rows bdi')].map(e => e.textContent)");
    let texts: Vec<&str> = texts.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for text in ["<img/src=x>", "a‹202E›b", "\u{5e9}\u{5dc}\u{5d5}\u{5dd}", "x‹2069›y", "&lt;"] {
        assert!(texts.contains(&text), "{text} in {texts:?}");
    }
    browser.evaluate("document.querySelectorAll('#rows button').forEach(button => button.click())");
    browser.until("document.querySelectorAll('#near-list bdi').length === 4");
    assert_eq!(browser.evaluate("document.querySelectorAll('img').length"), 0);
    assert_eq!(browser.evaluate("document.querySelector('#details-name bdi') !== null"), true);
    assert_clean(&mut browser, &herd.url("Riley"));
}

#[test]
#[ignore = "needs Chromium: make test-map"]
fn a_selected_client_shows_what_is_near_it_and_is_followed() {
    let _alone = alone();
    let herd = Herd::running("select");
    let mut browser = browser(&herd);
    herd.report("Riley", "kiwi", "+34.068930-118.445127");
    herd.report("Riley", "plum", "+34.070000-118.450000");
    herd.report("Jaquez", "far", "+48+2");
    browser.open(&herd.url("Riley"));
    browser.until(&rows_are(&["far", "kiwi", "plum"]));
    browser.evaluate("[...document.querySelectorAll('#rows button')][1].click()");
    browser.until("document.getElementById('details-name').textContent === 'kiwi'");
    browser.until("document.querySelector('#facts code').textContent.startsWith('AT Riley ')");
    browser.until("document.querySelector('#near-list li').textContent.startsWith('plum464 m')");
    assert_eq!(browser.evaluate("document.querySelectorAll('#near-list li').length"), 1);

    browser.evaluate("document.getElementById('ask-places').click()");
    browser.until("document.querySelectorAll('#places-list li').length === 2");
    let places = browser.evaluate("document.getElementById('places').textContent");
    for text in ["Bel Air", "<b>Westwood</b>", "Someone & others"] {
        assert!(places.as_str().unwrap().contains(text), "{text} in {places}");
    }

    // The map follows: the dot stays in the middle while the client moves by degrees.
    browser.evaluate("document.getElementById('follow').click()");
    browser.until(DOT_IN_THE_MIDDLE);
    herd.report("Riley", "kiwi", "+34.868930-117.445127");
    browser.until("document.getElementById('facts').textContent.includes('34.86893° N 117.44513° W')");
    browser.until(DOT_IN_THE_MIDDLE);
    assert_eq!(browser.evaluate("document.getElementById('follow').textContent"), "Following");

    // A drag ends that, and a click on the dot selects again.
    let (x, y) = middle(&mut browser);
    browser.drag((x, y), (-150.0, 90.0));
    browser.until("document.getElementById('follow').getAttribute('aria-pressed') === 'false'");
    browser.until(&format!("!{DOT_IN_THE_MIDDLE}"));
    browser.evaluate("document.getElementById('close').click()");
    browser.until("document.getElementById('details').hidden");
    browser.click(x - 150.0, y + 90.0);
    browser.until("document.getElementById('details-name').textContent === 'kiwi'");
    assert_clean(&mut browser, &herd.url("Riley"));
}

#[test]
#[ignore = "needs Chromium: make test-map"]
fn everything_works_by_keyboard() {
    let _alone = alone();
    let herd = Herd::running("keyboard");
    let mut browser = browser(&herd);
    (0..30).for_each(|n| herd.report("Riley", &format!("client-{n}"), &format!("+{n}-{n}")));
    browser.open(&herd.url("Riley"));
    browser.until("document.querySelectorAll('#rows tr').length === 30");

    tab_to(&mut browser, "search");
    browser.write("client-29");
    browser.until(&rows_are(&["client-29"]));
    browser.press("Enter");
    browser.until("document.activeElement.id === 'details-name'");
    browser.until("document.getElementById('details-name').textContent === 'client-29'");
    tab_to(&mut browser, "follow");
    browser.press("Enter");
    browser.until("document.getElementById('follow').getAttribute('aria-pressed') === 'true'");
    browser.press("Escape");
    browser.until("document.getElementById('details').hidden");
    browser.until("document.activeElement.textContent === 'client-29'");

    tab_to(&mut browser, "search");
    browser.evaluate("document.getElementById('search').select()");
    browser.press("Backspace");
    browser.evaluate("document.getElementById('search').value = ''");
    browser.evaluate("document.getElementById('search').dispatchEvent(new Event('input'))");
    browser.until("document.querySelectorAll('#rows tr').length === 30");
    browser.press("ArrowDown");
    browser.until("document.activeElement.textContent === 'client-0'");
    browser.press("ArrowDown");
    browser.until("document.activeElement.textContent === 'client-1'");

    tab_to(&mut browser, "map");
    for key in ["+", "ArrowLeft", "ArrowDown", "-", "0"] {
        let before = browser.evaluate("document.getElementById('base').toDataURL()");
        browser.press(key);
        browser.until(&format!("document.getElementById('base').toDataURL() !== {before}"));
    }
    assert_clean(&mut browser, &herd.url("Riley"));
}

/// Presses Tab until an element has the focus. The focus is always visible.
fn tab_to(browser: &mut Browser, id: &str) {
    for _ in 0..200 {
        browser.press("Tab");
        if browser.evaluate("document.activeElement.id") == id {
            let outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle");
            assert_eq!(outline, "solid", "the focus of {id} is not visible");
            return;
        }
    }
    panic!("no Tab leads to {id}");
}

#[test]
#[ignore = "needs Chromium: make test-map"]
fn the_accessibility_tree_has_the_list() {
    let _alone = alone();
    let herd = Herd::running("accessible");
    let mut browser = browser(&herd);
    herd.report("Riley", "kiwi", "+34.068930-118.445127");
    browser.open(&herd.url("Riley"));
    browser.until(&rows_are(&["kiwi"]));
    browser.until(LIVE);
    let tree = browser.call("Accessibility.getFullAXTree", json!({}));
    let nodes: Vec<(&str, &str)> = tree["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|node| node["ignored"] == false)
        .map(|node| {
            let text = |key: &str| node[key]["value"].as_str().unwrap_or_default();
            (text("role"), text("name"))
        })
        .collect();
    for expected in [
        ("heading", "family\u{a0}Riley"),
        ("heading", "Clients"),
        ("table", "Clients with the age of their last report"),
        ("columnheader", "Age"),
        ("rowheader", "kiwi"),
        ("button", "kiwi"),
        ("StaticText", "34.07° N 118.45° W"),
        ("searchbox", "Search IDs and servers"),
        ("button", "Zoom in"),
        ("button", "Show all clients"),
    ] {
        assert!(nodes.contains(&expected), "{expected:?} in {nodes:?}");
    }
    assert!(nodes.iter().any(|(role, _)| *role == "status"), "{nodes:?}");
    // The list comes before the map.
    let follows = "document.getElementById('rows').compareDocumentPosition(document.getElementById('map'))";
    assert_eq!(browser.evaluate(follows), 4);
    let unnamed: Vec<_> = nodes.iter().filter(|(role, name)| *role == "button" && name.is_empty()).collect();
    assert!(unnamed.is_empty(), "buttons without names");
}

#[test]
#[ignore = "needs Chromium: make test-map"]
fn dots_glide_unless_motion_is_reduced() {
    let _alone = alone();
    let herd = Herd::running("motion");
    let mut browser = browser(&herd);
    for (motion, glides) in [("no-preference", true), ("reduce", false)] {
        browser.media(&[("prefers-reduced-motion", motion)]);
        herd.report("Riley", "kiwi", "+34.068930-118.445127");
        browser.open(&herd.url("Riley"));
        browser.until(LIVE);
        browser.until(DOT_IN_THE_MIDDLE);
        // Counts the different pictures of the next second.
        browser.evaluate(
            "window.pictures = new Set();
             window.count = () => {
                 const canvas = document.getElementById('dots');
                 const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                 let sum = 0;
                 for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 0) sum = (sum * 31 + i) % 1000000007;
                 window.pictures.add(sum);
                 requestAnimationFrame(window.count);
             };
             window.count()",
        );
        herd.report("Riley", "kiwi", "+34.078930-118.405127");
        browser.until("document.querySelector('#rows .where').textContent === '34.08° N 118.41° W'");
        browser.until(&format!("!{DOT_IN_THE_MIDDLE}"));
        browser.evaluate("new Promise(done => setTimeout(done, 1200))");
        let pictures = browser.evaluate("window.pictures.size").as_u64().unwrap();
        assert_eq!(pictures > 4, glides, "{pictures} pictures with prefers-reduced-motion: {motion}");
    }
}

#[test]
#[ignore = "needs Chromium: make test-map"]
fn the_herd_shows_which_neighbour_is_down() {
    let _alone = alone();
    let mut herd = Herd::running("links");
    let mut browser = browser(&herd);
    browser.open(&herd.url("Riley"));
    browser.until("document.getElementById('herd-summary').textContent === '1 neighbour, all linked'");
    assert_eq!(browser.evaluate("document.title"), "Riley · family");
    herd.kill("Jaquez");
    browser.until("document.getElementById('herd-summary').textContent === '✕ Jaquez down'");
    browser.until("document.querySelectorAll('#links .down').length === 2");
    herd.report("Riley", "kiwi", "+1+1");
    browser.until("document.querySelector('#links .behind').textContent === '1 change'");
    herd.start("Jaquez");
    browser.until("document.getElementById('herd-summary').textContent === '1 neighbour, all linked'");
    browser.until("document.querySelectorAll('#links .behind').length === 0");
    assert_clean(&mut browser, &herd.url("Riley"));
}

#[test]
#[ignore = "needs Chromium: make test-map"]
fn a_phone_has_everything_without_scrolling_sideways() {
    let _alone = alone();
    let herd = Herd::running("phone");
    let mut browser = browser(&herd);
    browser.screen(360, 640, 2.0);
    let long = "x".repeat(300);
    herd.report("Riley", &long, "+34.068930-118.445127");
    browser.open(&herd.url("Riley"));
    browser.until("document.querySelectorAll('#rows tr').length === 1");
    browser.evaluate("document.querySelector('#rows button').click()");
    browser.until("!document.getElementById('details').hidden");
    browser.until("document.documentElement.scrollWidth <= 360");
    // A finger needs 24 pixels (WCAG 2.2, 2.5.8).
    let small = browser.evaluate(
        "[...document.querySelectorAll('button, select, input, summary')]
            .filter(e => e.offsetParent && (e.offsetWidth < 24 || e.offsetHeight < 24)).map(e => e.outerHTML)",
    );
    assert_eq!(small, json!([]));
    assert_clean(&mut browser, &herd.url("Riley"));
}
