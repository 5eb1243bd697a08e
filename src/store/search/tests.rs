use proptest::prelude::*;

use super::*;
use crate::geo;
use crate::store::{Loaded, Loading, Origin, Outcome, SearchId, Store};
use crate::text::fields::fields;
use crate::text::record::Statement;

fn report(store: &mut Store, id: &str, location: &str, time: u64) -> Outcome {
    let line = format!("AT Riley +0.000000000 {id} {location} {time}\n");
    store.report(&Statement::parse(line.trim_end().as_bytes()).unwrap(), line.as_bytes(), Origin::CLIENT)
}

/// Removes a client's record. Returns whether there was one.
fn remove(store: &mut Store, id: &str) -> bool {
    let index = store.find(store.hasher.hash(id.as_bytes()), id.as_bytes());
    index.map(|index| store.remove(index)).is_some()
}

/// Forgets a client.
fn forget(store: &mut Store, id: &str, time: u64) -> Outcome {
    let line = format!("GONE Riley +0.000000000 {id} {time}.000000000\n");
    store.report(&Statement::parse(line.trim_end().as_bytes()).unwrap(), line.as_bytes(), Origin::CLIENT)
}

fn point(location: &str) -> Centre {
    let (latitude, longitude) = geo::degrees(&Location::parse(location.as_bytes()).unwrap());
    Centre::new(latitude, longitude)
}

/// The results of a search, with this many steps at a time.
fn found(store: &mut Store, nearby: &Nearby<'_>, steps: usize) -> Vec<String> {
    let id = store.search(nearby);
    while !store.advance_search(id, &mut steps.clone()) {}
    end(store, id)
}

fn end(store: &mut Store, id: SearchId) -> Vec<String> {
    let mut output = Vec::new();
    store.end_search(id, &mut output);
    String::from_utf8(output).unwrap().lines().map(str::to_owned).collect()
}

/// The same by a look at all lines.
fn naive(lines: &[String], nearby: &Nearby<'_>) -> Vec<String> {
    let mut all: Vec<(u32, &[u8], &String)> = Vec::new();
    for line in lines {
        let statement = Statement::parse(line.as_bytes()).unwrap();
        let (latitude, longitude) = geo::degrees(&statement.location.unwrap());
        let distance_m = nearby.centre.distance_m(latitude, longitude);
        if distance_m <= nearby.radius_km * 1000.0
            && nearby.left_out != Some(statement.id)
            && nearby.only.is_none_or(|only| only.has(statement.id))
        {
            all.push((distance_m.round() as u32, statement.id, line));
        }
    }
    all.sort();
    let nearest = all.iter().take(nearby.bound);
    nearest.map(|(metres, _, line)| format!("{}.{:03} {line}", metres / 1000, metres % 1000)).collect()
}

