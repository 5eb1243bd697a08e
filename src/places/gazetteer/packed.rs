//! The packed file, data/places.bin: reading it, and the records that come out of it.
//!
//! `data/build.py` writes the file and describes its form. It is trusted no further than its
//! checksum: whatever the bytes are, reading them ends in records that hold together or in an
//! [`Error`].

use std::fmt;

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

/// Stored coordinates are whole numbers of this many parts of a degree, about a metre each.
pub const UNITS_PER_DEGREE: i32 = 100_000;

/// Why a packed file was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The file does not begin as one of ours.
    NotPlaces,
    /// The file has a form that this program does not know.
    Version(u32),
    /// The file has `found` bytes where its head promises `expected`.
    Length { expected: usize, found: usize },
    /// The file promises to inflate to more than [`MAX_BODY_BYTES`].
    TooLarge(usize),
    /// The bytes behind the head do not inflate, or not to what was packed.
    Inflate,
    /// The named column does not say what it should.
    Column(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotPlaces => write!(f, "not a file of packed places"),
            Error::Version(found) => write!(f, "packed places of version {found}, not {VERSION}"),
            Error::Length { expected, found } => {
                write!(f, "packed places are cut or lengthened: {found} bytes, not {expected}")
            }
            Error::TooLarge(bytes) => {
                write!(f, "packed places of {bytes} bytes, more than {MAX_BODY_BYTES}")
            }
            Error::Inflate => write!(f, "packed places are damaged: they do not inflate"),
            Error::Column(name) => write!(f, "packed places are damaged: column of {name}"),
        }
    }
}

impl std::error::Error for Error {}

/// A point on the earth, in units of 1e-5 degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// −9,000,000 at the south pole to 9,000,000 at the north pole.
    pub latitude_e5: i32,
    /// −18,000,000 to 18,000,000, east positive.
    pub longitude_e5: i32,
}

impl Position {
    /// Latitude in degrees.
    pub fn latitude_degrees(self) -> f64 {
        f64::from(self.latitude_e5) / f64::from(UNITS_PER_DEGREE)
    }

    /// Longitude in degrees.
    pub fn longitude_degrees(self) -> f64 {
        f64::from(self.longitude_e5) / f64::from(UNITS_PER_DEGREE)
    }
}

/// What kind of place a record is, and what only that kind has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A city, town, village or part of one.
    Locality {
        /// Its number at GeoNames.
        geonames: u32,
        /// People who live there.
        population: u32,
    },
    /// An airport, or a mere strip.
    Airport {
        /// Four printable characters.
        icao: [u8; 4],
        /// Three capital letters, where airlines sell tickets to it.
        iata: Option<[u8; 3]>,
    },
}

/// One place, without its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// What people call it.
    pub name: &'a str,
    /// Region and country.
    pub vicinity: &'a str,
    /// Its kind.
    pub kind: Kind,
}

/// All records but their positions, column by column: localities by GeoNames number, then airports
/// by ICAO code.
pub struct Records {
    names: Lines,
    regions: Lines,
    localities: usize,
    ids: Vec<u32>,
    region_of: Vec<u16>,
    weights: Vec<u32>,
}

impl Records {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The record at `index`, which counts from 0 in the order of the file.
    ///
    /// Panics if there is none.
    pub fn get(&self, index: usize) -> Place<'_> {
        let (id, weight) = (self.ids[index], self.weights[index]);
        let kind = if index < self.localities {
            Kind::Locality { geonames: id, population: weight }
        } else {
            Kind::Airport { icao: id.to_be_bytes(), iata: iata_code(weight) }
        };
        Place {
            name: self.names.get(index),
            vicinity: self.regions.get(usize::from(self.region_of[index])),
            kind,
        }
    }
}

