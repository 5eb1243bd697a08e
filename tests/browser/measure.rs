//! Measurements: time to the first dot, and the rate of pictures and the memory while 5,000 clients move.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{LIVE, alone, browser};
use crate::herd::Herd;

/// `MINUTES=5 cargo test --test browser five_thousand -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes: make measure-map MINUTES=5"]
fn five_thousand_clients_move() {
    let _alone = alone();
    let minutes: u64 = std::env::var("MINUTES").map_or(1, |minutes| minutes.parse().unwrap());
    let herd = Herd::running("measure");
    let report = |step: usize| {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let line = |client: usize| {
            let turn = step as f64 / 9.0 + client as f64;
            let latitude = (client % 120) as f64 - 60.0 + turn.sin();
            let longitude = (client % 340) as f64 - 170.0 + turn.cos();
            format!("IAMAT client-{client} {latitude:+.6}{longitude:+.6} {now:.6}")
        };
        (0..CLIENTS).map(line).collect::<Vec<_>>()
    };
    herd.tell("Riley", &report(0));
    let mut browser = browser(&herd);
    // A second visit, as each but the first one is.
    for visit in ["first", "second"] {
        browser.open(&herd.url("Riley"));
        browser.until(LIVE);
        let dot = browser.evaluate("performance.getEntriesByName('first dot')[0]?.startTime ?? null");
        println!("{visit} visit: first dot after {} ms", dot.as_f64().unwrap().round());
    }
    browser.until(&format!("document.getElementById('clients-count').textContent === '{}'", "5,000 clients"));
    browser.evaluate(
        "window.frames_seen = 0; window.longest = 0; window.longest_task = 0;
         new PerformanceObserver((list) => {
             for (const task of list.getEntries()) window.longest_task = Math.max(window.longest_task, task.duration);
         }).observe({ entryTypes: ['longtask'] });
         let last = performance.now();
         const count = (now) => {
             window.frames_seen++; window.longest = Math.max(window.longest, now - last); last = now;
             requestAnimationFrame(count);
         };
         requestAnimationFrame(count); 1",
    );
    let begin = Instant::now();
    let mut step = 0;
    for minute in 1..=minutes {
        let (from, seen) = (
            Instant::now(),
            browser
                .evaluate("window.longest = window.longest_task = 0; window.frames_seen")
                .as_u64()
                .unwrap(),
        );
        while begin.elapsed() < Duration::from_secs(60) * u32::try_from(minute).unwrap() {
            step += 1;
            // All clients move once in each period, spread over it in portions.
            for portion in report(step).chunks(CLIENTS / PORTIONS) {
                herd.tell("Riley", portion);
                std::thread::sleep(PERIOD / u32::try_from(PORTIONS).unwrap());
            }
        }
        let frames = browser.evaluate("window.frames_seen").as_u64().unwrap() - seen;
        let longest = browser.evaluate("window.longest").as_f64().unwrap();
        let task = browser.evaluate("window.longest_task").as_f64().unwrap();
        let heap = browser.call("Runtime.getHeapUsage", serde_json::json!({}));
        println!(
            "minute {minute}: {:.1} pictures/s, the longest after {longest:.0} ms, longest task {task:.0} ms, heap {:.1} MB, browser {} MB",
            frames as f64 / from.elapsed().as_secs_f64(),
            heap["usedSize"].as_f64().unwrap() / 1e6,
            Herd::memory_of(&herd.folder.display().to_string()) / 1024,
        );
    }
    assert!(browser.problems().is_empty());
}

/// Writes the pictures of the documentation again. Look at them before you commit them.
#[test]
#[ignore = "writes into docs: make map-pictures"]
fn pictures_of_the_documentation() {
    let _alone = alone();
    let herd = Herd::running("pictures");
    let places = [
        ("ada-phone", 34.0689, -118.4451),
        ("ada-watch", 34.0522, -118.2437),
        ("grandma", 34.4208, -119.6982),
        ("leo-bike", 33.7701, -118.1937),
        ("truck-07", 35.3733, -119.0187),
        ("truck-12", 36.1699, -115.1398),
        ("sailboat", 33.3879, -118.4163),
        ("drone-3", 32.7157, -117.1611),
    ];
    let mut browser = browser(&herd);
    let report = |step: u32| {
        for (index, (id, latitude, longitude)) in places.iter().enumerate() {
            let (turn, server) = (f64::from(step) / 7.0 + index as f64, ["Riley", "Jaquez"][index % 2]);
            let (latitude, longitude) = (
                latitude + turn.sin() * 0.04 * f64::from(step) / 5.0,
                longitude + turn.cos() * 0.3 * f64::from(step) / 20.0,
            );
            herd.report(server, id, &format!("{latitude:+.6}{longitude:+.6}"));
        }
    };
    report(0);
    browser.open(&herd.url("Riley"));
    browser.until(LIVE);
    for step in 1..24 {
        report(step);
        browser.until(&format!("document.getElementById('herd-facts').textContent.includes('{}')", "client"));
    }
    browser.evaluate(
        "[...document.querySelectorAll('#rows button')].find(button => button.textContent === 'ada-phone')
             .dispatchEvent(new MouseEvent('click', { detail: 1, bubbles: true }));
         document.getElementById('fit').click();
         document.getElementById('near-km').value = '100';
         document.getElementById('near-km').dispatchEvent(new Event('change'))",
    );
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for (name, scheme, width, height, ratio) in [
        ("map-light", "light", 1280, 800, 1.0),
        ("map-dark", "dark", 1280, 800, 1.0),
        ("map-phone", "dark", 390, 844, 1.5),
    ] {
        browser.media(&[("prefers-color-scheme", scheme)]);
        browser.screen(width, height, ratio);
        browser
            .evaluate("document.getElementById('fit').click(); new Promise(done => setTimeout(done, 1500))");
        let folder = if name == "map-dark" { &herd.folder } else { &docs };
        browser.picture(&folder.join(format!("{name}.png")));
    }
    let dark = Path::new(env!("CARGO_TARGET_TMPDIR")).join("map-dark.png");
    std::fs::copy(herd.folder.join("map-dark.png"), dark).unwrap();
}

const CLIENTS: usize = 5000;
/// Each client reports once in this time.
const PERIOD: Duration = Duration::from_secs(5);
const PORTIONS: usize = 50;