fn lines_of(store: &Store, ids: impl Iterator<Item = String>) -> Vec<String> {
    let line = |id: String| store.get(id.as_bytes()).map(|line| String::from_utf8(line.to_vec()).unwrap());
    ids.filter_map(line).map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn distances_have_three_decimals() {
    for (metres, expected) in
        [(0, "0.000"), (7, "0.007"), (412, "0.412"), (3880, "3.880"), (20_015_114, "20015.114")]
    {
        let mut output = Vec::new();
        write_km(metres, &mut output);
        assert_eq!(output, expected.as_bytes());
    }
}

#[test]
fn nearest_first_then_by_id() {
    let mut store = Store::new(100);
    for id in ["b", "a", "B", "ab", "10", "9"] {
        report(&mut store, id, "+10.0+20.0", 1);
    }
    report(&mut store, "zz", "+10.01+20.0", 1);
    report(&mut store, "0-far", "+9.9+20.0", 1);
    let mut nearby =
        Nearby { centre: point("+10.01+20"), radius_km: 100.0, bound: 1000, left_out: None, only: None };
    let ids = |lines: Vec<String>| {
        lines
            .iter()
            .map(|line| str::from_utf8(fields(line.as_bytes()).nth(4).unwrap()).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(found(&mut store, &nearby, 1)), ["zz", "10", "9", "B", "a", "ab", "b", "0-far"]);
    nearby.bound = 3;
    nearby.left_out = Some(b"9");
    assert_eq!(ids(found(&mut store, &nearby, 1)), ["zz", "10", "B"]);
    (nearby.bound, nearby.radius_km) = (1000, 0.0);
    assert_eq!(ids(found(&mut store, &nearby, 1)), ["zz"]);
    (nearby.bound, nearby.radius_km, nearby.left_out) = (2, 100.0, None);
    let only = Arc::new(Prefixes::of([&b"a"[..], b"0"]));
    nearby.only = Some(&only);
    assert_eq!(ids(found(&mut store, &nearby, 1)), ["a", "ab"], "the nearest of those that are looked for");
    nearby.bound = 0;
    assert!(found(&mut store, &nearby, 1).is_empty());
    assert_eq!(store.searches(), 0);
}

/// More than a page at one spot: they are divided by their indices.
#[test]
fn a_crowd_at_one_spot_is_searched_in_portions() {
    let mut store = Store::new(10_000);
    for number in 0..5000 {
        report(&mut store, &format!("c{:04}", number * 3711 % 5000), "-0.0+180", 1);
    }
    let nearby = Nearby { centre: point("+0-180"), radius_km: 0.0, bound: 1000, left_out: None, only: None };
    let id = store.search(&nearby);
    let mut portions = 1;
    while !store.advance_search(id, &mut 100) {
        portions += 1;
        // Each looks at a page more than its steps, at most.
        assert!(portions < 5000);
    }
    assert!(portions > 5000 / (25 + SLOTS), "{portions}");
    let expected: Vec<String> =
        (0..1000).map(|number| format!("0.000 AT Riley +0.000000000 c{number:04} -0.0+180 1")).collect();
    assert_eq!(end(&mut store, id), expected);
}

#[test]
fn a_search_sees_the_store_of_its_beginning() {
    let mut store = Store::new(1000);
    let ids = || (0..600).map(|number| format!("c{number}"));
    for id in ids() {
        report(&mut store, &id, "+10+10", 1);
    }
    let nearby = Nearby { centre: point("+10+10"), radius_km: 1.0, bound: 300, left_out: None, only: None };
    let expected = naive(&lines_of(&store, ids()), &nearby);
    let id = store.search(&nearby);
    assert!(!store.advance_search(id, &mut 400));
    // Some are in the results, some are not yet.
    for number in 0..600 {
        match number % 3 {
            0 => assert!(remove(&mut store, &format!("c{number}"))),
            1 => assert_eq!(
                report(&mut store, &format!("c{number}"), "+10.000001+10.000001", 2),
                Outcome::Stored
            ),
            _ => {}
        }
        report(&mut store, &format!("a{number}"), "+10+10", 2);
        store.advance_search(id, &mut 3);
    }
    while !store.advance_search(id, &mut 3) {}
    assert_eq!(end(&mut store, id), expected);
}

/// A change of the store, or of the search.
#[derive(Clone, Debug)]
enum Step {
    Report { client: usize, location: String },
    Remove { client: usize },
    Forget { client: usize },
    Begin { centre: String, radius_km: f64, bound: usize, left_out: Option<usize>, prefix: Option<String> },
    Advance { steps: usize },
}

/// A location, often one of few spots, at a pole or at 180 degrees.
fn location() -> impl Strategy<Value = String> {
    let latitude =
        prop_oneof![-90.0..=90.0, Just(90.0), Just(-90.0), 89.999..90.0, -0.001..0.001, 34.06..34.08];
    let longitude = prop_oneof![
        -180.0..=180.0,
        Just(180.0),
        Just(-180.0),
        179.999..180.0,
        -180.0..-179.999,
        -118.45..-118.44
    ];
    let anywhere = (latitude, longitude, 0..9usize)
        .prop_map(|(latitude, longitude, digits)| format!("{latitude:+.digits$}{longitude:+.digits$}"));
    let spots = prop::sample::select(vec![
        "+0-0",
        "-0.0+0",
        "+90+17",
        "-90-180",
        "+0+180",
        "+0-180",
        "+34.06893-118.445127",
    ]);
    prop_oneof![2 => anywhere, 1 => spots.prop_map(str::to_owned)]
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..300usize;
    let radius_km = prop_oneof![
        Just(0.0),
        Just(20_100.0),
        20_000.0..20_020.0,
        0.0..20_000.0,
        0.0..500.0,
        0.0..2.0,
        Just(0.01)
    ];
    let bound = prop_oneof![0..5usize, 0..300usize, Just(1000)];
    prop_oneof![
        12 => (client(), location()).prop_map(|(client, location)| Step::Report { client, location }),
        3 => client().prop_map(|client| Step::Remove { client }),
        2 => client().prop_map(|client| Step::Forget { client }),
        1 => (location(), radius_km, bound, proptest::option::of(client()), proptest::option::of("c[12]?"))
            .prop_map(|(centre, radius_km, bound, left_out, prefix)| {
                Step::Begin { centre, radius_km, bound, left_out, prefix }
            }),
        3 => (1..200usize).prop_map(|steps| Step::Advance { steps }),
    ]
}

proptest! {
    /// Against a look at all lines: whatever is reported and removed meanwhile, a search finds what the store had
    /// when it began.
    #[test]
    fn a_search_finds_what_a_scan_finds(
        steps in proptest::collection::vec(step(), 1..1500), spread in prop::sample::select(vec![0, 40, 400])
    ) {
        let mut store = Store::new(1000);
        let ids = || (0..300 + 400).map(|number| format!("c{number}"));
        for number in 0..spread {
            report(&mut store, &format!("c{}", 300 + number), &format!("+{}.{number:03}-{}.5", number % 90, number % 180), 1);
        }
        let mut running: Vec<(SearchId, Vec<String>)> = Vec::new();
        for (time, step) in steps.into_iter().enumerate() {
            match step {
                Step::Report { client, location } => {
                    report(&mut store, &format!("c{client}"), &location, time as u64 + 2);
                }
                Step::Remove { client } => {
                    remove(&mut store, &format!("c{client}"));
                }
                Step::Forget { client } => {
                    forget(&mut store, &format!("c{client}"), time as u64 + 2);
                }
                Step::Begin { centre, radius_km, bound, left_out, prefix } => {
                    let left_out = left_out.map(|client| format!("c{client}"));
                    let left_out = left_out.as_ref().map(|id| id.as_bytes());
                    let only = prefix.map(|prefix| Arc::new(Prefixes::of([prefix.as_bytes()])));
                    let only = only.as_ref();
                    let nearby = Nearby { centre: point(&centre), radius_km, bound, left_out, only };
                    running.push((store.search(&nearby), naive(&lines_of(&store, ids()), &nearby)));
                }
                Step::Advance { steps } => {
                    let Some((id, _)) = running.first() else { continue };
                    if store.advance_search(*id, &mut steps.clone()) {
                        let (id, expected) = running.remove(0);
                        prop_assert_eq!(end(&mut store, id), expected);
                    }
                }
            }
        }
        for (id, expected) in running {
            while !store.advance_search(id, &mut 10) {}
            prop_assert_eq!(end(&mut store, id), expected);
        }
    }
}

#[test]
fn statements_that_were_loaded_are_found() {
    let (mut store, mut reported) = (Store::new(10_000), Store::new(10_000));
    let mut numbers = 1..;
    let mut loading = Loading::begin(&mut store, 100);
    for round in 0..3 {
        if round == 2 {
            // The last ones beside clients.
            loading.serve_beside(&mut store, 10_000);
        }
        for client in (0..600).rev() {
            let location = format!("{:+}.{client}{:+}.5", client * 7 % 90, client * 13 % 180 - 90 + round);
            let line = format!("AT Riley +0.200000000 c{client} {location} {round}\n");
            let statement = Statement::parse(&line.as_bytes()[..line.len() - 1]).unwrap();
            let change = Loaded { statement, line: line.as_bytes(), number: numbers.next().unwrap() };
            assert_eq!(loading.load(&mut store, [change].into_iter()), 0);
            reported.report(&statement, line.as_bytes(), Origin::CLIENT);
        }
    }
    // One of them is forgotten before it is in the index, another moves.
    for store in [&mut store, &mut reported] {
        forget(store, "c7", 9);
        report(store, "c8", "+10+20.001", 9);
    }
    let mut places = loading.unsorted().sort();
    while places.locate(&mut store) {}
    loading.finish(&mut store, 0);
    for radius_km in [1.0, 300.0, 5000.0] {
        let nearby = Nearby { centre: point("+10+20"), radius_km, bound: 1000, left_out: None, only: None };
        let expected = found(&mut reported, &nearby, 1000);
        assert_eq!(found(&mut store, &nearby, 1000), expected);
    }
    // They move and go as others do.
    report(&mut store, "c5", "+10+20", 9);
    forget(&mut store, "c6", 9);
    let nearby = Nearby { centre: point("+10+20"), radius_km: 0.0, bound: 10, left_out: None, only: None };
    assert_eq!(found(&mut store, &nearby, 1000).len(), 1);
}