/// Reads a packed file: its records, and the position of each.
pub fn unpack(file: &[u8]) -> Result<(Records, Vec<Position>), Error> {
    let (head, packed) = file.split_at_checked(HEAD_BYTES).ok_or(Error::NotPlaces)?;
    let (magic, mut numbers) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(Error::NotPlaces);
    }
    // The head was split off at its full length, so it has its five numbers.
    let mut number = || take_u32(&mut numbers).ok_or(Error::NotPlaces);
    let version = number()?;
    if version != VERSION {
        return Err(Error::Version(version));
    }
    let [localities, airports, body_bytes, packed_bytes] = [number()?, number()?, number()?, number()?];
    let [localities, airports] = [localities as usize, airports as usize];
    let [body_bytes, packed_bytes] = [body_bytes as usize, packed_bytes as usize];
    if packed.len() != packed_bytes {
        return Err(Error::Length { expected: HEAD_BYTES.saturating_add(packed_bytes), found: file.len() });
    }
    if body_bytes > MAX_BODY_BYTES {
        return Err(Error::TooLarge(body_bytes));
    }
    let body = decompress_to_vec_zlib_with_limit(packed, body_bytes).map_err(|_| Error::Inflate)?;
    if body.len() != body_bytes {
        return Err(Error::Inflate);
    }
    read_body(&body, localities, airports)
}

fn read_body(mut body: &[u8], localities: usize, airports: usize) -> Result<(Records, Vec<Position>), Error> {
    let regions = Lines::read(take_column(&mut body, "regions")?).ok_or(Error::Column("regions"))?;
    let names = Lines::read(take_column(&mut body, "names")?).ok_or(Error::Column("names"))?;
    // Counts are believed only here, where as many names have been seen: nothing is allocated for
    // records that the file merely promises.
    let count = names.len();
    if localities.checked_add(airports) != Some(count) {
        return Err(Error::Column("names"));
    }
    let counts = [localities, airports];

    let mut ids = Vec::with_capacity(count);
    let mut column = take_column(&mut body, "ids")?;
    for count in counts {
        let mut id: u32 = 0;
        for _ in 0..count {
            let step = take_number(&mut column).filter(|&step| step > 0);
            id = step.and_then(|step| id.checked_add(step)).ok_or(Error::Column("ids"))?;
            ids.push(id);
        }
    }
    end_column(column, "ids")?;
    if !ids[localities..].iter().all(|id| id.to_be_bytes().iter().all(u8::is_ascii_graphic)) {
        return Err(Error::Column("ids"));
    }

    let latitudes = take_column(&mut body, "latitudes")?;
    let latitudes = read_differences(latitudes, counts, -MAX_LATITUDE_E5..=MAX_LATITUDE_E5);
    let latitudes = latitudes.ok_or(Error::Column("latitudes"))?;
    let longitudes = take_column(&mut body, "longitudes")?;
    let longitudes = read_differences(longitudes, counts, -MAX_LONGITUDE_E5..=MAX_LONGITUDE_E5);
    let longitudes = longitudes.ok_or(Error::Column("longitudes"))?;
    let positions = latitudes.into_iter().zip(longitudes);
    let positions = positions.map(|(latitude_e5, longitude_e5)| Position { latitude_e5, longitude_e5 });

    // Places in the column of regions are kept as u16.
    let last_region = regions.len().checked_sub(1).and_then(|last| u16::try_from(last).ok());
    let last_region = last_region.ok_or(Error::Column("regions"))?;
    let region_of = take_column(&mut body, "region of")?;
    let region_of = read_differences(region_of, counts, 0..=i32::from(last_region));
    let region_of = region_of.ok_or(Error::Column("region of"))?;
    // Each is at most `last_region`, which is a u16.
    let region_of = region_of.into_iter().map(|region| region as u16).collect();

    let mut column = take_column(&mut body, "weights")?;
    let weights = (0..count).map(|_| take_number(&mut column)).collect::<Option<Vec<u32>>>();
    let weights = weights.ok_or(Error::Column("weights"))?;
    end_column(column, "weights")?;
    if weights[localities..].iter().any(|&weight| weight > IATA_CODES) {
        return Err(Error::Column("weights"));
    }

    end_column(body, "weights")?;
    Ok((Records { names, regions, localities, ids, region_of, weights }, positions.collect()))
}

/// Lines of text in one piece of memory: a string each would cost three words and an allocation.
struct Lines {
    text: Box<str>,
    /// Where each line ends, at its line feed.
    ends: Vec<u32>,
}

impl Lines {
    /// `None` if `column` is not UTF-8 or does not end with a line feed.
    fn read(column: &[u8]) -> Option<Lines> {
        let text = str::from_utf8(column).ok()?;
        if !text.is_empty() && !text.ends_with('\n') {
            return None;
        }
        // Columns are below MAX_BODY_BYTES, so a u32 holds any place in one.
        let ends = text.match_indices('\n').map(|(end, _)| end as u32).collect();
        Some(Lines { text: text.into(), ends })
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize + 1 };
        &self.text[start..self.ends[index] as usize]
    }
}

/// The next column of `body`, behind its length.
fn take_column<'a>(body: &mut &'a [u8], name: &'static str) -> Result<&'a [u8], Error> {
    let length = take_u32(body).ok_or(Error::Column(name))? as usize;
    let (column, rest) = body.split_at_checked(length).ok_or(Error::Column(name))?;
    *body = rest;
    Ok(column)
}

fn end_column(rest: &[u8], name: &'static str) -> Result<(), Error> {
    if rest.is_empty() { Ok(()) } else { Err(Error::Column(name)) }
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}

/// A LEB128 number.
fn take_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut number: u32 = 0;
    for shift in (0..u32::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u32::from(byte & 0x7f);
        if bits.leading_zeros() < shift {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A whole column of zigzag-coded differences, each kind beginning at zero; `None` unless every
/// value is within `bounds` and the column ends with the last one.
fn read_differences(
    mut column: &[u8],
    counts: [usize; 2],
    bounds: std::ops::RangeInclusive<i32>,
) -> Option<Vec<i32>> {
    let mut values = Vec::with_capacity(counts.iter().sum());
    for count in counts {
        let mut value: i32 = 0;
        for _ in 0..count {
            let coded = take_number(&mut column)?;
            let difference = (coded >> 1) as i32 ^ -((coded & 1) as i32);
            value = value.checked_add(difference).filter(|value| bounds.contains(value))?;
            values.push(value);
        }
    }
    column.is_empty().then_some(values)
}

/// The IATA code that an airport's weight stands for.
fn iata_code(weight: u32) -> Option<[u8; 3]> {
    let number = weight.checked_sub(1)?;
    // A remainder of 26 is a letter.
    let letter = |number: u32| b'A' + (number % 26) as u8;
    Some([letter(number / (26 * 26)), letter(number / 26), letter(number)])
}

const MAGIC: &[u8; 8] = b"herdgaz\n";
const VERSION: u32 = 1;
/// Magic, version, two counts, two lengths.
const HEAD_BYTES: usize = MAGIC.len() + 5 * size_of::<u32>();
/// Ten times what the embedded file needs. A head that was tampered with must not make the process
/// allocate without end.
const MAX_BODY_BYTES: usize = 64 << 20;
const MAX_LATITUDE_E5: i32 = 90 * UNITS_PER_DEGREE;
const MAX_LONGITUDE_E5: i32 = 180 * UNITS_PER_DEGREE;
/// As many as three letters can name.
const IATA_CODES: u32 = 26 * 26 * 26;

#[cfg(test)]
pub mod tests {
    use super::*;
    use miniz_oxide::deflate::compress_to_vec_zlib;

    /// A body of two localities (7 "Bel Air", 9 "Café") and two airports (KLAX, XXXX).
    fn small_body() -> Vec<u8> {
        let zigzag = |number: i32| ((number << 1) ^ (number >> 31)) as u32;
        let numbers = |all: &[u32]| {
            let mut bytes = Vec::new();
            for &number in all {
                append_number(&mut bytes, number);
            }
            bytes
        };
        let (klax, xxxx) = (u32::from_be_bytes(*b"KLAX"), u32::from_be_bytes(*b"XXXX"));
        let lax = (11 * 26) * 26 + 23 + 1;
        let columns = [
            b"Nowhere\nCalifornia, United States\n".to_vec(),
            "Bel Air\nCafé\nLos Angeles International Airport\nA Strip\n".as_bytes().to_vec(),
            numbers(&[7, 2, klax, xxxx - klax]),
            numbers(&[3_408_333, -12_408_333, 3_394_249, -3_394_250].map(zigzag)),
            numbers(&[-11_844_778, 29_844_778, -11_840_800, -6_159_200].map(zigzag)),
            numbers(&[1, -1, 1, -1].map(zigzag)),
            numbers(&[8253, 0, lax, 0]),
        ];
        let mut body = Vec::new();
        for column in columns {
            body.extend((column.len() as u32).to_le_bytes());
            body.extend(column);
        }
        body
    }

    fn append_number(bytes: &mut Vec<u8>, mut number: u32) {
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    }

    fn pack(body: &[u8], localities: u32, airports: u32) -> Vec<u8> {
        let packed = compress_to_vec_zlib(body, 6);
        let mut file = MAGIC.to_vec();
        for number in [VERSION, localities, airports, body.len() as u32, packed.len() as u32] {
            file.extend(number.to_le_bytes());
        }
        file.extend(packed);
        file
    }

    /// A small packed file of four places.
    pub fn small_file() -> Vec<u8> {
        pack(&small_body(), 2, 2)
    }

    #[test]
    fn every_column_is_read_back() {
        let (records, positions) = unpack(&small_file()).unwrap();
        assert_eq!(records.len(), 4);
        let california = "California, United States";
        assert_eq!(
            records.get(0),
            Place {
                name: "Bel Air",
                vicinity: california,
                kind: Kind::Locality { geonames: 7, population: 8253 },
            }
        );
        assert_eq!(
            records.get(1),
            Place { name: "Café", vicinity: "Nowhere", kind: Kind::Locality { geonames: 9, population: 0 } }
        );
        assert_eq!(records.get(2).kind, Kind::Airport { icao: *b"KLAX", iata: Some(*b"LAX") });
        assert_eq!(records.get(3).kind, Kind::Airport { icao: *b"XXXX", iata: None });
        assert_eq!(positions[1], Position { latitude_e5: -9_000_000, longitude_e5: 18_000_000 });
        assert_eq!(positions[3], Position { latitude_e5: -1, longitude_e5: -18_000_000 });
    }

    #[test]
    fn every_truncation_is_refused() {
        let file = small_file();
        for length in 0..file.len() {
            assert!(unpack(&file[..length]).is_err(), "the first {length} bytes");
        }
        let mut longer = file.clone();
        longer.push(0);
        assert_eq!(
            unpack(&longer).err(),
            Some(Error::Length { expected: file.len(), found: file.len() + 1 })
        );
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let file = small_file();
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            match unpack(&damaged) {
                Err(_) => {}
                // The last bits of a deflate stream may be mere filling.
                Ok((records, _)) => assert_eq!(records.get(1).name, "Café", "bit {bit}"),
            }
        }
    }

    #[test]
    fn a_body_with_a_right_checksum_and_wrong_bytes_does_no_harm() {
        let body = small_body();
        for place in 0..body.len() {
            for value in [0, 1, 0x0a, 0x7f, 0x80, 0xff, body[place] ^ 1, body[place].wrapping_add(1)] {
                let mut wrong = body.clone();
                wrong[place] = value;
                if let Ok((records, positions)) = read_body(&wrong, 2, 2) {
                    assert_eq!(positions.len(), records.len());
                    for (index, position) in positions.iter().enumerate() {
                        assert!(records.get(index).name.len() < body.len());
                        assert!(position.latitude_e5.abs() <= MAX_LATITUDE_E5);
                        assert!(position.longitude_e5.abs() <= MAX_LONGITUDE_E5);
                    }
                }
            }
        }
        for length in 0..body.len() {
            assert!(read_body(&body[..length], 2, 2).is_err(), "the first {length} bytes");
        }
    }

    #[test]
    fn the_head_says_what_is_wrong() {
        let refused = |file: &[u8]| unpack(file).err().unwrap();
        assert_eq!(refused(b"PNG"), Error::NotPlaces);
        let mut file = small_file();
        file[MAGIC.len()] = 2;
        assert_eq!(refused(&file), Error::Version(2));
        assert_eq!(refused(&file).to_string(), "packed places of version 2, not 1");
        assert_eq!(refused(&pack(&small_body(), 1, 2)), Error::Column("names"));
        assert_eq!(refused(&pack(&small_body(), 3, 1)), Error::Column("ids"));
        assert_eq!(refused(&pack(&small_body(), u32::MAX, u32::MAX)), Error::Column("names"));
        let mut file = small_file();
        file[HEAD_BYTES - 5] = 0xff;
        assert!(matches!(refused(&file), Error::TooLarge(_)));
    }

    #[test]
    fn numbers_beyond_32_bits_are_refused() {
        let take = |mut bytes: &[u8]| take_number(&mut bytes);
        assert_eq!(take(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Some(u32::MAX));
        assert_eq!(take(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None);
        assert_eq!(take(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), None);
        assert_eq!(take(&[0x80]), None);
    }
}
